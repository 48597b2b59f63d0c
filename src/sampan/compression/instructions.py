"""Instructions that this thread carried out, as the processor counts them: a measure of work that no other program's load moves.

Linux counts them for its own processes where `kernel.perf_event_paranoid` is 2 or less and the machine, if it is a virtual one, shows the
counter. Elsewhere `open_counter` says that there is none, and processor time is what is left.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# The number of perf_event_open among the kernel's calls.
_CALLS: Final = {"x86_64": 298, "aarch64": 241}
_SIZE: Final = 128  # of perf_event_attr
_INSTRUCTIONS: Final = 1  # PERF_COUNT_HW_INSTRUCTIONS of PERF_TYPE_HARDWARE
_EXCLUDE_KERNEL_AND_HYPERVISOR: Final = (1 << 5) | (1 << 6)


class Counter:
    """A running counter of this thread's instructions."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> int:
        """Return how many there were so far."""
        (found,) = struct.unpack("Q", os.read(self._descriptor, 8))
        return int(found)


@contextmanager
def open_counter() -> Iterator[Counter | None]:
    """Open the calling thread's counter; None where the system shows none."""
    number = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    descriptor = _open(number) if number is not None else -1
    if descriptor < 0:
        yield None
        return
    try:
        counter = Counter(descriptor)
        yield counter if _counts(counter) else None
    finally:
        os.close(descriptor)


def _open(number: int) -> int:
    attributes = bytearray(_SIZE)
    struct.pack_into("IIQ", attributes, 0, 0, _SIZE, _INSTRUCTIONS)
    struct.pack_into("Q", attributes, 40, _EXCLUDE_KERNEL_AND_HYPERVISOR)
    given = (ctypes.c_char * _SIZE).from_buffer(attributes)
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, given, 0, -1, -1, 0))


def _counts(counter: Counter) -> bool:
    """Say whether the counter moves: some virtual machines open it and leave it at 0."""
    before = counter.read()
    return counter.read() > before
