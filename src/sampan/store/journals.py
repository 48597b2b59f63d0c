"""Metric points as they arrive: one append-only file a writer, one `write` a call.

A call that returned survives the death of the process, since the kernel has the bytes; a thread forces them to the disk every 100 ms, which
bounds what a power cut takes. The writer holds a lock on its file as long as it lives, so that anyone can tell a dead writer's file.
A file is a sequence of 32-byte blocks, so a torn end is seen and ignored: a header, points, and names of keys before their first point.
Bringing points into the tables is `folding.py`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.errors import ParameterError, UsageError
from sampan.store.files import store_errors
from sampan.store.points import Point

BLOCK: Final = 32  # bytes
SYNC_S: Final = 0.1
MAX_KEY_BYTES: Final = 1000

_RECORD = struct.Struct("<HHIqqd")  # mark, length of a key's name, key number, step, at, value
_HEADER = struct.Struct("<16s16s")  # magic, run id
_MAGIC = b"sampan journal 1"
_POINT, _KEY = 0x5050, 0x4B4B  # both bytes of a mark are alike, so the first byte of a block tells what it is
_POINT_BYTE, _KEY_BYTE = b"P", b"K"
_RUN = re.compile(r"[0-9a-f]{32}\Z")

_pack, _write = _RECORD.pack, os.write


class MetricJournal:
    """The writing end of one journal; safe to call from several threads of one process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._fault: OSError | None = None  # what the syncing thread met
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync_regularly, name=f"sync {path.name}", daemon=True)
        self._syncing.start()
        _OPEN.add(self)

    def __enter__(self) -> MetricJournal:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def log(self, key: str, value: float, *, step: int, at: Millis) -> None:
        """Append a point. When this returns, the point survives the death of the process.

        Raises
        ------
        ParameterError : the key is no name, or value, step or time no number of 64 bits.
        StoreUnavailable : the disk is full or gone; the point was not written.
        UsageError : the journal is closed, or this process is a fork of its writer.
        """
        with self._lock:
            number = self._numbers.get(key)
            if number is None:
                number = self._define(key)
            try:
                record = _pack(_POINT, 0, number, step, at, value)
            except (struct.error, TypeError) as cause:
                raise ParameterError(f"metric {key!r}: value {value!r}, step {step!r}, time {at!r}: {cause}") from cause
            self._append(record)

    def close(self) -> None:
        """Force everything to the disk and give the file free for folding. Closing again does nothing."""
        if self._fd < 0:
            return
        self._closing.set()
        self._syncing.join()
        with self._lock:
            fd, self._fd = self._fd, -1
            try:
                with store_errors(self.path):
                    os.fdatasync(fd)
            finally:
                os.close(fd)

    def _define(self, key: str) -> int:
        try:
            name = key.encode()
        except (UnicodeEncodeError, AttributeError) as cause:
            raise ParameterError(f"{key!r} cannot be a metric's name: {cause}") from cause
        if not name or len(name) > MAX_KEY_BYTES or b"\x00" in name:
            raise ParameterError(f"{key!r} cannot be a metric's name", hint=f"1 to {MAX_KEY_BYTES} bytes, no NUL")
        number = len(self._numbers)
        self._append(_pack(_KEY, len(name), number, 0, 0, 0.0) + name.ljust(_n_blocks(len(name)) * BLOCK, b"\x00"))
        self._numbers[key] = number
        return number

    def _append(self, record: bytes) -> None:
        try:
            if self._fault:
                raise self._fault
            written = _write(self._fd, record)
            if written != len(record):
                # A disk that fills up may take a part. Cut it off: what follows must stay on a block's edge.
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as cause:
            if self._fd < 0:
                raise UsageError(f"the journal {self.path.name} is closed", hint="open a journal in the process that logs") from cause
            with store_errors(self.path):
                raise

    def _sync_regularly(self) -> None:
        synced = 0
        try:
            while not self._closing.wait(SYNC_S):
                size = os.fstat(self._fd).st_size
                if size != synced:
                    os.fdatasync(self._fd)
                    synced = size
        except OSError as cause:  # the next call raises it, where someone sees it
            self._fault = cause

    def _forget_in_child(self) -> None:
        # The child's copy of the descriptor would keep the lock, and so the writer, alive after the parent's death.
        self._lock = threading.Lock()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_OPEN: weakref.WeakSet[MetricJournal] = weakref.WeakSet()


