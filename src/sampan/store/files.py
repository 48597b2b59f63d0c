"""Durable files: written beside their place under a temporary name, flushed, renamed, and the folder flushed too.

Everything the store keeps on a disk goes through a `Batch`. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from sampan.core.digests import Digest
from sampan.errors import StoreUnavailable
from sampan.store import copying

READ_ONLY = 0o444
_FLUSHERS = 8
_FEW, _QUICK_FLUSH_S = 4, 0.0004
PIPELINED_BYTES = 64 << 20  # a larger file is digested and flushed while it is being copied
_HINTS = {
    errno.ENOSPC: "free some space, or let `sampan gc` remove what nothing needs",
    errno.EDQUOT: "the disk quota is used up; free some space, or run `sampan gc`",
    errno.EFBIG: "the system limits the size of a file (ulimit -f); raise the limit",
    errno.EROFS: "the file system is mounted read-only; choose a store on one that can be written",
    errno.EACCES: "give this user the right to write there, or choose another store",
    errno.EPERM: "give this user the right to write there, or choose another store",
    errno.ENOTDIR: "a file stands where the store needs a folder; move it away",
    errno.EIO: "the disk reports a fault; check it, then run `sampan fsck`",
}


class Signature(NamedTuple):
    """What one `stat` tells of a file. Writing to it changes at least one of these."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def signature(path: Path) -> Signature:
    """Read a file's signature. Raises OSError as `stat` does."""
    found = path.stat()
    return Signature(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class store_errors:  # noqa: N801  # reads as what it is used as, a context
    """Turn an OSError raised inside into a StoreUnavailable that names the place and says what to do.

    `is_own` : whether the place is a store's; false where a person named it.
    """

    def __init__(self, where: str | Path, *, is_own: bool = True) -> None:
        self._where = f"to the store at {where}" if is_own else f"{where}"

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            told = f"cannot write {self._where}: {reason}"
            raise StoreUnavailable(told, hint=_HINTS.get(error.errno or 0, "")) from error


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold a lock between processes and threads, shared or exclusive, until the block is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure."""
    _fsync(folder)


def hash_file(path: Path) -> str:
    """Digest a file with as many threads as the machine has; the interpreter is free meanwhile."""
    from blake3 import blake3

    return "b3:" + str(blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())


class Batch:
    """New files that get their names together. Leaving the block by an error leaves nothing behind but what was there before.

    All files are flushed before the first gets its name, so a crash at any moment shows either a whole file or none. Names are given
    in the order of the calls.
    """

    _flushes = True  # whether what stands at its target survives a power failure

    def __init__(self, temporary: Path) -> None:
        # Plain texts from here on: a small commit spends more on path objects than on all else that is not the disk.
        self._temporary = str(temporary)
        self._store = os.path.dirname(self._temporary)
        self._staged: list[tuple[str, str]] = []
        self._made: list[str] = []
        self._flushed: set[str] = set()  # while they were written

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                with store_errors(self._store):
                    self._commit()
        finally:
            for path in self._made:
                with suppress(OSError):
                    os.unlink(path)

    def write(self, data: bytes | memoryview, target: str | Path) -> None:
        """Stage bytes that shall stand at `target`."""
        with store_errors(self._store):
            path, handle = self._new_file(os.O_WRONLY)
            try:
                rest = memoryview(data).cast("B")
                while rest:
                    rest = rest[os.write(handle, rest) :]
                if self._flushes and len(self._staged) < _FEW and _latest_flush_s < _QUICK_FLUSH_S:
                    _flush(handle)
                    self._flushed.add(path)
            finally:
                os.close(handle)
        self.place(path, target)

    @contextmanager
    def create(self, *, mode: int = os.O_WRONLY, buffer_bytes: int = -1) -> Iterator[tuple[Path, IO[bytes]]]:
        """Open a new temporary file. It vanishes with the batch unless `place` gives it a target."""
        with store_errors(self._store):
            path, handle = self._new_file(mode)
            with os.fdopen(handle, "wb", buffer_bytes) as file:
                yield Path(path), file

    def copy(self, source: Path) -> Path:
        """Copy a file inside the kernel and start flushing the copy; return its temporary path."""
        with source.open("rb") as origin, self.create() as (path, file):
            copying.copy(origin.fileno(), file.fileno())
        return path

    def copy_and_digest(self, source: Path) -> tuple[Path, Digest]:
        """Copy a large file, digesting and flushing the copy as it grows; return its temporary path and its digest."""
        with source.open("rb") as origin, self.create(mode=os.O_RDWR) as (path, file):
            return path, copying.copy_and_digest(origin.fileno(), file.fileno())

    def hardlink(self, source: Path) -> Path:
        """Give a file a second, temporary name. Raises OSError where the file system cannot."""
        path = Path(self._new_name())
        path.hardlink_to(source)
        path.chmod(READ_ONLY)
        return path

    def reflink(self, source: Path) -> Path:
        """Clone a file without copying its bytes. Raises OSError where the file system cannot."""
        path, handle = self._new_file(os.O_WRONLY)
        with os.fdopen(handle, "wb") as file, source.open("rb") as origin:
            fcntl.ioctl(file.fileno(), _FICLONE, origin.fileno())
        return Path(path)

    def place(self, temporary: str | Path, target: str | Path) -> None:
        """Say where a temporary file shall stand once the batch is left."""
        self._staged.append((str(temporary), str(target)))

    def _new_file(self, mode: int) -> tuple[str, int]:
        path = self._new_name()
        return path, os.open(path, mode | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READ_ONLY)

    def _new_name(self) -> str:
        if not self._made and not os.path.isdir(self._temporary):
            os.makedirs(self._temporary, exist_ok=True)
        path = f"{self._temporary}/{os.getpid()}-{os.urandom(8).hex()}"
        self._made.append(path)
        return path

    def _commit(self) -> None:
        _sync_all([temporary for temporary, _ in self._staged if temporary not in self._flushed])
        folders: dict[str, None] = {}
        for temporary, target in self._staged:
            folder = os.path.dirname(target)
            for made in _make_folder(folder):
                folders[os.path.dirname(made)] = None
            os.replace(temporary, target)
            folders[folder] = None
        placed = {temporary for temporary, _ in self._staged}
        self._made = [path for path in self._made if path not in placed]
        _sync_all([*folders])


_FICLONE = 0x40049409


def _sync_all(paths: Sequence[str]) -> None:
    """Flush several files or folders at once: the file system then writes its journal once for all, not once for each.

    A few of them, on a disk that flushed in less time than a thread takes to start, are flushed one after the other.
    """
    if len(paths) < 2 or (len(paths) <= _FEW and _latest_flush_s < _QUICK_FLUSH_S):
        for path in paths:
            _fsync(path)
        return
    failed: list[BaseException] = []
    waiting = iter(paths)
    lock = threading.Lock()

    def flush() -> None:
        while not failed:
            with lock:
                path = next(waiting, None)
            if path is None:
                return
            try:
                _fsync(path)
            except BaseException as error:  # noqa: BLE001  # raised below, in the caller's thread
                failed.append(error)

    threads = [threading.Thread(target=flush, daemon=True) for _ in range(min(_FLUSHERS, len(paths)) - 1)]
    for thread in threads:
        thread.start()
    flush()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def flush_in_background(path: Path) -> threading.Thread:
    """Start flushing a file while the caller does something else with it; the batch's own flush then finds nothing left to do."""

    def flush() -> None:
        with suppress(OSError):  # the batch flushes again and reports
            _fsync(path)

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    return thread


def is_regular(path: Path) -> bool:
    """Say whether `path` is a plain file (after following links)."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _make_folder(folder: str) -> list[str]:
    made: list[str] = []
    missing = folder
    while not os.path.isdir(missing):
        made.append(missing)
        missing = os.path.dirname(missing)
    if made:
        os.makedirs(folder, exist_ok=True)
    return made


_latest_flush_s = math.inf  # how long the latest flush of this process took


def _fsync(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _flush(handle)
    finally:
        os.close(handle)


def _flush(handle: int) -> None:
    global _latest_flush_s  # noqa: PLW0603  # a measurement: whichever thread wrote it last is right
    begun = time.perf_counter()
    os.fsync(handle)
    _latest_flush_s = time.perf_counter() - begun
