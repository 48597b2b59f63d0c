"""Journals into tables: column chunks, and one row a metric that says what it came to.

How far a journal is folded is advanced in the transaction that writes its points. So a fold may die at any moment and be repeated by
anyone, and two at once fold nothing twice. A journal whose writer is dead is deleted once all of it is in the tables.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sampan.core.graph import NodeId
from sampan.errors import IntegrityError, NotFound
from sampan.store.chunks import begin_chunks, extend_chunks
from sampan.store.database import Database, Row, Session
from sampan.store.files import store_errors
from sampan.store.journals import BLOCK, Journals, check_header, parse, parse_keys
from sampan.store.points import Point
from sampan.store.touching import touch

_OLD_SUMMARY = "select last, last_step, last_at, min, max, n from run_metric where run = ? and key = ?"
_SUMMARY = (
    "insert into run_metric(key, run, last, last_step, last_at, min, max, n) values (?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict (run, key) do update set last = excluded.last, last_step = excluded.last_step, last_at = excluded.last_at,"
    " min = excluded.min, max = excluded.max, n = excluded.n"
)
_PIECE_BYTES = 8 << 20  # read at once: 262,144 points, so memory and the time others wait stay small


class Folding:
    """Folds the journals of one store."""

    def __init__(self, database: Database[Any], journals: Journals) -> None:
        self._database = database
        self._journals = journals
        self._known: dict[str, tuple[int, dict[int, str]]] = {}  # journal -> (bytes known to be folded, keys defined in them)

    def fold(self, run: NodeId) -> int:
        """Fold all journals of a run, of living writers as far as they are; return how many points were new."""
        return sum(self._fold_journal(run, path) for path in self._journals.of(run))

    def fold_all(self) -> int:
        """Fold every journal there is; return how many points were new."""
        return sum(self.fold(run) for run in sorted(self._journals.runs()))

    @contextmanager
    def fold_within(self, session: Session, run: NodeId) -> Iterator[None]:
        """Fold all journals of a run in a transaction that its owner commits within this block; those of dead writers go afterwards."""
        done: list[Path] = []
        with ExitStack() as stack:
            for path in self._journals.of(run):
                try:
                    fd = os.open(path, os.O_RDONLY)
                except FileNotFoundError:
                    continue  # another reader was faster
                stack.callback(os.close, fd)
                if _lock_shared(fd):
                    done.append(path)
                self._fold_whole(session, run, path, fd)
            yield
            for path in done:
                with store_errors(path):
                    path.unlink(missing_ok=True)
                self._known.pop(path.name, None)

    def _fold_whole(self, session: Session, run: NodeId, path: Path, fd: int) -> None:
        if not _has_header(path, run, fd):
            return
        folded = BLOCK
        while os.fstat(fd).st_size >= folded + BLOCK:
            now = self._fold_piece(session, run, path.name, fd)[1]
            if now == folded:
                break  # a torn end
            folded = now

    def _fold_journal(self, run: NodeId, path: Path) -> int:
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return 0  # another reader was faster
        try:
            # Asked before reading: a writer that is dead now has written all it ever will.
            is_dead = _lock_shared(fd)
            n_points = self._fold_open(run, path, fd)
            if is_dead:
                with store_errors(path):
                    path.unlink(missing_ok=True)
                self._known.pop(path.name, None)
        finally:
            os.close(fd)
        return n_points

    def _fold_open(self, run: NodeId, path: Path, fd: int) -> int:
        if not _has_header(path, run, fd):
            return 0
        with self._database.read() as session:
            folded = _folded(session, path.name)
        n_points = 0
        while os.fstat(fd).st_size >= folded + BLOCK:
            with self._database.write() as session:
                n_new, now = self._fold_piece(session, run, path.name, fd)
            if now == folded:
                break  # a torn end
            n_points, folded = n_points + n_new, now
        return n_points

    def _fold_piece(self, session: Session, run: NodeId, name: str, fd: int) -> tuple[int, int]:
        """Fold the next piece of a journal; return how many points it held and up to which byte all is folded."""
        folded = _folded(session, name)
        keys = self._keys(name, fd, folded)
        found, n_bytes = parse(os.pread(fd, _PIECE_BYTES, folded), keys)
        node = run_number(session, run)
        _add_all(session, node, found)
        if n_bytes:
            session.run(
                "insert into journal(name, run, folded) values (?, ?, ?) on conflict (name) do update set folded = excluded.folded",
                *(name, node, folded + n_bytes),
            )
        return sum(map(len, found.values())), folded + n_bytes

    def _keys(self, name: str, fd: int, stop: int) -> dict[int, str]:
        """Return the keys a journal defines before byte `stop`."""
        start, keys = self._known.get(name, (BLOCK, {}))
        if start > stop:  # a transaction of ours was rolled back
            start, keys = BLOCK, {}
        while start < stop:
            start += parse_keys(os.pread(fd, min(_PIECE_BYTES, stop - start), start), keys)
        self._known[name] = (stop, dict(keys))
        return keys


def _has_header(path: Path, run: NodeId, fd: int) -> bool:
    """Say whether a journal has begun. Raises IntegrityError where it is another run's, or no journal."""
    header = os.pread(fd, BLOCK, 0)
    if len(header) < BLOCK:
        return False
    if not check_header(header, run):
        raise IntegrityError(f"{path} is no journal of run {run}", hint="move the file out of the store")
    return True


