"""How well a model probably does on rows whose labels are not known yet: confidence-based performance estimation (CBPE).

Scores are calibrated on labelled reference rows, weighted so that these look like the present ones; the calibrated chance of each row then
says what to expect of every metric. What no such method can see: a changed relation between features and label (concept drift).
Where the reference's scores are badly calibrated nothing is estimated, since the answer would be worse than none.

References
----------
J. Białek, W. Kuberski, N. Perrakis, A. Bifet (2024), "Estimating Model Performance Under Covariate Shift Without Labels", arXiv:2401.08348.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.stats.bootstrap import Estimate, time_blocks
from sampan.stats.density_ratio import density_ratio, effective_size
from sampan.stats.isotonic import fit_isotonic

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]

BLIND_SPOT = "blind to a changed relation between features and label"


class Costs(msgspec.Struct, frozen=True):
    """What each kind of decision costs, a gain being negative; the decision is score >= threshold."""

    threshold: float
    false_alarm: float = 1.0
    missed: float = 1.0
    hit: float = 0.0
    silence: float = 0.0


class EstimateRules(msgspec.Struct, frozen=True):
    """When an estimate is worth giving, and how much work goes into it."""

    min_rows: int = 300
    max_raw_error: float = 0.10  # calibration error of the reference's scores as they are
    max_fitted_error: float = 0.03  # after calibration, on rows the calibration has not seen, beyond chance
    min_effective_share: float = 0.05  # of the reference, after weighting; below it the reference says too little of the present
    max_reference_rows: int = 10_000  # evenly spaced rows of larger samples are read
    n_fits: int = 25  # calibrations on resampled reference rows
    n_draws: int = 8  # of labels, for each of these


class PerformanceEstimate(msgspec.Struct, frozen=True):
    """Expected quality with 95 % intervals that the later truth should fall into, or the reason why there is none."""

    refused: str = ""
    method: Literal["", "weighted", "plain"] = ""
    auc: Estimate = Estimate(value=None)
    log_loss: Estimate = Estimate(value=None)
    cost: Estimate = Estimate(value=None)
    positive_share: Estimate = Estimate(value=None)
    raw_error: float = 0.0  # calibration error of the reference's scores as they are
    fitted_error: float = 0.0
    effective_rows: float = 0.0
    note: str = BLIND_SPOT


class LabelledSample(msgspec.Struct, frozen=True):
    """Reference rows: features (n, k); the model's scores, the true labels and the moments, all (n,)."""

    features: Matrix
    scores: Floats
    labels: Floats
    moments: NDArray[np.int64] | None = None  # where given, whole days are resampled: rows of one day are not independent


def estimate_performance(
    reference: LabelledSample,
    features: Matrix,
    scores: Floats,
    *,
    costs: Costs,
    rng: np.random.Generator,
    rules: EstimateRules | None = None,
) -> PerformanceEstimate:
    """Estimate AUC, log loss and cost per row of unlabelled rows.

    Parameters
    ----------
    features, scores : shape (m, k), (m,); scores in [0, 1]
    """
    rules = rules or EstimateRules()
    reference = _thinned(reference, rules.max_reference_rows)
    raw_error = calibration_error(reference.scores, reference.labels)
    fitted_error = _fitted_error(reference, rng)
    if reason := _refusal(reference, scores, raw_error, fitted_error, rules):
        return PerformanceEstimate(refused=reason, raw_error=raw_error, fitted_error=fitted_error)
    weights = density_ratio(reference.features, features[_spaced(len(features), rules.max_reference_rows)])
    method: Literal["weighted", "plain"] = "weighted"
    if effective_size(weights) < rules.min_effective_share * len(weights):
        weights, method = np.ones(len(weights)), "plain"
    values, drawn = _expected(reference, weights, scores, costs, rng, rules)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    auc, log_loss, cost, positive = (
        Estimate(value=float(v), low=float(a), high=float(b)) for v, a, b in zip(values, low, high, strict=True)
    )
    return PerformanceEstimate(
        method=method,
        auc=auc,
        log_loss=log_loss,
        cost=cost,
        positive_share=positive,
        raw_error=raw_error,
        fitted_error=fitted_error,
        effective_rows=effective_size(weights),
    )


def calibration_error(chances: Floats, labels: Floats, *, n_bins: int = 10) -> float:
    """Return the mean gap between chance and frequency over bins of equal share, less what sampling alone would give; at least 0."""
    order = np.argsort(chances, kind="stable")
    gap = noise = 0.0
    for part in np.array_split(order, min(n_bins, len(order))):
        expected = float(chances[part].mean())
        share = len(part) / len(order)
        gap += share * abs(float(labels[part].mean()) - expected)
        noise += share * np.sqrt(2 / np.pi * max(expected * (1 - expected), 0.0) / len(part))
    return max(gap - float(noise), 0.0)


