from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
import skl2onnx
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sampan import plugins
from sampan.errors import IntegrityError, ParameterError, Unsupported
from sampan.flavors.lightgbm import LightGBM
from sampan.flavors.onnx_graph import OnnxScorer, with_one_score
from sampan.flavors.parity import export, measure
from sampan.flavors.sklearn import ScikitLearn
from sampan.ports import Flavor

N, K = 3000, 6


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Features with missing cells in the first column only, and labels."""
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(N, K)), 2).astype(np.float32)
    labels = (rng.random(N) < 1 / (1 + np.exp(-features[:, 0] - features[:, 1]))).astype(float)
    features[rng.random(N) < 0.2, 0] = np.nan
    return features, labels


def booster(features: np.ndarray, labels: np.ndarray, **params: object) -> lightgbm.Booster:
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 15, **params}
    return lightgbm.train(settings, lightgbm.Dataset(features, labels), 20)


def test_the_plug_in_table_names_every_flavor() -> None:
    found = {name: plugins.find("sampan.flavors", name)() for name in plugins.names("sampan.flavors")}

    assert {"lightgbm", "sklearn", "torch", "xgboost"} <= set(found)
    assert all(isinstance(flavor, Flavor) for flavor in found.values())


def test_a_lightgbm_estimator_belongs_to_lightgbm_alone(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(*data)

    assert LightGBM().matches(model)
    assert not LightGBM().matches(LogisticRegression())
    assert ScikitLearn().matches(LogisticRegression())
    assert 1e-6 > np.abs(LightGBM().predict(model, data[0]) - model.predict_proba(data[0])[:, 1]).max()


def test_lightgbm_round_trips_through_its_text_exactly(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    flavor, model = LightGBM(), booster(*data)

    flavor.save(model, tmp_path)

    np.testing.assert_array_equal(flavor.predict(model, data[0]), flavor.predict(flavor.load(tmp_path), data[0]))
    assert ["model.txt"] == [f.name for f in tmp_path.iterdir()]


def test_the_graph_of_trees_answers_as_the_trees_do_also_where_training_saw_no_missing_value(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    rng = np.random.default_rng(1)
    hard = features.copy()
    hard[rng.random(hard.shape) < 0.3] = np.nan
    hard[rng.random(hard.shape) < 0.1] = 0.0

    graph, parity = export(LightGBM(), booster(features, labels), hard)

    assert graph is not None
    assert parity.passed, parity.reason
    assert parity.max_difference < 1e-6
    assert parity.n_with_missing > N // 2


def test_values_that_lie_on_a_threshold_go_the_same_way_in_float32() -> None:
    # 0.1 has no exact float32: the nearest lies above it, and rounding the threshold there would send the value elsewhere.
    rng = np.random.default_rng(2)
    features = (rng.integers(0, 100, (N, 1)) / 10).astype(np.float32)
    labels = (features[:, 0] * 10 % 7 < 3).astype(float)

    _, parity = export(LightGBM(), booster(features, labels, min_data_in_leaf=5), features)

    assert 0 == parity.share_far


def test_a_raw_lightgbm_score_is_exported_without_the_sigmoid(data: tuple[np.ndarray, np.ndarray]) -> None:
    _, parity = export(LightGBM(), booster(*data, objective="regression"), data[0])

    assert parity.passed, parity.reason


@pytest.mark.parametrize(
    ("params", "fault"),
    [({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "random forests"), ({"zero_as_missing": True}, "zeros as missing")],
)
def test_what_the_graph_cannot_say_is_served_natively_with_the_reason(
    data: tuple[np.ndarray, np.ndarray], params: dict[str, object], fault: str
) -> None:
    graph, parity = export(LightGBM(), booster(*data, **params), data[0])

    assert graph is None
    assert fault in parity.reason


def test_classes_that_are_not_those_that_were_given_are_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = LogisticRegression().fit(data[0][:, 1:], np.where(data[1] > 0, "late", "in time"))

    with pytest.raises(Unsupported, match="classes 0, 1"):
        ScikitLearn().predict(model, data[0][:, 1:])
    with pytest.raises(Unsupported, match="classes 0, 1"):
        ScikitLearn().to_onnx(model, K - 1)


def test_a_graph_for_another_number_of_features_is_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ParameterError, match="6 features, not 7"):
        LightGBM().to_onnx(booster(*data), 7)


@pytest.mark.parametrize(
    "steps",
    [(StandardScaler(), LogisticRegression()), (RandomForestClassifier(8, max_depth=5, random_state=0),)],
    ids=["logistic", "forest"],
)
def test_a_pipeline_that_converts_rightly_is_served_as_a_graph_and_kept_whole(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path, steps: tuple[object, ...]
) -> None:
    flavor = ScikitLearn()
    model = make_pipeline(SimpleImputer(), *steps).fit(*data)

    graph, parity = export(flavor, model, data[0])
    flavor.save(model, tmp_path)

    assert graph is not None, parity.reason
    assert {"model.json", "arrays.npz", "params.json"} == {f.name for f in tmp_path.iterdir()}
    np.testing.assert_array_equal(flavor.predict(model, data[0]), flavor.predict(flavor.load(tmp_path), data[0]))


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(max_iter=1000)),
        make_pipeline(SimpleImputer(), LinearDiscriminantAnalysis()),
    ],
    ids=["imputer with indicator", "LDA"],
)
def test_what_the_public_converter_gets_silently_wrong_is_built_right_here(data: tuple[np.ndarray, np.ndarray], model: Pipeline) -> None:
    features, labels = data
    graph, parity = export(ScikitLearn(), model.fit(features, labels), features)
    public = skl2onnx.to_onnx(model, features[:1], options={id(model): {"zipmap": False}}, target_opset={"": 15, "ai.onnx.ml": 3})

    theirs = OnnxScorer(with_one_score(public.SerializeToString(), column=1))(features)

    assert graph is not None
    assert parity.max_difference < 1e-6
    assert "rows differ by more than 0.001" in measure(model.predict_proba(features)[:, 1], theirs, features).reason


def test_a_part_whose_graph_would_be_wrong_for_rows_that_a_gate_may_not_meet_is_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = make_pipeline(ColumnTransformer([("holes", KNNImputer(), [0, 1])]), LogisticRegression()).fit(data[0][:500], data[1][:500])

    graph, parity = export(ScikitLearn(), model, data[0])

    assert graph is None
    assert "KNNImputer is not exported" in parity.reason


def test_a_score_that_is_no_number_is_as_far_as_can_be() -> None:
    found = measure(np.full(4, 0.5), np.array([0.5, 0.5, 0.5, np.nan]), np.zeros((4, 1), np.float32))

    assert (False, 1.0, 0.25) == (found.passed, found.max_difference, found.share_far)


def test_no_rows_prove_nothing() -> None:
    assert not measure(np.empty(0), np.empty(0), np.empty((0, 1), np.float32)).passed


def test_no_rows_get_no_scores_and_a_broken_graph_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    scorer = OnnxScorer(LightGBM().to_onnx(booster(*data), K))

    assert (0,) == scorer(np.empty((0, K), np.float32)).shape
    with pytest.raises(IntegrityError, match="cannot be loaded"):
        OnnxScorer(b"no graph")


def test_the_same_model_gives_the_same_bytes(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = booster(*data)

    assert LightGBM().to_onnx(model, K) == LightGBM().to_onnx(model, K)
