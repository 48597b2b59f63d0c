"""Placeholders: words, numbers and dates that stand for "missing"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import numpy as np
import polars as pl

from sampan.data.cells_columns import Column, Suspect

# Words that mean "missing" wherever they stand, and those that only do so among numbers and dates.
_ALWAYS = frozenset(
    {"n/a", "#n/a", "n.a.", "n.a", "<na>", "null", "(null)", "nan", "#null!", "#value!", "#div/0!", "#ref!", "?", "???", "\\n"}
)
# Words that some tables write for "missing" on purpose: nothing is learned from them, and nothing is said against them.
_ON_PURPOSE = frozenset(
    {"empty", "(empty)", "(blank)", "{null}", "[null]", "missing", "unknown", "not available", "not applicable", "none"}
)
_AMONG_NUMBERS = frozenset({"na", "none", "nil", "-", "--", "---", ".", "..", "unknown", "unk", "missing", "tbd", "tba"})
_MOST_WORDS = 3
_NUMBERS = 0.95  # of the other values are numbers or dates
_NUMERIC = r"(?i)^\s*[-+]?[\d.,:/\- ]*\d[\d.,:/\- ]*(?:%|[ap]\.?m\.?)?\s*$"
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


def stands_for_missing(column: Column) -> np.ndarray:
    """Return the rows whose text says on purpose that nothing is known."""
    if not column.is_text or not len(column.values):
        return np.empty(0, dtype=np.int64)
    folded = column.values.str.strip_chars().str.to_lowercase()
    return column.rows_of(folded.is_in(list(_ON_PURPOSE)).arg_true().to_list())


def _words(column: Column) -> list[int]:
    folded = column.values.str.strip_chars().str.to_lowercase()
    always = [int(code) for code in folded.is_in(list(_ALWAYS)).arg_true()]
    maybe = [int(code) for code in folded.is_in(list(_AMONG_NUMBERS)).arg_true()]
    if not maybe or len(maybe) > _MOST_WORDS:
        return always
    rest = np.ones(len(folded), dtype=bool)
    rest[always + maybe] = False
    numeric = column.values.str.contains(_NUMERIC).to_numpy() & rest
    n_rest, n_numeric = int(column.counts[rest].sum()), int(column.counts[numeric].sum())
    return always + maybe if n_rest and n_numeric >= _NUMBERS * n_rest and not _is_measured(column, rest) else always


def _is_measured(column: Column, rest: np.ndarray) -> bool:
    """Say whether the other values are too few to know what the column holds."""
    return int(rest.sum()) < 3 or int(column.counts[rest].sum()) < _MIN_ROWS / 2


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
