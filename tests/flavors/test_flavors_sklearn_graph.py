"""Graphs that are built here of scikit-learn's parts answer as the parts do, also where the public converter has none or a wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import OnnxScorer, open_session
from sampan.flavors.sklearn import ScikitLearn
from sampan.flavors.sklearn_graph import graph_of_matrix, graph_of_table
from sampan.table.graph_writer import DOUBLE, MISSING, STRING

N, K = 800, 5
SEED = {"random_state": 0}
LINE = LogisticRegression(max_iter=500)


def draw(*, missing: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features on a grid, the last one a category from 0 to 7; labels of two and of three classes."""
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(N, K)), 1).astype(np.float32)
    features[:, -1] = rng.integers(0, 8, N)
    labels = (rng.random(N) < 1 / (1 + np.exp(-features[:, 0] - np.sin(3 * features[:, 1]) - (features[:, -1] == 3)))).astype(int)
    if missing:
        features[rng.random(features.shape) < 0.1] = np.nan
    return features, labels, labels + (features[:, 2] > 1)


ISOTONIC = CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=3)
WITH_MISSING = [
    make_pipeline(SimpleImputer(add_indicator=True), LINE),
    make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), StandardScaler(), RandomForestClassifier(10, **SEED)),
    make_pipeline(SimpleImputer(), StandardScaler(), HistGradientBoostingClassifier(max_iter=10, **SEED)),
    HistGradientBoostingClassifier(max_iter=10, categorical_features=[4], **SEED),
    make_pipeline(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), LINE),
    make_pipeline(PowerTransformer(), SimpleImputer(), LINE),
]
WHOLE = [
    LinearDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(reg_param=0.1),
    GaussianNB(),
    ISOTONIC,
    CalibratedClassifierCV(LinearSVC(), cv=3),
    VotingClassifier([("line", LINE), ("tree", DecisionTreeClassifier(max_depth=3))], voting="soft", weights=[1, 2]),
    StackingClassifier([("line", LINE), ("tree", DecisionTreeClassifier(max_depth=3))], passthrough=True),
    BaggingClassifier(DecisionTreeClassifier(max_depth=4), 5, max_features=0.5, **SEED),
    GridSearchCV(make_pipeline(MinMaxScaler(clip=True), LINE), {"minmaxscaler__clip": [True]}, cv=2),
    make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=50, tol=1.0, n_iter_no_change=2, **SEED)),
    make_pipeline(SplineTransformer(n_knots=4, degree=2, include_bias=False, knots="quantile"), LINE),
    make_pipeline(PolynomialFeatures(2), RobustScaler(), LINE),
    make_pipeline(FeatureUnion([("pca", PCA(2, whiten=True)), ("best", SelectKBest(k=2))]), Normalizer(), LINE),
    make_pipeline(KBinsDiscretizer(4, encode="onehot", quantile_method="averaged_inverted_cdf"), LINE),
    make_pipeline(FunctionTransformer(np.abs), FunctionTransformer(np.log1p), LINE),
    make_pipeline(Nystroem(n_components=10, **SEED), LINE),
    make_pipeline(RBFSampler(n_components=10, **SEED), LINE),
    make_pipeline(ColumnTransformer([("rare", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=105), [4])]), LINE),
    make_pipeline(ColumnTransformer([("one", OneHotEncoder(drop="first"), [4])], remainder=StandardScaler()), LINE),
    make_pipeline(ColumnTransformer([("mean", TargetEncoder(), [4])], remainder="passthrough"), LINE),
    SGDClassifier(loss="modified_huber", **SEED),
]


def name_of(model: Any) -> str:
    steps = getattr(model, "steps", None)
    return "-".join(type(step).__name__ for _, step in steps) if steps else type(model).__name__


def check(model: Any, features: np.ndarray) -> None:
    found = OnnxScorer(graph_of_matrix(model, features.shape[1]))(features)

    # GaussianNB computes in float32, and a steep step of an isotonic calibration makes more of the last bit.
    np.testing.assert_allclose(found, ScikitLearn().predict(model, features), rtol=1e-6, atol=5e-4 if model is ISOTONIC else 3e-6)


@pytest.mark.parametrize("model", WITH_MISSING, ids=name_of)
def test_steps_that_meet_missing_values_answer_the_same(model: Any) -> None:
    features, labels, _ = draw(missing=True)

    check(model.fit(features, labels), features)


