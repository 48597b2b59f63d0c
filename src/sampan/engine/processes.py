"""Names for processes that no later process can have, and whether the one with such a name has ended. Known on Linux only."""

from __future__ import annotations

import os
from pathlib import Path


def identity() -> str:
    """Return this process's name: machine, its present boot, the space its number counts in, the number, and when it started."""
    return f"{os.uname().nodename} {_space()} {os.getpid()} {_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Say whether a process is known to have ended; False for one of another machine, boot or container, of which we cannot know."""
    parts = name.split()
    if len(parts) < 4 or not parts[2].isdigit() or parts[:2] != identity().split()[:2] or not parts[3].isdigit():
        return False
    return _started(int(parts[2])) != parts[3]


def _space() -> str:
    """Two containers may share a machine's name, but not its process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; '-' if there is none, or it is dead and only not yet collected."""
    try:
        # The name in brackets may hold anything, spaces and brackets included.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "-"
    return "-" if fields[0] in "ZX" else fields[19]
