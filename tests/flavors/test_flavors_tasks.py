"""Regressors and classifiers of several classes, of every library: kept bit for bit, and as graphs that answer the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import HuberRegressor, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from sampan.flavors.finding import find_flavor
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.parity import export, measure
from sampan.ports import Flavor

N, K = 1200, 5
SEED = {"random_state": 0}


def draw(*, missing: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features on a grid of tenths, numbers of the size of house prices, and classes 0, 1, 2."""
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(N, K)), 1).astype(np.float32)
    numbers = 200_000 + 40_000 * features[:, 0] - 20_000 * features[:, 1] + rng.normal(0, 9000, N)
    classes = np.digitize(features[:, 0] + 0.5 * rng.normal(size=N), [-0.5, 0.5]).astype(float)
    if missing:
        features[rng.random(features.shape) < 0.1] = np.nan
    return features, numbers, classes


def kept(model: Any, features: np.ndarray, folder: Path, *, are_numbers: bool) -> tuple[Flavor, np.ndarray]:
    """Hold a model to what is promised of every one: read back it answers bit for bit, as a graph within the tolerance."""
    flavor = find_flavor(model)
    flavor.save(model, folder)
    graph, parity = export(flavor, model, features, are_numbers=are_numbers)
    answers = flavor.predict(model, features)

    np.testing.assert_array_equal(answers, flavor.predict(flavor.load(folder), features))
    assert graph is not None, parity.reason
    assert OnnxScorer(graph)(features[:0]).shape == answers[:0].shape
    return flavor, answers


REGRESSORS = [
    LinearRegression(),
    make_pipeline(StandardScaler(), Ridge()),
    HuberRegressor(max_iter=1000),
    make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=200, **SEED)),
    DecisionTreeRegressor(max_depth=6, **SEED),
    RandomForestRegressor(10, **SEED),
    GradientBoostingRegressor(n_estimators=15, **SEED),
    GradientBoostingRegressor(n_estimators=15, loss="huber", **SEED),
    HistGradientBoostingRegressor(max_iter=15, **SEED),
    HistGradientBoostingRegressor(max_iter=15, loss="quantile", quantile=0.9, **SEED),
    HistGradientBoostingRegressor(max_iter=15, loss="poisson", **SEED),
    HistGradientBoostingRegressor(max_iter=15, loss="gamma", **SEED),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", REGRESSORS, ids=lambda m: str(m).replace("\n", "")[:48])
def test_a_regressor_of_scikit_learn_is_kept_and_becomes_a_graph(model: Any, tmp_path: Path) -> None:
    features, numbers, _ = draw()

    _, answers = kept(model.fit(features, numbers), features, tmp_path, are_numbers=True)

    np.testing.assert_array_equal(model.predict(features), answers)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(10, **SEED),
        ExtraTreesRegressor(10, **SEED),
        make_pipeline(SimpleImputer(), HistGradientBoostingRegressor(max_iter=9)),
    ],
    ids=["forest", "extra trees", "boosting behind an imputer"],
)
def test_trees_of_numbers_that_met_missing_values_become_graphs(model: Any, tmp_path: Path) -> None:
    features, numbers, _ = draw(missing=True)

    kept(model.fit(features, numbers), features, tmp_path, are_numbers=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=50, **SEED)),
        RandomForestClassifier(10, **SEED),
        GradientBoostingClassifier(n_estimators=10, **SEED),
        HistGradientBoostingClassifier(max_iter=10, **SEED),
    ],
    ids=lambda m: str(m).replace("\n", "")[:48],
)
def test_a_classifier_of_several_classes_of_scikit_learn_is_kept_and_becomes_a_graph(model: Any, tmp_path: Path) -> None:
    features, _, classes = draw()

    _, answers = kept(model.fit(features, classes), features, tmp_path, are_numbers=False)

    assert (N, 3) == answers.shape
    np.testing.assert_array_equal(model.predict_proba(features), answers)


@pytest.mark.parametrize("objective", ["regression", "regression_l1", "quantile", "poisson", "gamma", "tweedie", "multiclass"])
def test_lightgbm_answers_alike_as_a_graph_whatever_it_was_trained_for(objective: str, tmp_path: Path) -> None:
    features, numbers, classes = draw(missing=True)
    of_classes = objective == "multiclass"
    settings = {"objective": objective, "verbose": -1, "num_threads": 1, **({"num_class": 3} if of_classes else {})}
    model = lightgbm.train(settings, lightgbm.Dataset(features, classes if of_classes else numbers / 1000), 12)

    _, answers = kept(model, features, tmp_path, are_numbers=not of_classes)

    assert answers.shape == ((N, 3) if of_classes else (N,))


def test_lightgbm_of_square_roots_answers_alike_as_a_graph(tmp_path: Path) -> None:
    features, numbers, _ = draw()
    settings = {"objective": "regression", "reg_sqrt": True, "verbose": -1, "num_threads": 1}

    kept(lightgbm.train(settings, lightgbm.Dataset(features, numbers - 200_000), 12), features, tmp_path, are_numbers=True)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie"])
def test_xgboost_of_numbers_answers_alike_as_a_graph(objective: str, tmp_path: Path) -> None:
    features, numbers, _ = draw(missing=True)
    model = xgboost.XGBRegressor(n_estimators=12, max_depth=4, n_jobs=1, objective=objective).fit(features, numbers / 1000)

    _, answers = kept(model, features, tmp_path, are_numbers=True)

    np.testing.assert_allclose(model.predict(features), answers, rtol=1e-6)


def test_xgboost_of_several_classes_answers_alike_as_a_graph(tmp_path: Path) -> None:
    features, _, classes = draw(missing=True)
    model = xgboost.XGBClassifier(n_estimators=8, max_depth=4, n_jobs=1).fit(features, classes)

    _, answers = kept(model, features, tmp_path, are_numbers=False)

    np.testing.assert_allclose(model.predict_proba(features), answers, atol=1e-6)


@pytest.mark.parametrize("model", [SVR(), KNeighborsRegressor(), PoissonRegressor()], ids=["SVR", "neighbors", "Poisson"])
def test_a_regressor_is_a_right_graph_or_none(model: Any, tmp_path: Path) -> None:
    features, numbers, _ = draw()
    model.fit(features, numbers / 1000)
    flavor = find_flavor(model)
    flavor.save(model, tmp_path)

    graph, parity = export(flavor, model, features, are_numbers=True)

    np.testing.assert_array_equal(flavor.predict(model, features), flavor.predict(flavor.load(tmp_path), features))
    assert (graph is not None) == parity.passed
    assert parity.passed == (not parity.reason)


def test_differences_of_numbers_are_told_in_units_of_their_spread() -> None:
    rng = np.random.default_rng(0)
    small = rng.normal(0, 1e-4, 1000)

    assert not measure(small, small + 1e-6, np.zeros((1000, 1), np.float32), scale=float(small.std())).passed
    assert measure(small * 1e9, small * 1e9 + 0.01, np.zeros((1000, 1), np.float32), scale=float(small.std()) * 1e9).passed


def test_a_class_that_is_off_alone_is_seen() -> None:
    native = np.full((10, 3), 1 / 3)
    exported = native.copy()
    exported[4] = [1 / 3 + 0.1, 1 / 3 - 0.1, 1 / 3]

    found = measure(native, exported, np.zeros((10, 1), np.float32))

    assert (False, 0.1) == (found.passed, pytest.approx(found.share_far))
    assert measure(native, native[:, 0], np.zeros((10, 1), np.float32)).max_difference == 1
