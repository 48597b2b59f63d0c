"""How a number or time is spread: the profile's exact counts, each at a value that the sampled rows make precise.

A profile knows a number to nine bits, so a column of round numbers would be shown a little beside them (57.03 for 57). Where ten rows or
more share a code, the mean of those sampled stands for it; elsewhere the code's middle does, and no single row's value shows.
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
    """Values in their order, how many rows have each, and every row's where all were sampled."""

    values: Floats
    counts: Codes
    every: Floats | None = None

    @classmethod
    def of(cls, column: ColumnProfile, sampled: pl.Series, *, fewest: int) -> Spread:
        """Spread a column out; `fewest` rows have to share a code before what was sampled of them is looked at."""
        values, counts = column.middle_values(), column.count_array
        if column.kind != "number":
            return cls(values, counts)
        numbers = to_floats(sampled)
        numbers = numbers[np.isfinite(numbers)]
        every = numbers if len(numbers) == column.n_present else None
        return cls(_made_precise(values, column.code_array, counts >= fewest, numbers), counts, every)

    def count_outside(self, low: float, high: float) -> tuple[int, int]:
        """Count the rows below and above two numbers; where not every row was sampled, those at the very edge may fall on either side."""
        if self.every is not None:
            return int((self.every < low).sum()), int((self.every > high).sum())
        return int(self.counts[self.values < low].sum()), int(self.counts[self.values > high].sum())

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return quantiles; [] for no values."""
        if not len(self.counts):
            return []
        cumulative = np.cumsum(self.counts)
        at = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left").clip(0, len(cumulative) - 1)
        return [float(value) for value in self.values[at]]

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation; at least one value."""
        scale = max(float(np.abs(self.values).max()), 1e-300)  # squares of the largest floats would not fit
        weights = self.counts.astype(np.float64)
        mean = float(np.average(self.values / scale, weights=weights))
        return mean * scale, math.sqrt(float(np.average((self.values / scale - mean) ** 2, weights=weights))) * scale

    def histogram(self, low: float, high: float, n_bins: int) -> tuple[list[float], list[int]]:
        """Return (edges, counts) of equally wide bins from `low` to a `high` above it; what lies outside is not counted."""
        scale = 1.0 if math.isfinite(high - low) else 0.5  # the range of floats is twice what a float can hold
        counts, edges = np.histogram(self.values * scale, bins=n_bins, range=(low * scale, high * scale), weights=self.counts)
        return [float(edge) for edge in edges / scale], [int(count) for count in counts]


def _made_precise(values: Floats, codes: Codes, shared: np.ndarray[Any, np.dtype[np.bool_]], sampled: Floats) -> Floats:
    """Put the mean of the sampled values of a code in the place of its middle, where enough rows share it."""
    own = encode_numbers(sampled.copy())
    at = np.searchsorted(codes, own).clip(0, len(codes) - 1)
    known = codes[at] == own
    at, sampled = at[known], sampled[known]
    n = np.maximum(np.bincount(at, minlength=len(codes)), 1)
    with np.errstate(over="ignore"):  # of many of the largest floats
        beside = np.bincount(at, weights=sampled - values[at], minlength=len(codes)) / n
    return np.where(shared & np.isfinite(beside), values + beside, values)
