"""Numbers that stand far from the rest of their column, and what is no number in a column of numbers.

How far is far depends on the column's own tail. On each side of the median the distances of the middle and of the outer tenth of the rows
fit a Weibull tail (light as a normal's, or far heavier), and a number is out of reach if the fitted tail expects less than one such number
in a hundred columns. Columns of positive numbers must find it out of reach on the logarithmic scale, too, so that a few large cities or
long delays are no faults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from sampan.data.cells_columns import MISSING, Column, Suspect, numbers_of

_NUMBERS = 0.9  # of the rows: then the rest is no number by fault
_RARE = 0.05  # of the rows: what comes more often is a category beside the numbers
_CODE_LENGTH = 5  # digits of whole numbers that are all as long: zip codes and telephones are not measured
_ONE_LENGTH = 0.95
_MIN_ROWS = 50
_MIN_SIDE = 20  # rows on a side of the median
_EXPECTED = 0.01  # numbers so far out, in a column without faults
_MOST_FAR = 0.1  # of the rows at most are far
_MIN_FAR = 2.0  # times the outer tenth's distance at least
_FINER = 2  # so many decimals more may be due (a quarter of a mile)
_MOST_DECIMALS = 6
_OFF_GRID = 1e-3  # of the grid's step
_NEVER = re.compile(r"\s*[<>≤≥~±]")  # a bound is a way to write a number

Floats = np.ndarray[Any, np.dtype[np.float64]]


def find_far_numbers(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find numbers no tail of their column reaches, and cells that hold no number where nearly all others do."""
    for column in columns:
        if column.is_text:
            if (numbers := numbers_of(column, at_least=_NUMBERS)) is None:
                continue
            yield from _no_numbers(column, numbers)
            yield from _of_numbers(numbers)
        elif column.dtype.is_numeric():
            yield from _of_numbers(column)


def _no_numbers(column: Column, numbers: Column) -> Iterator[Suspect]:
    codes = np.unique(column.codes[(numbers.codes == MISSING) & (column.codes >= 0)])
    odd = [int(code) for code in codes if not _NEVER.match(column.words[code]) and column.counts[code] <= _RARE * column.n_present]
    if odd:
        share = numbers.n_present / column.n_present
        reason = f"no number, though {share:.1%} of the values are"
        yield Suspect(column=column.name, kind="shape", rows=column.rows_of(odd), reason=reason, confidence=0.8)


def _of_numbers(column: Column) -> Iterator[Suspect]:
    if column.n_present < _MIN_ROWS or len(column.values) < 3 or _are_codes(column):
        return
    yield from _far(column)
    if not column.dtype.is_integer():
        yield from _finer(column)


def _finer(column: Column) -> Iterator[Suspect]:
    """Find numbers with more decimals than nearly all others: a fraction among counts, eight digits among percentages."""
    values = column.values.cast(pl.Float64).to_numpy()
    for decimals in range(_MOST_DECIMALS):
        # Far off the grid: thirds and the noise of binary fractions are not.
        off = np.abs(values - np.round(values, decimals)) > _OFF_GRID * 10.0**-decimals
        n_off = int(column.counts[off].sum())
        if n_off > _MOST_FAR * column.n_present:
            continue
        odd = np.flatnonzero(off & (np.abs(values - np.round(values, decimals + _FINER)) > _OFF_GRID * 10.0 ** -(decimals + _FINER)))
        if len(odd):
            told = f"of no more than {decimals} decimals" if decimals else "whole"
            reason = f"finer than the other numbers, which are {told}"
            yield Suspect(column=column.name, kind="shape", rows=column.rows_of(odd), reason=reason, confidence=0.7)
        return


def _far(column: Column) -> Iterator[Suspect]:
    values = column.values.cast(pl.Float64).to_numpy()
    far = _out_of_reach(values, column.counts)
    positive = values > 0
    if column.counts[values < 0].sum() <= _EXPECTED * column.n_present:  # sizes, with a zero here and there
        logs = np.log(np.where(positive, values, 1.0))
        far &= _out_of_reach(logs, np.where(positive, column.counts, 0)) | ~positive
    found = np.flatnonzero(far)
    if len(found) and column.counts[found].sum() <= _MOST_FAR * column.n_present:
        reason = "far from all other numbers of the column"
        yield Suspect(column=column.name, kind="outlier", rows=column.rows_of(found), reason=reason, confidence=0.6)


def _are_codes(column: Column) -> bool:
    """Say whether nearly all values are whole numbers of one length."""
    values = np.abs(column.values.cast(pl.Float64).to_numpy())
    if (values[np.isfinite(values)] % 1).any():
        return False
    lengths = np.char.str_len(values.astype(np.int64).astype(str))
    most = np.bincount(lengths, weights=column.counts)
    return int(most.argmax()) >= _CODE_LENGTH and float(most.max()) >= _ONE_LENGTH * column.n_present


def _out_of_reach(values: Floats, counts: np.ndarray) -> np.ndarray:
    """Say which values lie beyond what the tail on their side of the median reaches."""
    far = np.zeros(len(values), dtype=bool)
    center = _quantile(values, counts, 0.5)
    for sign in (1.0, -1.0):
        distance = sign * (values - center)
        side = (distance > 0) & (counts > 0)
        n_side = int(counts[side].sum())
        if n_side < _MIN_SIDE or side.sum() < 3:
            continue
        half, outer = (_quantile(distance[side], counts[side], share) for share in (0.5, 0.9))
        if half <= 0 or outer <= half:
            continue
        stretch = math.log(outer / half) / math.log(math.log(0.1) / math.log(0.5))  # 1 / the Weibull shape
        reach = outer * (math.log(n_side / _EXPECTED) / -math.log(0.1)) ** stretch
        far |= distance > max(reach, _MIN_FAR * outer)
    return far


def _quantile(values: Floats, counts: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(cumulative, share * cumulative[-1])])
