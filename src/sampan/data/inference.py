"""Draft a contract from data: what held in every part of it, with a margin, and why.

A rule must survive the question "would the next delivery break it for no fault?". So the table is cut into parts, by time if it has one,
and a statistical rule is drafted only if it holds across them. Structure blocks (columns, types, key); statistics warn.

Two expectations are not weakened to fit the data, so that checking the very table a contract was drafted from shows what is odd about it: a
column is not mostly empty, and where nearly every row has a value, every row has.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Contract,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    RowCount,
    Unique,
    logical_type,
)
from sampan.data.keys import find_keys, is_unique
from sampan.data.null_groups import null_groups
from sampan.data.references import find_references
from sampan.stats.intervals import wilson

N_PARTS = 6
MOSTLY_EMPTY = 0.5
RARELY_EMPTY = 0.005
_CONFIDENCE = 0.999
_MAX_VALUES = 100
_MIN_ROWS_PER_VALUE = 10
_MIN_ROWS = 30  # fewer say nothing about the next delivery
_MARGIN = 0.25  # of the observed range
_UNSTABLE = 0.5  # of the observed range

# Parts of a calendar have bounds of their own, whatever months the data happens to hold.
_CALENDAR = {
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 24),
    "minute": (0, 59),
    "second": (0, 60),
    "quarter": (1, 4),
    "week": (1, 53),
    "weekday": (0, 7),
    "lat": (-90, 90),
    "latitude": (-90, 90),
    "lon": (-180, 180),
    "lng": (-180, 180),
    "longitude": (-180, 180),
}
_SHAPES = (("A-Z", r"[A-Z]"), ("a-z", r"[a-z]"), ("0-9", r"[0-9]"))
_MAX_LENGTH_SPREAD = 3


@dataclass(frozen=True, slots=True)
class _Part:
    n_rows: int
    n_null: int
    minimum: float | None
    maximum: float | None


def infer_contract(
    name: str,
    frame: pl.DataFrame,
    *,
    key: Sequence[str] = (),
    time: str = "",
    tables: Mapping[str, pl.DataFrame] | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
) -> Contract:
    """Draft a contract for `frame`.

    `tables` are the other tables it may refer to, `keys` their keys where known. Without a `key`, the most natural minimal one is taken;
    without a `time`, the only timestamp column, if there is just one.
    """
    time = time or find_time(frame)
    found_keys = [tuple(key)] if key else find_keys(frame)
    parts, order = _parts(frame, time)
    rules: list[AnyRule] = [RowCount(minimum=1, level="block", evidence=f"{frame.height:,} rows", why="an empty delivery is a broken one")]
    if found_keys and frame.height:
        rules.append(_key_rule(found_keys, frame, declared=bool(key)))
    groups = null_groups(frame)
    rules.extend(_together_rule(frame, group) for group in groups)
    own_key = found_keys[0] if found_keys else ()
    for column in frame.columns:
        rules.extend(_column_rules(frame[column], parts[column], order, in_key=column in own_key, is_time=column == time))
    if tables:
        others = {other: [tuple(keys[other])] if keys and keys.get(other) else find_keys(table) for other, table in tables.items()}
        rules.extend(find_references(frame, tables, others))
    columns = tuple(
        Column(
            name=column,
            type=logical_type(dtype),
            physical_type=str(dtype),
            required=column in own_key,
            role="time" if column == time else "",
        )
        for column, dtype in frame.schema.items()
    )
    return Contract(name=name, columns=columns, key=own_key, rules=tuple(rules))


def find_time(frame: pl.DataFrame) -> str:
    """Return the only timestamp (else date) column without missing values; '' if there is none or several."""
    for kind in (pl.Datetime, pl.Date):
        columns = [name for name, dtype in frame.schema.items() if isinstance(dtype, kind) and frame[name].null_count() == 0]
        if columns:
            return columns[0] if len(columns) == 1 else ""
    return ""


def _parts(frame: pl.DataFrame, time: str) -> tuple[dict[str, list[_Part]], pl.Series]:
    """Cut the rows into N_PARTS equal parts in the order of time (or as they stand) and sum up each column in each."""
    n = max(frame.height, 1)
    rank = frame[time].rank("ordinal") - 1 if time else pl.Series("part", range(frame.height), dtype=pl.UInt32)
    order = (rank.cast(pl.Int64) * N_PARTS // n).alias("part")
    schema = frame.schema  # read once: a frame builds it anew each time, which is quadratic in a wide table
    numeric = {name for name, dtype in schema.items() if dtype.is_numeric()}
    cells = []
    for name in frame.columns:
        column = pl.col(name)
        cells.append(column.null_count().alias(f"{name}\0nulls"))
        if name in numeric:
            finite = column.filter(column.is_finite()) if schema[name].is_float() else column
            cells.extend((finite.min().alias(f"{name}\0min"), finite.max().alias(f"{name}\0max")))
    grouped = (
        frame.lazy().with_columns(order.alias("\0part")).group_by("\0part").agg(pl.len().alias("\0n"), *cells).sort("\0part").collect()
    )
    rows = grouped.to_dicts()
    return {
        name: [_Part(row["\0n"], row[f"{name}\0nulls"], row.get(f"{name}\0min"), row.get(f"{name}\0max")) for row in rows]
        for name in frame.columns
    }, order


def _key_rule(keys: list[tuple[str, ...]], frame: pl.DataFrame, *, declared: bool) -> Unique:
    evidence = f"no two of {frame.height:,} rows agree in it, and in no smaller set"
    if declared:
        evidence = "declared; no two rows agree in it" if is_unique(frame, keys[0]) else "declared, although rows agree in it"
    others = [" + ".join(k) for k in keys[1:4]]
    if others:
        evidence += f"; also possible: {', '.join(others)}"
    return Unique(columns=keys[0], level="block", evidence=evidence, why="a row is found and updated by its key")


def _together_rule(frame: pl.DataFrame, group: tuple[str, ...]) -> NullTogether:
    n = frame[group[0]].null_count()
    evidence = f"missing together in {n:,} of {frame.height:,} rows, never apart"
    return NullTogether(columns=group, evidence=evidence, why="they are one fact; a row with half of it is broken")


def _column_rules(values: pl.Series, parts: list[_Part], order: pl.Series, *, in_key: bool, is_time: bool) -> list[AnyRule]:
    if not len(values):
        return []
    rules: list[AnyRule] = [] if in_key else [_null_rule(values, parts)]
    present = len(values) - values.null_count()
    if is_time or present < _MIN_ROWS:
        return rules
    if values.dtype.is_numeric():
        bounds = _range_rule(values, parts)
        return [*rules, bounds] if bounds else rules
    if values.dtype == pl.String:
        text = _values_rule(values, order) or _pattern_rule(values, order)
        return [*rules, text] if text else rules
    return rules


def _null_rule(values: pl.Series, parts: list[_Part]) -> NullShare:
    n_null, n = values.null_count(), len(values)
    share = n_null / n
    evidence = f"{n_null:,} of {n:,} rows lack it"
    if n_null == 0:
        return NullShare(column=values.name, max_share=0.0, evidence=f"none of {n:,} rows lacks it", why="every row has it so far")
    if share < RARELY_EMPTY:
        return NullShare(
            column=values.name, max_share=0.0, evidence=evidence, why="nearly every row has it, so a row without it is suspect"
        )
    if share > MOSTLY_EMPTY:
        why = "a column that is mostly empty tells little; raise the limit if that is how it should be"
        return NullShare(column=values.name, max_share=MOSTLY_EMPTY, evidence=evidence, why=why)
    shares = [part.n_null / part.n_rows for part in parts]
    upper = max(wilson(part.n_null, part.n_rows, confidence=_CONFIDENCE)[1] for part in parts)
    ceiling = min(MOSTLY_EMPTY, upper + (max(shares) - statistics.median(shares)))
    evidence += f"; between {min(shares):.2%} and {max(shares):.2%} in {len(parts)} parts"
    why = "the highest share in any part, with its sampling noise and the spread between parts"
    return NullShare(column=values.name, max_share=round(ceiling, 4), evidence=evidence, why=why)


def _range_rule(values: pl.Series, parts: list[_Part]) -> Range | None:
    lows = [part.minimum for part in parts if part.minimum is not None]
    highs = [part.maximum for part in parts if part.maximum is not None]
    if not lows or not highs:
        return None
    low, high = min(lows), max(highs)
    seen = f"{low:,} to {high:,} in {len(lows)} parts"
    calendar = _calendar_bounds(values, low, high)
    if calendar is not None:
        bounds, why = calendar
        return Range(column=values.name, minimum=bounds[0], maximum=bounds[1], evidence=seen, why=why)
    if low == high or _moves_with_time(lows, highs) or _names_a_year(values.name, low, high):
        return None
    spread = high - low
    minimum = low - max(_MARGIN * spread, 2 * (statistics.median(lows) - low))
    maximum = high + max(_MARGIN * spread, 2 * (high - statistics.median(highs)))
    if low >= 0 and minimum < 0:
        minimum = 0
    whole = values.dtype.is_integer()
    kept_low = None if statistics.median(lows) - low > _UNSTABLE * spread and minimum != 0 else _rounded(minimum, whole=whole)
    kept_high = None if high - statistics.median(highs) > _UNSTABLE * spread else _rounded(maximum, whole=whole)
    if kept_low is None and kept_high is None:
        return None
    why = f"what was seen, widened by {_MARGIN:.0%} of its range or twice its unrest between parts"
    return Range(column=values.name, minimum=kept_low, maximum=kept_high, evidence=seen, why=why)


def _calendar_bounds(values: pl.Series, low: float, high: float) -> tuple[tuple[float, float], str] | None:
    words = re.split(r"[_\W]+", values.name.lower())
    known = _CALENDAR.get(values.name.lower()) or _CALENDAR.get(words[-1])
    if known and known[0] <= low and high <= known[1]:
        return known, f"a {words[-1]} by name, and every value fits"
    if values.dtype.is_integer() and low >= 0 and 1300 <= high <= 2400:
        distinct = values.drop_nulls().unique()
        if len(distinct) >= 24 and bool((distinct % 100 < 60).all()):
            return (0, 2400), "every value reads as a time of day, hours and minutes"
    return None


def _moves_with_time(lows: list[float], highs: list[float]) -> bool:
    """A counter or a year: each part lies above the one before, so tomorrow's values lie above all bounds."""
    rising = all(a <= b for bounds in (lows, highs) for a, b in pairwise(bounds))
    falling = all(a >= b for bounds in (lows, highs) for a, b in pairwise(bounds))
    return len(lows) > 2 and (rising or falling) and lows[0] != lows[-1] and highs[0] != highs[-1]