@pytest.mark.parametrize("model", WHOLE, ids=name_of)
def test_steps_answer_the_same(model: Any) -> None:
    features, labels, _ = draw(missing=False)

    check(model.fit(features, labels), features)


@pytest.mark.parametrize("model", [LINE, LinearDiscriminantAnalysis(), SGDClassifier(loss="log_loss", **SEED), ISOTONIC], ids=name_of)
def test_every_class_of_three_has_its_probability(model: Any) -> None:
    features, _, labels = draw(missing=False)

    check(model.fit(features, labels), features)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), Ridge()),
        PoissonRegressor(),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    ],
    ids=name_of,
)
def test_numbers_are_the_same(model: Any) -> None:
    features, labels, _ = draw(missing=False)

    check(model.fit(features, labels + 0.5), features)


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers, categories with gaps, and words; among them capitals and letters beyond ASCII."""
    rng = np.random.default_rng(1)
    words = np.array(
        ["Rain", "sun", "ÉTÉ", "naïve", "Hà Nội", "snow2", "a", "x_y", "ΟΔΌΣ", "İngiliz", "ΣΑΣ.ΣΑΣ", "d\t\t\n", "e\u0302", "😂x"]
    )
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=N).astype(np.float64),
            "shop": rng.choice(np.array(["north", "south", None], dtype=object), N),
            "note": [" ".join(rng.choice(words, 6)) + rng.choice(["", "!", "…"]) for _ in range(N)],
        }
    )
    return frame, ((frame["shop"] == "north") ^ frame["note"].str.contains("Rain")).astype(int).to_numpy()


@pytest.mark.parametrize(
    "words",
    [
        TfidfVectorizer(),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, norm="l1", min_df=3),
        CountVectorizer(binary=True, lowercase=False, ngram_range=(2, 2), max_features=20),
        TfidfVectorizer(stop_words=["rain"], use_idf=False, norm=None),
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 3)),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)),
        CountVectorizer(analyzer="char_wb", ngram_range=(6, 8)),
        CountVectorizer(analyzer="char", ngram_range=(1, 3)),
        TfidfVectorizer(analyzer="char", ngram_range=(2, 2), lowercase=False),
        CountVectorizer(vocabulary=["rain", "rain sun", "c++", "a", "ngiliz", "οδός"]),
    ],
    ids=["plain", "pairs", "counts", "stop words", "any words", "pieces", "long pieces", "characters", "capitals too", "given words"],
)
def test_a_pipeline_from_named_columns_and_text_is_one_graph(words: Any) -> None:
    frame, labels = table()
    filled = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("size", StandardScaler(), ["size"]), ("shop", filled, ["shop"]), ("note", words, "note")])
    model = make_pipeline(columns, LINE).fit(frame[:500], labels[:500])
    asked = frame[500:].copy()
    asked.iloc[0, 1] = "a shop that training never saw"
    asked.iloc[1, 2] = ""

    places = {"size": ("num", 0), "shop": ("cat", 0), "note": ("cat", 1)}
    session = open_session(graph_of_table(model, places, {"num": (DOUBLE, 1), "cat": (STRING, 2)}))
    texts = asked[["shop", "note"]].fillna(MISSING).to_numpy(dtype=object)
    (found,) = session.run(None, {"num": asked[["size"]].to_numpy(), "cat": texts})

    np.testing.assert_allclose(found, model.predict_proba(asked)[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (FunctionTransformer(lambda x: x), "code, not data"),
        (SplineTransformer(extrapolation="linear"), "extrapolation='linear'"),
        (Nystroem(kernel="poly", n_components=3), "kernel='poly'"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_the_reason(step: Any, fault: str) -> None:
    features, labels, _ = draw(missing=False)

    with pytest.raises(Unsupported, match=fault):
        graph_of_matrix(make_pipeline(step, LINE).fit(features, labels), K)


@pytest.mark.parametrize("settings", [{"analyzer": str.split}, {"token_pattern": r"\S+"}, {"strip_accents": "unicode"}])
def test_words_made_in_another_way_are_refused(settings: dict[str, Any]) -> None:
    frame, labels = table()
    model = make_pipeline(ColumnTransformer([("note", TfidfVectorizer(**settings), "note")]), LINE).fit(frame, labels)

    with pytest.raises(Unsupported, match=next(iter(settings))):
        graph_of_table(model, {"size": ("num", 0), "shop": ("cat", 0), "note": ("cat", 1)}, {"num": (DOUBLE, 1), "cat": (STRING, 2)})
