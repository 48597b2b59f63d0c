"""Draft the rules of one column from its values, and from how they differ between the parts of the table."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from sampan.data.columnwise import Columnwise
from sampan.data.contract import AllowedValues, AnyRule, Distribution, NullShare, Pattern, Range
from sampan.data.false_alarms import N_FINE, N_PARTS, History, a_year, chance_of_another, chance_of_extreme
from sampan.data.measuring import distance_to
from sampan.stats.intervals import wilson
from sampan.table.named import named

MOSTLY_EMPTY = 0.5
RARELY_EMPTY = 0.005
_CONFIDENCE = 0.999
_MAX_VALUES = 100
_MIN_ROWS_PER_VALUE = 10
_MIN_ROWS = 30  # fewer say nothing about the next delivery
_MARGIN = 0.25  # of the observed range
_UNSTABLE = 0.5  # of the observed range
_MIN_PART_ROWS = 200  # for a distribution
_LEAST_DISTANCE, _MOST_DISTANCE = 0.1, 0.4
_DISTANCE_MARGIN = 2.0  # times the greatest distance of a part from the whole
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_TOP_VALUES = 10
_ROWS_AT_ONCE = 1 << 20

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
# A scale or code of so few whole numbers has no tail to fit: the next part goes beyond it as seldom as a part did so far. Seen to be needed
# on psych's msq, COUNT's affairs and gap's crohn (expected 148 false alarms in one delivery each, 24 came, none of them of a range).
_FEW_STEPS = 10
_EXACT = 2.0**53  # whole numbers beyond are not told apart as decimals
_FINE = 0.05  # of a column's range: no bound is rounded by more, far less than its margin
STEPS = "steps"
_SHAPES = (("A-Z", r"[A-Z]"), ("a-z", r"[a-z]"), ("0-9", r"[0-9]"))
_MAX_LENGTH_SPREAD = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A column in one part of the table."""

    n_rows: int
    n_null: int
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Drafting:
    """What all columns of a table share: the part of each row, the deliveries in a year, and what rules have lived through."""

    order: pl.Series
    deliveries: float
    history: History


