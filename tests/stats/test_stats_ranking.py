from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from sampan.stats.ranking import auc, delong_covariance, mid_ranks, pair_counts, reweighted_auc


@pytest.mark.parametrize("digits", [1, 2, 8])
def test_auc_equals_scikit_learns_with_and_without_ties(digits: int) -> None:
    rng = np.random.default_rng(digits)
    labels = (rng.random(500) < 0.3).astype(float)
    scores = np.round(rng.random(500) + 0.3 * labels, digits)

    assert roc_auc_score(labels, scores) == pytest.approx(auc(labels, scores), abs=1e-12)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auc(np.ones(5), np.arange(5.0)))


def test_mid_ranks_equal_scipys() -> None:
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])

    np.testing.assert_array_equal(rankdata(values), mid_ranks(values))


def test_reweighted_auc_equals_the_auc_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(4)
    labels = (rng.random(300) < 0.4).astype(float)
    scores = np.round(rng.random(300), 2)
    blocks = rng.integers(0, 6, 300)
    weights = np.array([[2, 0, 1, 1, 0, 2], [1, 1, 1, 1, 1, 1]], dtype=float)
    positives = np.bincount(blocks, weights=labels, minlength=6)
    negatives = np.bincount(blocks, weights=1 - labels, minlength=6)

    found = reweighted_auc(pair_counts(labels, scores, blocks, 6), positives, negatives, weights)

    for each, draw in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(300), draw[blocks].astype(int))
        assert roc_auc_score(labels[rows], scores[rows]) == pytest.approx(each, abs=1e-12)


def test_delong_error_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(1)
    areas, errors = [], []
    for _ in range(400):
        labels = (rng.random(400) < 0.3).astype(float)
        scores = rng.normal(size=400) + labels
        areas.append(auc(labels, scores))
        errors.append(delong_covariance(labels, scores)[0, 0] ** 0.5)

    # 400 repetitions know a standard deviation to about 4 %.
    assert np.std(areas) == pytest.approx(np.mean(errors), rel=0.12)
    assert norm.cdf(1 / np.sqrt(2)) == pytest.approx(np.mean(areas), abs=0.005)


def test_delong_covariance_knows_that_two_scores_on_the_same_rows_go_together() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(2000) < 0.3).astype(float)
    scores = rng.normal(size=2000) + labels
    covariance = delong_covariance(labels, scores, scores + 0.1 * rng.normal(size=2000))

    assert covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) > 0.95
