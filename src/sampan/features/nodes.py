"""What an expression is made of: frozen structs. `operations.py` says what they mean, with `expressions.py` people write them.

Loading a tree from JSON builds structs and nothing else: no code in it can run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal as OneOf

import msgspec

Kind = OneOf["number", "text", "moment", "flag"]
Stat = OneOf["mean", "rate", "sum", "count"]


class Column(msgspec.Struct, frozen=True, tag="column"):
    """A column of the row the feature is about."""

    name: str
    kind: Kind


class Literal(msgspec.Struct, frozen=True, tag="literal"):
    """A constant; a moment is its milliseconds, a flag 1 or 0."""

    value: float | str
    kind: Kind


class Moment(msgspec.Struct, frozen=True, tag="moment"):
    """The view's moment of prediction; the view puts its own expression here."""


class Apply(msgspec.Struct, frozen=True, tag="apply"):
    """An operation of `operations.OPERATIONS`; `values` are its constants (bin edges, a time zone, a separator)."""

    op: str
    args: tuple[Node, ...]
    values: tuple[float | str, ...] = ()


class Match(msgspec.Struct, frozen=True):
    """A column of another table that has to equal an expression over the row."""

    column: str
    value: Node


class Lookup(msgspec.Struct, frozen=True, tag="lookup"):
    """A column of the reference table's row with these keys; the last such row counts."""

    table: str
    keys: tuple[Match, ...]
    column: str
    kind: Kind


class AsOf(msgspec.Struct, frozen=True, tag="as_of"):
    """A column of the newest row with these keys whose `time` is at most `at` and at most `tolerance_ms` older."""

    table: str
    keys: tuple[Match, ...]
    time: str
    at: Node
    tolerance_ms: float
    column: str
    kind: Kind


class Past(msgspec.Struct, frozen=True, tag="past"):
    """A statistic of `value` over earlier rows with the same `by`, those with at - window < known_at <= at."""

    by: tuple[Node, ...]
    value: Node
    known_at: Node
    at: Node
    window_ms: float | None
    stat: Stat
    at_least: int


class Planned(msgspec.Struct, frozen=True, tag="planned"):
    """How many rows of a table that is known in advance (a schedule) have these keys."""

    table: str
    keys: tuple[Match, ...]


Node = Column | Literal | Moment | Apply | Lookup | AsOf | Past | Planned
Fetched = Lookup | AsOf | Past | Planned


def children(node: Node) -> tuple[Node, ...]:
    """Return the expressions a node is made from."""
    match node:
        case Apply():
            return node.args
        case Lookup() | Planned():
            return tuple(m.value for m in node.keys)
        case AsOf():
            return (*(m.value for m in node.keys), node.at)
        case Past():
            return (*node.by, node.value, node.known_at, node.at)
    return ()


def request_children(node: Node) -> tuple[Node, ...]:
    """Return the expressions that are evaluated on the asking row itself, not on earlier rows."""
    if isinstance(node, Past):
        return (*node.by, node.at)
    return children(node)


def walk(node: Node, below: Callable[[Node], tuple[Node, ...]] = children) -> Iterator[Node]:
    """Iterate over a tree, parts before wholes."""
    for child in below(node):
        yield from walk(child, below)
    yield node


def rebuild(node: Node, replace: Callable[[Node], Node | None]) -> Node:
    """Return the tree with every node for which `replace` gives another one exchanged."""
    found = replace(node)
    if found is not None:
        return found

    def again(part: Node) -> Node:
        return rebuild(part, replace)

    def keys(of: tuple[Match, ...]) -> tuple[Match, ...]:
        return tuple(Match(m.column, again(m.value)) for m in of)

    match node:
        case Apply():
            return msgspec.structs.replace(node, args=tuple(again(a) for a in node.args))
        case Lookup() | Planned():
            return msgspec.structs.replace(node, keys=keys(node.keys))
        case AsOf():
            return msgspec.structs.replace(node, keys=keys(node.keys), at=again(node.at))
        case Past():
            return msgspec.structs.replace(
                node, by=tuple(again(b) for b in node.by), value=again(node.value), known_at=again(node.known_at), at=again(node.at)
            )
    return node


def with_moment(node: Node, moment: Node) -> Node:
    """Put the view's moment of prediction in the place kept for it."""
    return rebuild(node, lambda part: moment if isinstance(part, Moment) else None)


def group_of(node: Fetched) -> Fetched:
    """Return what is shared by the parts that come from one source in one go: a lookup of several columns, several windows of one past."""
    match node:
        case Lookup() | AsOf():
            return msgspec.structs.replace(node, column="", kind="number")
        case Past():
            return msgspec.structs.replace(node, window_ms=None, stat="count", at_least=0)
        case Planned():
            return node
