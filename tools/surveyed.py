"""The estimators and pipelines that `survey.py` looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import (
    calibration,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    kernel_approximation,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline

NUMBERS = ("month", "hour", "minute", "distance", "flight", "seats", "temp", "humid", "wind_speed", "visib")
TEXTS = ("carrier", "origin", "dest", "manufacturer")
CODE = 10  # the place of the first encoded text in the matrix
SEED = {"random_state": 0}


def line() -> Any:
    """Return a logistic regression."""
    return linear_model.LogisticRegression(max_iter=300)


def scaled(*steps: Any) -> Any:
    """Put steps behind a scaler."""
    return make_pipeline(preprocessing.StandardScaler(), *steps)


def filled(*steps: Any) -> Any:
    """Put steps behind an imputer and a scaler."""
    return make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), *steps)


def columns(encoder: Any, *, text: str | tuple[str, ...] = TEXTS[:3]) -> Any:
    """Put an encoder of some texts beside scaled numbers, before a logistic regression."""
    numbers = make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    return make_pipeline(
        compose.ColumnTransformer([("numbers", numbers, list(NUMBERS)), ("texts", encoder, text if isinstance(text, str) else list(text))]),
        line(),
    )


def own(x: Any) -> Any:
    """Stand for a function of somebody's own."""
    return x * 2


def lightgbm(**settings: Any) -> Any:
    """Return a LightGBM classifier of a few trees."""
    import lightgbm as library

    return library.LGBMClassifier(n_estimators=40, verbose=-1, n_jobs=1, **settings)


def xgboost(**settings: Any) -> Any:
    """Return an XGBoost classifier of a few trees."""
    import xgboost as library

    return library.XGBClassifier(n_estimators=40, max_depth=5, n_jobs=1, **settings)


