"""Values of rows: exact by definition, low for wrong labels, and honest about what leaving rows out does."""

from __future__ import annotations

import sys
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from planted_batches import draw

from sampan.errors import ParameterError
from sampan.evaluation.admission.knn_shapley import knn_shapley
from sampan.evaluation.admission.table import numeric_table, read_table
from sampan.evaluation.admission.value import quarantine_effect, value_rows, value_vectors
from sampan.stats.ranking import auc

Rows = NDArray[np.intp]


def shapley_by_definition(vectors: NDArray[np.float32], classes: Rows, asked: NDArray[np.float32], truth: Rows, k: int) -> list[float]:
    """Sum over all subsets, as the definition says."""
    n = len(vectors)
    near = -(asked @ vectors.T) / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)

    def worth(members: tuple[int, ...]) -> float:
        nearest = (sorted(members, key=lambda i, row=row: near[row, i])[:k] for row in range(len(asked)))
        return float(np.mean([sum(classes[i] == truth[row] for i in chosen) / k for row, chosen in enumerate(nearest)]))

    found = []
    for one in range(n):
        others = [i for i in range(n) if i != one]
        total = 0.0
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            total += sum(weight * (worth((*chosen, one)) - worth(chosen)) for chosen in combinations(others, size))
        found.append(total)
    return found


@pytest.mark.parametrize(("k", "n_classes"), [(1, 2), (3, 2), (2, 3), (5, 3)])
def test_knn_shapley_is_the_shapley_value(k: int, n_classes: int) -> None:
    rng = np.random.default_rng(k)
    vectors, asked = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    classes, truth = rng.integers(0, n_classes, 6), rng.integers(0, n_classes, 3)

    values = knn_shapley(vectors, classes, asked, truth, k=k)

    assert shapley_by_definition(vectors, classes, asked, truth, k) == pytest.approx(values.tolist(), abs=1e-12)


def test_a_nearest_neighbor_value_needs_rows_and_neighbors() -> None:
    one = np.ones((3, 2), np.float32)

    with pytest.raises(ParameterError, match="k = 3 neighbors of 3 rows"):
        knn_shapley(one, np.zeros(3, np.intp), one, np.zeros(3, np.intp), k=3)
    with pytest.raises(ParameterError, match="no row is asked about"):
        knn_shapley(one, np.zeros(3, np.intp), one[:0], np.zeros(0, np.intp), k=1)


def test_wrong_labels_of_digits_are_the_least_valuable_pictures() -> None:
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(0)
    wrong = rng.random(len(digits.target)) < 0.1
    classes = np.where(wrong, (digits.target + rng.integers(1, 10, len(wrong))) % 10, digits.target)

    found = value_vectors(digits.data.astype(np.float32), classes, rng)

    assert auc(wrong.astype(np.float64), -found.values) > 0.99
    assert wrong[found.wrong].mean() > 0.9
    assert found.wrong[wrong].mean() > 0.85
    assert (digits.target[found.wrong & wrong] == found.other[found.wrong & wrong]).mean() > 0.95


@pytest.mark.slow  # cross-fits a few models
def test_flipped_labels_of_a_table_have_the_lowest_margins_and_leaving_them_out_helps() -> None:
    rng = np.random.default_rng(0)
    frame, labels = draw(4000, rng)
    sure = np.abs(frame["x0"].to_numpy()) > 1
    wrong = (rng.random(4000) < 0.1) & sure
    table = read_table(frame, frame.clear(), np.where(wrong, 1 - labels, labels), np.zeros(0))

    found = value_rows(table, rng)
    effect = quarantine_effect(table, rng, shares=(0.02,))

    assert auc(wrong.astype(np.float64), -found.values) > 0.85
    assert 60 == effect[0].n_held
    assert effect[0].beside_random.value is not None


@pytest.mark.slow  # one model per class and fold
def test_several_classes_are_valued_too() -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    classes = iris.target.copy()
    classes[[3, 60, 120]] = [2, 0, 0]

    table = numeric_table(iris.data.astype(np.float32), classes.astype(np.float64), "abcd", n_base=150, classes=tuple(iris.target_names))
    found = value_rows(table, np.random.default_rng(0))

    assert {3, 60, 120} <= set(np.argsort(found.values)[:12].tolist())
    assert [0, 1, 2] == found.other[[3, 60, 120]].tolist()
