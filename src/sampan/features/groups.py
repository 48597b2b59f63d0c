"""What a view fetches, in groups that come from one source in one go; and the look of their keys and rows. Knows no tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sampan.features.history import Key, Row
from sampan.features.nodes import AsOf, Column, Fetched, Kind, Lookup, Match, Node, Past, Planned, children, group_of, walk
from sampan.features.operations import kind_of
from sampan.features.view import View

Columns = Sequence[tuple[str, Kind]]


class Groups:
    """The groups of a view, those that others ask by first."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._nodes = list(dict.fromkeys(n for f in view.features for n in walk(f.value) if isinstance(n, Fetched)))
        self.all = list(dict.fromkeys(group_of(node) for node in self._nodes))

    def columns(self, group: Fetched) -> Columns:
        """Return the columns a group's rows hold."""
        return list(dict.fromkeys((n.column, n.kind) for n in self._nodes if isinstance(n, Lookup | AsOf) and group_of(n) == group))

    def windows(self, group: Past) -> list[float | None]:
        """Return the windows that a past is asked for."""
        return list(dict.fromkeys(n.window_ms for n in self._nodes if isinstance(n, Past) and group_of(n) == group))

    def columns_used(self, group: Past) -> list[str]:
        """Return the columns of the view's own table that its events are made of."""
        used = {n.name for part in event_parts(group).values() for n in walk(part) if isinstance(n, Column)}
        return [name for name in self.view.columns if name in used]

    def is_cut(self, group: AsOf) -> bool:
        """Say whether a package carries its rows up to a moment only: where the table is looked up by key, too, it is whole."""
        return not any(isinstance(n, Lookup) and n.table == group.table for n in self._nodes)

    @cached_property
    def table_columns(self) -> dict[str, list[str]]:
        """Return which columns of which table are read."""
        found: dict[str, set[str]] = {}
        for node in self._nodes:
            if isinstance(node, Lookup | AsOf | Planned):
                found.setdefault(node.table, set()).update(match.column for match in node.keys)
            if isinstance(node, Lookup | AsOf):
                found[node.table].add(node.column)
            if isinstance(node, AsOf):
                found[node.table].add(node.time)
        if events := self.view.feed_columns():
            found.setdefault(self.view.on, set()).update(events)
        return {table: sorted(columns) for table, columns in found.items()}


def event_parts(group: Past) -> dict[str, Node]:
    """Return what an event is made of: what it is grouped by, its value and when it became known."""
    return {f"by{place}": part for place, part in enumerate(group.by)} | {"value": group.value, "time": group.known_at}


def tables_behind(group: Past) -> set[str]:
    """Return the tables that an event looks something up in."""
    parts = [part for node in event_parts(group).values() for part in walk(node, children)]
    return {part.table for part in parts if isinstance(part, Lookup | AsOf | Planned)}


def kinds(keys: tuple[Match, ...], held: Columns) -> dict[str, Kind]:
    """Return the kinds of key columns and of those held."""
    return {m.column: kind_of(m.value) for m in keys} | dict(held)


def missing_row(held: Columns) -> Row:
    """Return what is fetched where there is nothing."""
    return tuple(None if kind == "text" else float("nan") for _, kind in held)


def zip_keys(columns: list[list[Any]]) -> list[Key]:
    """Make one key a row, None where a part is missing."""
    if len(columns) == 1:
        return [k if k == k else None for k in columns[0]]
    return [None if any(p is None or p != p for p in key) else key for key in zip(*columns, strict=True)]