OF_NUMBERS: dict[str, Any] = {
    "LogisticRegression": line(),
    "SGDClassifier(log_loss)": scaled(linear_model.SGDClassifier(loss="log_loss", **SEED)),
    "SGDClassifier(modified_huber)": scaled(linear_model.SGDClassifier(loss="modified_huber", **SEED)),
    "LinearDiscriminantAnalysis": discriminant_analysis.LinearDiscriminantAnalysis(),
    "QuadraticDiscriminantAnalysis": discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "GaussianNB": naive_bayes.GaussianNB(),
    "BernoulliNB": scaled(naive_bayes.BernoulliNB()),
    "MultinomialNB": make_pipeline(preprocessing.MinMaxScaler(clip=True), naive_bayes.MultinomialNB()),
    "DecisionTreeClassifier": tree.DecisionTreeClassifier(max_depth=8, **SEED),
    "RandomForestClassifier": ensemble.RandomForestClassifier(40, max_depth=10, **SEED),
    "StandardScaler, RandomForestClassifier": scaled(ensemble.RandomForestClassifier(40, **SEED)),
    "ExtraTreesClassifier": ensemble.ExtraTreesClassifier(40, max_depth=10, **SEED),
    "GradientBoostingClassifier": ensemble.GradientBoostingClassifier(n_estimators=40, **SEED),
    "AdaBoostClassifier": ensemble.AdaBoostClassifier(n_estimators=20, **SEED),
    "BaggingClassifier": ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=6), 10, max_features=0.7, **SEED),
    "VotingClassifier(soft)": ensemble.VotingClassifier([("line", scaled(line())), ("bayes", naive_bayes.GaussianNB())], voting="soft"),
    "StackingClassifier": ensemble.StackingClassifier([("line", scaled(line())), ("tree", tree.DecisionTreeClassifier(max_depth=4))]),
    "MLPClassifier": scaled(neural_network.MLPClassifier((16,), max_iter=30, tol=1.0, n_iter_no_change=3, **SEED)),
    "KNeighborsClassifier": scaled(neighbors.KNeighborsClassifier()),
    "CalibratedClassifierCV(LinearSVC)": scaled(calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=3)),
    "CalibratedClassifierCV(isotonic)": calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic", cv=3),
    "CalibratedClassifierCV(SVC)": scaled(calibration.CalibratedClassifierCV(svm.SVC(), cv=2)),
    "PCA": scaled(decomposition.PCA(5, whiten=True), line()),
    "TruncatedSVD": scaled(decomposition.TruncatedSVD(5, **SEED), line()),
    "PowerTransformer": make_pipeline(preprocessing.PowerTransformer(), line()),
    "QuantileTransformer": make_pipeline(preprocessing.QuantileTransformer(n_quantiles=100, **SEED), line()),
    "KBinsDiscretizer": make_pipeline(preprocessing.KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf"), line()),
    "PolynomialFeatures": scaled(preprocessing.PolynomialFeatures(2), line()),
    "SplineTransformer": scaled(preprocessing.SplineTransformer(), line()),
    "RobustScaler": make_pipeline(preprocessing.RobustScaler(), line()),
    "MaxAbsScaler": make_pipeline(preprocessing.MaxAbsScaler(), line()),
    "Normalizer": make_pipeline(preprocessing.Normalizer(), line()),
    "SelectKBest": scaled(feature_selection.SelectKBest(k=6), line()),
    "FeatureUnion": scaled(FeatureUnion([("pca", decomposition.PCA(3)), ("best", feature_selection.SelectKBest(k=3))]), line()),
    "Nystroem": scaled(kernel_approximation.Nystroem(n_components=30, **SEED), line()),
    "RBFSampler": scaled(kernel_approximation.RBFSampler(n_components=30, **SEED), line()),
    "FunctionTransformer(numpy.tanh)": scaled(preprocessing.FunctionTransformer(np.tanh), line()),
    "FunctionTransformer(own function)": scaled(preprocessing.FunctionTransformer(own), line()),
    "OneHotEncoder(infrequent_if_exist)": make_pipeline(
        compose.ColumnTransformer(
            [("codes", preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60), [CODE, CODE + 2])],
            remainder=preprocessing.StandardScaler(),
        ),
        line(),
    ),
    "HistGradientBoosting(categorical_features)": ensemble.HistGradientBoostingClassifier(
        max_iter=30, categorical_features=[CODE, CODE + 1], **SEED
    ),
    "GradientBoostingClassifier(init=…)": ensemble.GradientBoostingClassifier(init=naive_bayes.GaussianNB(), n_estimators=10, **SEED),
}
OF_NUMBERS_WITH_GAPS: dict[str, Any] = {
    "SimpleImputer, LogisticRegression": filled(line()),
    "SimpleImputer(add_indicator)": make_pipeline(impute.SimpleImputer(add_indicator=True), preprocessing.StandardScaler(), line()),
    "KNNImputer": make_pipeline(impute.KNNImputer(), preprocessing.StandardScaler(), line()),
    "RandomForestClassifier, trained on NaN": ensemble.RandomForestClassifier(40, max_depth=10, **SEED),
    "HistGradientBoostingClassifier": ensemble.HistGradientBoostingClassifier(max_iter=40, **SEED),
    "StandardScaler, HistGradientBoosting": scaled(ensemble.HistGradientBoostingClassifier(max_iter=40, **SEED)),
    "SimpleImputer, GradientBoosting": filled(ensemble.GradientBoostingClassifier(n_estimators=40, **SEED)),
    "LightGBM": lightgbm(),
    "LightGBM(zero_as_missing)": lightgbm(zero_as_missing=True),
    "LightGBM(random forest)": lightgbm(boosting_type="rf", subsample=0.5, subsample_freq=1),
    "LightGBM behind SimpleImputer": filled(lightgbm()),
    "XGBoost": xgboost(),
    "XGBoost(dart)": xgboost(booster="dart", rate_drop=0.2),
}
OF_TABLES: dict[str, Any] = {
    "ColumnTransformer, OneHotEncoder(ignore)": columns(preprocessing.OneHotEncoder(handle_unknown="ignore")),
    "ColumnTransformer, OneHotEncoder(infrequent_if_exist)": columns(
        preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60)
    ),
    "ColumnTransformer, OrdinalEncoder": columns(preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
    "ColumnTransformer, TargetEncoder": columns(preprocessing.TargetEncoder()),
    "ColumnTransformer, SimpleImputer of texts": columns(
        make_pipeline(impute.SimpleImputer(strategy="most_frequent"), preprocessing.OneHotEncoder(handle_unknown="ignore")),
        text=TEXTS,
    ),
    "ColumnTransformer, TfidfVectorizer": columns(TfidfVectorizer(), text="words"),
    "ColumnTransformer, TfidfVectorizer(pairs of words)": columns(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), text="words"),
    "ColumnTransformer, TfidfVectorizer(char_wb)": columns(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)), text="words"),
    "ColumnTransformer, CountVectorizer(char)": columns(CountVectorizer(analyzer="char", ngram_range=(2, 3)), text="words"),
    "ColumnTransformer, TfidfVectorizer(strip_accents)": columns(TfidfVectorizer(strip_accents="unicode"), text="words"),
    "ColumnTransformer, HashingVectorizer": columns(HashingVectorizer(n_features=256), text="words"),
    "ColumnTransformer, LightGBM": make_pipeline(
        compose.ColumnTransformer(
            [
                ("numbers", "passthrough", list(NUMBERS)),
                ("texts", preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), list(TEXTS[:3])),
            ]
        ),
        lightgbm(),
    ),
}
CASES: dict[str, tuple[str, Any]] = {
    name: (takes, model)
    for takes, models in (("numbers", OF_NUMBERS), ("numbers with gaps", OF_NUMBERS_WITH_GAPS), ("a table", OF_TABLES))
    for name, model in models.items()
}
