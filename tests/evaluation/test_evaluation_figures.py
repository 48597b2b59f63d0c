from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss

from sampan.evaluation.baseline import fit_baseline
from sampan.evaluation.calibration import calibration
from sampan.evaluation.costs import DecisionRule, best_threshold, confusion, cost_curve, row_costs
from sampan.evaluation.losses import log_losses, logits, probabilities, squared_errors
from sampan.evaluation.objective import value
from sampan.stats.bootstrap import DAY_MS, Resampling
from sampan.stats.ranking import auc


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, calibrated scores and moments of 6,000 rows in 40 days."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=6000) - 1
    labels = (rng.random(6000) < probabilities(z)).astype(float)
    return labels, probabilities(z), np.sort(rng.integers(0, 40 * DAY_MS, 6000))


def test_log_loss_and_brier_score_equal_scikit_learns(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, _ = scored

    assert log_loss(labels, scores) == pytest.approx(log_losses(labels, scores).mean(), abs=1e-12)
    assert brier_score_loss(labels, scores) == pytest.approx(squared_errors(labels, scores).mean(), abs=1e-12)


def test_log_loss_of_a_certain_mistake_is_large_but_finite() -> None:
    assert [pytest.approx(16.1, abs=0.1), 0.0] == log_losses(np.array([1.0, 1.0]), np.array([0.0, 1.0])).tolist()


def test_probabilities_and_logits_are_inverse_and_do_not_overflow() -> None:
    np.testing.assert_allclose(probabilities(logits(np.array([0.001, 0.5, 0.99]))), [0.001, 0.5, 0.99])
    np.testing.assert_array_equal(probabilities(np.array([-1e4, 1e4])), [0, 1])


def test_confusion_equals_scikit_learns(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, _ = scored
    (tn, fp), (fn, tp) = confusion_matrix(labels, scores >= 0.3)

    found = confusion(labels, scores, 0.3)

    assert (tp, fp, fn, tn) == (found.tp, found.fp, found.fn, found.tn)


def test_best_threshold_beats_every_other_threshold(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, _ = scored
    worth = value(fp=-5, fn=-40)
    costs = [row_costs(labels, scores, DecisionRule(float(t), worth)).mean() for t in np.linspace(0, 1, 1001)]

    found = best_threshold(labels, scores, worth)

    assert row_costs(labels, scores, DecisionRule(found, worth)).mean() <= min(costs)
    # A calibrated score pays from fp / (fp + fn) on.
    assert 5 / 45 == pytest.approx(found, abs=0.05)


def test_best_threshold_warns_about_nobody_where_warning_never_pays() -> None:
    scores = np.array([0.2, 0.9])

    assert best_threshold(np.zeros(2), scores, value(fp=-5, fn=-40)) > 0.9
    assert best_threshold(np.ones(2), scores, value(fp=-5, fn=-40)) == 0


def test_best_threshold_keeps_tied_rows_together() -> None:
    labels = np.array([1.0, 0.0, 0.0, 1.0])

    assert 0.4 == pytest.approx(best_threshold(labels, np.array([0.7, 0.1, 0.1, 0.7]), value(fp=-1, fn=-1)))


def test_cost_curve_is_the_cost_at_each_threshold(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, _ = scored
    worth = value(fp=-5, fn=-40, tp=2)

    for point in cost_curve(labels, scores, worth, n_points=11):
        assert row_costs(labels, scores, DecisionRule(point.threshold, worth)).mean() == pytest.approx(point.cost)
        assert (scores >= point.threshold).mean() == pytest.approx(point.warned)


def test_calibrated_scores_have_slope_one_and_intercept_zero_within_their_intervals(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, moments = scored

    found = calibration(labels, scores, Resampling.by_time(moments, np.random.default_rng(0)))

    assert found.slope.low <= 1 <= found.slope.high
    assert found.intercept.low <= 0 <= found.intercept.high
    assert found.error.value < 0.03


def test_slope_and_intercept_equal_an_unpenalized_logistic_regression(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, moments = scored
    extreme = probabilities(2 * logits(scores))
    reference = LogisticRegression(C=np.inf).fit(logits(extreme)[:, None], labels)

    found = calibration(labels, extreme, Resampling.by_time(moments, np.random.default_rng(0)))

    assert reference.coef_[0, 0] == pytest.approx(found.slope.value, abs=1e-3)
    assert found.slope.high < 1


def test_reliability_bins_equal_scikit_learns(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, moments = scored
    happened, said = calibration_curve(labels, scores, n_bins=10, strategy="quantile")

    bins = calibration(labels, scores, Resampling.by_time(moments, np.random.default_rng(0))).bins

    np.testing.assert_allclose(said, [b.said for b in bins], atol=1e-3)
    np.testing.assert_allclose(happened, [b.happened.value for b in bins], atol=1e-2)


def test_calibration_of_a_constant_score_has_one_bin_and_no_slope() -> None:
    moments = np.arange(100) * DAY_MS

    found = calibration(np.tile([0.0, 1.0], 50), np.full(100, 0.4), Resampling.by_time(moments, np.random.default_rng(0)))

    assert 1 == len(found.bins)
    assert found.slope.value is None
    assert 0.1 == pytest.approx(found.error.value)


def test_baseline_learns_with_missing_values_constant_and_empty_columns() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 5)).astype(np.float32)
    labels = (rng.random(3000) < probabilities(features[:, 0] * 1.5)).astype(float)
    features[rng.random(3000) < 0.2, 0] = np.nan
    features[:, 3], features[:, 4] = 7, np.nan

    model = fit_baseline(features[:2000], labels[:2000])

    assert auc(labels[2000:], model.predict(features[2000:])) > 0.7


def test_baseline_equals_scikit_learns_logistic_regression_where_nothing_is_missing() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1000, 3)).astype(np.float32)
    labels = (rng.random(1000) < probabilities(features @ np.array([1.0, -1.0, 0.5]))).astype(float)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    reference = LogisticRegression(C=1.0, tol=1e-8).fit(scaled, labels).predict_proba(scaled)[:, 1]

    np.testing.assert_allclose(reference, fit_baseline(features, labels).predict(features), atol=1e-4)
