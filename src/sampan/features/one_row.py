"""A single request row to the model's matrix, by plain Python values: for one row, numpy's arrays cost ten times what they hold.

The same values as `Program` gives. What a stage of look-ups asks for is fetched in one go: a store behind a network answers once a stage.
Features that compute something of the row and of what was fetched still go through a `Program`, on arrays of one value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sampan.features.encoding import Encoder
from sampan.features.fitted import FittedView
from sampan.features.history import Key, Row
from sampan.features.moments import parse_moment
from sampan.features.nodes import Apply, AsOf, Column, Fetched, Kind, Literal, Lookup, Node, Past, children, group_of, rebuild, walk
from sampan.features.operations import finite, kind_of
from sampan.features.pasts import UNIT
from sampan.features.program import Program
from sampan.table.rows import Row as TypedRow

_MISSING = float("nan")
_INFINITE = float("inf")
Values = list[Any]
Step = Callable[[Values], None]  # reads values, and adds what it found at their end


class Sources(Protocol):
    """Where fetched parts come from; see `sources.py`."""

    def store(self, group: Fetched) -> Any:
        """Return what holds a group's rows."""
        ...

    def columns(self, group: Fetched) -> Sequence[tuple[str, Kind]]:
        """Return the columns a group's rows hold."""
        ...

    def gather(self, asked: Sequence[tuple[Any, Key, float]]) -> list[Row]:
        """Fetch a row of each of several stores by key and moment, in one go."""
        ...


