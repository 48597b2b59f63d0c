"""The model a candidate must justify itself against: ridge logistic regression on the same features, fitted in a second.

Missing values become the column's median, with a column of its own that says so. A candidate that is not shown better than this is not
worth its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.losses import probabilities

Floats = NDArray[np.float64]
_MOST_CODES = 12  # a column of few whole numbers is taken as categories


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted logistic regression with its imputation, scaling and categories."""

    medians: Floats
    marked: NDArray[np.intp]  # columns with missing values in training
    categories: dict[int, Floats]
    center: Floats
    scale: Floats
    weights: Floats

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """Return the probability of the positive class, shape (n,)."""
        design = (_design(features, self.medians, self.marked, self.categories) - self.center) / self.scale
        scores: Floats = probabilities(self.weights[0] + design @ self.weights[1:])
        return scores


def fit_baseline(features: NDArray[np.float32], labels: Floats, *, ridge: float = 1.0) -> Baseline:
    """Fit by Newton's method; a column without any value is left out by its zero spread.

    Parameters
    ----------
    features : shape (n, k), NaN where missing
    labels : shape (n,), 0 or 1
    """
    missing = np.isnan(features)
    empty = missing.all(axis=0)
    medians = np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, features), axis=0)).astype(np.float64)
    marked = np.flatnonzero(missing.any(axis=0) & ~empty)
    categories = _categories(features)
    design = _design(features, medians, marked, categories)
    center, scale = design.mean(axis=0), design.std(axis=0)
    scale[scale < 1e-9] = np.inf
    design = np.column_stack([np.ones(len(design)), (design - center) / scale])
    penalty = ridge * np.eye(design.shape[1])
    penalty[0, 0] = 1e-6
    weights = np.zeros(design.shape[1])
    for _ in range(20):
        fitted = probabilities(design @ weights)
        curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, design.T @ (labels - fitted) - penalty @ weights)
        weights = weights + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-6:
            break
    return Baseline(medians, marked, categories, center, scale, weights)


def _categories(features: NDArray[np.float32]) -> dict[int, Floats]:
    found = {}
    for column in range(features.shape[1]):
        values = np.unique(features[:, column][~np.isnan(features[:, column])])
        if 2 < len(values) <= _MOST_CODES and (values == np.round(values)).all():
            found[column] = values[1:].astype(np.float64)
    return found


def _design(features: NDArray[np.float32], medians: Floats, marked: NDArray[np.intp], categories: dict[int, Floats]) -> Floats:
    missing = np.isnan(features)
    filled = np.where(missing, medians, features).astype(np.float64)
    one_hot = [(filled[:, column, None] == values).astype(np.float64) for column, values in categories.items()]
    return np.column_stack([filled, missing[:, marked].astype(np.float64), *one_hot])