def cut(frame: Columnwise, time: str) -> tuple[dict[str, list[Part]], pl.Series]:
    """Cut the rows into N_FINE equal parts in the order of time (or as they stand) and sum up each column in each.

    Returns the parts of each column and, for each row, which of the N_PARTS larger parts it is of.
    """
    n = max(frame.height, 1)
    rank = frame[time].rank("ordinal") - 1 if time else pl.Series("part", range(frame.height), dtype=pl.UInt32)
    fine = (rank.cast(pl.Int64) * N_FINE // n).cast(pl.UInt8).alias("\0part")
    cells, again = [pl.len().alias("\0n")], [pl.col("\0n").sum()]
    for name, dtype in frame.schema.items():
        column = named(name)
        cells.append(column.null_count().alias(f"{name}\0nulls"))
        again.append(pl.col(f"{name}\0nulls").sum())
        if dtype.is_numeric():
            finite = column.filter(column.is_finite()) if dtype.is_float() else column
            cells += [finite.min().alias(f"{name}\0min"), finite.max().alias(f"{name}\0max")]
            again += [pl.col(f"{name}\0min").min(), pl.col(f"{name}\0max").max()]
    pieces, start = [], 0
    for piece in frame.slices(frame.columns, _ROWS_AT_ONCE):
        pieces.append(piece.lazy().with_columns(fine.slice(start, piece.height)).group_by("\0part").agg(cells).collect())
        start += piece.height
    rows = pl.concat(pieces).group_by("\0part").agg(again).sort("\0part").to_dicts() if pieces else []
    parts = {
        name: [Part(row["\0n"], row[f"{name}\0nulls"], row.get(f"{name}\0min"), row.get(f"{name}\0max")) for row in rows]
        for name in frame.columns
    }
    return parts, (fine // (N_FINE // N_PARTS)).alias("part")


def together(parts: Sequence[Part]) -> list[Part]:
    """Merge the fine parts to the N_PARTS larger ones."""
    size = max(1, -(-len(parts) // N_PARTS))
    return [_merged(parts[i : i + size]) for i in range(0, len(parts), size)]


def _merged(parts: Sequence[Part]) -> Part:
    lows = [part.minimum for part in parts if part.minimum is not None]
    highs = [part.maximum for part in parts if part.maximum is not None]
    n_rows, n_null = sum(part.n_rows for part in parts), sum(part.n_null for part in parts)
    return Part(n_rows, n_null, min(lows, default=None), max(highs, default=None))


def draft_column(values: pl.Series, fine: list[Part], drafting: Drafting, *, in_key: bool, is_time: bool) -> list[AnyRule]:
    """Draft a column's rules. A rule whose kind never broke here has no estimate of false alarms yet; those are pooled at the end."""
    if not len(values):
        return []
    parts = together(fine)
    rules: list[AnyRule] = [] if in_key else [_null_rule(values, parts, drafting)]
    present = len(values) - values.null_count()
    if is_time or present < _MIN_ROWS:
        return rules
    if values.dtype.is_numeric():
        moves = _moves_with_time(parts)
        found = [_range_rule(values, fine, parts, drafting), None if in_key or moves else _number_distribution(values, parts, drafting)]
        return [*rules, *(rule for rule in found if rule)]
    if values.dtype == pl.String:
        return [*rules, *_text_rules(values, drafting, in_key=in_key)]
    return rules


def _null_rule(values: pl.Series, parts: list[Part], drafting: Drafting) -> NullShare:
    n_null, n = values.null_count(), len(values)
    share = n_null / n
    lacking = [part.n_null > 0 for part in parts]
    # Parts before the first that lacks a value had kept the rule so far.
    first = lacking.index(True) if any(lacking) else len(parts)
    drafting.history.add("exact", min(first, len(parts) - 1), int(0 < first < len(parts)))
    evidence = f"{n_null:,} of {n:,} rows lack it"
    if n_null == 0:
        return NullShare(column=values.name, max_share=0.0, evidence=f"none of {n:,} rows lacks it", why="every row has it so far")
    often = a_year(sum(lacking) / len(parts), drafting.deliveries)
    if share < RARELY_EMPTY:
        why = "nearly every row has it, so a row without it is suspect"
        return NullShare(column=values.name, max_share=0.0, evidence=evidence, why=why, false_alarms=often)
    if share > MOSTLY_EMPTY:
        why = "a column that is mostly empty tells little; raise the limit if that is how it should be"
        return NullShare(column=values.name, max_share=MOSTLY_EMPTY, evidence=evidence, why=why, false_alarms=often)
    shares = [part.n_null / part.n_rows for part in parts]
    upper = max(wilson(part.n_null, part.n_rows, confidence=_CONFIDENCE)[1] for part in parts)
    ceiling = round(min(MOSTLY_EMPTY, upper + (max(shares) - statistics.median(shares))), 4)
    evidence += f"; between {min(shares):.2%} and {max(shares):.2%} in {len(parts)} parts"
    why = "the highest share in any part, with its sampling noise and the spread between parts"
    alarms = a_year(chance_of_another(shares, ceiling), drafting.deliveries)
    return NullShare(column=values.name, max_share=ceiling, evidence=evidence, why=why, false_alarms=alarms)


def _range_rule(values: pl.Series, fine: list[Part], parts: list[Part], drafting: Drafting) -> Range | None:
    lows = [part.minimum for part in parts if part.minimum is not None]
    highs = [part.maximum for part in parts if part.maximum is not None]
    if not lows or not highs:
        return None
    low, high = min(lows), max(highs)
    seen = f"{low:,} to {high:,} in {len(lows)} parts"
    calendar = _calendar_bounds(values, low, high)
    if calendar is not None:
        bounds, why = calendar
        return Range(column=values.name, minimum=bounds[0], maximum=bounds[1], evidence=seen, why=why, false_alarms=a_year(0, 0))
    if low == high or _moves_with_time(parts) or _names_a_year(values.name, low, high):
        return None
    spread = high - low
    minimum = low - max(_MARGIN * spread, 2 * (statistics.median(lows) - low))
    maximum = high + max(_MARGIN * spread, 2 * (high - statistics.median(highs)))
    at_zero = low >= 0 and minimum < 0
    if at_zero:
        minimum = 0
    whole = values.dtype.is_integer()
    kept_low = None if statistics.median(lows) - low > _UNSTABLE * spread and not at_zero else _rounded(minimum, spread, whole=whole)
    kept_high = None if high - statistics.median(highs) > _UNSTABLE * spread else _rounded(maximum, spread, whole=whole)
    if kept_low is None and kept_high is None:
        return None
    why = f"what was seen, widened by {_MARGIN:.0%} of its range or twice its unrest between parts"
    if whole and spread <= _FEW_STEPS:
        drafting.history.add(STEPS, *_records(parts))
        return Range(column=values.name, minimum=kept_low, maximum=kept_high, evidence=seen, why=why)
    chance = 0.0
    if kept_low is not None and not at_zero:  # nothing known goes below nothing
        chance += chance_of_extreme([-part.minimum for part in fine if part.minimum is not None], -kept_low)
    if kept_high is not None:
        chance += chance_of_extreme([part.maximum for part in fine if part.maximum is not None], kept_high)
    alarms = a_year(min(chance, 1.0), drafting.deliveries)
    return Range(column=values.name, minimum=kept_low, maximum=kept_high, evidence=seen, why=why, false_alarms=alarms)


def _records(parts: Sequence[Part]) -> tuple[int, int]:
    """Count the parts before which a least or greatest value stood, up to the first that went beyond, and whether one did."""
    known = [part for part in parts if part.minimum is not None and part.maximum is not None]
    for i in range(1, len(known)):
        before = _merged(known[:i])
        if known[i].minimum < before.minimum or known[i].maximum > before.maximum:  # type: ignore[operator]
            return i, 1
    return max(0, len(known) - 1), 0


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


def _moves_with_time(parts: list[Part]) -> bool:
    """A counter or a year: each part lies above the one before, so tomorrow's values lie above all bounds."""
    lows = [part.minimum for part in parts if part.minimum is not None]
    highs = [part.maximum for part in parts if part.maximum is not None]
    rising = all(a <= b for bounds in (lows, highs) for a, b in pairwise(bounds))
    falling = all(a >= b for bounds in (lows, highs) for a, b in pairwise(bounds))
    return len(lows) > 2 and (rising or falling) and lows[0] != lows[-1] and highs[0] != highs[-1]


def _names_a_year(name: str, low: float, high: float) -> bool:
    return "year" in name.lower() and low >= 1000 and high <= 3000


def _rounded(bound: float, spread: float, *, whole: bool) -> float | int:
    """Write a bound with three significant digits: more would pretend to be known, unless the whole range lies beyond them."""
    if bound == 0:
        return 0
    place = min(math.floor(math.log10(abs(bound))) - 2, math.floor(math.log10(_FINE * spread)))
    rounded = round(float(bound), -place)
    return int(rounded) if whole or (abs(rounded) < _EXACT and rounded == int(rounded)) else rounded


def _number_distribution(values: pl.Series, parts: list[Part], drafting: Drafting) -> Distribution | None:
    if min(part.n_rows - part.n_null for part in parts) < _MIN_PART_ROWS:
        return None
    numbers = values.alias("v").to_frame().with_columns(drafting.order.alias("part")).filter(pl.col("v").is_finite())
    if numbers.is_empty():
        return None
    quantiles = [numbers["v"].quantile(share, interpolation="lower") for share in _QUANTILES]
    edges = tuple(dict.fromkeys(float(f"{q:.6g}") for q in quantiles if q is not None))
    counted = [(pl.col("v") <= edge).mean().alias(str(i)) for i, edge in enumerate(edges)]
    whole = numbers.select(counted).row(0)
    if all(share in (0.0, 1.0) for share in whole):
        return None
    reference = Distribution(column=values.name, edges=edges, shares=_shares(whole), max_distance=1.0)
    return _with_limit(reference, [row[1:] for row in numbers.group_by("part").agg(counted).sort("part").rows()], drafting)


def _shares(measured: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(share, 4) for share in measured)


def _with_limit(reference: Distribution, of_parts: list[Sequence[float]], drafting: Drafting) -> Distribution | None:
    """Set how far a delivery may lie from the reference; None where the parts themselves differ too much to say."""
    if len(of_parts) < N_PARTS:
        return None
    distances = [distance_to(reference, shares)[0] for shares in of_parts]
    limit = float(f"{max(_LEAST_DISTANCE, _DISTANCE_MARGIN * max(distances)):.2g}")
    if limit > _MOST_DISTANCE:
        return None
    return Distribution(
        column=reference.column,
        edges=reference.edges,
        values=reference.values,
        shares=reference.shares,
        max_distance=limit,
        evidence=f"{len(distances)} parts lie {min(distances):.3f} to {max(distances):.3f} from the whole",
        why=f"{_DISTANCE_MARGIN:g} times the greatest distance of a part, at least {_LEAST_DISTANCE:g}",
        false_alarms=a_year(chance_of_another(distances, limit), drafting.deliveries),
    )


def _text_rules(values: pl.Series, drafting: Drafting, *, in_key: bool) -> list[AnyRule]:
    texts = values.alias("v").to_frame().with_columns(drafting.order.alias("part")).drop_nulls("v")
    counts = texts.group_by("v").agg(pl.len().alias("n"), pl.col("part").min().alias("first"))
    few = counts.height <= _MAX_VALUES and texts.height >= counts.height * _MIN_ROWS_PER_VALUE
    rule = _values_rule(values.name, counts, texts.height, drafting) if few else None
    why = "new values came up in the second half, all of one shape" if few else "too many values to list, but one shape"
    shaped = rule or _pattern_rule(values, counts, drafting, why=why)
    spread = _text_distribution(values.name, texts, counts) if few and not in_key else None
    limited = _with_limit(*spread, drafting) if spread else None
    return [one for one in (shaped, limited) if one]


def _values_rule(name: str, counts: pl.DataFrame, n: int, drafting: Drafting) -> AllowedValues | None:
    """List the values if the second half of the parts brings none that the first half lacks."""
    news = [bool((counts["first"] == part).any()) for part in range(N_PARTS)]
    # A list seems complete after two parts without a new value; whether the next part bears that out is what history counts.
    trials = [part for part in range(3, N_PARTS) if not news[part - 1] and not news[part - 2]]
    drafting.history.add("values", len(trials), sum(news[part] for part in trials))
    if any(news[N_PARTS // 2 :]):
        return None
    evidence = f"{counts.height:,} values in {n:,} rows, all of them seen in the first half"
    why = "no new value came up in the second half"
    return AllowedValues(column=name, values=tuple(sorted(counts["v"].to_list())), evidence=evidence, why=why)


def _text_distribution(name: str, texts: pl.DataFrame, counts: pl.DataFrame) -> tuple[Distribution, list[Sequence[float]]] | None:
    if texts.height < N_PARTS * _MIN_PART_ROWS or counts.height < 2:
        return None
    top = counts.sort(["n", "v"], descending=[True, False]).head(_TOP_VALUES)
    cells = [(pl.col("v") == value).mean().alias(str(i)) for i, value in enumerate(top["v"])]
    shares = _shares([n / texts.height for n in top["n"]])
    reference = Distribution(column=name, values=tuple(top["v"].to_list()), shares=shares, max_distance=1.0)
    return reference, [row[1:] for row in texts.group_by("part").agg(cells).sort("part").rows()]


def _pattern_rule(values: pl.Series, counts: pl.DataFrame, drafting: Drafting, *, why: str) -> Pattern | None:
    """Letters and digits of about one length have a shape; free text has none."""
    whole, early = _shape(counts["v"]), _shape(counts.filter(pl.col("first") < N_PARTS // 2)["v"])
    if whole is None:
        return None
    drafting.history.add("values", 1, int(early != whole))
    if early != whole:
        return None
    evidence = f"{counts.height:,} distinct values, all of this shape in both halves"
    return Pattern(column=values.name, pattern=whole, evidence=evidence, why=why)


def _shape(distinct: pl.Series) -> str | None:
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