def _names_a_year(name: str, low: float, high: float) -> bool:
    return "year" in name.lower() and low >= 1000 and high <= 3000


def _rounded(bound: float, *, whole: bool) -> float | int:
    """Write a bound with three significant digits: more would pretend to be known."""
    rounded = float(f"{bound:.3g}")
    return int(rounded) if whole or rounded == int(rounded) else rounded


def _values_rule(values: pl.Series, order: pl.Series) -> AllowedValues | None:
    counts = values.drop_nulls().value_counts()
    n_distinct, n = counts.height, len(values) - values.null_count()
    if n_distinct > _MAX_VALUES or n < n_distinct * _MIN_ROWS_PER_VALUE:
        return None
    if not _saturates(values, order):
        return None
    evidence = f"{n_distinct:,} values in {n:,} rows, all of them seen in the first half"
    why = "no new value came up in the second half"
    return AllowedValues(column=values.name, values=tuple(sorted(counts[values.name].to_list())), evidence=evidence, why=why)


def _saturates(values: pl.Series, order: pl.Series) -> bool:
    """Whether the second half of the parts brings no value that the first half lacks."""
    first = values.filter(order < N_PARTS // 2).unique()
    second = values.filter(order >= N_PARTS // 2).drop_nulls().unique()
    return bool(second.is_in(first.implode()).all())


def _pattern_rule(values: pl.Series, order: pl.Series) -> Pattern | None:
    """Letters and digits of about one length have a shape; free text has none."""
    first = _shape(values.filter(order < N_PARTS // 2))
    whole = _shape(values)
    if whole is None or first != whole:
        return None
    evidence = f"{values.n_unique():,} distinct values, all of this shape in both halves"
    return Pattern(column=values.name, pattern=whole, evidence=evidence, why="too many values to list, but one shape")


def _shape(values: pl.Series) -> str | None:
    distinct = values.drop_nulls().unique()
    if distinct.is_empty():
        return None
    lengths = distinct.str.len_chars()
    low, high = lengths.min(), lengths.max()
    if not isinstance(low, int) or not isinstance(high, int) or low == 0 or high - low > _MAX_LENGTH_SPREAD:
        return None
    used = "".join(span for span, pattern in _SHAPES if distinct.str.contains(pattern).any())
    size = f"{{{low}}}" if low == high else f"{{{low},{high}}}"
    pattern = f"^[{used}]{size}$"
    return pattern if used and distinct.str.contains(pattern).all() else None
