"""Whether an answer means what it says: reliability bins, expected calibration error, slope and intercept, of chances and of numbers."""

from __future__ import annotations

from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.losses import logits, probabilities
from sampan.stats.bootstrap import Estimate, Resampling

Floats = NDArray[np.float64]


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Rows of like score: what was said on average and what happened."""

    low: float
    high: float
    n_rows: int
    said: float
    happened: Estimate


class Calibration(msgspec.Struct, frozen=True):
    """How far answers can be taken at their word.

    `error` (ECE) is the mean distance of said and happened over the bins; it cannot be zero on few rows. `slope` 1 and `intercept` 0 are
    perfect; a slope below 1 means too extreme scores; `intercept` is that of a fit with slope 1: the log odds all scores are too low by.
    Of several classes all this is about how sure the model is of the likeliest one; of numbers it is in their own unit.
    """

    error: Estimate
    slope: Estimate
    intercept: Estimate
    bins: tuple[ReliabilityBin, ...]


def calibration(labels: Floats, scores: Floats, resampling: Resampling, *, n_bins: int = 10) -> Calibration:
    """Measure calibration with bins of equally many rows; tied scores share a bin."""
    error, bins = _reliability(labels, scores, resampling, n_bins)
    slope, intercept = _recalibration(labels, scores, resampling)
    return Calibration(error, slope, intercept, bins)


def number_calibration(labels: Floats, scores: Floats, resampling: Resampling, *, n_bins: int = 10) -> Calibration:
    """Measure whether numbers are right on average wherever they lie: the same with a straight line in place of the logistic one."""
    error, bins = _reliability(labels, scores, resampling, n_bins)
    slope = Estimate(None)
    if np.ptp(scores) > 0:
        slope = _straight(np.column_stack([np.ones(len(scores)), scores]), labels, resampling)[1]
    intercept = _straight(np.ones((len(scores), 1)), labels - scores, resampling)[0]
    return Calibration(error, slope, intercept, bins)


def _reliability(labels: Floats, scores: Floats, resampling: Resampling, n_bins: int) -> tuple[Estimate, tuple[ReliabilityBin, ...]]:
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, n_bins + 1)[1:-1]))
    codes = np.searchsorted(edges, scores, side="right")
    found = []
    drawn_error = np.zeros(len(resampling.weights))
    total_error = 0.0
    for code in np.unique(codes):
        rows = codes == code
        part = resampling.among(rows)
        said, happened = float(scores[rows].mean()), float(labels[rows].mean())
        found.append(ReliabilityBin(float(scores[rows].min()), float(scores[rows].max()), int(rows.sum()), said, part.mean(labels[rows])))
        total_error += float(rows.mean()) * abs(said - happened)
        drawn_error += np.abs(resampling.drawn_mean(np.where(rows, scores - labels, 0.0)))
    # Noise only adds to a sum of distances, so draws lie too high; taking their excess off centers them on the figure.
    drawn_error = np.maximum(drawn_error - (drawn_error.mean() - total_error), 0.0)
    return resampling.estimate(total_error, drawn_error), tuple(found)


def _recalibration(labels: Floats, scores: Floats, resampling: Resampling) -> tuple[Estimate, Estimate]:
    said = logits(scores)
    if not 0 < labels.mean() < 1 or np.ptp(said) == 0:
        return Estimate(None), Estimate(None)
    slope = _logistic(np.column_stack([np.ones(len(said)), said]), np.zeros(len(said)), labels, resampling)[1]
    intercept = _logistic(np.ones((len(said), 1)), said, labels, resampling)[0]
    return slope, intercept


def _logistic(design: Floats, offset: Floats, labels: Floats, resampling: Resampling) -> list[Estimate]:
    """Fit by Newton; errors are robust to the dependence within blocks (sandwich)."""
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        fitted = probabilities(design @ beta + offset)
        curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + 1e-9 * np.eye(len(beta))
        step = np.linalg.solve(curvature, design.T @ (labels - fitted))
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return _robust(beta, design, labels - probabilities(design @ beta + offset), curvature, resampling)


def _straight(design: Floats, labels: Floats, resampling: Resampling) -> list[Estimate]:
    """Fit by least squares, with the same robust errors."""
    curvature = design.T @ design + 1e-12 * np.eye(design.shape[1])
    beta = np.asarray(np.linalg.solve(curvature, design.T @ labels), dtype=np.float64)
    return _robust(beta, design, labels - design @ beta, curvature, resampling)


def _robust(beta: Floats, design: Floats, residual: Floats, curvature: Floats, resampling: Resampling) -> list[Estimate]:
    by_block = np.column_stack([resampling.sums(column * residual) for column in design.T])
    inverse = np.linalg.inv(curvature)
    errors = np.sqrt(np.diag(inverse @ (by_block.T @ by_block) @ inverse))
    reach = NormalDist().inv_cdf(0.975) * errors
    return [Estimate(float(b), float(b - r), float(b + r)) for b, r in zip(beta, reach, strict=True)]