class OneRow:
    """Lays a typed row out as the matrix of a fitted view, shape (1, k)."""

    def __init__(self, fitted: FittedView, kind_of_row: type[TypedRow], sources: Sources) -> None:
        self._sources = sources
        self._steps: list[Step] = []
        features = fitted.view.features
        fields = sorted(_columns_of(features))
        # One field is read twice: of a single one attrgetter gives no tuple.
        self._read = attrgetter(*(kind_of_row.attributes[name] for name in (*fields, fields[0])))
        self._slots: dict[Any, int] = {name: place for place, name in enumerate(fields)}
        self._n = len(fields) + 1
        self._fetch([part for item in features for part in _leaves(item.value) if isinstance(part, Fetched)])
        encoders = [fitted.encoders.get(item.name) for item in features]
        self._compute([(item.value, encoder) for item, encoder in zip(features, encoders, strict=True) if isinstance(item.value, Apply)])
        places = [self._feature(item.value, encoder) for item, encoder in zip(features, encoders, strict=True)]
        self._in_order = itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)
        self._pack = struct.Struct(f"={len(places)}f").pack
        self._shape = (1, len(places))

    def matrix(self, row: TypedRow) -> NDArray[np.float32] | None:
        """Return the row's features; None where a value has to be looked at in the long way, or refused by it."""
        values = list(self._read(row))
        try:
            for step in self._steps:
                step(values)
            found = self._in_order(values)
            if None in found:
                found = [_MISSING if value is None else value for value in found]
            if _INFINITE in found or -_INFINITE in found:
                return None
            return np.ndarray(self._shape, np.float32, self._pack(*found))
        except (struct.error, OverflowError, ValueError):
            return None

    def _add(self, step: Step, key: Any, n: int = 1) -> int:
        self._slots[key] = self._n
        self._steps.append(step)
        self._n += n
        return self._slots[key]

    # -- what is fetched

    def _fetch(self, nodes: Sequence[Fetched]) -> None:
        """Add a step for each stage: what is looked up by fields of the request, then what is looked up by what that found."""
        stages: dict[int, dict[Fetched, Fetched]] = {}
        for node in dict.fromkeys(part for root in nodes for part in walk(root, _asking) if isinstance(part, Fetched)):
            stages.setdefault(_depth(node), {}).setdefault(group_of(node), node)
        for _, groups in sorted(stages.items()):
            asked = [(self._sources.store(group), self._key(node), self._moment(node)) for group, node in groups.items()]
            place = self._n
            for group in groups:
                self._slots[group] = place
                place += _width(self._sources, group)
            self._steps.append(_fetching(self._sources.gather, asked))
            self._n = place

    def _key(self, node: Fetched) -> Callable[[Values], Key]:
        parts = list(node.by) if isinstance(node, Past) else [match.value for match in node.keys]
        places = [self._place(part) for part in parts]
        if len(places) == 1 and kind_of(parts[0]) == "text":
            return itemgetter(places[0])
        if len(places) == 1:
            place = places[0]
            return lambda values: _key_part(values[place])

        def key(values: Values) -> Key:
            found = tuple(_key_part(values[place]) for place in places)
            return None if None in found else found

        return key

    def _moment(self, node: Fetched) -> Callable[[Values], float]:
        if not isinstance(node, AsOf | Past):
            return _no_moment
        return itemgetter(self._place(node.at))

    def _place(self, node: Node) -> int:
        """Return where a part that keys or moments are made of will stand."""
        if kind_of(node) == "moment":
            return self._time(node)
        if isinstance(node, Column):
            return self._slots[node.name]
        assert isinstance(node, Lookup | AsOf)
        return self._picked(node)

    def _time(self, node: Node) -> int:
        known = self._slots.get(("time", node))
        if known is not None:
            return known
        if isinstance(node, Column):
            place = self._slots[node.name]
            return self._add(lambda values: values.append(_millis(values[place])), ("time", node))
        assert isinstance(node, Apply)
        first, second = node.args
        assert isinstance(second, Literal)
        place, shift = self._time(first), float(second.value) * (-1 if node.op == "sub" else 1)
        return self._add(lambda values: values.append(_finite(values[place] + shift)), ("time", node))

    def _picked(self, node: Lookup | AsOf) -> int:
        group = group_of(node)
        return self._slots[group] + [name for name, _ in self._sources.columns(group)].index(node.column)

    # -- what is made of it

    def _feature(self, node: Node, encoder: Encoder | None) -> int:
        """Return where a feature's number stands."""
        if isinstance(node, Apply):
            return self._slots[node, encoder is not None]
        place = self._leaf(node)
        if encoder is None:
            return place
        codes: dict[str | None, float] = dict([*encoder.values.items(), (None, _MISSING)])
        unseen = encoder.unseen
        return self._add(lambda values: values.append(codes.get(values[place], unseen)), object())

    def _leaf(self, node: Node) -> int:
        match node:
            case Column():
                return self._slots[node.name]
            case Lookup() | AsOf():
                return self._picked(node)
            case Past():
                group = group_of(node)
                place = self._slots[group] + 2 * self._sources.store(group).windows.index(node.window_ms)
                return self._slots.get(node) or self._add(_statistic(node, place), node)
        assert isinstance(node, Fetched)
        place, key = self._slots[group_of(node)], self._key(node)
        return self._slots.get(("planned", node)) or self._add(
            lambda values: values.append(_MISSING if key(values) is None else values[place]), ("planned", node)
        )

    def _operand(self, leaf: Node) -> int:
        return self._time(leaf) if isinstance(leaf, Column) and leaf.kind == "moment" else self._leaf(leaf)

    def _compute(self, features: Sequence[tuple[Node, Encoder | None]]) -> None:
        """Add a step for the features that are more than a field or a fetched value."""
        if not features:
            return
        leaves = list(dict.fromkeys(part for node, _ in features for part in _leaves(node)))
        given = {leaf: Column(str(number), kind_of(leaf)) for number, leaf in enumerate(leaves)}
        program = Program([rebuild(node, given.get) for node, _ in features])
        places = [(column.name, self._operand(leaf), column.kind == "text") for leaf, column in given.items()]
        encoders = [encoder for _, encoder in features]

        def step(values: Values) -> None:
            with np.errstate(all="ignore"):
                columns = {name: [values[place]] if text else finite(np.array([values[place]], np.float64)) for name, place, text in places}
                for found, encoder in zip(program.run_quietly(columns, 1), encoders, strict=True):
                    values.append(float((encoder.apply(found) if encoder is not None else np.ravel(found))[0]))

        self._steps.append(step)
        for node, encoder in features:
            self._slots[node, encoder is not None] = self._n
            self._n += 1


