"""Units: written into the cells of a column of numbers, or silently another unit than the rest.

In a column of numbers and units, units are misplaced where only some cells have one, where one cell's differs from the rest, or where the
same unit is spelled in several ways (then it has to go from every cell). In a column of plain numbers that are close together, a far group
that comes back by a known factor (1,000 g to a kg, 2.54 cm to an inch) was measured in another unit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import polars as pl

from sampan.data.cells_columns import Column, Suspect

_NUMBER = re.compile(r"^\s*([-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+)\s*(%|°?\s?[A-Za-zµ/³²]{1,12}\.?|[€$£₫¥])?\s*$")
_REMARK = re.compile(r"^\s*(\d[\d,]*(?:\.\d+)?)\s*([A-Za-z]{1,12}\.?)[\s,(]+[\w\s-]{1,20}\)?$")  # "12 oz. can"
_MOSTLY = 0.6  # of the values are a number, with or without a unit
_DOMINANT = 0.9  # of the values with a unit spell it this way
_MIN_ROWS = 20
_SOME = 1_000
_MOST_UNITS = 12
_ALIKE = 0.6  # similarity of a misspelled unit
_DIGITS = 12  # 0.055999999999999994 % is 0.056 %
_FACTORS: tuple[tuple[float, str], ...] = (
    (1000.0, "thousands (g and kg, m and km)"),
    (100.0, "hundreds (cm and m, per cent and shares)"),
    (2.54, "inches and centimeters"),
    (30.48, "feet and centimeters"),
    (3.2808, "feet and meters"),
    (2.2046, "pounds and kilograms"),
    (1.6093, "miles and kilometers"),
    (60.0, "minutes and seconds"),
)
_SPREAD = 0.2  # robust deviation of the logarithms up to which a column is "close together"
_TOLERANCE = 3.5  # of these deviations
_FAR = 50.0  # such a factor is seen in one cell; a nearer one could be an outlier, and has to come back
_FEW = 3
_OFTEN = 0.02  # of the rows: then a word nobody knows is a unit, too
_MOST_OTHER = 0.1  # of the rows at most are in another unit


@dataclass(frozen=True, slots=True)
class _Measure:
    number: float
    text: str
    unit: str


def find_units(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find units in cells, and numbers in another unit."""
    for column in columns:
        if column.n_present < _MIN_ROWS:
            continue
        if column.is_text:
            yield from _written_units(column)
        elif column.dtype.is_numeric():
            yield from _silent_units(column)


def _written_units(column: Column) -> Iterator[Suspect]:
    if not _may_have_units(column):
        return
    measures = {code: m for code, word in enumerate(column.words) if (m := _read(word)) is not None}
    n_read = int(column.counts[list(measures)].sum()) if measures else 0
    spelled: Counter[str] = Counter()
    for code, measure in measures.items():
        spelled[measure.unit] += int(column.counts[code])
    n_plain = spelled.pop("", 0)
    # A letter after a number in one or two cells is a slip; a word for a unit, or one that comes back, is a unit.
    many = max(_FEW, _OFTEN * column.n_present)
    spelled = Counter({unit: n for unit, n in spelled.items() if n >= many or unit.casefold().strip(". °") in _SAME_UNIT})
    measures = {code: measure for code, measure in measures.items() if not measure.unit or measure.unit in spelled or n_plain < n_read / 2}
    if n_read < _MOSTLY * column.n_present or not spelled or len(spelled) > _MOST_UNITS:
        return
    top, n_top = spelled.most_common(1)[0]
    if n_plain >= n_read / 2:
        yield from _without_unit(column, measures, "the column's other cells are plain numbers", _scale(measures))
    elif n_top >= _DOMINANT * n_read:
        yield from _with_unit(column, measures, top, spelled)
    elif len({_folded(unit) for unit in spelled}) < len(spelled) and n_plain <= (1 - _DOMINANT) * n_read:
        yield from _without_unit(column, measures, "the unit is spelled in several ways; it belongs into the column's name", {})


