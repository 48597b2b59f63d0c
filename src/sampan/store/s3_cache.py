"""The local copies of what lies in S3: a folder of bounded size from which the longest unused go first.

A copy that was handed out in the last quarter of an hour stays, whatever the bound: someone may be about to open it. So the bound is
exceeded by what current work reads, and by no more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_IN_USE_NS = 15 * 60 * 1_000_000_000
_FRESH_NS = 60 * 1_000_000_000
_ROOMY = 0.8  # the share of the bound at which clearing ends


class CopyFolders:
    """Counts the bytes of local copies, and removes some when there are too many."""

    def __init__(self, folders: tuple[Path, ...], max_bytes: int) -> None:
        self._folders = folders
        self._max_bytes = max_bytes
        self._n_bytes: int | None = None  # not counted yet
        self._lock = threading.Lock()

    def note_unused(self, path: Path) -> None:
        """Let a copy that nobody has asked for yet be among the first to go."""
        before = time.time_ns() - _IN_USE_NS
        with suppress(OSError):
            if path.stat().st_nlink == 1:  # else it is someone's own file as well, whose time is not ours
                os.utime(path, ns=(before, before))

    def note_use(self, path: Path) -> bool:
        """Note that a copy is handed out now; say whether that touched it. Raises FileNotFoundError if it is not there."""
        if time.time_ns() - path.stat().st_mtime_ns <= _FRESH_NS:
            return False
        with suppress(PermissionError):
            os.utime(path)
        return True

    def added(self, n_bytes: int) -> None:
        """Count new copies, and clear up where they are too many."""
        with self._lock:
            if self._n_bytes is None:
                self._n_bytes = sum(size for _, size, _ in self._copies())
            else:
                self._n_bytes += n_bytes
            if self._n_bytes > self._max_bytes:
                self._n_bytes = self._clear()

    def _clear(self) -> int:
        copies = sorted(self._copies())
        left = sum(size for _, size, _ in copies)
        unused_since = time.time_ns() - _IN_USE_NS
        for modified, size, path in copies:
            if left <= self._max_bytes * _ROOMY or modified > unused_since:
                break
            with suppress(OSError):
                Path(path).unlink()
                left -= size
        return left

    def _copies(self) -> Iterator[tuple[int, int, str]]:
        waiting = [str(folder) for folder in self._folders]
        while waiting:
            with suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.name.endswith(".index"):
                        with suppress(OSError):
                            found = entry.stat(follow_symlinks=False)
                            yield found.st_mtime_ns, found.st_size, entry.path
