"""How rows become nouns: the joins that assets, nodes and edges are always read by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.core.decoding import decoder_of
from sampan.core.graph import Asset, Edge, Node
from sampan.store.database import Row, Session

ASSET = "select kind, name, state, created, n_versions, facts from asset"
NODE_COLUMNS = "n.pk, n.id, n.kind, coalesce(a.name, ''), n.version, n.digest, n.state, n.created, n.actor, n.size, n.facts"
NODE_TABLES = "node n left join asset a on a.pk = n.asset"
# By the asset's number, so that the newest of an asset is found by the index however many nodes came after it.
OF_ASSET = "n.asset = (select o.pk from asset o where o.kind = ? and o.name = ?)"
_EDGE = "select d.id, s.id, e.role from edge e join node d on d.pk = e.dst join node s on s.pk = e.src"
_FEW = 500  # above this many nodes, reading all aliases beats naming the nodes in a statement

_decode_facts = decoder_of(dict[str, Any]).decode


def asset(row: Row) -> Asset:
    """Turn a row of `ASSET` into an asset."""
    kind, name, state, created, n_versions, facts = row
    return Asset(kind, name, state, created, n_versions, _decode_facts(facts))


def nodes(session: Session, tail: str, *values: Any, first: str = "") -> list[Node]:
    """Read nodes by the rest of a statement: conditions on n and a, order, limit; `first` may hold a `with` clause."""
    rows = session.all(f"{first}select {NODE_COLUMNS} from {NODE_TABLES} {tail}", *values)  # noqa: S608  # callers pass literals
    return as_nodes(session, rows)


def as_nodes(session: Session, rows: list[Row]) -> list[Node]:
    """Turn rows of `NODE_COLUMNS` into nodes, with their aliases."""
    aliases = _aliases(session, [row[0] for row in rows])
    return [
        Node(
            id=row[1],
            kind=row[2],
            name=row[3],
            version=row[4],
            digest=row[5],
            state=row[6],
            created=row[7],
            actor=row[8],
            size=row[9],
            facts=_decode_facts(row[10]),
            aliases=tuple(aliases.get(row[0], ())),
            seq=row[0],
        )
        for row in rows
    ]


def edges(session: Session, tail: str, *values: Any, first: str = "") -> list[Edge]:
    """Read edges by the rest of a statement: conditions on e, d (its dst) and s (its src)."""
    return [Edge(*row) for row in session.all(f"{first}{_EDGE} {tail}", *values)]


def conditions(wanted: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Join the conditions whose value is given into a where clause; return it with its values."""
    given = {sql: value for sql, value in wanted.items() if value not in ("", None)}
    return ("where " + " and ".join(given) if given else ""), list(given.values())


def number(value: float | None) -> float:
    """Read a number column in which null stands for NaN."""
    return float("nan") if value is None else value


def _aliases(session: Session, pks: list[int]) -> dict[int, list[str]]:
    if not pks:
        return {}
    sql = "select node, name from alias"
    rows = session.all(sql) if len(pks) > _FEW else session.all(f"{sql} where node in ({', '.join('?' * len(pks))})", *pks)
    found: dict[int, list[str]] = {}
    for node, name in sorted(rows):
        found.setdefault(node, []).append(name)
    return found
