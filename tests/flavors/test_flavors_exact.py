"""Every learner the product names, kept without pickle: read back bit for bit, and as a graph that answers the same on every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sampan.errors import IntegrityError, Unsupported
from sampan.flavors.parity import export
from sampan.flavors.sklearn import ScikitLearn
from sampan.flavors.sklearn_state import ARRAYS, STATE, read_state
from sampan.flavors.trees import floor32
from sampan.flavors.xgboost import XGBoost

N, K = 1500, 5
SEED = {"random_state": 0}


def draw(*, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features on a grid of tenths, which have no exact float32, and labels; with missing cells on request."""
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(N, K)), 1).astype(np.float32)
    labels = (rng.random(N) < 1 / (1 + np.exp(-features[:, 0] - features[:, 1]))).astype(float)
    if missing:
        features[rng.random(features.shape) < 0.1] = np.nan
    return features, labels


TREES = [
    RandomForestClassifier(20, **SEED),
    ExtraTreesClassifier(20, **SEED),
    HistGradientBoostingClassifier(max_iter=20, **SEED),
    HistGradientBoostingClassifier(max_iter=20, early_stopping=True, **SEED),
    make_pipeline(SimpleImputer(), RandomForestClassifier(5, **SEED)),
]
WITHOUT_MISSING = [
    DecisionTreeClassifier(**SEED),
    GradientBoostingClassifier(n_estimators=10, **SEED),
    GradientBoostingClassifier(n_estimators=10, init="zero", **SEED),
    LogisticRegression(),
    SGDClassifier(loss="log_loss", **SEED),
    make_pipeline(StandardScaler(), PCA(2, svd_solver="randomized", **SEED), LogisticRegression()),
    StackingClassifier([("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))]),
]


def name_of(model: Any) -> str:
    return "-".join(str(model).split("(")[0:2])[:40]


@pytest.mark.parametrize("model", TREES, ids=name_of)
def test_trees_that_met_missing_values_are_kept_bit_for_bit_and_as_a_graph(model: Any, tmp_path: Path) -> None:
    check(ScikitLearn(), model.fit(*draw(missing=True)), draw(missing=True)[0], tmp_path)


@pytest.mark.parametrize("model", WITHOUT_MISSING, ids=name_of)
def test_estimators_are_kept_bit_for_bit_and_as_a_graph(model: Any, tmp_path: Path) -> None:
    check(ScikitLearn(), model.fit(*draw(missing=False)), draw(missing=False)[0], tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{}, {"booster": "dart", "rate_drop": 0.3}, {"early_stopping_rounds": 2, "n_estimators": 60}],
    ids=["trees", "dart", "early"],
)
def test_xgboost_is_kept_bit_for_bit_and_as_a_graph(settings: dict[str, Any], tmp_path: Path) -> None:
    features, labels = draw(missing=True)
    model = xgboost.XGBClassifier(**{"n_estimators": 15, "max_depth": 6, "n_jobs": 1, **settings})
    watched = {"eval_set": [(features[:300], labels[:300])], "verbose": False} if "early_stopping_rounds" in settings else {}
    model.fit(features[300:], labels[300:], **watched)

    check(XGBoost(), model, features, tmp_path)
    np.testing.assert_allclose(model.predict_proba(features)[:, 1], XGBoost().predict(model, features), atol=1e-7)


def check(flavor: Any, model: Any, features: np.ndarray, folder: Path) -> None:
    flavor.save(model, folder)
    graph, parity = export(flavor, model, features)

    np.testing.assert_array_equal(flavor.predict(model, features), flavor.predict(flavor.load(folder), features))
    assert graph is not None, parity.reason
    assert parity.max_difference < 1e-6


@pytest.mark.parametrize(
    "model",
    [
        MLPClassifier((4,), max_iter=20, early_stopping=True, tol=1.0, **SEED),
        KNeighborsClassifier(),
        CalibratedClassifierCV(LogisticRegression(), method="isotonic"),
        VotingClassifier([("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))], voting="soft"),
        make_pipeline(SplineTransformer(), LogisticRegression(max_iter=500)),
        make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()),
        HistGradientBoostingClassifier(categorical_features=[0], max_iter=5),
        make_pipeline(
            ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", KBinsDiscretizer(encode="ordinal"), slice(2, 4))]),
            DecisionTreeClassifier(max_depth=4),
        ),
    ],
    ids=name_of,
)
def test_what_no_converter_gets_right_is_still_kept_bit_for_bit(model: Any, tmp_path: Path) -> None:
    features, labels = draw(missing=False)
    features[:, 0] = np.abs(features[:, 0] * 10).round()
    flavor = ScikitLearn()

    flavor.save(model.fit(features, labels), tmp_path)

    np.testing.assert_array_equal(flavor.predict(model, features), flavor.predict(flavor.load(tmp_path), features))


def test_the_same_estimator_gives_the_same_bytes(tmp_path: Path) -> None:
    flavor, data = ScikitLearn(), draw(missing=False)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        flavor.save(RandomForestClassifier(3, **SEED).fit(*data), tmp_path / name)

    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in (STATE, ARRAYS))


class Foreign(StandardScaler):
    """A transformer of another package."""


def test_a_part_that_is_not_scikit_learns_is_named(tmp_path: Path) -> None:
    model = make_pipeline(Foreign(), LogisticRegression()).fit(*draw(missing=False))

    with pytest.raises(Unsupported, match=r"Pipeline.steps\[0\]\[1\] is a .*Foreign"):
        ScikitLearn().save(model, tmp_path)


def swap(told: Any, old: str, new: Any) -> Any:
    if told == old:
        return new
    if isinstance(told, list):
        return [swap(each, old, new) for each in told]
    return {key: swap(each, old, new) for key, each in told.items()} if isinstance(told, dict) else told


LINE = "sklearn.linear_model._logistic:LogisticRegression"


@pytest.mark.parametrize(
    "hostile",
    [
        "os:system",
        "sklearn.os:system",
        "sklearn.utils._joblib:joblib",
        "sklearn..linear_model:LogisticRegression",
        "builtins:object",
    ],
)
def test_a_file_that_names_what_is_no_class_of_scikit_learn_is_refused(hostile: str, tmp_path: Path) -> None:
    ScikitLearn().save(LogisticRegression().fit(*draw(missing=False)), tmp_path)
    told = json.loads((tmp_path / STATE).read_text())
    (tmp_path / STATE).write_text(json.dumps(swap(told, LINE, hostile)))

    with pytest.raises(IntegrityError, match="holds no estimator"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    "told", [["made", LINE, ["list", []], None], ["numpy", "load"], ["partial", "os:system", ["dict", [], ""]], ["code"]]
)
def test_a_file_cannot_have_anything_called(told: list[Any], tmp_path: Path) -> None:
    np.savez(tmp_path / ARRAYS)
    (tmp_path / STATE).write_text(json.dumps({"estimator": told}))

    with pytest.raises(IntegrityError, match="holds no estimator"):
        read_state(tmp_path)


@pytest.mark.parametrize("model", [DecisionTreeClassifier(max_depth=3), HistGradientBoostingClassifier(max_iter=2)], ids=name_of)
@pytest.mark.parametrize("edge", [0, 1 << 20])
def test_a_tree_that_leads_out_of_itself_or_in_a_circle_is_refused(model: Any, edge: int, tmp_path: Path) -> None:
    ScikitLearn().save(model.fit(*draw(missing=False)), tmp_path)
    with np.load(tmp_path / ARRAYS) as kept:
        arrays = dict(kept)
    for each in arrays.values():
        for word in ("left_child", "left"):
            if each.dtype.names and word in each.dtype.names:
                each[word][0] = edge
    np.savez(tmp_path / ARRAYS, **arrays)

    with pytest.raises(IntegrityError, match="leads out of itself"):
        read_state(tmp_path)


def test_objects_in_arrays_are_no_way_in_either(tmp_path: Path) -> None:
    ScikitLearn().save(LogisticRegression().fit(*draw(missing=False)), tmp_path)
    with np.load(tmp_path / ARRAYS) as kept:
        names = list(kept)
    np.savez(tmp_path / ARRAYS, **{name: np.array([print], dtype=object) for name in names})

    with pytest.raises(IntegrityError, match="holds no estimator"):
        read_state(tmp_path)


def test_a_damaged_xgboost_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(b"no trees")

    with pytest.raises(IntegrityError, match="no XGBoost model"):
        XGBoost().load(tmp_path)


def test_what_xgboost_cannot_be_asked_for_is_refused() -> None:
    features, labels = draw(missing=False)
    zeros = xgboost.XGBClassifier(n_estimators=2, missing=0.0).fit(features, labels)
    line = xgboost.XGBClassifier(n_estimators=2, booster="gblinear").fit(features, labels)

    with pytest.raises(Unsupported, match="missing=0"):
        XGBoost().predict(zeros, features)
    assert "gblinear is not exported" in export(XGBoost(), line, features)[1].reason


def test_thresholds_are_rounded_down_to_float32() -> None:
    thresholds = np.array([0.1, -0.1, 1.0, np.inf, 1e300, 3e-320])

    found = floor32(thresholds)

    assert (found <= thresholds).all()
    assert (found.astype(np.float32) == found).all()
    assert [1.0, np.inf] == found[2:4].tolist()
