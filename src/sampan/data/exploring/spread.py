"""How a number or time is spread: the profile's exact counts, each at a value that the sampled rows make precise.

A profile knows a number to nine bits, so a column of round numbers would be shown a little beside them (57.03 for 57), and neighboring
years as one. Values that ten rows or more have stand for themselves, as the sample has them; what is left of a code is taken together at
the mean of its sampled values where ten rows or more share it, else at the code's middle: no single row's value shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sampan.data.association import to_floats
from sampan.stats.codes import encode_numbers
from sampan.stats.profiles import ColumnProfile

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Values in their order, and how many rows have each; `numbers` are those of the sampled rows, `is_whole` where these are all."""

    values: Floats
    counts: Codes
    numbers: Floats
    is_whole: bool = False

    @classmethod
    def of(cls, column: ColumnProfile, sampled: pl.Series, *, fewest: int) -> Spread:
        """Spread a column out; `fewest` rows must have what is looked at in the sample."""
        values, counts = column.middle_values(), column.count_array
        if column.kind != "number":
            return cls(values, counts, np.empty(0))
        numbers = to_floats(sampled)
        numbers = numbers[np.isfinite(numbers)]
        values, counts = _made_precise(values, counts, column.code_array, numbers, fewest)
        return cls(values, counts, numbers, is_whole=len(numbers) == column.n_present)

    def count_outside(self, low: float, high: float) -> tuple[int, int]:
        """Count the rows below and above two numbers; where not every row was sampled, those at the very edge may fall on either side."""
        if self.is_whole:
            return int((self.numbers < low).sum()), int((self.numbers > high).sum())
        return int(self.counts[self.values < low].sum()), int(self.counts[self.values > high].sum())

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return quantiles; [] for no values."""
        if not len(self.counts):
            return []
        cumulative = np.cumsum(self.counts)
        at = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left").clip(0, len(cumulative) - 1)
        return [float(value) for value in self.values[at]]

    def ends(self, tail: float, *, whole: bool) -> tuple[float, float]:
        """Return two numbers beyond each of which a share of `tail` lies; whole ones where the values are."""
        if not self.is_whole:
            low, high = self.quantiles((tail, 1 - tail))
            return low, high
        low, high = (float(end) for end in np.quantile(self.numbers, (tail, 1 - tail)))
        return (math.ceil(low), math.floor(high)) if whole and math.ceil(low) <= math.floor(high) else (low, high)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation; at least one value."""
        scale = max(float(np.abs(self.values).max()), 1e-300)  # squares of the largest floats would not fit
        weights = self.counts.astype(np.float64)
        mean = float(np.average(self.values / scale, weights=weights))
        return mean * scale, math.sqrt(float(np.average((self.values / scale - mean) ** 2, weights=weights))) * scale

    def most_share(self) -> float:
        """Return the share of the most frequent number among those sampled; 0 for none."""
        return float(np.unique(self.numbers, return_counts=True)[1].max()) / len(self.numbers) if len(self.numbers) else 0.0

    def histogram(self, low: float, high: float, n_bins: int) -> tuple[list[float], list[int]]:
        """Return (edges, counts) of equally wide bins from `low` to a `high` above it; what lies outside is not counted.

        Where every row was sampled they are counted, since a code may be wider than a bin.
        """
        scale = 1.0 if math.isfinite(high - low) else 0.5  # the range of floats is twice what a float can hold
        values, weights = (self.numbers, None) if self.is_whole else (self.values, self.counts)
        counts, edges = np.histogram(values * scale, bins=n_bins, range=(low * scale, high * scale), weights=weights)
        return [float(edge) for edge in edges / scale], [int(count) for count in counts]


def _made_precise(values: Floats, counts: Codes, codes: Codes, sampled: Floats, fewest: int) -> tuple[Floats, Codes]:
    """Split codes into the sampled values that enough rows have, and put the rest at the mean of its sampled values."""
    distinct, n = np.unique(sampled, return_counts=True)
    own = encode_numbers(distinct.copy())
    at = np.searchsorted(codes, own).clip(0, len(codes) - 1)
    known = codes[at] == own
    distinct, n, at = distinct[known], n[known], at[known]
    n_sampled = np.maximum(np.bincount(at, weights=n, minlength=len(codes)), 1)
    rows = np.floor(counts[at] * (n / n_sampled[at])).astype(np.int64)
    alone = rows >= fewest
    left = counts - np.bincount(at[alone], weights=rows[alone], minlength=len(codes)).astype(np.int64)
    weights = np.where(alone, 0, n)
    n_rest = np.maximum(np.bincount(at, weights=weights, minlength=len(codes)), 1)
    with np.errstate(over="ignore"):  # of many of the largest floats
        beside = np.bincount(at, weights=(distinct - values[at]) * weights, minlength=len(codes)) / n_rest
    rest = np.where((left >= fewest) & np.isfinite(beside), values + beside, values)
    every, found = np.concatenate([distinct[alone], rest[left > 0]]), np.concatenate([rows[alone], left[left > 0]])
    order = np.argsort(every, kind="stable")
    return every[order], found[order]
