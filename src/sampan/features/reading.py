"""Which columns of which table a view reads, and which of them a learner is shown: what the terms of data are held against."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.features.nodes import AsOf, Column, Lookup, Node, Planned, walk
from sampan.features.view import View


def columns_learned(view: View) -> dict[str, tuple[str, ...]]:
    """Return, by table, the columns that features are made of."""
    return _columns(view.on, (feature.value for feature in view.features))


def columns_read(view: View) -> dict[str, tuple[str, ...]]:
    """Return, by table, every column that is read: for features, label, moment, key and slices."""
    roots = [view.moment, *(feature.value for feature in view.features)]
    if view.label is not None:
        roots += [view.label.value, view.label.known_at]
    found = _columns(view.on, roots)
    found[view.on] = tuple(sorted({*found.get(view.on, ()), *view.key, *view.slices}))
    return found


def _columns(own: str, roots: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for root in roots:
        for node in walk(root):
            match node:
                case Column(name=name):
                    found.setdefault(own, set()).add(name)
                case Lookup(table=table, column=column):
                    found.setdefault(table, set()).update((column, *(m.column for m in node.keys)))
                case AsOf(table=table, column=column, time=time):
                    found.setdefault(table, set()).update((column, time, *(m.column for m in node.keys)))
                case Planned(table=table):
                    found.setdefault(table, set()).update(m.column for m in node.keys)
                case _:
                    pass
    return {table: tuple(sorted(columns)) for table, columns in found.items()}
