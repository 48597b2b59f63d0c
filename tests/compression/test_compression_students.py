"""Students: each learns each kind of task from rows with gaps, and its graph answers as it does."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sampan.compression.students import NETWORK, TREES, fit_student, students
from sampan.errors import ParameterError, Unsupported
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.sklearn import ScikitLearn

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(900, 4)).astype(np.float32)
SUMS = ROWS[:, 0] - ROWS[:, 1]
ROWS[RNG.random(ROWS.shape) < 0.05] = np.nan
SIZES: dict[str, Any] = {TREES: {"rounds": 20, "leaves": 7}, NETWORK: {"width": 16}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TREES, NETWORK])
@pytest.mark.parametrize(
    ("of", "labels", "least"),
    [("binary", SUMS > 0, 0.8), ("classes", np.digitize(SUMS, [-0.7, 0.7]), 0.65), ("regression", 5000 + 300 * SUMS, 0.7)],
    ids=["outcome", "classes", "numbers"],
)
def test_a_student_learns_and_its_graph_answers_as_it_does(kind: str, of: str, labels: NDArray[Any], least: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit_student(kind, SIZES[kind], ROWS, labels.astype(float), of=of, seed=0)
    flavor = ScikitLearn()
    native, graph = flavor.predict(model, ROWS), OnnxScorer(flavor.to_onnx(model, 4))(ROWS)

    assert model.score(ROWS, labels) > least
    np.testing.assert_allclose(graph, native, rtol=1e-4, atol=1e-4)


def test_the_sizes_go_down_and_what_cannot_be_learned_is_said_in_words() -> None:
    names = [name for name, _, _ in students()]
    endless = np.where(np.arange(8).reshape(4, 2) == 3, np.inf, 1.0)

    assert len(names) == len(set(names))
    assert "20 trees of 7 leaves" in names
    with pytest.raises(ParameterError, match="no student 'forest'"):
        fit_student("forest", {}, ROWS, SUMS, of="regression", seed=0)
    with pytest.raises(Unsupported, match="no network can be fitted"):
        fit_student(NETWORK, {"width": 4}, endless, np.array([0.0, 1, 0, 1]), of="binary", seed=0)