def one_row(fitted: FittedView, kind_of_row: type[TypedRow], sources: Sources) -> OneRow | None:
    """Return the way of a view's single rows; None where it asks for something by what has to be computed first."""
    features = fitted.view.features
    if not _columns_of(features) or not all(_is_number(item.value, fitted.encoders.get(item.name)) for item in features):
        return None
    fetched = {part for item in features for part in walk(item.value, _asking) if isinstance(part, Fetched)}
    return OneRow(fitted, kind_of_row, sources) if all(map(_is_asked_plainly, fetched)) else None


def _is_number(value: Node, encoder: Encoder | None) -> bool:
    return isinstance(value, Apply | Column | Fetched) and (encoder is not None or kind_of(value) != "text")


def _is_asked_plainly(node: Fetched) -> bool:
    return all(_is_time(part) if kind_of(part) == "moment" else isinstance(part, Column | Lookup | AsOf) for part in _asking(node))


def _is_time(node: Node) -> bool:
    """Tell a moment of the request, maybe shifted by a constant."""
    if isinstance(node, Apply):
        return (
            node.op in ("add", "sub") and isinstance(node.args[1], Literal) and kind_of(node.args[0]) == "moment" and _is_time(node.args[0])
        )
    return isinstance(node, Column)


def _asking(node: Node) -> tuple[Node, ...]:
    """Return what a node is made of on the asking row itself."""
    return (*node.by, node.at) if isinstance(node, Past) else children(node)


def _leaves(node: Node) -> list[Node]:
    """Return the fields and fetched values that an expression computes with."""
    parts = walk(node, lambda part: part.args if isinstance(part, Apply) else ())
    return [part for part in parts if isinstance(part, Column | Fetched)]


def _columns_of(features: Sequence[Any]) -> set[str]:
    return {part.name for item in features for part in walk(item.value, _asking) if isinstance(part, Column)}


def _depth(node: Fetched) -> int:
    below = [_depth(part) for child in _asking(node) for part in walk(child, _asking) if isinstance(part, Fetched)]
    return 1 + max(below, default=0)


def _width(sources: Sources, group: Fetched) -> int:
    if isinstance(group, Past):
        return 2 * len(sources.store(group).windows)
    return len(sources.columns(group)) if isinstance(group, Lookup | AsOf) else 1


def _fetching(
    gather: Callable[[Sequence[tuple[Any, Key, float]]], list[Row]],
    asked: Sequence[tuple[Any, Callable[[Values], Key], Callable[[Values], float]]],
) -> Step:
    def step(values: Values) -> None:
        for row in gather([(store, key(values), at(values)) for store, key, at in asked]):
            values.extend(row)

    return step


def _statistic(node: Past, place: int) -> Step:
    """Turn a window's exact sum and count into the statistic, as `past_statistic` does."""
    counts, mean, at_least = node.stat == "count", node.stat != "sum", node.at_least

    def step(values: Values) -> None:
        total, count = values[place], values[place + 1]
        if counts:
            values.append(count)
            return
        found = total / UNIT
        if mean:
            found /= max(count, 1.0)
        values.append(found if count >= at_least else _MISSING)

    return step


def _key_part(value: Any) -> Key:
    """Return a part of a key; None where it is missing."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return number if number - number == 0.0 else None


def _millis(value: Any) -> float:
    if value is None:
        return _MISSING
    return parse_moment(value) if type(value) is str else _finite(float(value))


def _finite(value: float) -> float:
    return value + value * 0.0


def _no_moment(values: Values) -> float:  # noqa: ARG001  # what has no moment is asked the same way
    return _MISSING