def _forget_all_in_child() -> None:
    for journal in list(_OPEN):
        journal._forget_in_child()


os.register_at_fork(after_in_child=_forget_all_in_child)


class Journals:
    """The journals of a store, in one folder; a run has one for each process that logs to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, run_id: NodeId) -> MetricJournal:
        """Start a journal for a run and hold its lock until it is closed or the process ends."""
        if not _RUN.match(run_id):
            raise ParameterError(f"{run_id!r} is no run's id", hint="32 lower-case hex digits")
        path = self._folder / f"{run_id}.{os.urandom(4).hex()}.journal"
        # Locked before it has its name, so that nobody takes it for a dead writer's.
        nameless = path.with_suffix(".starting")
        with store_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(nameless, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.write(fd, _HEADER.pack(_MAGIC, bytes.fromhex(run_id)))
                nameless.rename(path)
            except BaseException:
                os.close(fd)
                raise
        return MetricJournal(path, fd)

    def of(self, run_id: NodeId) -> list[Path]:
        """Return the journals of a run that are not folded away yet."""
        return sorted(self._folder.glob(f"{run_id}.*.journal"))

    def runs(self) -> set[NodeId]:
        """Return the runs that have a journal."""
        return {path.name.partition(".")[0] for path in self._folder.glob("*.journal")}

    def is_alive(self, run_id: NodeId) -> bool:
        """Say whether a process of this machine holds a journal of the run open."""
        return any(writer_lives(path) for path in self.of(run_id))


def writer_lives(path: Path) -> bool:
    """Say whether the process that writes a journal still holds it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared: two readers that ask at the same moment must not take each other for the writer.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def check_header(block: bytes, run_id: NodeId) -> bool:
    """Say whether a journal's first block is whole and names this run; a writer may have died before it was."""
    return block == _HEADER.pack(_MAGIC, bytes.fromhex(run_id))


def parse(data: bytes, keys: dict[int, str]) -> tuple[dict[str, list[Point]], int]:
    """Read whole records; return the points by key and how many bytes were read. Adds the names of keys met to `keys`.

    Ends before a record that is not whole, and at blocks that are no record: what a power cut left of unsynced pages.
    """
    found: dict[str, list[Point]] = {}
    n_read = 0
    for start, stop, read in _stretches(data, keys):
        n_read = read
        appenders = {number: found.setdefault(name, []).append for number, name in keys.items()}
        for _mark, _zero, number, step, at, value in _RECORD.iter_unpack(data[start:stop]):
            appenders[number]((step, at, value))
    return {key: points for key, points in found.items() if points}, n_read


def parse_keys(data: bytes, keys: dict[int, str]) -> int:
    """Read only the names of keys, from records already folded; return how many bytes were read."""
    return max((read for _start, _stop, read in _stretches(data, keys)), default=0)


def _stretches(data: bytes, keys: dict[int, str]) -> Iterator[tuple[int, int, int]]:
    """Iterate over stretches of points: (from byte, to byte, bytes read so far). Adds the names that stand between them to `keys`."""
    marks, n_blocks = data[::BLOCK], len(data) // BLOCK
    here = 0
    while here < n_blocks:
        rest = marks[here:n_blocks]
        end = here + len(rest) - len(rest.lstrip(_POINT_BYTE))
        yield here * BLOCK, end * BLOCK, end * BLOCK
        if marks[end : end + 1] != _KEY_BYTE or end == n_blocks:
            return
        mark, length, number, *_ = _RECORD.unpack_from(data, end * BLOCK)
        here = end + 1 + _n_blocks(length)
        start = (end + 1) * BLOCK
        name = data[start : start + length]
        if mark != _KEY or here > n_blocks or b"\x00" in name:
            return
        keys[number] = name.decode()
        yield here * BLOCK, here * BLOCK, here * BLOCK


def _n_blocks(n_bytes: int) -> int:
    return -(-n_bytes // BLOCK)
