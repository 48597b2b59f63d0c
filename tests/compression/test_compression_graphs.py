"""Other forms of real networks' graphs: what they answer, how large they are, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sampan.compression import graphs, neurons
from sampan.compression.features import importance, levels
from sampan.compression.sizing import Size, grid, halvings, sizes_among
from sampan.compression.teaching import between, taught
from sampan.compression.timing import Contender, measure, open_session
from sampan.errors import IntegrityError, ParameterError, Unsupported
from sampan.flavors.sklearn import ScikitLearn

Rows = NDArray[np.float32]


@pytest.fixture(scope="module")
def network() -> tuple[Rows, NDArray[np.float64], bytes]:
    features, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((48, 24), max_iter=120, random_state=0, tol=1e-2)).fit(features, labels)
    return features.astype(np.float32), labels.astype(np.float64), ScikitLearn().to_onnx(model, features.shape[1])


def answers(graph: bytes, rows: Rows) -> Any:
    return open_session(graph).run(None, {"features": rows})[0]


@pytest.mark.parametrize(
    ("make", "at_most"),
    [
        (lambda graph, rows: graphs.in_float16(graph), 0.75),
        (lambda graph, rows: graphs.in_dynamic_int8(graph, {"features": rows[:400]}), 0.75),
        (lambda graph, rows: graphs.in_static_int8(graph, {"features": rows[:400]}), 0.85),
        (lambda graph, rows: neurons.with_fewer_units(graph, rows[:400], 0.5), 0.55),
    ],
    ids=["float16", "dynamic int8", "static int8", "half of the units"],
)
def test_a_smaller_form_of_a_network_answers_alike(make: Any, at_most: float, network: tuple[Rows, Any, bytes]) -> None:
    rows, labels, graph = network
    made = make(graph, rows)
    before, after = answers(graph, rows), answers(made, rows)

    assert len(made) < at_most * len(graph)
    assert ((before > 0.5) == (after > 0.5)).mean() > 0.97
    assert ((after > 0.5) == labels).mean() > 0.95


def test_units_that_do_nothing_are_taken_out_without_a_trace() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 6)).astype(np.float32)
    model = MLPClassifier((16,), max_iter=1, random_state=0)
    with pytest.warns(UserWarning, match="iterations"):
        model.fit(rows, (rows[:, 0] > 0).astype(int))
    model.coefs_[0][:, ::2], model.coefs_[1][::2], model.intercepts_[0][::2] = 0.0, 0.0, 0.0
    graph = ScikitLearn().to_onnx(model, 6)

    np.testing.assert_allclose(answers(neurons.with_fewer_units(graph, rows, 0.5), rows), answers(graph, rows), atol=2e-4)


def test_what_has_no_weights_or_no_attention_is_refused_in_words(network: tuple[Rows, Any, bytes]) -> None:
    from sklearn.tree import DecisionTreeClassifier

    features, labels = load_digits(n_class=2, return_X_y=True)
    tree = ScikitLearn().to_onnx(DecisionTreeClassifier(max_depth=3).fit(features, labels), 64)

    given = {"features": features.astype(np.float32)}
    for make in (graphs.in_float16, lambda graph: graphs.in_dynamic_int8(graph, given)):
        with pytest.raises(Unsupported, match="trees compare in float32"):
            make(tree)
    with pytest.raises(Unsupported, match="no layer of attention"):
        graphs.fused(network[2])
    with pytest.raises(Unsupported, match="no hidden layer"):
        neurons.with_fewer_units(tree, features.astype(np.float32), 0.5)


def test_costs_are_measured_in_turns_and_the_work_grows_with_the_graph(network: tuple[Rows, Any, bytes]) -> None:
    rows, _, graph = network
    turns: list[int] = []
    given = {"features": rows[:50]}
    small = neurons.with_fewer_units(graph, rows, 0.1)
    found = measure(
        {"whole": Contender(graph, given), "small": Contender(small, given), "two threads": Contender(graph, given, threads=2)},
        turns=3,
        advance=lambda: turns.append(1),
    )

    assert 3 == len(turns)
    assert (len(graph), len(small)) == (found["whole"].size_bytes, found["small"].size_bytes)
    assert all(0 < each.p50_ms <= each.p99_ms and 0 < each.p50_100_ms <= each.p99_100_ms and each.cpu_us > 0 for each in found.values())
    assert found["two threads"].instructions is None
    whole, less = found["whole"].instructions, found["small"].instructions
    assert whole is None or less is None or less < whole  # None where the machine shows no counter


def test_a_graph_that_wants_other_inputs_than_the_rows_have_is_refused(network: tuple[Rows, Any, bytes]) -> None:
    with pytest.raises(IntegrityError, match="wants inputs features"):
        measure({"it": Contender(network[2], {"given": network[0]})}, turns=1)


def test_a_feature_that_nothing_hangs_on_matters_least() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3)).astype(np.float32)
    wanted = rows[:, 0] + 0.1 * rows[:, 1]
    found = importance(lambda given: given[:, 0] + 0.1 * given[:, 1], lambda scores: (scores - wanted) ** 2, rows, rng)

    assert [2, 1, 0] == np.argsort(found).tolist()
    assert 0 == found[2]
    assert [17, 12, 8] == levels(23)


def test_a_taught_label_is_the_teachers_share_of_the_time() -> None:
    rng = np.random.default_rng(0)
    labels, answers_of = np.zeros(20_000), np.tile([0.0, 0.3, 0.75, 1.0], 5_000)
    rows, drawn = taught(labels, answers_of, rng)

    assert (80_000, 40_000) == (len(rows), int((drawn[:40_000] == 0).sum()))
    shares = [drawn[40_000:][answers_of[rows[40_000:]] == share].mean() for share in (0.0, 0.3, 0.75, 1.0)]
    assert [0.0, 0.3, 0.75, 1.0] == pytest.approx(shares, abs=0.01)
    classes = np.array([[0.2, 0.3, 0.5]] * 30_000)
    _, codes = taught(np.zeros(30_000), classes, rng)
    assert [0.2, 0.3, 0.5] == pytest.approx(np.bincount(codes[60_000:].astype(int), minlength=3) / 60_000, abs=0.01)
    assert [1.5] == between(np.array([1.0]), np.array([2.0])).tolist()
    with pytest.raises(ParameterError, match="no probabilities"):
        taught(labels, answers_of * 2, rng)


def test_parameters_of_size_are_found_by_what_halving_them_leaves() -> None:
    params = {"rounds": 80, "num_leaves": 31, "learning_rate": 0.1, "seed": 42, "deterministic": True, "bins": 127, "depth": 3}

    assert {"rounds": {"rounds": 40}, "num_leaves": {"num_leaves": 15}, "bins": {"bins": 63}} == halvings(params)
    sizes = sizes_among([Size("bins", 0.99, 1.0), Size("num_leaves", 0.52, 1.0), Size("rounds", 0.5, 0.5)])
    assert ["rounds", "num_leaves"] == [each.name for each in sizes]
    smaller = grid(params, sizes)
    assert {"rounds": 40, "learning_rate": 0.2} in smaller
    assert {"num_leaves": 15} in smaller
    assert {"rounds": 10, "num_leaves": 3, "learning_rate": 0.3} == smaller[-1]
    assert 15 == len(smaller)
