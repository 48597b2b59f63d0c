"""Expressions over whole tables, in Polars: history as it was known at each row's own moment, for millions of rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.features.nodes import (
    Apply,
    AsOf,
    Column,
    Fetched,
    Kind,
    Literal,
    Lookup,
    Match,
    Node,
    Past,
    Planned,
    group_of,
    request_children,
    walk,
)
from sampan.features.operations import kind_of
from sampan.features.pasts import past_statistic, past_units
from sampan.features.polars_operations import to_polars
from sampan.features.tables import Tables, canonical

_ROW, _AT, _PLACE, _TIME = "__row", "__at", "__place", "__time"


@dataclass(frozen=True, slots=True)
class _Events:
    """What several windows of one past share: rows that have a key and a moment, by moment, and the running totals they meet."""

    asking: pl.DataFrame
    keys: list[str]
    steps: pl.DataFrame  # by key and known_at: sum and count of all events up to then
    up_to: NDArray[np.int64]  # totals at each asking row's moment, shape (2, n)


class Batch:
    """One table and what its rows fetch from others and from their own past."""

    def __init__(self, tables: Tables, on: str, columns: Mapping[str, Kind]) -> None:
        self.tables = tables
        self.frame = canonical(tables, on, columns)
        self._fetched: dict[Node, str] = {}
        self._places: dict[Fetched, pl.Series] = {}
        self._events: dict[Fetched, _Events] = {}

    def evaluate(self, nodes: Mapping[str, Node]) -> pl.DataFrame:
        """Compute expressions, one column each, in the rows' order."""
        for node in nodes.values():
            self._fetch(node)
        # The row numbers keep an answer that is the same for all rows as long as the table.
        answers = self.frame.lazy().select(pl.int_range(pl.len()).alias(_ROW), *(self.compile(v).alias(k) for k, v in nodes.items()))
        return answers.collect().drop(_ROW)

    def compile(self, node: Node) -> pl.Expr:
        """Compile to Polars; what the node fetches has to be there already."""
        found = self._compile(node)
        if isinstance(found, pl.Expr):
            return found
        return pl.lit(found, dtype=pl.String if isinstance(found, str) else pl.Float64)

    def _compile(self, node: Node) -> pl.Expr | float | str | None:
        if node in self._fetched:
            return pl.col(self._fetched[node])
        match node:
            case Column():
                return pl.col(node.name)
            case Literal():
                return node.value
            case Apply():
                args = [self._compile(a) for a in node.args]
                given = [pl.lit(None, dtype=pl.Float64) if a is None else a for a in args]
                return to_polars(node.op, given, node.values, text=kind_of(node) == "text")
        raise AssertionError(f"{type(node).__name__} was not fetched")

    def _fetch(self, root: Node) -> None:
        """Bring every fetched part of a tree into the frame, those it depends on first."""
        for node in walk(root, request_children):
            if isinstance(node, Fetched) and node not in self._fetched:
                column = f"__fetched{len(self._fetched)}"
                self.frame = self.frame.with_columns(self._column(node).alias(column))
                self._fetched[node] = column

    def _column(self, node: Fetched) -> pl.Series:
        match node:
            case Lookup() | AsOf():
                group = group_of(node)
                if group not in self._places:
                    self._places[group] = self._newest(node) if isinstance(node, AsOf) else self._referred(node)
                return canonical(self.tables, node.table, {node.column: node.kind}).to_series().gather(self._places[group])
            case Planned():
                return self._planned(node)
            case Past():
                return self._past(node)

    def _asking(self, keys: Iterable[Node], at: Node | None = None) -> tuple[pl.DataFrame, list[str]]:
        """Return the rows' keys (and moments) under fixed names, numbered."""
        parts = {f"__key{i}": key for i, key in enumerate(keys)}
        names = list(parts)
        if at is not None:
            parts[_AT] = at
        expressions = [self.compile(node).alias(name) for name, node in parts.items()]
        return self.frame.select(pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW), *expressions), names

    def _other(self, table: str, keys: Sequence[Match], columns: Mapping[str, Kind]) -> pl.DataFrame:
        """Return another table's keys and columns under fixed names, rows numbered, those without a whole key left out."""
        frame = canonical(self.tables, table, {m.column: kind_of(m.value) for m in keys} | dict(columns))
        named = frame.select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias(_PLACE),
            *(pl.col(m.column).alias(f"__key{i}") for i, m in enumerate(keys)),
            *(pl.col(c).alias(_TIME) for c in columns),
        )
        return named.drop_nulls()

    def _referred(self, node: Lookup) -> pl.Series:
        """Return for each row the number of the reference row it looks up, or null."""
        asking, keys = self._asking(m.value for m in node.keys)
        other = self._other(node.table, node.keys, {}).unique(keys, keep="last", maintain_order=True)
        return asking.join(other, on=keys, how="left", maintain_order="left")[_PLACE]

    def _newest(self, node: AsOf) -> pl.Series:
        """Return for each row the number of the newest row it may see, or null."""
        asking, keys = self._asking((m.value for m in node.keys), node.at)
        other = self._other(node.table, node.keys, {node.time: "moment"})
        other = other.unique([*keys, _TIME], keep="last", maintain_order=True).sort(_TIME)
        found = _join_as_of(asking.drop_nulls().sort(_AT), other, keys)
        fresh = found.filter(pl.col(_AT) - pl.col(_TIME) <= node.tolerance_ms)
        places = np.full(asking.height, -1)
        places[fresh[_ROW].to_numpy()] = fresh[_PLACE].to_numpy()
        return pl.DataFrame({_PLACE: places}).select(pl.when(pl.col(_PLACE) >= 0).then(_PLACE)).to_series()

    def _planned(self, node: Planned) -> pl.Series:
        asking, keys = self._asking(m.value for m in node.keys)
        counts = self._other(node.table, node.keys, {}).group_by(keys).len("__n")
        found = asking.join(counts, on=keys, how="left", maintain_order="left")
        whole = pl.all_horizontal(pl.col(k).is_not_null() for k in keys)
        return found.select(pl.when(whole).then(pl.col("__n").fill_null(0).cast(pl.Float64))).to_series()

    def _past(self, node: Past) -> pl.Series:
        group = group_of(node)
        if group not in self._events:
            self._events[group] = self._past_events(node)
        events = self._events[group]
        totals = events.up_to
        if node.window_ms is not None:
            totals = totals - _totals(events.asking.with_columns(pl.col(_AT) - node.window_ms), events.steps, events.keys)
        # Rows without a key or a moment are not among those asking: they stay missing.
        sums, counts = np.full((2, self.frame.height), np.nan)
        rows = events.asking[_ROW].to_numpy()
        sums[rows], counts[rows] = totals
        return pl.Series(past_statistic(node, sums, counts), nan_to_null=True)

    def _past_events(self, node: Past) -> _Events:
        for part in (node.value, node.known_at):
            self._fetch(part)
        asking, keys = self._asking(node.by, node.at)
        events = self.frame.select(
            *(self.compile(b).alias(k) for b, k in zip(node.by, keys, strict=True)),
            self.compile(node.value).alias("__sum"),
            self.compile(node.known_at).alias(_TIME),
        ).drop_nulls()
        events = events.with_columns(pl.Series("__sum", past_units(events["__sum"].to_numpy())))
        steps = events.group_by(*keys, _TIME).agg(pl.col("__sum").sum(), pl.len().cast(pl.Int64).alias("__n")).sort(_TIME)
        steps = steps.with_columns(pl.col("__sum", "__n").cum_sum().over(keys))
        whole = asking.drop_nulls().sort(_AT)
        return _Events(whole, keys, steps, _totals(whole, steps, keys))


def _totals(asking: pl.DataFrame, steps: pl.DataFrame, keys: list[str]) -> NDArray[np.int64]:
    """Return sums and counts up to each row's moment, shape (2, n)."""
    found = _join_as_of(asking, steps, keys).select(pl.col("__sum", "__n").fill_null(0))
    return np.stack([found["__sum"].to_numpy(), found["__n"].to_numpy()])


def _join_as_of(asking: pl.DataFrame, other: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Join the newest row at or before each asking row's moment; both are sorted by time and whole."""
    return asking.join_asof(other, left_on=_AT, right_on=_TIME, by=keys, strategy="backward", check_sortedness=False, coalesce=False)
