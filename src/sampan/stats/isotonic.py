"""Isotonic regression: the non-decreasing step function nearest to weighted points, for calibrating scores."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class IsotonicFit(msgspec.Struct, frozen=True):
    """A fitted step function: between two knots it runs straight, outside it stays at the end's value."""

    at: list[float]
    value: list[float]

    def __call__(self, scores: Floats) -> Floats:
        """Evaluate at scores."""
        return np.interp(scores, self.at, self.value)


def fit_isotonic(scores: Floats, targets: Floats, *, weights: Floats | None = None) -> IsotonicFit:
    """Fit by pooling adjacent violators; equal scores share one value.

    Parameters
    ----------
    scores, targets : shape (n,), n >= 1, finite
    weights : shape (n,), positive; 1 where not given

    References
    ----------
    R. E. Barlow et al. (1972), "Statistical Inference under Order Restrictions".

    >>> fit_isotonic(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5]))(np.array([2.0])).tolist()
    [0.75]
    """
    given = np.ones(len(scores)) if weights is None else weights
    at, place = np.unique(scores, return_inverse=True)
    mass = np.bincount(place, weights=given)
    means = np.bincount(place, weights=given * targets) / mass
    values, sizes = _pool(means.tolist(), mass.tolist())
    ends = np.cumsum(sizes)
    starts = ends - sizes
    knots = np.column_stack([at[starts], at[ends - 1]]).ravel()
    heights = np.repeat(values, 2)
    keep = np.append(np.diff(knots) > 0, True)
    return IsotonicFit(at=knots[keep].tolist(), value=heights[keep].tolist())


def _pool(means: list[float], mass: list[float]) -> tuple[Floats, NDArray[np.int64]]:
    """Merge neighbours until the means do not decrease; return each block's mean and how many points it has."""
    values: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for mean, weight in zip(means, mass, strict=True):
        values.append(mean)
        weights.append(weight)
        sizes.append(1)
        while len(values) > 1 and values[-2] >= values[-1]:
            total = weights[-2] + weights[-1]
            values[-2] = (values[-2] * weights[-2] + values[-1] * weights[-1]) / total
            weights[-2] = total
            sizes[-2] += sizes[-1]
            del values[-1], weights[-1], sizes[-1]
    return np.array(values), np.array(sizes)
