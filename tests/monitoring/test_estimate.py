"""Performance without labels against the truth of simulated worlds; refusals where the truth could not be met."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from sampan.monitoring.estimate import Costs, LabelledSample, calibration_error, estimate_performance, expected_metrics
from sampan.stats.isotonic import fit_isotonic

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]
COSTS = Costs(threshold=0.4, false_alarm=1, missed=4)


def world(n: int, rng: np.random.Generator, *, shift: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Draw features, what a calibrated model says of them, and labels."""
    features = rng.normal(shift, 1, (n, 4))
    chances = expit(1.2 * features[:, 0] - 0.8 * features[:, 1] + 0.5 * features[:, 2] - 0.7)
    return features, chances, (rng.random(n) < chances).astype(np.float64)


def reference(rng: np.random.Generator, n: int = 6000) -> LabelledSample:
    features, scores, labels = world(n, rng)
    return LabelledSample(features=features, scores=scores, labels=labels)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.5])
def test_the_truth_lies_in_the_estimates_intervals(shift: float) -> None:
    rng = np.random.default_rng(10)
    n_within = n_figures = 0
    for _ in range(3):
        features, scores, labels = world(4000, rng, shift=shift)
        found = estimate_performance(reference(rng), features, scores, costs=COSTS, rng=rng)
        truth = expected_metrics(labels, scores, COSTS)
        for figure, value in zip((found.auc, found.log_loss, found.cost, found.positive_share), truth, strict=True):
            assert figure.low is not None
            assert figure.high is not None
            n_within += figure.low <= value <= figure.high
            n_figures += 1

    assert found.method == "weighted"
    # 12 figures with 95 % intervals, four of each draw correlated.
    assert n_within >= n_figures - 3


def test_a_shift_that_the_scores_do_not_show_is_seen_in_the_features() -> None:
    rng = np.random.default_rng(11)

    def narrow(features: Matrix) -> Floats:
        return np.asarray(expit(1.15 * features[:, 0] - 0.77 * features[:, 1] - 0.67))  # calibrated, knows nothing of feature 2

    before = reference(rng)
    before = LabelledSample(features=before.features, scores=narrow(before.features), labels=before.labels)
    features = rng.normal(0, 1, (8000, 4))
    features[:, 2] += 0.8
    truth = float(expit(1.2 * features[:, 0] - 0.8 * features[:, 1] + 0.5 * features[:, 2] - 0.7).mean())

    found = estimate_performance(before, features, narrow(features), costs=COSTS, rng=rng)

    assert found.positive_share.value is not None
    assert abs(before.labels.mean() - truth) > 0.06
    assert abs(found.positive_share.value - truth) < 0.02


def test_a_badly_calibrated_reference_is_refused_with_the_reason() -> None:
    rng = np.random.default_rng(12)
    before = reference(rng)
    features, scores, _ = world(2000, rng)
    overconfident = LabelledSample(features=before.features, scores=before.scores**4, labels=before.labels)

    found = estimate_performance(overconfident, features, scores**4, costs=COSTS, rng=rng)

    assert found.refused.startswith("the model is badly calibrated on its reference")
    assert found.auc.value is None


def test_a_score_that_cannot_be_calibrated_is_refused() -> None:
    rng = np.random.default_rng(13)
    features, scores, _ = world(3000, rng)
    # The chance rises, falls and rises again with the score: no monotone calibration fits, though the mean of each decile is near.
    chances = np.clip(scores + 0.28 * np.sin(scores * 18), 0, 1)
    labels = (rng.random(3000) < chances).astype(np.float64)

    found = estimate_performance(LabelledSample(features=features, scores=scores, labels=labels), features, scores, costs=COSTS, rng=rng)

    assert found.refused


@pytest.mark.parametrize(("n_reference", "n_window", "says"), [(100, 1000, "the reference has 100"), (1000, 100, "the window has 100")])
def test_few_rows_are_refused(n_reference: int, n_window: int, says: str) -> None:
    rng = np.random.default_rng(14)
    features, scores, _ = world(n_window, rng)

    assert says in estimate_performance(reference(rng, n_reference), features, scores, costs=COSTS, rng=rng).refused


def test_expected_metrics_of_known_labels_are_the_metrics() -> None:
    rng = np.random.default_rng(15)
    _, scores, labels = world(2000, rng)
    scores = scores.round(2)  # with ties

    auc, loss, cost, positive = expected_metrics(labels, scores, COSTS)

    assert auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert loss == pytest.approx(log_loss(labels, np.clip(scores, 1e-7, 1 - 1e-7)), abs=1e-12)
    by_hand = [(1 - y) if s >= 0.4 else 4 * y for s, y in zip(scores, labels, strict=True)]
    assert cost == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert positive == labels.mean()


def test_the_calibration_error_of_true_chances_is_about_nothing() -> None:
    rng = np.random.default_rng(16)
    _, chances, labels = world(5000, rng)

    assert calibration_error(chances, labels) < 0.01
    assert calibration_error(chances / 2, labels) == pytest.approx(labels.mean() / 2, abs=0.02)


def test_isotonic_fit_equals_scikit_learns() -> None:
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(17)
    scores, weights = rng.random(500).round(2), rng.random(500) + 0.1
    labels = (rng.random(500) < scores).astype(np.float64)
    asked = np.linspace(-0.1, 1.1, 97)

    ours = fit_isotonic(scores, labels, weights=weights)(asked)

    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights).predict(asked)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
