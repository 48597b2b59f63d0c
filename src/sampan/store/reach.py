"""Walking the graph from a few nodes, the nearest first, and never more of it than was asked for.

A whole ancestry is found by one recursive statement (`Catalog.lineage`). Here a walk goes level by level and each statement has a limit, so
a raw dataset that half a million runs have read costs no more than any other. Both directions use an index that holds all they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from sampan.core.graph import Edge, Node, NodeId
from sampan.store import listing
from sampan.store.database import Row, Session

FAR: Final = 1_000_000  # edges: farther than any way leads
_ROWS_A_NODE: Final = 4  # of a level: how many edges are read for a node that there is room for


class Walk(msgspec.Struct):
    """Where a walk came: nodes by internal number with their distance, the nearest first. Not whole: there is more."""

    distance: dict[int, int]
    edges: list[tuple[int, int, str]] = msgspec.field(default_factory=list)  # dst, src, role; between nodes of the walk
    whole: bool = True

    @property
    def pks(self) -> list[int]:
        """The nodes' internal numbers, the nearest first."""
        return list(self.distance)


class Near(msgspec.Struct, frozen=True):
    """A part of the graph around some nodes. Not whole: there is more, farther away."""

    nodes: list[Node]  # the nearest first
    edges: list[Edge]
    distance: dict[NodeId, int]
    whole: bool


class After(msgspec.Struct, frozen=True):
    """What came of some nodes. Not whole: there is more than was counted."""

    nearest: list[Node]
    counts: dict[str, int]  # by kind
    pks: frozenset[int]  # of all that was counted
    whole: bool


class Pointed(msgspec.Struct, frozen=True):
    """An alias and the node it points at."""

    alias: str
    node: Node


class AliasRow(NamedTuple):
    """An alias as it is stored."""

    alias: str
    pk: int


def list_aliases(session: Session, kinds: Sequence[str], most: int) -> list[AliasRow]:
    """Return the aliases of assets of some kinds, the newest first."""
    those = session.among("a.kind", kinds)
    sql = f"select l.name, l.node from alias l join asset a on a.pk = l.asset where {those.sql} order by l.updated desc limit ?"  # noqa: S608  # literals
    return [AliasRow(*row) for row in session.all(sql, those.value, most)]


def aliases_of(session: Session, pks: Sequence[int], kinds: Sequence[str]) -> list[AliasRow]:
    """Return the aliases that point at some nodes, of assets of some kinds."""
    those, of_kinds = session.among("l.node", pks), session.among("a.kind", kinds)
    sql = f"select l.name, l.node from alias l join asset a on a.pk = l.asset where {those.sql} and {of_kinds.sql}"  # noqa: S608  # literals
    return [AliasRow(*row) for row in session.all(sql, those.value, of_kinds.value)]


def walk(session: Session, starts: Sequence[int], *, up: bool, most: int, depth: int = FAR) -> Walk:
    """Follow edges from some nodes to what they came from (`up`) or to what came of them, until `most` nodes are reached."""
    found = Walk(dict.fromkeys(starts, 0))
    border = list(starts)
    for away in range(1, depth + 1):
        if not border:
            return found
        enough = _ROWS_A_NODE * most + len(border)
        rows = _beside(session, border, up=up, enough=enough)
        found.whole &= len(rows) < enough
        border = _take(found, rows, away, up=up, most=most)
    found.whole &= not _beside(session, border, up=up, enough=1)
    return found


def _take(found: Walk, rows: Sequence[Row], away: int, *, up: bool, most: int) -> list[int]:
    """Add edges to a walk, and the nodes they lead to while there is room; return the new nodes."""
    new = []
    for dst, src, role in rows:
        there = src if up else dst
        if there not in found.distance:
            if len(found.distance) >= most:
                found.whole = False
                continue
            found.distance[there] = away
            new.append(there)
        found.edges.append((dst, src, role))
    return new


def _beside(session: Session, border: Sequence[int], *, up: bool, enough: int) -> list[Row]:
    """Return the edges of some nodes in one direction; as soon as there are enough, no more."""
    here = "dst" if up else "src"
    # A join from the listed nodes: with `in` and a small limit, PostgreSQL would rather read all edges until one fits.
    those = session.listed(border)
    sql = f"select e.dst, e.src, e.role from {those.sql} join edge e on e.{here} = listed.value limit ?"  # noqa: S608  # literals
    return session.all(sql, those.value, enough)


def cone(session: Session, starts: Sequence[int], *, most_edges: int) -> Walk:
    """Follow edges up from many nodes at once, as far as they go; distances are not told.

    One statement: ways up are narrow, so nothing has to be held back but the sum of all.
    """
    those = session.listed(starts)
    sql = (
        f"with recursive above(dst, src, role) as (select e.dst, e.src, e.role from {those.sql} join edge e on e.dst = listed.value"  # noqa: S608  # literals
        " union select e.dst, e.src, e.role from above a join edge e on e.dst = a.src) select dst, src, role from above limit ?"
    )
    edges = [(dst, src, role) for dst, src, role in session.all(sql, those.value, most_edges)]
    found = Walk(dict.fromkeys(starts, 0), edges, whole=len(edges) < most_edges)
    for _, src, _ in edges:
        found.distance.setdefault(src, 1)
    return found


def nodes_numbered(session: Session, pks: Sequence[int]) -> list[Node]:
    """Read nodes by their internal numbers, in that order."""
    those = session.among("n.pk", pks)
    found = {node.seq: node for node in listing.nodes(session, f"where {those.sql}", those.value)}
    return [found[pk] for pk in pks if pk in found]


def count_kinds(session: Session, pks: Sequence[int]) -> dict[str, int]:
    """Count nodes by kind."""
    those = session.among("n.pk", pks)
    return dict(sorted(session.all(f"select n.kind, count(*) from node n where {those.sql} group by n.kind", those.value)))  # noqa: S608  # literals


def named_edges(found: Walk, nodes: Sequence[Node]) -> list[Edge]:
    """Return a walk's edges by the ids of its nodes."""
    ids = {node.seq: node.id for node in nodes}
    kept = sorted({edge for edge in found.edges if edge[0] in ids and edge[1] in ids})
    return [Edge(ids[dst], ids[src], role) for dst, src, role in kept]


def leads_to(found: Walk, targets: set[int]) -> set[int]:
    """Return the nodes of a walk upward from which one of the targets is reached."""
    needs: dict[int, list[int]] = {}
    for dst, src, _ in found.edges:
        needs.setdefault(src, []).append(dst)
    reached = set(targets) & found.distance.keys()
    waiting = list(reached)
    while waiting:
        for dst in needs.get(waiting.pop(), ()):
            if dst not in reached:
                reached.add(dst)
                waiting.append(dst)
    return reached
