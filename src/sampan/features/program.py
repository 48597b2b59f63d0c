"""Expressions over the few rows of a request, in numpy: each distinct part is computed once, fetched parts come in one go per source.

Kernels are those of `operations.py`, fetched statistics those of `batch.py`: the same bits as in batch, for one row or a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sampan.features.history import Key, Newest, References, Row, Running
from sampan.features.nodes import Apply, AsOf, Column, Fetched, Kind, Literal, Lookup, Moment, Node, Past, Planned, group_of
from sampan.features.operations import OPERATIONS, kind_of
from sampan.features.pasts import past_statistic

Values = Any  # float64 array of shape (n,), or a list of n texts


class Sources(Protocol):
    """Where fetched parts come from; see `sources.py`."""

    def references(self, group: Lookup) -> References:
        """Return rows by key, in the columns of `columns(group)`."""
        ...

    def newest(self, group: AsOf) -> Newest:
        """Return rows by key and time, in the columns of `columns(group)`."""
        ...

    def running(self, group: Past) -> Running:
        """Return running sums, in the windows of `windows(group)`."""
        ...

    def plan(self, group: Planned) -> References:
        """Return counts by key."""
        ...

    def columns(self, group: Fetched) -> Sequence[tuple[str, Kind]]:
        """Return the columns a group's rows hold."""
        ...


class Program:
    """Compiled expressions. `run` is pure but for what the sources learn by `feed`."""

    def __init__(self, outputs: Sequence[Node], sources: Sources | None = None) -> None:
        self._sources = sources
        self._slots: dict[Any, int] = {"n": 0}
        self._start: list[Any] = [0]
        self._columns: list[tuple[str, int]] = []
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._outputs = tuple(self._slot(node) for node in outputs)
        self._kinds = tuple(kind_of(node) for node in outputs)

    def run(self, columns: Mapping[str, Values], n: int) -> list[Values]:
        """Compute the outputs for n rows; a number may come as a scalar where it is the same for all."""
        with np.errstate(all="ignore"):
            return self.run_quietly(columns, n)

    def run_quietly(self, columns: Mapping[str, Values], n: int) -> list[Values]:
        """Compute as `run` does, for a caller that has silenced numpy already: doing it again takes as long as ten steps."""
        if n == 0:
            return [[] if kind == "text" else np.empty(0) for kind in self._kinds]
        values = self._start.copy()
        values[0] = n
        for name, slot in self._columns:
            values[slot] = columns[name]
        for call, args, out in self._steps:
            values[out] = call(*[values[a] for a in args])
        return [values[s] for s in self._outputs]

    def _new(self, key: Any) -> int:
        self._slots[key] = len(self._start)
        self._start.append(None)
        return len(self._start) - 1

    def _step(self, key: Any, call: Callable[..., Any], args: Sequence[int]) -> int:
        if key not in self._slots:
            slot = self._new(key)
            self._steps.append((call, tuple(args), slot))
        return self._slots[key]

    def _slot(self, node: Node) -> int:
        if node in self._slots:
            return self._slots[node]
        match node:
            case Column():
                slot = self._new(node)
                self._columns.append((node.name, slot))
                return slot
            case Literal():
                return self._literal(node)
            case Apply():
                args = [self._slot(a) for a in node.args]
                return self._step(node, _applied(node), args)
            case Moment():
                raise AssertionError("the view puts its moment in before compiling")
            case _:
                return self._fetched(node)

    def _literal(self, node: Literal) -> int:
        if isinstance(node.value, str):
            text = node.value
            return self._step(node, lambda n: [text] * n, [0])
        slot = self._new(node)
        self._start[slot] = np.float64(node.value)
        return slot

    def _fetched(self, node: Fetched) -> int:
        assert self._sources is not None
        group = group_of(node)
        match node, group:
            case Lookup(), Lookup():
                block = self._step(group, self._sources.references(group).fetch, [self._keys([m.value for m in node.keys])])
                return self._picked(node, group, block, node.column)
            case AsOf(), AsOf():
                args = [self._keys([m.value for m in node.keys]), self._moments(node.at)]
                block = self._step(group, self._sources.newest(group).fetch, args)
                return self._picked(node, group, block, node.column)
            case Past(), Past():
                running = self._sources.running(group)
                block = self._step(group, running.fetch, [self._keys(node.by), self._moments(node.at)])
                place = 2 * running.windows.index(node.window_ms)
                return self._step(node, _statistic(node, place), [self._step((group, "array"), _block, [block])])
            case Planned(), Planned():
                block = self._step((group, "rows"), self._sources.plan(group).fetch, [self._keys([m.value for m in node.keys])])
                keys = self._keys([m.value for m in node.keys])
                return self._step(node, _counted, [block, keys])
        raise AssertionError("unreachable")

    def _picked(self, node: Fetched, group: Fetched, block: int, column: str) -> int:
        assert self._sources is not None
        held = self._sources.columns(group)
        place = [name for name, _ in held].index(column)
        if any(kind == "text" for _, kind in held):
            number = held[place][1] != "text"
            return self._step(node, _from_rows(place, number), [block])
        array = self._step((group, "array"), _block, [block])
        return self._step(node, lambda rows: rows[:, place], [array])

    def _keys(self, parts: Sequence[Node]) -> int:
        slots = [self._slot(p) for p in parts]
        if len(parts) == 1 and kind_of(parts[0]) == "text":
            return slots[0]
        return self._step(("keys", *parts), key_list, [0, *slots])

    def _moments(self, at: Node) -> int:
        return self._step(("moments", at), _listed, [0, self._slot(at)])


def _applied(node: Apply) -> Callable[..., Any]:
    kernel, constants = OPERATIONS[node.op].kernel, node.values
    return (lambda *args: kernel(*args, *constants)) if constants else kernel


def _listed(n: int, numbers: Values) -> list[float]:
    found: list[float] = numbers.tolist() if numbers.ndim else [float(numbers)] * n
    return found


def key_list(n: int, *parts: Values) -> list[Key]:
    """Make one key a row; a row that lacks a part has none."""
    columns = [p if isinstance(p, list) else [x if x == x else None for x in _listed(n, p)] for p in parts]
    if len(columns) == 1:
        return columns[0]
    return [None if None in key else key for key in zip(*columns, strict=True)]


def _block(rows: list[Row]) -> Values:
    return np.array(rows, np.float64)


def _from_rows(place: int, number: bool) -> Callable[[list[Row]], Values]:
    if number:
        return lambda rows: np.array([r[place] for r in rows], np.float64)
    return lambda rows: [r[place] for r in rows]


def _counted(rows: list[Row], keys: list[Key]) -> Values:
    return np.array([np.nan if k is None else r[0] for r, k in zip(rows, keys, strict=True)], np.float64)


def _statistic(node: Past, place: int) -> Callable[[Values], Values]:
    return lambda rows: past_statistic(node, rows[:, place], rows[:, place + 1])
