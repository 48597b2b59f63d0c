"""Expressions over whole tables, in Polars: history as it was known at each row's own moment, for millions of rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.features.nodes import Apply, AsOf, Column, Fetched, Kind, Literal, Lookup, Match, Node, Past, Planned, request_children, walk
from sampan.features.operations import kind_of, to_polars
from sampan.features.tables import Tables, canonical

UNIT = float(2**20)  # past values are whole multiples of 1 / UNIT
LARGEST = float(2**40)  # beyond this a window's sum could leave 64 bits
_ROW, _AT = "__row", "__at"


def past_units(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round values, none of them missing, to whole multiples of 2**-20.

    Raises
    ------
    ParameterError : a value beyond 2**40.
    """
    if len(values) and np.abs(values).max() > LARGEST:
        raise ParameterError(f"past cannot aggregate {np.abs(values).max():g}", hint="scale the value: at most 2**40 is summed exactly")
    return np.rint(values * UNIT).astype(np.int64)


def past_statistic(node: Past, sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a window's exact sums and counts (NaN: the row has no key or moment) into the statistic."""
    if node.stat == "count":
        return counts
    with np.errstate(all="ignore"):
        found = sums / UNIT / np.maximum(counts, 1.0) if node.stat in ("mean", "rate") else sums / UNIT + 0.0 * counts
    return np.where(counts >= node.at_least, found, np.nan)


class Batch:
    """One table and what its rows fetch from others and from their own past."""

    def __init__(self, tables: Tables, on: str, columns: Mapping[str, Kind]) -> None:
        self.tables = tables
        self.frame = canonical(tables, on, columns)
        self._fetched: dict[Node, str] = {}

    def evaluate(self, nodes: Mapping[str, Node]) -> pl.DataFrame:
        """Compute expressions, one column each, in the rows' order."""
        for node in nodes.values():
            self._fetch(node)
        n = self.frame.height
        answers = self.frame.lazy().select(pl.repeat(0, n).alias(_ROW), *(self.compile(v).alias(k) for k, v in nodes.items())).collect()
        return answers.drop(_ROW)

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
                if isinstance(node, Past):
                    for part in (node.value, node.known_at):
                        self._fetch(part)
                column = f"__fetched{len(self._fetched)}"
                self.frame = self.frame.with_columns(self._column(node).alias(column))
                self._fetched[node] = column

    def _column(self, node: Fetched) -> pl.Series:
        match node:
            case Lookup():
                return self._lookup(node)
            case Planned():
                return self._planned(node)
            case AsOf():
                return self._as_of(node)
            case Past():
                return self._past(node)

    def _asking(self, keys: Iterable[Node], at: Node | None = None) -> tuple[pl.DataFrame, list[str]]:
        """Return the rows' keys (and moments) under fixed names, numbered."""
        names: list[str] = []
        expressions = []
        for i, key in enumerate(keys):
            names.append(f"__key{i}")
            expressions.append(self.compile(key).alias(names[-1]))
        if at is not None:
            expressions.append(self.compile(at).alias(_AT))
        n = self.frame.height
        return self.frame.select(pl.int_range(n, dtype=pl.Int64).alias(_ROW), *expressions), names

    def _other(self, table: str, keys: Sequence[Match], columns: Mapping[str, Kind]) -> pl.DataFrame:
        """Return another table's keys under fixed names, rows without a whole key left out."""
        wanted = {m.column: kind_of(m.value) for m in keys} | dict(columns)
        frame = canonical(self.tables, table, wanted)
        named = frame.select(*(pl.col(m.column).alias(f"__key{i}") for i, m in enumerate(keys)), *(pl.col(c).alias(f"={c}") for c in columns))
        return named.drop_nulls([f"__key{i}" for i in range(len(keys))])

    def _lookup(self, node: Lookup) -> pl.Series:
        asking, keys = self._asking(m.value for m in node.keys)
        other = self._other(node.table, node.keys, {node.column: node.kind}).unique(keys, keep="last", maintain_order=True)
        return asking.join(other, on=keys, how="left", maintain_order="left")[f"={node.column}"]

    def _planned(self, node: Planned) -> pl.Series:
        asking, keys = self._asking(m.value for m in node.keys)
        counts = self._other(node.table, node.keys, {}).group_by(keys).len("__n")
        found = asking.join(counts, on=keys, how="left", maintain_order="left")
        whole = pl.all_horizontal(pl.col(k).is_not_null() for k in keys)
        return found.select(pl.when(whole).then(pl.col("__n").fill_null(0).cast(pl.Float64))).to_series()

    def _as_of(self, node: AsOf) -> pl.Series:
        asking, keys = self._asking((m.value for m in node.keys), node.at)
        column, time = f"={node.column}", f"={node.time}"
        wanted: dict[str, Kind] = {node.time: "moment"}
        if node.column != node.time:
            wanted[node.column] = node.kind
        other = self._other(node.table, node.keys, wanted).drop_nulls(time)
        other = other.unique([*keys, time], keep="last", maintain_order=True).with_columns(pl.col(time).alias("__time")).sort("__time")
        found = _join_as_of(asking, other, keys, "__time")
        fresh = pl.col(_AT) - pl.col(time) <= node.tolerance_ms
        return found.select(pl.when(fresh).then(column)).to_series()

    def _past(self, node: Past) -> pl.Series:
        asking, keys = self._asking(node.by, node.at)
        events = self.frame.select(
            *(self.compile(b).alias(k) for b, k in zip(node.by, keys, strict=True)),
            self.compile(node.value).alias("__value"),
            self.compile(node.known_at).alias("__time"),
        ).drop_nulls()
        events = events.with_columns(pl.Series("__sum", past_units(events["__value"].to_numpy())))
        steps = events.group_by(*keys, "__time").agg(pl.col("__sum").sum(), pl.len().cast(pl.Int64).alias("__n")).sort("__time")
        steps = steps.with_columns(pl.col("__sum", "__n").cum_sum().over(keys))
        totals = _totals(asking, steps, keys)
        if node.window_ms is not None:
            totals -= _totals(asking.with_columns(pl.col(_AT) - node.window_ms), steps, keys)
        lost = asking.select(pl.any_horizontal(pl.col(*keys, _AT).is_null())).to_series().to_numpy()
        sums, counts = (np.where(lost, np.nan, part.astype(np.float64)) for part in totals)
        return pl.Series(past_statistic(node, sums, counts), nan_to_null=True)


def _totals(asking: pl.DataFrame, steps: pl.DataFrame, keys: list[str]) -> NDArray[np.int64]:
    """Return sums and counts up to each row's moment, shape (2, n)."""
    found = _join_as_of(asking, steps, keys, "__time").select(pl.col("__sum", "__n").fill_null(0))
    return np.stack([found["__sum"].to_numpy(), found["__n"].to_numpy()])


def _join_as_of(asking: pl.DataFrame, other: pl.DataFrame, keys: list[str], time: str) -> pl.DataFrame:
    """Join the newest row of `other` at or before each asking row's moment, in the order of asking."""
    # An as-of join wants a whole key and moment; rows without one come back with nothing.
    whole = asking.drop_nulls([*keys, _AT]).sort(_AT)
    found = whole.join_asof(other, left_on=_AT, right_on=time, by=keys, strategy="backward", check_sortedness=False, coalesce=False)
    extra = [c for c in found.columns if c not in asking.columns]
    return asking.join(found.select(_ROW, *extra), on=_ROW, how="left", maintain_order="left")


def as_rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Return rows with NaN for missing numbers and None for missing text."""
    return frame.with_columns(pl.selectors.float().fill_null(float("nan"))).rows()
