"""Fits side by side are those one after another; a label without variety is answered by its share."""

from __future__ import annotations

import numpy as np
import pytest

from sampan.evaluation.admission.evidence import Evidence
from sampan.evaluation.admission.learner import CrossFit, Learner
from sampan.evaluation.admission.usual import chart, standard_error
from sampan.stats.bootstrap import Estimate

pytestmark = pytest.mark.slow  # LightGBM takes seconds to import

ROWS = np.arange(600)


def learner(n_classes: int) -> tuple[Learner, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(600, 3)).astype(np.float32)
    labels = matrix[:, 0] + 0.1 * rng.normal(size=600)
    codes = np.digitize(labels, np.quantile(labels, np.linspace(0, 1, n_classes + 1)[1:-1])) if n_classes else labels
    return Learner(matrix, codes.astype(np.float64), [], n_classes=n_classes), matrix, codes


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_models_fitted_side_by_side_are_those_fitted_alone(n_classes: int) -> None:
    found, matrix, _ = learner(n_classes)
    parts = [ROWS[:300], ROWS[200:], ROWS]

    together = found.fit_all(parts, n_rounds=10)

    for part, model in zip(parts, together, strict=True):
        assert np.array_equal(found.fit(part, n_rounds=10)(matrix), model(matrix))
        assert 0 == model.gains.argmax()


def test_a_row_is_predicted_by_models_that_did_not_see_it() -> None:
    found, matrix, codes = learner(3)
    folds = ROWS % 3

    crossed = CrossFit(found, matrix, ROWS, folds, n_rounds=10)

    alone = found.fit(ROWS[folds != 1], n_rounds=10)
    assert np.array_equal(alone(matrix[folds == 1]), crossed.out_of_fold[folds == 1])
    assert np.allclose(1, crossed.out_of_fold.sum(axis=1))
    assert (crossed.out_of_fold.argmax(axis=1) == codes).mean() > 0.8


@pytest.mark.parametrize(
    ("n_classes", "label", "expected"), [(0, 2.5, 2.5), (2, 1.0, 10.5 / 11), (4, 2.0, [0.25 / 11] * 2 + [10.25 / 11, 0.25 / 11])]
)
def test_of_labels_all_alike_the_share_is_answered(n_classes: int, label: float, expected: float | list[float]) -> None:
    matrix = np.arange(60, dtype=np.float32).reshape(20, 3)
    labels = np.where(np.arange(20) < 10, label, 0.0)

    model = Learner(matrix, labels, [], n_classes=n_classes).fit(np.arange(10))

    assert model(matrix[:1])[0] == pytest.approx(expected)
    assert [0, 0, 0] == model.gains.tolist()


def test_evidence_keeps_every_cause_of_a_row_and_the_gravest_doubt() -> None:
    found = Evidence(3)
    found.add("label", np.array([True, True, False]), np.array([0.6, 0.9, 1.0]))
    found.add("price", np.array([True, False, False]), 0.8)
    found.add("price", np.array([False, False, False]))

    assert [("label", "price"), ("label",), ()] == [tuple(doubt.cause for doubt in found.doubts(row)) for row in range(3)]
    assert [0.8, 0.9, 0.0] == found.severity.tolist()
    assert [True, True, False] == found.marked.tolist()


def test_the_reach_of_a_chart_widens_its_limit() -> None:
    near, far = (chart([0.0, 0.0, 0.0], floor=0.0, error=0.01, reach=reach) for reach in (1.0, 3.0))

    assert 3 == pytest.approx(far.limit / near.limit)
    assert (0.0, 1.0) == (standard_error(Estimate(0.5)), standard_error(Estimate(2.0, 0.04, 3.96)))


def test_one_spoiled_value_in_five_does_not_make_the_next_look_usual() -> None:
    clean, spoiled, habit = (chart([0.01, 0.0, 0.02, 0.01, last], floor=0.02) for last in (0.0, 0.4, 0.02))
    twice = chart([0.01, 0.4, 0.02, 0.01, 0.4], floor=0.02)

    assert spoiled.limit < 0.06
    assert clean.limit <= habit.limit <= spoiled.limit
    assert twice.limit > 0.4  # two make a habit
    assert 5 == spoiled.n
