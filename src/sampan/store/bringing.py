"""Metric points that come from elsewhere: another store, another tool. What is here does not come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sampan.core.graph import NodeId
from sampan.store.chunks import points_of
from sampan.store.database import Session
from sampan.store.folding import add_points, run_number
from sampan.store.points import Point

if TYPE_CHECKING:
    from sampan.store.store import Store

Points = Mapping[str, Sequence[Point]]  # by the metric's name, in the order in which they were logged


def bring_points(store: Store, points: Mapping[NodeId, Points], *, origin: str) -> int:
    """Bring those points of some runs here that are not here yet, in one transaction; return how many.

    A point that is here, whoever brought it, does not come again. How many an origin had of a run is noted, so that a run without news
    costs a look.
    """
    wanted = {run: found for run, found in points.items() if _n_noted(store, origin, run) != _n_points(found)}
    for run in store.journals.runs() & wanted.keys():
        store.folding.fold(run)
    with store.database.write() as session:
        return sum(_bring_run(session, run, found, origin) for run, found in wanted.items())


def _n_points(found: Points) -> int:
    return sum(map(len, found.values()))


def _n_noted(store: Store, origin: str, run: NodeId) -> int:
    with store.database.read() as session:
        row = session.one("select folded from journal where name = ?", f"{origin}/{run}")
    return row[0] if row else 0


def _bring_run(session: Session, run: NodeId, found: Points, origin: str) -> int:
    node, n_new = run_number(session, run), 0
    here = points_of(session, run)
    for key, points in found.items():
        if new := _without(points, here.get(key, ())):
            add_points(session, node, key, new)
            n_new += len(new)
    session.run(
        "insert into journal(name, run, folded) values (?, ?, ?) on conflict (name) do update set folded = excluded.folded",
        *(f"{origin}/{run}", node, _n_points(found)),
    )
    return n_new


def _without(points: Sequence[Point], known: Sequence[Point]) -> list[Point]:
    """Return the points that are not among those known, as often as they are there more often."""
    if not known:
        return list(points)
    here = Counter(map(_bits, known))
    new = []
    for point in points:
        bits = _bits(point)
        if here[bits] > 0:
            here[bits] -= 1
        else:
            new.append(point)
    return new


def _bits(point: Point) -> tuple[int, int, str]:
    return point[0], point[1], point[2].hex()  # NaN is not equal to itself
