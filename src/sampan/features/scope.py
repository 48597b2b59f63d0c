"""What training showed of each feature, and which rows of a request lie beyond it: numbers out of range, categories never seen.

An answer is given all the same: trees and linear models extrapolate in silence, and who asks should hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import eq, gt, lt
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.features.fitted import FittedView
from sampan.table.rows import ColumnRows

# Chosen on scikit-learn's breast cancer, wine and diabetes, checked on iris, digits and flights: see docs/decisions/0027.
NEAREST = 0.01  # the share of the values, at least ten, between whose ends the widening is measured
WIDENED = 2.0  # by so many times the distance from the outermost value to the last of the nearest
MOST_SPREADS = 10.0  # of the middle 98 %: an outermost value farther out than that is taken for a fault of the training data
_LEAST_ROWS = 30

Rows = Sequence[Mapping[str, Any]]
Notes = dict[int, tuple[str, ...]]  # by row


class Range(msgspec.Struct, frozen=True):
    """A feature's least and greatest value in training, and from where on a value is out of scope."""

    least: float
    greatest: float
    low: float
    high: float


class Scope(msgspec.Struct, frozen=True):
    """What training showed, by feature. A feature without a range is not judged."""

    ranges: dict[str, Range] = {}


class Encoded(Protocol):
    """A view that can say of rows which of their categories and keys are new."""

    @property
    def fitted(self) -> FittedView:
        """The view and its encoders."""
        ...

    def flags(self, rows: Rows) -> list[tuple[str, ...]]:
        """Say per row what training never showed."""
        ...


def learn_scope(matrix: NDArray[np.float32], fitted: FittedView) -> Scope:
    """Learn the ranges of a view's numbers from the training rows' matrix, shape (n, k); codes of categories and words have none."""
    columns = dict(zip(fitted.names, matrix.T, strict=True))
    numbers = [f.name for f in fitted.view.features if f.name not in fitted.encoders and f.name not in fitted.texts]
    found = {name: learn_range(columns[name]) for name in numbers}
    return Scope({name: known for name, known in found.items() if known is not None})


def learn_range(values: NDArray[np.float32]) -> Range | None:
    """Return the range of a feature's values; None where too few are there.

    The more values lie near the outermost one, the nearer the limit: the largest of numbers that thin out is passed soon, the largest month
    never. A value far beyond all others, such as a forgotten 99999, does not stretch the range.
    """
    there = np.sort(values[~np.isnan(values)]).astype(np.float64)
    n = len(there)
    if n < _LEAST_ROWS:
        return None
    nearest = min(max(10, int(NEAREST * n)), n) - 1
    least, greatest = there[0], there[-1]
    low = least - WIDENED * (there[nearest] - least)
    high = greatest + WIDENED * (greatest - there[-1 - nearest])
    first, last = np.quantile(there, [0.01, 0.99])
    if last > first:
        low, high = max(low, first - MOST_SPREADS * (last - first)), min(high, last + MOST_SPREADS * (last - first))
    return Range(float(least), float(greatest), float(low), float(high))


class ScopeWatch:
    """Looks at the features of answered rows: cheap where nothing is to be said."""

    def __init__(self, view: Encoded, scope: Scope) -> None:
        names = view.fitted.names
        self._view = view
        self._ranges = [(at, name, scope.ranges[name]) for at, name in enumerate(names) if name in scope.ranges]
        infinite = float("inf")
        self._lows, self._highs, self._unseen = [-infinite] * len(names), [infinite] * len(names), [float("nan")] * len(names)
        for at, _, known in self._ranges:
            self._lows[at], self._highs[at] = float(np.float32(known.low)), float(np.float32(known.high))
        for name, encoder in view.fitted.encoders.items():
            if name in names:
                self._unseen[names.index(name)] = float(np.float32(encoder.unseen))
        self._limits = [np.array(each, np.float32) for each in (self._lows, self._highs, self._unseen)]

    def notes(self, rows: Rows, features: NDArray[np.float32]) -> Notes:
        """Say of which rows what lies beyond training; mostly of none."""
        suspects = self._suspects(features)
        if not suspects:
            return {}
        found: Notes = {}
        # A category's mean may be that of all: only its text tells whether it was seen.
        asked = rows.take(suspects) if isinstance(rows, ColumnRows) else [rows[index] for index in suspects]
        for index, unseen in zip(suspects, self._view.flags(asked), strict=True):
            if told := (*self._beyond(features[index]), *unseen):
                found[index] = told
        return found

    def _suspects(self, features: NDArray[np.float32]) -> list[int]:
        if len(features) == 1:  # a quarter of what arrays cost; a missing value is beyond nothing
            values = features[0].tolist()
            beyond = any(map(lt, values, self._lows)) or any(map(gt, values, self._highs)) or any(map(eq, values, self._unseen))
            return [0] if beyond else []
        lows, highs, unseen = self._limits
        marks = (features < lows) | (features > highs) | (features == unseen)
        return np.flatnonzero(marks.any(axis=1)).tolist() if marks.any() else []

    def _beyond(self, features: NDArray[np.float32]) -> list[str]:
        values = features.tolist()
        return [
            f"{name}: {values[at]:.6g} is beyond training, where it was {known.least:.6g} to {known.greatest:.6g}"
            for at, name, known in self._ranges
            if values[at] < self._lows[at] or values[at] > self._highs[at]
        ]