def expected_metrics(chances: Floats, scores: Floats, costs: Costs) -> tuple[float, float, float, float]:
    """Return expected AUC, log loss, cost per row and share of positives of rows that are positive with these chances.

    With 0/1 labels as chances these are the true values.
    """
    return _Metrics(scores, costs)(chances)


class _Metrics:
    """The expected metrics as a function of the rows' chances; what depends on the scores alone is done once."""

    def __init__(self, scores: Floats, costs: Costs) -> None:
        _, self._place = np.unique(scores, return_inverse=True)
        clipped = np.clip(scores, 1e-7, 1 - 1e-7)
        self._if_positive, self._if_negative = -np.log(clipped), -np.log1p(-clipped)
        warned = scores >= costs.threshold
        self._cost_if_positive = np.where(warned, costs.hit, costs.missed)
        self._cost_if_negative = np.where(warned, costs.false_alarm, costs.silence)

    def __call__(self, chances: Floats) -> tuple[float, float, float, float]:
        against = 1 - chances
        log_loss = (chances * self._if_positive + against * self._if_negative).mean()
        cost = (chances * self._cost_if_positive + against * self._cost_if_negative).mean()
        return self._auc(chances, against), float(log_loss), float(cost), float(chances.mean())

    def _auc(self, chances: Floats, against: Floats) -> float:
        """Return the chance that a positive row outranks a negative one, ties counting half; 0.5 where there are no such pairs."""
        for_bin = np.bincount(self._place, weights=chances)
        against_bin = np.bincount(self._place, weights=against)
        below = np.cumsum(against_bin) - against_bin
        itself = float((chances * against).sum())  # a row is no pair with itself
        pairs = float(chances.sum() * against.sum()) - itself
        won = float((for_bin * (below + against_bin / 2)).sum()) - itself / 2
        return won / pairs if pairs > 1e-9 else 0.5


def _expected(
    reference: LabelledSample, weights: Floats, scores: Floats, costs: Costs, rng: np.random.Generator, rules: EstimateRules
) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
    """Return the expected metrics, and metrics of drawn labels under calibrations of resampled references."""

    def calibrated(rows: NDArray[np.int64]) -> Callable[[Floats], Floats]:
        return fit_isotonic(reference.scores[rows], reference.labels[rows], weights=weights[rows])

    blocks = np.arange(len(weights)) if reference.moments is None else time_blocks(reference.moments)
    metrics, chances = _Metrics(scores, costs), calibrated(np.arange(len(weights)))(scores)
    members = np.split(np.argsort(blocks, kind="stable"), np.cumsum(np.bincount(blocks))[:-1])
    drawn = []
    for _ in range(rules.n_fits):
        rows = np.concatenate([members[block] for block in rng.integers(0, len(members), len(members))])
        its_chances = calibrated(rows)(scores)
        for _ in range(rules.n_draws):
            labels = (rng.random(len(scores)) < its_chances).astype(np.float64)
            drawn.append(metrics(labels))
    return metrics(chances), np.array(drawn)


def _fitted_error(reference: LabelledSample, rng: np.random.Generator) -> float:
    """Return the calibration error on rows that the calibration has not seen."""
    order = rng.permutation(len(reference.scores))
    chances = np.zeros(len(order))
    for part, rest in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        if len(rest) and len(part):
            chances[part] = fit_isotonic(reference.scores[rest], reference.labels[rest])(reference.scores[part])
    return calibration_error(chances, reference.labels)


def _refusal(reference: LabelledSample, scores: Floats, raw_error: float, fitted_error: float, rules: EstimateRules) -> str:
    if len(reference.scores) < rules.min_rows:
        return f"the reference has {len(reference.scores)} labelled rows, an estimate needs {rules.min_rows}"
    if len(scores) < rules.min_rows:
        return f"the window has {len(scores)} rows, an estimate needs {rules.min_rows}"
    if reference.labels.min() == reference.labels.max():
        return "the reference has one class only"
    if raw_error > rules.max_raw_error:
        return f"the model is badly calibrated on its reference: scores and frequencies differ by {raw_error:.3f} > {rules.max_raw_error}"
    if fitted_error > rules.max_fitted_error:
        return (
            f"the reference cannot be calibrated: error {fitted_error:.3f} > {rules.max_fitted_error} on rows held out from the calibration"
        )
    return ""


def _thinned(reference: LabelledSample, max_rows: int) -> LabelledSample:
    if len(reference.scores) <= max_rows:
        return reference
    rows = _spaced(len(reference.scores), max_rows)
    moments = None if reference.moments is None else reference.moments[rows]
    return LabelledSample(features=reference.features[rows], scores=reference.scores[rows], labels=reference.labels[rows], moments=moments)


def _spaced(n: int, at_most: int) -> NDArray[np.int64]:
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(np.int64)
