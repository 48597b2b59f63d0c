"""Metric points as they arrive: one append-only file a writer, one `write` a call.

A call that returned survives the death of the process, since the kernel has the bytes; one thread of the process forces them to the disk
every 100 ms, which bounds what a power cut takes. The writer holds a lock on its file as long as it lives, so that anyone can tell a dead
writer's file.
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
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping
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

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
_pack, _write = _RECORD.pack, os.write


class MetricJournal:
    """The writing end of one journal; safe to call from several threads of one process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._fault: OSError | None = None  # what the syncing thread met
        self._synced = 0  # bytes
        _SYNCING.watch(self)

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
                number = len(self._numbers)
                self._append(_definition(key, number))
                self._numbers[key] = number
            self._append(_point(key, number, step, at, value))

    def log_all(self, points: Mapping[str, float], *, steps: Mapping[str, int], at: Millis) -> None:
        """Append a point of each of several metrics by one write: all of them, or none.

        Raises
        ------
        ParameterError, StoreUnavailable, UsageError : as `log`.
        """
        with self._lock:
            fresh: dict[str, int] = {}
            records = []
            for key in points:
                if key not in self._numbers:
                    fresh[key] = len(self._numbers) + len(fresh)
                    records.append(_definition(key, fresh[key]))
            numbers = {**self._numbers, **fresh} if fresh else self._numbers
            records += [_point(key, numbers[key], steps[key], at, value) for key, value in points.items()]
            self._append(b"".join(records))
            self._numbers.update(fresh)

    def close(self, *, sync: bool = True) -> None:
        """Force everything to the disk and give the file free for folding. Closing again does nothing.

        `sync=False` leaves the forcing to who folds the journal at once, or calls `Journals.sync` where that fails.
        """
        _SYNCING.leave(self)
        with self._lock, self._syncing:
            fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if sync:
                with store_errors(self.path):
                    os.fdatasync(fd)
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Force what was logged so far to the disk; a fault is raised by the next call, where someone sees it."""
        with self._syncing:  # not the lock of those who log: they do not wait for the disk
            if self._fd < 0 or self._fault:
                return
            try:
                size = os.fstat(self._fd).st_size
                if size != self._synced:
                    os.fdatasync(self._fd)
                    self._synced = size
            except OSError as cause:
                self._fault = cause

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

    def _forget_in_child(self) -> None:
        # The child's copy of the descriptor would keep the lock, and so the writer, alive after the parent's death.
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _definition(key: str, number: int) -> bytes:
    """Return the record that gives a metric's name its number."""
    try:
        name = key.encode()
    except (UnicodeEncodeError, AttributeError) as cause:
        raise ParameterError(f"{key!r} cannot be a metric's name: {cause}") from cause
    if not name or len(name) > MAX_KEY_BYTES or b"\x00" in name:
        raise ParameterError(f"{key!r} cannot be a metric's name", hint=f"1 to {MAX_KEY_BYTES} bytes, no NUL")
    return _pack(_KEY, len(name), number, 0, 0, 0.0) + name.ljust(_n_blocks(len(name)) * BLOCK, b"\x00")


def _point(key: str, number: int, step: int, at: Millis, value: float) -> bytes:
    try:
        return _pack(_POINT, 0, number, step, at, value)
    except (struct.error, TypeError) as cause:
        raise ParameterError(f"metric {key!r}: value {value!r}, step {step!r}, time {at!r}: {cause}") from cause


class _Syncing:
    """The thread that forces this process's journals to the disk; it sleeps while none is open."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[MetricJournal] = weakref.WeakSet()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, journal: MetricJournal) -> None:
        """Sync a journal from now on."""
        with self._changed:
            self._open.add(journal)
            if self._thread is None:
                self._thread = threading.Thread(target=self._sync_regularly, name="sync journals", daemon=True)
                self._thread.start()
            self._changed.notify()

    def leave(self, journal: MetricJournal) -> None:
        """Leave a journal alone from now on."""
        with self._changed:
            self._open.discard(journal)

    def forget_in_child(self) -> None:
        """Begin anew in a fork: the thread is not in it, and the journals are the parent's."""
        journals = list(self._open)
        self.__init__()  # type: ignore[misc]  # locks may have been held at the fork
        for journal in journals:
            journal._forget_in_child()

    def _sync_regularly(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._open) > 0)
            time.sleep(SYNC_S)
            with self._changed:
                journals = list(self._open)
            for journal in journals:
                journal.sync()


