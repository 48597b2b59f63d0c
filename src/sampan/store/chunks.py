"""A run's metric points in the tables: chunks of them, and none for a metric whose one point its summary row says in full.

Most metrics of short runs have one point. What a summary cannot say of it (NaN, which SQLite writes as null, and the sign of a zero) goes
into a chunk as ever.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sampan.store import points
from sampan.store.database import Session
from sampan.store.points import CHUNK_POINTS, CODEC, Point

_NEW = "insert into metric_chunk(run, key, seq, n, codec, data) values (?, ?, ?, ?, ?, ?)"
_OF_RUN = (
    "select k.name, c.data from metric_chunk c join metric_key k on k.pk = c.key join node n on n.pk = c.run"
    " where n.id = ? order by k.name, c.seq"
)
_ONLY_OF_RUN = (
    "select k.name, m.last_step, m.last_at, m.last from run_metric m join metric_key k on k.pk = m.key join node n on n.pk = m.run"
    " where n.id = ? and m.n = 1"
)


def begin_chunks(session: Session, run: int, found: Mapping[int, Sequence[Point]]) -> None:
    """Write the first points of a run's metrics, by the numbers of their names, in the order in which they were logged."""
    rows = [row for key, new in found.items() if not _is_said_by_summary(new) for row in _rows(run, key, 1, new)]
    if rows:
        session.many(_NEW, rows)


def extend_chunks(session: Session, run: int, key: int, new: Sequence[Point]) -> None:
    """Write further points of a metric: fill the last chunk up, then start more. Call it before the summary is brought up to date."""
    row = session.one("select seq, n from metric_chunk where run = ? and key = ? order by seq desc limit 1", run, key)
    if row is None:
        only = session.one("select last_step, last_at, last from run_metric where run = ? and key = ?", run, key)
        begin_chunks(session, run, {key: [only, *new] if only else new})
        return
    seq, n_last = row
    if n_last < CHUNK_POINTS:
        data = session.one("select data from metric_chunk where run = ? and key = ? and seq = ?", run, key, seq)
        assert data is not None
        new = points.unpack(data[0]) + list(new)
        session.run("delete from metric_chunk where run = ? and key = ? and seq = ?", run, key, seq)
    else:
        seq += 1
    session.many(_NEW, _rows(run, key, seq, new))


def points_of(session: Session, run: str) -> dict[str, list[Point]]:
    """Return all of a run's folded points by metric, each in the order in which they were logged."""
    found: defaultdict[str, list[Point]] = defaultdict(list)
    for name, data in session.all(_OF_RUN, run):
        found[name].extend(points.unpack(data))
    only = {name: [(step, at, last)] for name, step, at, last in session.all(_ONLY_OF_RUN, run) if name not in found}
    return dict(sorted({**found, **only}.items()))


def columns_of(session: Session, run: str, metric: str) -> list[tuple[Sequence[int], Sequence[int], Sequence[float]]]:
    """Return the steps, times and values of a metric's folded points, chunk by chunk, in the order in which they were logged."""
    chunks = session.all(_OF_RUN.replace("where n.id = ?", "where n.id = ? and k.name = ?"), run, metric)
    if chunks:
        return [points.unpack_columns(data) for _name, data in chunks]
    only = session.one(f"{_ONLY_OF_RUN} and k.name = ?", run, metric)
    return [([only[1]], [only[2]], (only[3],))] if only else []


def _is_said_by_summary(new: Sequence[Point]) -> bool:
    return len(new) == 1 and not math.isnan(value := new[0][2]) and (value != 0.0 or math.copysign(1.0, value) > 0.0)


def _rows(run: int, key: int, first: int, new: Sequence[Point]) -> list[tuple[Any, ...]]:
    pieces = [new[i : i + CHUNK_POINTS] for i in range(0, len(new), CHUNK_POINTS)]
    return [(run, key, first + i, len(piece), CODEC, points.pack(piece)) for i, piece in enumerate(pieces)]
