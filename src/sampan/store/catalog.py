"""The read side: everything the tables know, as the nouns of `core.graph`. Nothing here writes.

Finding the node that a reference means is in `resolving.py`, runs and their metrics in `tracking.py`; `Catalog` is all three.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sampan.core.decoding import read_json
from sampan.core.digests import Digest
from sampan.core.graph import Artifact, Asset, Edge, Graph, Node, NodeId, Observation, Recorded
from sampan.core.refs import Ref
from sampan.errors import NotFound
from sampan.store import listing
from sampan.store.database import Database, Row, Session
from sampan.store.reach import (
    FAR,
    After,
    Near,
    Pointed,
    aliases_of,
    cone,
    count_kinds,
    leads_to,
    list_aliases,
    named_edges,
    nodes_numbered,
    walk,
)
from sampan.store.resolving import missing_asset, resolve
from sampan.store.tracking import Tracking

_DIGEST = re.compile(r"b3:[0-9a-f]{64}")
_BATCH = 5000
_SHALLOW = 4  # edges
_WIDE = 50_000  # edges above everything that an alias points at


class Catalog(Tracking):
    """Answers questions about one store; safe to use from several threads."""

    def __init__(self, database: Database[Any], *, fold: Callable[[NodeId], int], fold_all: Callable[[], int]) -> None:
        super().__init__(database, fold=fold, fold_all=fold_all)

    def asset(self, kind: str, name: str) -> Asset:
        """Return one asset. Raises NotFound with the nearest names."""
        with self._database.read() as session:
            found = session.one(f"{listing.ASSET} where kind = ? and name = ?", kind, name)
            if found is None:
                raise missing_asset(session, name, kind)
            return listing.asset(found)

    def assets(self, kind: str = "") -> list[Asset]:
        """Return all assets, of one kind if given, by kind and name."""
        with self._database.read() as session:
            rows = session.all(f"{listing.ASSET} where kind = ?", kind) if kind else session.all(listing.ASSET)
        return sorted((listing.asset(row) for row in rows), key=lambda a: (a.kind, a.name))

    def node(self, id: NodeId) -> Node:  # noqa: A002  # the field's word
        """Return the node with this whole id, or that stands for it since a merge. Raises NotFound."""
        with self._database.read() as session:
            found = listing.nodes(session, "where n.id = ?", id)
            found = found or listing.nodes(session, "where n.pk = (select node from stands_for where id = ?)", id)
        if not found:
            raise NotFound(f"no node {id}")
        return found[0]

    def resolve(self, ref: str | Ref, *, kind: str = "") -> Node:
        """Return the node a reference means; `kind` restricts what it may be.

        Raises
        ------
        NotFound : nothing is called so; the nearest names come along.
        AmbiguousRef : several nodes are; the references that name one each come along.
        """
        with self._database.read() as session:
            return resolve(session, ref, kind)

    def find_version(self, kind: str, name: str, digest: Digest) -> Node | None:
        """Return the newest version of an asset that has this content, if any."""
        where = f"where {listing.OF_ASSET} and n.digest = ? order by n.pk desc limit 1"
        with self._database.read() as session:
            found = listing.nodes(session, where, kind, name, digest)
        return found[0] if found else None

    def nodes(self, *, kind: str = "", name: str = "", state: str = "", limit: int = 100, before: int | None = None) -> list[Node]:
        """Return nodes, newest first; `before` is the `seq` of the last node of the page before."""
        where, values = listing.conditions({"n.kind = ?": kind, "a.name = ?": name, "n.state = ?": state, "n.pk < ?": before})
        if kind and name:
            rest, more = listing.conditions({"n.state = ?": state, "n.pk < ?": before})
            where, values = f"where {listing.OF_ASSET}" + rest.replace("where", " and", 1), [kind, name, *more]
        with self._database.read() as session:
            return listing.nodes(session, f"{where} order by n.pk desc limit ?", *values, limit)

    def counts(self) -> dict[str, int]:
        """Return how many nodes there are of each kind."""
        with self._database.read() as session:
            return dict(sorted(session.all("select kind, count(*) from node group by kind")))

    def aliases(self, kind: str, name: str) -> dict[str, NodeId]:
        """Return where an asset's aliases point, by alias."""
        sql = "select l.name, n.id from alias l join node n on n.pk = l.node join asset a on a.pk = l.asset where a.kind = ? and a.name = ?"
        with self._database.read() as session:
            return dict(sorted(session.all(sql, kind, name)))

    def edges_to(self, dst: NodeId) -> list[Edge]:
        """Return what a node needed."""
        with self._database.read() as session:
            return listing.edges(session, "where d.id = ? order by e.src, e.role", dst)

    def edges_from(self, src: NodeId) -> list[Edge]:
        """Return what needed a node."""
        with self._database.read() as session:
            return listing.edges(session, "where s.id = ? order by e.dst, e.role", src)

    def lineage(self, node_id: NodeId, *, up: bool = True, depth: int = 50) -> Graph:
        """Return all a node came from (`up`), or all that came from it, at most `depth` edges away, itself included."""
        here, there = ("dst", "src") if up else ("src", "dst")
        # Rows of (node, distance) grow with the number of paths' lengths; beyond a few edges the distance is left at 0 and cut below.
        counted = depth <= _SHALLOW
        start = "with recursive reached(pk, away) as (select pk, 0 from node where id = ?"
        reached = f"{start} union select e.{there}, r.away + ? from reached r join edge e on e.{here} = r.pk where r.away < ?) "  # noqa: S608  # literals
        values = (node_id, int(counted), depth)
        with self._database.read() as session:
            nodes = listing.nodes(session, "where n.pk in (select pk from reached) order by n.pk", *values, first=reached)
            touched = f"select e.dst, e.src, e.role from edge e where e.{here} in (select pk from reached)"  # noqa: S608  # literals
            edges = session.all(reached + touched, *values)
        if not nodes:
            raise NotFound(f"no node {node_id}")
        ids = {n.seq: n.id for n in nodes}
        if not counted and depth < len(nodes):
            start_at = next(n.seq for n in nodes if n.id == node_id)
            ids = {pk: ids[pk] for pk in _within(edges, start_at, up=up, depth=depth)}
        kept = sorted(edge for edge in edges if edge[0] in ids and edge[1] in ids)
        return Graph(tuple(n for n in nodes if n.seq in ids), tuple(Edge(ids[dst], ids[src], role) for dst, src, role in kept))

    def nearest(self, starts: Sequence[Node], *, up: bool = True, depth: int = FAR, most: int = 300) -> Near:
        """Return what some nodes came from (`up`) or what came of them, the nearest first and at most so many, themselves included."""
        with self._database.read() as session:
            found = walk(session, [node.seq for node in starts], up=up, most=max(most, len(starts)), depth=depth)
            nodes = nodes_numbered(session, found.pks)
        return Near(nodes, named_edges(found, nodes), {node.id: found.distance[node.seq] for node in nodes}, found.whole)

    def after(self, starts: Sequence[Node], *, most: int, shown: int) -> After:
        """Count by kind what came of some nodes, at most so many, and read those that are nearest; the nodes themselves are left out."""
        with self._database.read() as session:
            found = walk(session, [node.seq for node in starts], up=False, most=most)
            below = found.pks[len(starts) :]
            return After(nodes_numbered(session, below[:shown]), count_kinds(session, below), frozenset(below), found.whole)

    def pointed_at(self, starts: Sequence[Node], below: After, kinds: Sequence[str], *, most: int) -> tuple[list[Pointed], bool]:
        """Return the aliases, of assets of some kinds, whose node came of any of `starts`, and whether all there are were looked at.

        Where not all that is `below` the starts is known, they are found from above: the ways up from what is pointed at are few and
        short, however much else came of the starts.
        """
        with self._database.read() as session:
            own = [node.seq for node in starts]
            if below.whole:
                hit, whole = aliases_of(session, [*own, *below.pks], kinds), True
            else:
                aliases = list_aliases(session, kinds, most)
                found = cone(session, list(dict.fromkeys(each.pk for each in aliases)), most_edges=_WIDE)
                reached, whole = leads_to(found, set(own)), found.whole and len(aliases) < most
                hit = [each for each in aliases if each.pk in reached]
            nodes = {node.seq: node for node in nodes_numbered(session, sorted({each.pk for each in hit}))}
        return [Pointed(each.alias, nodes[each.pk]) for each in hit], whole

    def made_by(self, actor: str, *, limit: int = 20) -> list[Node]:
        """Return what someone made, newest first."""
        with self._database.read() as session:
            return listing.nodes(session, "where n.actor = ? order by n.pk desc limit ?", actor, limit)

    def events(
        self,
        *,
        after: int = 0,
        subject: str = "",
        type: str = "",  # noqa: A002  # the field's word
        actor: str = "",
        limit: int = 1000,
        newest_first: bool = False,
    ) -> list[Recorded]:
        """Return rows of the ledger after number `after`, about one node, of one type or by one actor if given."""
        where, values = listing.conditions({"seq > ?": after, "subject = ?": subject, "type = ?": type, "actor = ?": actor})
        order = "desc" if newest_first else "asc"
        sql = f"select seq, at, actor, type, subject, body, prev, hash, reason from event {where} order by seq {order} limit ?"  # noqa: S608  # literals
        with self._database.read() as session:
            return [_recorded(row) for row in session.all(sql, *values, limit)]

    def artifacts(self, node_id: NodeId) -> list[Artifact]:
        """Return the files attached to a node, by path."""
        sql = "select f.path, f.digest, f.size from artifact f join node n on n.pk = f.node where n.id = ?"
        with self._database.read() as session:
            return sorted((Artifact(*row) for row in session.all(sql, node_id)), key=lambda a: a.path)

    def observations(self, node_id: NodeId, *, key: str = "") -> list[Observation]:
        """Return a node's observed series, or one of them, in time."""
        where, values = listing.conditions({"n.id = ?": node_id, "k.name = ?": key})
        sql = f"select o.at, k.name, o.value, o.n from observation o join node n on n.pk = o.node join key k on k.pk = o.key {where}"  # noqa: S608  # literals
        with self._database.read() as session:
            rows = session.all(f"{sql} order by o.at, o.key", *values)
        return [Observation(at, name, listing.number(value), n) for at, name, value, n in rows]

    def tags(self, node_id: NodeId) -> dict[str, str]:
        """Return a node's tags, by key."""
        sql = "select k.name, t.value from tag t join node n on n.pk = t.node join key k on k.pk = t.key where n.id = ?"
        with self._database.read() as session:
            return dict(sorted(session.all(sql, node_id)))

    def tags_of(self, ids: Sequence[NodeId]) -> dict[NodeId, dict[str, str]]:
        """Return the tags of many nodes, by node and key, in one statement."""
        found: dict[NodeId, dict[str, str]] = {id: {} for id in ids}  # noqa: A001  # the field's word
        tables = "tag t join node n on n.pk = t.node join key k on k.pk = t.key"
        with self._database.read() as session:
            those = session.among("n.id", ids)
            sql = f"select n.id, k.name, t.value from {tables} where {those.sql} order by k.name"  # noqa: S608  # literals
            for node, key, value in session.all(sql, those.value):
                found[node][key] = value
        return found

    def referenced_digests(self) -> Iterator[Digest]:
        """Iterate, each once, over every digest the graph names: contents, artifacts, step outcomes, and those inside facts.

        These are the roots of what must be kept.
        """
        seen: set[Digest] = set()
        for text in self._texts():
            for digest in _DIGEST.findall(text):
                if digest not in seen:
                    seen.add(digest)
                    yield digest

    def _texts(self) -> Iterator[str]:
        with self._database.read() as session:
            for sql in (
                "select pk, digest || ' ' || facts from node where pk > ? order by pk limit ?",
                "select pk, facts from asset where pk > ? order by pk limit ?",
            ):
                yield from _paged(session, sql)
            yield from (row[0] for row in session.all("select digest from artifact"))
            yield from (row[0] for row in session.all("select outcome from step"))


def _within(edges: Iterable[Row], start: int, *, up: bool, depth: int) -> set[int]:
    """Return the nodes at most `depth` edges away; edges are (dst, src, role)."""
    next_to: dict[int, list[int]] = {}
    for dst, src, _ in edges:
        here, there = (dst, src) if up else (src, dst)
        next_to.setdefault(here, []).append(there)
    found, border = {start}, {start}
    for _ in range(depth):
        border = {there for here in border for there in next_to.get(here, ())} - found
        if not border:
            break
        found |= border
    return found


def _paged(session: Session, sql: str) -> Iterator[str]:
    rows: list[Row] = [(0, "")]
    while rows:
        rows = session.all(sql, rows[-1][0], _BATCH)
        yield from (row[1] for row in rows)


def _recorded(row: Row) -> Recorded:
    seq, at, actor, kind, subject, body, prev, sealed, reason = row
    return Recorded(seq, at, actor, kind, subject, read_json(body, dict[str, Any]), prev, sealed, reason)