_SYNCING: Final = _Syncing()
os.register_at_fork(after_in_child=_SYNCING.forget_in_child)


class Journals:
    """The journals of a store, in one folder; a run has one for each process that logs to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, run_id: NodeId) -> MetricJournal:
        """Start a journal for a run and hold its lock until it is closed or the process ends."""
        if not _RUN.match(run_id):
            raise ParameterError(f"{run_id!r} is no run's id", hint="32 lower-case hex digits")
        path = f"{self._folder}/{run_id}.{os.urandom(4).hex()}.journal"
        # Locked before it has its name, so that nobody takes it for a dead writer's.
        nameless = f"{path}.starting"
        with store_errors(path):
            fd = self._create(nameless)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.write(fd, _HEADER.pack(_MAGIC, bytes.fromhex(run_id)))
                os.rename(nameless, path)  # noqa: PTH104  # see _names
            except BaseException:
                os.close(fd)
                raise
        return MetricJournal(Path(path), fd)

    def _create(self, path: str) -> int:
        try:
            return os.open(path, _NEW, 0o644)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, _NEW, 0o644)

    def of(self, run_id: NodeId) -> list[Path]:
        """Return the journals of a run that are not folded away yet."""
        return sorted(self._folder / name for name in self._names() if name.startswith(f"{run_id}."))

    def sync(self, run_id: NodeId) -> None:
        """Force the journals of a run to the disk, those of other writers too."""
        for path in self.of(run_id):
            with store_errors(path), path.open("rb") as file:
                os.fdatasync(file.fileno())

    def runs(self) -> set[NodeId]:
        """Return the runs that have a journal."""
        return {name.partition(".")[0] for name in self._names()}

    def is_alive(self, run_id: NodeId) -> bool:
        """Say whether a process of this machine holds a journal of the run open."""
        return any(writer_lives(path) for path in self.of(run_id))

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if name.endswith(".journal")]  # noqa: PTH208  # a hundred times a second
        except FileNotFoundError:
            return []


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
    by_number: defaultdict[int, list[Point]] = defaultdict(list)
    n_read = 0
    for start, stop, read in _stretches(data, keys):
        n_read = read
        for _mark, _zero, number, step, at, value in _RECORD.iter_unpack(data[start:stop]):
            by_number[number].append((step, at, value))
    return {keys[number]: points for number, points in by_number.items()}, n_read


def parse_keys(data: bytes, keys: dict[int, str]) -> int:
    """Read only the names of keys, from records already folded; return how many bytes were read."""
    return max((read for _start, _stop, read in _stretches(data, keys)), default=0)


def _stretches(data: bytes, keys: dict[int, str]) -> Iterator[tuple[int, int, int]]:
    """Iterate over stretches of points: (from byte, to byte, bytes read so far). Adds the names that stand between them to `keys`."""
    n_blocks = len(data) // BLOCK
    marks, here = data[::BLOCK][:n_blocks], 0
    while here < n_blocks:
        start = here
        while marks[here : here + 1] == _KEY_BYTE and (after := _read_name(data, here, keys)):
            here = after
        rest = marks[here:]
        end = here + len(rest) - len(rest.lstrip(_POINT_BYTE))
        if end == start:
            return  # neither: what a power cut left
        yield here * BLOCK, end * BLOCK, end * BLOCK
        here = end


def _read_name(data: bytes, block: int, keys: dict[int, str]) -> int:
    """Read the name of a metric that stands at a block; return the block after it, or 0 if it is not whole."""
    mark, length, number, *_ = _RECORD.unpack_from(data, block * BLOCK)
    start = (block + 1) * BLOCK
    name, after = data[start : start + length], block + 1 + _n_blocks(length)
    if mark != _KEY or after * BLOCK > len(data) or b"\x00" in name:
        return 0
    keys[number] = name.decode()
    return after


def _n_blocks(n_bytes: int) -> int:
    return -(-n_bytes // BLOCK)
