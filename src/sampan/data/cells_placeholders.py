"""Placeholders: words, numbers and dates that stand for "missing"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import numpy as np
import polars as pl

from sampan.data.cells_columns import Column, Suspect

# Words that mean "missing" wherever they stand, and those that only do so among numbers and dates.
_ALWAYS = frozenset({"n/a", "#n/a", "n.a.", "n.a", "<na>", "null", "(null)", "nan", "#null!", "#value!", "#div/0!", "?", "???", "\\n"})
_AMONG_NUMBERS = frozenset({"na", "none", "nil", "-", "--", "---", ".", "..", "unknown", "unk", "missing", "tbd", "tba"})
_MOSTLY = 0.5  # of the other values are numbers or dates
_MOST_WORDS = 3
_NUMERIC = re.compile(r"^\s*[-+]?[\d.,:/\- ]*\d[\d.,:/\- ]*(?:%|[ap]\.?m\.?)?\s*$", re.IGNORECASE)
_NINES = re.compile(r"^-?9{2,}(?:\.0+|\.9+)?$")
_DATES = frozenset({(1900, 1, 1), (1899, 12, 30), (1899, 12, 31), (1970, 1, 1), (1, 1, 1), (9999, 12, 31), (2099, 12, 31), (9999, 1, 1)})
_MIN_COUNT = 3
_MIN_ROWS = 20
_FAR = 3.0  # times the spread of the rest: how far a placeholder stands from them
_DAYS_APART = 365


def find_placeholders(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find values that stand for "missing"; the repair is to make them missing."""
    for column in columns:
        if not len(column.values):
            continue
        if column.is_text:
            codes, reason = _words(column), "a word for “missing”"
        elif column.dtype.is_numeric():
            codes, reason = _numbers(column), "stands for “missing”: far from all other numbers, and it comes back"
        elif column.dtype in (pl.Date, pl.Datetime):
            codes, reason = _moments(column), "stands for “missing”: no other date is near it"
        else:
            continue
        for code in codes:
            yield Suspect(column=column.name, kind="placeholder", rows=column.rows_of([code]), reason=reason, confidence=0.9, clears=True)


def _words(column: Column) -> list[int]:
    folded = [word.strip().casefold() for word in column.words]
    always = [code for code, word in enumerate(folded) if word in _ALWAYS]
    maybe = [code for code, word in enumerate(folded) if word in _AMONG_NUMBERS]
    rest = np.ones(len(folded), dtype=bool)
    rest[always + maybe] = False
    numeric = np.array([bool(_NUMERIC.match(word)) for word in column.words]) & rest
    n_rest, n_numeric = int(column.counts[rest].sum()), int(column.counts[numeric].sum())
    if len(maybe) > _MOST_WORDS or not n_rest or n_numeric < 0.95 * n_rest or _is_measured(column, rest):
        maybe = []
    return always + maybe


def _is_measured(column: Column, rest: np.ndarray) -> bool:
    """Say whether the other values are too few to know what the column holds."""
    return int(rest.sum()) < 3 or int(column.counts[rest].sum()) < _MOSTLY * _MIN_ROWS


def _numbers(column: Column) -> list[int]:
    """Return nines and minus one that come back and stand far from all else."""
    numbers = column.values.cast(pl.Float64).to_numpy()
    if column.n_present < _MIN_ROWS or len(numbers) < 3:
        return []
    found: list[int] = []
    for code, (number, word) in enumerate(zip(numbers, column.words, strict=True)):
        if column.counts[code] < _MIN_COUNT or not (_NINES.match(word) or number == -1):
            continue
        rest = np.delete(numbers, [code, *found])
        if len(rest) >= 2 and _stands_apart(number, rest, np.delete(column.counts, [code, *found])):
            found.append(code)
    return found


def _stands_apart(number: float, rest: np.ndarray, counts: np.ndarray) -> bool:
    if number == -1:  # among numbers that are never negative and do not end at zero's neighbor by chance
        return bool(rest.min() >= 0) and len(rest) > 3 and not np.array_equal(rest, np.arange(len(rest)))
    if rest.min() <= number <= rest.max():
        return False
    order = np.argsort(rest)
    cumulative = np.cumsum(counts[order]) / counts.sum()
    low, high = rest[order][np.searchsorted(cumulative, [0.05, 0.95]).clip(0, len(rest) - 1)]
    gap = number - rest.max() if number > 0 else rest.min() - number
    spread = max(high - low, np.finfo(float).tiny)
    return bool(gap > _FAR * spread or (gap > spread and abs(number) > _FAR * np.abs(rest).max()))


def _moments(column: Column) -> list[int]:
    moments = column.values.to_list()
    known = [code for code, moment in enumerate(moments) if (moment.year, moment.month, moment.day) in _DATES and _is_midnight(moment)]
    rest = [moment for code, moment in enumerate(moments) if code not in known]
    if not rest or column.n_present < _MIN_ROWS:
        return []
    first, last = _day(min(rest)), _day(max(rest))
    return [code for code in known if _day(moments[code]) < first - _DAYS_APART or _day(moments[code]) > last + _DAYS_APART]


def _is_midnight(moment: date) -> bool:
    return not isinstance(moment, datetime) or (moment.hour, moment.minute, moment.second) == (0, 0, 0)


def _day(moment: date) -> int:
    return moment.toordinal()
