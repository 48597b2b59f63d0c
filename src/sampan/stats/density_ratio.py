"""How much more often rows like this one come now than in a reference: weights that make a reference look like the present.

A ridge logistic regression tells the two samples apart on features cut into quantile bins (missing = a bin of its own); its odds are the
ratio. Binning lets it follow bends and missing values without trees; features interact only through their sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.stats.divergence import quantile_edges

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]

N_BINS = 8
RIDGE = 3.0
MAX_ITERATIONS = 15
TOLERANCE = 1e-4
MAX_WEIGHT = 20.0


def density_ratio(reference: Matrix, current: Matrix) -> Floats:
    """Return a weight per reference row, mean 1, at most `MAX_WEIGHT` before scaling.

    Parameters
    ----------
    reference, current : shape (n, k), (m, k); NaN = missing; some hundred rows each at least

    References
    ----------
    S. Bickel, M. Brückner, T. Scheffer (2009), "Discriminative Learning Under Covariate Shift", JMLR 10.
    """
    design, now = _designs(reference, current)
    labels = np.concatenate([np.zeros(len(design)), np.ones(len(now))])
    coefficients = _ridge_logistic(np.vstack([design, now]), labels)
    odds = np.exp(np.clip(design @ coefficients, -30, 30)) * (len(reference) / len(current))
    weights = np.minimum(odds, MAX_WEIGHT)
    return np.asarray(weights / weights.mean())


def effective_size(weights: Floats) -> float:
    """Return how many equally weighted rows tell as much as these (Kish)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _designs(reference: Matrix, current: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return one column per bin of each feature (the last bin left out), and a column of ones."""
    before: list[NDArray[np.float32]] = [np.ones((len(reference), 1), np.float32)]
    now: list[NDArray[np.float32]] = [np.ones((len(current), 1), np.float32)]
    for column, other in zip(reference.T, current.T, strict=True):
        known = column[~np.isnan(column)]
        edges = quantile_edges(known, n_bins=N_BINS) if len(known) else np.zeros(0)
        levels = np.arange(len(edges) + 1)
        for values, into in ((column, before), (other, now)):
            codes = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
            into.append((codes[:, None] == levels[None, :]).astype(np.float32))
    return np.hstack(before), np.hstack(now)


def _ridge_logistic(design: NDArray[np.float32], labels: Floats) -> Floats:
    """Fit by Newton's method; the intercept (first column) is not shrunk."""
    coefficients = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-6
    for _ in range(MAX_ITERATIONS):
        chance = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        gradient = design.T @ (labels - chance) - penalty * coefficients
        spread = (chance * (1 - chance)).astype(np.float32)
        curvature = (design * spread[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature.astype(np.float64), gradient)
        coefficients += step
        if np.abs(step).max() < TOLERANCE:
            break
    return coefficients
