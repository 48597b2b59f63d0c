"""How much one column, or the difference of two, says about a yes-or-no label; by out-of-fold rates in bins, so that any shape counts."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from sampan.stats.ranking import auc

N_BINS = 64
_ROWS_PER_BIN = 30
_PRIOR_ROWS = 20.0  # pull of the overall rate on a bin's own
_MOST = 1 - 1e-4

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def column_auc(values: pl.Series, label: Flags) -> float:
    """Return the AUC of a column: of its own order, or of the label's rate in its bins, whichever is greater.

    Numbers and times fall into quantile bins, other values are bins themselves; missing values are a bin, so their pattern counts. Rates
    are learned on one half of the rows and scored on the other.
    """
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        numbers = to_floats(values)
        return max(_order_auc(numbers, label), _rate_auc(quantile_bins(numbers), label))
    codes = values.cast(pl.String).rank("dense").fill_null(0).to_numpy()
    return _rate_auc(np.asarray(codes, dtype=np.int64), label)


def _order_auc(numbers: Floats, label: Flags) -> float:
    there = np.isfinite(numbers)
    return _either_way(numbers[there], label[there])


def _rate_auc(bins: Codes, label: Flags) -> float:
    n_bins = int(bins.max(initial=0)) + 1
    even = np.arange(len(label)) % 2 == 0
    scores = np.empty(len(label))
    for fold in (even, ~even):
        other = ~fold
        seen = np.bincount(bins[other], minlength=n_bins).astype(float)
        hits = np.bincount(bins[other], weights=label[other].astype(float), minlength=n_bins)
        rate = float(label[other].mean()) if other.any() else 0.5
        scores[fold] = ((hits + _PRIOR_ROWS * rate) / (seen + _PRIOR_ROWS))[bins[fold]]
    # Each fold is judged alone: their overall rates differ by chance, and a pooled ranking would count that.
    found = [_directed(scores[fold], label[fold]) for fold in (even, ~even)]
    return max(0.5, sum(found) / len(found))


def _either_way(scores: Floats, label: Flags) -> float:
    found = _directed(scores, label)
    return max(found, 1 - found)


def _directed(scores: Floats, label: Flags) -> float:
    found = auc(label.astype(np.float64), scores)
    return 0.5 if math.isnan(found) else found


def difference_auc(minuend: Floats, subtrahend: Floats, label: Flags) -> float:
    """Return the AUC of `minuend - subtrahend`, whichever way it points, over rows that have both."""
    with np.errstate(over="ignore", invalid="ignore"):  # of two infinities, or the largest of floats
        difference = minuend - subtrahend
    there = np.isfinite(difference)
    return _either_way(difference[there], label[there])


def discriminability(area: float) -> float:
    """Turn an AUC into d′, the distance of two normal curves with that AUC: differences near 1 count as much as near 0.5."""
    return math.sqrt(2) * NormalDist().inv_cdf(min(max(area, 0.5), _MOST))


def quantile_bins(numbers: Floats, *, n_bins: int = N_BINS) -> Codes:
    """Put numbers into bins of about equally many, from 1; 0 for those that are missing. A bin has at least 30 rows, or half of all."""
    there = np.isfinite(numbers)
    bins = np.zeros(len(numbers), dtype=np.int64)
    if there.any():
        wanted = int(np.clip(len(numbers) // _ROWS_PER_BIN, 2, n_bins))
        edges = np.unique(np.quantile(numbers[there], np.linspace(0, 1, wanted + 1)[1:-1], method="nearest"))
        bins[there] = np.searchsorted(edges, numbers[there], side="left") + 1
    return bins


def is_comparable(dtype: pl.DataType) -> bool:
    """Say whether a column's values can be told apart and counted: bytes and nested values are not looked into."""
    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Object))


def scaled(numbers: Floats) -> Floats:
    """Divide numbers by the greatest of them, so that the square of none is more than a float can hold."""
    greatest = float(np.abs(numbers).max(initial=0.0))
    return numbers / greatest if greatest > 1 else numbers


def to_floats(values: pl.Series) -> Floats:
    """Return a numeric or temporal column as float64, missing as NaN."""
    physical = values.to_physical() if values.dtype.is_temporal() else values
    return np.asarray(physical.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)