def _lock_shared(fd: int) -> bool:
    """Lock a journal if no writer holds it; the lock goes with the descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folded(session: Session, name: str) -> int:
    row = session.one("select folded from journal where name = ?", name)
    return row[0] if row else BLOCK


def run_number(session: Session, run: NodeId) -> int:
    """Return the internal number of the run that points belong to. Raises NotFound."""
    row = session.one("select pk from node where id = ?", run)
    if row is None:
        raise NotFound(f"no run {run}, though it has a journal", hint="append RunStarted before logging points")
    pk: int = row[0]
    return pk


def _keys_of(session: Session, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of metrics by their names; those that are new get one."""
    those = session.among("name", names)
    known: dict[str, int] = dict(session.all(f"select name, pk from metric_key where {those.sql}", those.value))  # noqa: S608  # literals
    if fresh := [name for name in names if name not in known]:
        row = session.one("select coalesce(max(pk), 0) from metric_key")
        assert row is not None
        given = {name: row[0] + place for place, name in enumerate(fresh, start=1)}
        session.many("insert into metric_key(pk, name) values (?, ?)", [(pk, name) for name, pk in given.items()])
        known |= given
    return known


def add_points(session: Session, run: int, name: str, new: list[Point]) -> None:
    """Write further points of a run's metric, in the order in which they were logged."""
    _add_all(session, run, {name: new})


def _add_all(session: Session, run: int, found: Mapping[str, list[Point]]) -> None:
    """Write further points of several metrics of a run; a run's first points take few statements, however many metrics there are."""
    if not found:
        return
    keys = _keys_of(session, list(found))
    is_first = session.one("select 1 from run_metric where run = ? limit 1", run) is None
    if is_first:
        begin_chunks(session, run, {keys[name]: new for name, new in found.items()})
        session.many(_SUMMARY, [_summary_row(run, keys[name], new, None) for name, new in found.items()])
    else:
        for name, new in found.items():
            extend_chunks(session, run, keys[name], new)
            old = session.one(_OLD_SUMMARY, run, keys[name])
            session.run(_SUMMARY, *_summary_row(run, keys[name], new, old))
    touch(session, run)


def _summary_row(run: int, key: int, new: list[Point], old: Row | None) -> tuple[Any, ...]:
    """Return what a metric came to, with what it had come to before."""
    if old is None and len(new) == 1:
        step, at, value = new[0]
        there = _number(value)
        return key, run, there, step, at, there, there, 1
    last_step, last_at, last = max(reversed(new), key=lambda point: point[:2])  # of equals, the one logged last
    values = [value for _, _, value in new if value == value]  # NaN alone differs from itself
    low, high, n = min(values, default=None), max(values, default=None), len(new)
    if old:
        if (old[1], old[2]) > (last_step, last_at):
            last, last_step, last_at = old[0], old[1], old[2]
        low = min((v for v in (low, old[3]) if v is not None), default=None)
        high = max((v for v in (high, old[4]) if v is not None), default=None)
        n += old[5]
    return key, run, _number(last), last_step, last_at, low, high, n


def _number(value: float | None) -> float | None:
    """Write NaN as null: SQLite would do it anyhow, and both databases should hold the same."""
    return None if value is None or math.isnan(value) else value
