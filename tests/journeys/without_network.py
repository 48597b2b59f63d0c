"""Run a command in a network namespace of its own: nothing there but loopback.

python without_network.py COMMAND ...
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def main() -> None:
    """Leave the network, bring loopback up, become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Whoever is not root needs a user namespace first, in which they are.
    flags = CLONE_NEWNET if os.getuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "this machine does not allow a network namespace, which the test needs")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    os.execvp(sys.argv[1], sys.argv[1:])  # that is its purpose


if __name__ == "__main__":
    main()
