"""Tree ensembles read from graphs, cut back and written again; held against LightGBM and scikit-learn."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
import skl2onnx
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from sampan.compression.ensembles import Trees, n_trees
from sampan.compression.timing import open_session
from sampan.errors import Unsupported
from sampan.flavors.lightgbm import LightGBM
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.sklearn import ScikitLearn


@pytest.fixture(scope="module")
def rows() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    features, labels = load_breast_cancer(return_X_y=True)
    found = features.astype(np.float32)
    found[np.random.default_rng(0).random(found.shape) < 0.1] = np.nan
    return found, labels.astype(np.float64)


@pytest.fixture(scope="module")
def boosted(rows: tuple[Any, Any]) -> tuple[Any, bytes]:
    settings = {"objective": "binary", "num_leaves": 8, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(*rows), 40)
    return booster, LightGBM().to_onnx(booster, rows[0].shape[1])


def test_sums_of_the_trees_read_are_the_librarys_also_where_values_are_missing(rows: tuple[Any, Any], boosted: tuple[Any, bytes]) -> None:
    booster, graph = boosted
    trees = Trees.of(graph)

    assert 40 == n_trees(graph)
    np.testing.assert_allclose(trees.sums(rows[0])[:, 0], booster.predict(rows[0], raw_score=True), atol=1e-6)
    assert OnnxScorer(trees.into(graph))(rows[0]).tolist() == OnnxScorer(graph)(rows[0]).tolist()


def test_the_first_trees_are_what_the_library_says_of_so_many_rounds(rows: tuple[Any, Any], boosted: tuple[Any, bytes]) -> None:
    booster, graph = boosted
    first = Trees.of(graph).first(15)

    np.testing.assert_allclose(first.sums(rows[0])[:, 0], booster.predict(rows[0], raw_score=True, num_iteration=15), atol=1e-6)
    np.testing.assert_allclose(OnnxScorer(first.into(graph))(rows[0]), booster.predict(rows[0], num_iteration=15), atol=1e-6)


def test_sums_fitted_to_the_whole_are_nearer_than_the_bare_ones(rows: tuple[Any, Any], boosted: tuple[Any, bytes]) -> None:
    whole = Trees.of(boosted[1])
    wanted = whole.sums(rows[0])
    bare = whole.first(10)
    fitted = bare.fitted_to(wanted, rows[0])

    assert np.abs(fitted.sums(rows[0]) - wanted).mean() < 0.3 * np.abs(bare.sums(rows[0]) - wanted).mean()
    slope, constant = np.polyfit(bare.sums(rows[0])[:, 0], wanted[:, 0], 1)
    np.testing.assert_allclose(slope * bare.sums(rows[0]) + constant, fitted.sums(rows[0]), atol=1e-8)


def test_cutting_back_leaves_so_many_leaves_and_the_answers_near(rows: tuple[Any, Any], boosted: tuple[Any, bytes]) -> None:
    whole = Trees.of(boosted[1])
    cut = whole.cut_back(rows[0], whole.n_leaves // 2)

    assert whole.n_leaves // 2 == cut.n_leaves
    assert len(cut.into(boosted[1])) < 0.6 * len(boosted[1])
    assert np.corrcoef(cut.sums(rows[0])[:, 0], whole.sums(rows[0])[:, 0])[0, 1] > 0.98
    assert len(whole.roots) == whole.cut_back(rows[0], 0).n_leaves
    np.testing.assert_allclose(OnnxScorer(cut.into(boosted[1]))(rows[0]), 1 / (1 + np.exp(-cut.sums(rows[0])[:, 0])), atol=1e-6)


def test_the_branch_that_changes_least_goes_first() -> None:
    trees = Trees(
        roots=np.array([0]),
        tree=np.zeros(7, np.int64),
        left=np.array([1, 3, 5, -1, -1, -1, -1]),
        right=np.array([2, 4, 6, -1, -1, -1, -1]),
        feature=np.array([0, 1, 1, 0, 0, 0, 0]),
        threshold=np.zeros(7, np.float32),
        missing_left=np.zeros(7, bool),
        strict=np.zeros(7, bool),
        value=np.array([[0], [0], [0], [1.0], [2.0], [10.0], [30.0]]),
        base=np.zeros(1),
    )
    rows = np.array([[-1, -1], [-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)

    cut = trees.cut_back(rows, 3)

    assert [4 / 3, 4 / 3, 4 / 3, 10.0, 30.0] == pytest.approx(cut.sums(rows)[:, 0].tolist())
    assert [(2 * 1 + 2 + 10 + 30) / 5] * 5 == pytest.approx(trees.cut_back(rows, 1).sums(rows)[:, 0].tolist())


def test_the_trees_of_a_forest_are_read_too(rows: tuple[Any, Any]) -> None:
    forest = RandomForestClassifier(12, max_depth=4, random_state=0).fit(*rows)
    graph = ScikitLearn().to_onnx(forest, rows[0].shape[1])
    trees = Trees.of(graph)
    few = trees.first(6).fitted_to(trees.sums(rows[0]), rows[0])

    np.testing.assert_allclose(trees.sums(rows[0])[:, 0], forest.predict_proba(rows[0])[:, 1], atol=1e-6)
    assert abs(few.sums(rows[0]).mean() - trees.sums(rows[0]).mean()) < 1e-9


def test_trees_of_several_classes_are_cut_back_class_by_class() -> None:
    features, labels = load_iris(return_X_y=True)
    rows = features.astype(np.float32)
    settings = {"objective": "multiclass", "num_class": 3, "num_leaves": 6, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), 20)
    graph = LightGBM().to_onnx(booster, 4)
    whole = Trees.of(graph)
    cut = whole.cut_back(rows, whole.n_leaves // 2).fitted_to(whole.sums(rows), rows)

    np.testing.assert_allclose(whole.sums(rows), booster.predict(rows, raw_score=True), atol=1e-6)
    np.testing.assert_allclose(OnnxScorer(whole.first(31).into(graph))(rows), booster.predict(rows, num_iteration=10), atol=1e-6)
    assert whole.n_leaves // 2 == cut.n_leaves
    assert (OnnxScorer(cut.into(graph))(rows).argmax(axis=1) == booster.predict(rows).argmax(axis=1)).mean() > 0.97
    forest = RandomForestClassifier(9, max_depth=3, random_state=0).fit(rows, labels)
    few = Trees.of(ScikitLearn().to_onnx(forest, 4)).first(4)
    assert (4, 3) == (len(few.roots), len(few.base))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", [RandomForestClassifier, GradientBoostingClassifier])
def test_a_classifiers_trees_from_another_converter_are_cut_and_keep_their_labels(kind: Any, n_classes: int) -> None:
    features, labels = load_iris(return_X_y=True)
    inside = labels < n_classes
    rows, named = features[inside].astype(np.float32), np.array(["a", "b", "c"])[labels[inside]]
    model = kind(n_estimators=20, random_state=0).fit(rows, named)
    graph = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString()
    trees = Trees.of(graph)
    cut = trees.first(len(trees.roots) // 2).fitted_to(trees.sums(rows), rows).into(graph)
    same, half = (open_session(each).run(None, {"X": rows}) for each in (trees.into(graph), cut))
    whole = open_session(graph).run(None, {"X": rows})

    assert whole[0].tolist() == same[0].tolist()
    np.testing.assert_array_equal(whole[1], same[1])
    assert len(cut) < 0.75 * len(graph)
    assert (whole[0] == half[0]).mean() > 0.98
    assert np.abs(whole[1] - half[1]).mean() < 0.06


def test_a_graph_without_trees_is_refused() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = load_breast_cancer(return_X_y=True)
    graph = ScikitLearn().to_onnx(LogisticRegression(max_iter=5000).fit(features, labels), features.shape[1])

    assert 0 == n_trees(graph)
    with pytest.raises(Unsupported, match="0 tree ensembles"):
        Trees.of(graph)