def _may_have_units(column: Column) -> bool:
    """Say whether most of some of the values begin with a number: a column of names is not read word by word."""
    some = column.values.gather_every(max(1, len(column.values) // _SOME))
    return float(some.str.contains(r"^\s*[-+.]?\d").mean() or 0.0) >= _MOSTLY / 2  # type: ignore[arg-type]  # the mean of truth values


def _read(word: str) -> _Measure | None:
    found = _NUMBER.match(word) or _REMARK.match(word)
    if found is None or (found.re is _REMARK and found[2].casefold().strip(". ") not in _SAME_UNIT):
        return None
    text = found[1].replace(",", "")
    return _Measure(float(text), text, (found[2] or "").strip())


def _folded(unit: str) -> str:
    """Write a unit as it is spelled most often."""
    plain = unit.casefold().strip(". °")
    return _SAME_UNIT.get(plain, plain)


_SAME_UNIT = {
    **dict.fromkeys(("oz", "ounce", "ounces", "ozs"), "oz"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("kg", "kgs", "kilo", "kilos", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("g", "gr", "gram", "grams"), "g"),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), "km"),
    **dict.fromkeys(("in", "inch", "inches"), "in"),
    **dict.fromkeys(("ft", "foot", "feet"), "ft"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("%", "percent", "pct"), "%"),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), "l"),
    **dict.fromkeys(("ml", "milliliter", "milliliters", "millilitre", "millilitres"), "ml"),
    **dict.fromkeys(("usd", "$", "dollar", "dollars"), "usd"),
    **dict.fromkeys(("eur", "€", "euro", "euros"), "eur"),
    **dict.fromkeys(("vnd", "₫", "đ", "dong"), "vnd"),
}


def _scale(measures: dict[int, _Measure]) -> dict[str, float]:
    """Return by unit the factor that brings its numbers nearest to the plain ones; only per cent has one to choose."""
    plain = [m.number for m in measures.values() if not m.unit and m.number > 0]
    shares = [m.number for m in measures.values() if m.unit == "%" and m.number > 0]
    if not plain or not shares:
        return {}
    apart = math.log10(float(np.median(shares)) / float(np.median(plain)))
    return {"%": 0.01} if abs(apart - 2) < abs(apart) else {}


def _without_unit(column: Column, measures: dict[int, _Measure], reason: str, scale: dict[str, float]) -> Iterator[Suspect]:
    for code, measure in measures.items():
        if measure.unit:
            repair = _written(measure, scale.get(measure.unit, 1.0))
            yield Suspect(column=column.name, kind="unit", rows=column.rows_of([code]), repair=repair, reason=reason, confidence=0.95)


def _with_unit(column: Column, measures: dict[int, _Measure], top: str, spelled: Counter[str]) -> Iterator[Suspect]:
    """Find the few cells of another unit, or of the same spelled otherwise, in a column that keeps to one."""
    sample = next(word for word in column.words if (m := _read(word)) is not None and m.unit == top)
    between = " " if f" {top}" in sample else ""
    for code, measure in measures.items():
        if measure.unit == top or spelled[measure.unit] > (1 - _DOMINANT) * column.n_present:
            continue
        same = not measure.unit or _folded(measure.unit) == _folded(top) or bool(get_close_matches(measure.unit, [top], cutoff=_ALIKE))
        repair = f"{measure.text}{between}{top}" if same else None
        reason = f"nearly all cells have the unit {top!r}"
        yield Suspect(column=column.name, kind="unit", rows=column.rows_of([code]), repair=repair, reason=reason, confidence=0.8)


def _written(measure: _Measure, factor: float) -> str:
    """Write a number without a unit, whole where it is, without the noise of binary fractions."""
    if factor == 1.0 and len(measure.text) <= _DIGITS:
        return measure.text.removesuffix(".0")
    return f"{measure.number * factor:.{_DIGITS}g}"


def _silent_units(column: Column) -> Iterator[Suspect]:
    """Find a far group of positive numbers that a known factor brings back among the rest."""
    numbers = column.values.cast(pl.Float64).to_numpy()
    positive = np.flatnonzero(np.isfinite(numbers) & (numbers > 0))
    n = int(column.counts[positive].sum())
    if n < 0.95 * column.n_present or n < _MIN_ROWS:
        return
    logs = np.log(numbers[positive])
    center, spread = _center(logs, column.counts[positive])
    if not 0 < spread <= _SPREAD:
        return
    for factor, named in _FACTORS:
        shift = math.log(factor)
        if shift <= 2 * _TOLERANCE * spread:  # the two groups would overlap
            continue
        for direction, times in ((1, 1 / factor), (-1, factor)):
            found = positive[np.abs(logs - center - direction * shift) <= _TOLERANCE * spread]
            if (1 if factor >= _FAR else _FEW) <= column.counts[found].sum() <= _MOST_OTHER * n:
                yield from _rescaled(column, found, times, f"as if in another unit: {named}")
                return


def _center(logs: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return the weighted median and the robust deviation around it."""
    center = _weighted_median(logs, counts)
    return center, 1.4826 * _weighted_median(np.abs(logs - center), counts)


def _weighted_median(values: np.ndarray, counts: np.ndarray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])


def _rescaled(column: Column, codes: np.ndarray, times: float, reason: str) -> Iterator[Suspect]:
    for code in codes.tolist():
        number = float(column.values[code]) * times
        sure = 0.75 if len(codes) >= _FEW else 0.65
        repair = str(round(number)) if column.dtype.is_integer() else f"{number:.6g}"
        yield Suspect(column=column.name, kind="unit", rows=column.rows_of([code]), repair=repair, reason=reason, confidence=sure)
