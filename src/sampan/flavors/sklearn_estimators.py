"""The nodes of scikit-learn's estimators: linear, Bayesian, neural, trees, and those that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import INPUT, OUTPUT
from sampan.flavors.sklearn_graph import Frame, answer, converted, decide, inlined, knows, knows_library, transform
from sampan.flavors.sklearn_trees import graph_of_trees
from sampan.plugins import require
from sampan.table.graph_writer import DOUBLE, FLOAT, Block, joined

_ACTIVATIONS: Final = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
_INVERSES: Final = {"exp": "Exp", "expm1": "Exp", "square": "", "sqrt": "Sqrt"}


# -- what is made of others -----------------------------------------------------------------------------------------------------------


@knows("answer", "Pipeline")
def _pipeline(estimator: Any, frame: Frame) -> Block:
    return answer(estimator.steps[-1][1], _before(estimator, frame))


@knows("decide", "Pipeline")
def _pipeline_decides(estimator: Any, frame: Frame) -> Block:
    return decide(estimator.steps[-1][1], _before(estimator, frame))


def _before(estimator: Any, frame: Frame) -> Frame:
    for _, step in estimator.steps[:-1]:
        frame = transform(step, frame)
    return frame


@knows("answer", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def _searched(estimator: Any, frame: Frame) -> Block:
    return answer(estimator.best_estimator_, frame)


@knows("answer", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _thresholded(estimator: Any, frame: Frame) -> Block:
    return answer(estimator.estimator_, frame)


@knows("answer", "FrozenEstimator")
def _frozen(estimator: Any, frame: Frame) -> Block:
    return answer(estimator.estimator, frame)


@knows("decide", "FrozenEstimator")
def _frozen_decides(estimator: Any, frame: Frame) -> Block:
    return decide(estimator.estimator, frame)


@knows("answer", "VotingClassifier", "VotingRegressor")
def _voting(estimator: Any, frame: Frame) -> Block:
    if getattr(estimator, "voting", "soft") == "hard":
        raise Unsupported("VotingClassifier(voting='hard') has no probabilities", hint="voting='soft'")
    return _mean([answer(each, frame) for each in estimator.estimators_], estimator._weights_not_none)


@knows("answer", "StackingClassifier", "StackingRegressor")
def _stacking(estimator: Any, frame: Frame) -> Block:
    methods = estimator.stack_method_
    parts = []
    for each, method in zip(estimator.estimators_, methods, strict=True):
        found = decide(each, frame) if method == "decision_function" else answer(each, frame)
        if method == "predict" and hasattr(each, "classes_"):
            raise Unsupported("stacking by predicted classes")
        parts.append(found.columns([1]) if method == "predict_proba" and found.width == 2 else found)
    blocks = tuple(parts) if not estimator.passthrough else (*parts, *frame.blocks)
    return answer(estimator.final_estimator_, Frame(blocks))


@knows("answer", "BaggingClassifier", "BaggingRegressor")
def _bagging(estimator: Any, frame: Frame) -> Block:
    features = estimator.estimators_features_
    parts = [answer(each, frame.take([int(i) for i in own])) for each, own in zip(estimator.estimators_, features, strict=True)]
    if hasattr(estimator, "classes_") and any(each.n_classes_ != len(estimator.classes_) for each in _classified(estimator)):
        raise Unsupported("bagging of estimators that have not seen every class")
    return _mean(parts, None)


def _classified(estimator: Any) -> list[Any]:
    return [each for each in estimator.estimators_ if hasattr(each, "n_classes_")]


@knows("answer", "CalibratedClassifierCV")
def _calibrated(estimator: Any, frame: Frame) -> Block:
    return _mean([_calibrated_once(each, frame) for each in estimator.calibrated_classifiers_], None)


def _calibrated_once(fold: Any, frame: Frame) -> Block:
    n_classes = len(fold.classes)
    if len(fold.calibrators) != (1 if n_classes == 2 else n_classes):
        raise Unsupported("a calibration that has not seen every class")
    inner = fold.estimator
    given = decide(inner, frame) if hasattr(inner, "decision_function") else answer(inner, frame)
    given = given.columns([1]) if n_classes == 2 and given.width == 2 else given
    parts = [_calibrator(each, given.columns([place])) for place, each in enumerate(fold.calibrators)]
    if n_classes == 2:
        return joined([(-parts[0]) + 1.0, parts[0]])
    shares = joined(parts)
    total = shares.reduce("ReduceSum")
    even = shares * 0.0 + 1.0 / n_classes
    return (shares / total.where(total.test("Equal", 0.0), 1.0)).where(total.test("Equal", 0.0), even)


def _calibrator(each: Any, x: Block) -> Block:
    if type(each).__name__ == "_SigmoidCalibration":
        return (-(x * float(each.a_) + float(each.b_))).apply("Sigmoid")
    if type(each).__name__ == "IsotonicRegression":
        return _isotonic(each, Frame((x,)))
    raise Unsupported(f"calibration by {type(each).__name__}", hint="it is served natively, slower")


@knows("answer", "IsotonicRegression")
def _isotonic(estimator: Any, frame: Frame) -> Block:
    """Between thresholds the answer is a straight line; outside it is what it is at the end."""
    if estimator.out_of_bounds != "clip":
        raise Unsupported(f"IsotonicRegression(out_of_bounds={estimator.out_of_bounds!r})", hint="it is served natively, slower")
    x: Block = frame.numbers
    xs, ys = np.asarray(estimator.X_thresholds_, np.float64), np.asarray(estimator.y_thresholds_, np.float64)
    if len(xs) == 1:
        return x * 0.0 + float(ys[0])
    x = x.where(x.test("Less", xs[0]), float(xs[0]))
    x = x.where(x.test("Greater", xs[-1]), float(xs[-1]))
    starts, ends = xs[:-1], np.append(xs[1:-1], np.inf)
    marks = x.test("GreaterOrEqual", starts) * x.test("Less", ends)
    slopes = np.diff(ys) / np.diff(xs)
    return marks.matmul(ys[:-1].reshape(-1, 1)) + (x - marks.matmul(starts.reshape(-1, 1))) * marks.matmul(slopes.reshape(-1, 1))


@knows("answer", "TransformedTargetRegressor")
def _transformed_target(estimator: Any, frame: Frame) -> Block:
    found = answer(estimator.regressor_, frame)
    if estimator.transformer is not None:
        raise Unsupported("TransformedTargetRegressor(transformer=…)", hint="give func and inverse_func")
    inverse = getattr(estimator.inverse_func, "__name__", "")
    if estimator.inverse_func is None:
        return found
    if inverse not in _INVERSES or getattr(np, inverse) is not estimator.inverse_func:
        raise Unsupported(f"the inverse {inverse or 'function'} is code, not data", hint="it is served natively, slower")
    if inverse == "square":
        return found * found
    moved = found.apply(_INVERSES[inverse])
    return moved - 1.0 if inverse == "expm1" else moved


def _mean(parts: Sequence[Block], weights: Any) -> Block:
    shares = np.ones(len(parts)) if weights is None else np.asarray(weights, np.float64)
    shares = shares / shares.sum()
    total = parts[0] * float(shares[0])
    for part, share in zip(parts[1:], shares[1:], strict=True):
        total = total + part * float(share)
    return total


# -- linear ---------------------------------------------------------------------------------------------------------------------------


@knows("decide", "LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "LinearSVC", "RidgeClassifier", "RidgeClassifierCV")
@knows("decide", "LinearDiscriminantAnalysis", "Perceptron", "PassiveAggressiveClassifier")
def _line(estimator: Any, frame: Frame) -> Block:
    return frame.numbers.matmul(np.atleast_2d(estimator.coef_).T) + np.ravel(estimator.intercept_)


@knows("answer", "LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")
def _logistic(estimator: Any, frame: Frame) -> Block:
    return _chances(_line(estimator, frame))


@knows("answer", "SGDClassifier")
def _stochastic(estimator: Any, frame: Frame) -> Block:
    decision = _line(estimator, frame)
    if estimator.loss == "log_loss" and decision.width == 1:
        return _chances(decision)
    if estimator.loss == "modified_huber" and decision.width == 1:
        clipped = decision.where(decision.test("Less", -1.0), -1.0)
        clipped = clipped.where(clipped.test("Greater", 1.0), 1.0)
        second = (clipped + 1.0) / 2.0
        return joined([(-second) + 1.0, second])
    if estimator.loss != "log_loss":
        raise Unsupported(f"SGDClassifier(loss={estimator.loss!r}) of {decision.width} classes", hint="it is served natively, slower")
    shares = decision.apply("Sigmoid")
    return shares / shares.reduce("ReduceSum")


def _chances(decision: Block) -> Block:
    """Turn decisions into probabilities."""
    if decision.width > 1:
        return decision.apply("Softmax", axis=1)
    second = decision.apply("Sigmoid")
    return joined([(-decision).apply("Sigmoid"), second])


@knows("answer", "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "SGDRegressor", "LinearSVR")
@knows("answer", "HuberRegressor", "BayesianRidge", "ARDRegression", "Lars", "LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC")
@knows("answer", "QuantileRegressor", "TheilSenRegressor", "OrthogonalMatchingPursuit", "PassiveAggressiveRegressor")
def _linear(estimator: Any, frame: Frame) -> Block:
    coefficients = np.atleast_2d(estimator.coef_)
    if len(coefficients) != 1:
        raise Unsupported(f"{type(estimator).__name__} of several outputs", hint="fit one model for each")
    return frame.numbers.matmul(coefficients.T) + float(np.ravel(estimator.intercept_)[0])


@knows("answer", "PoissonRegressor", "GammaRegressor", "TweedieRegressor")
def _generalized(estimator: Any, frame: Frame) -> Block:
    found = _linear(estimator, frame)
    link = type(estimator._base_loss.link).__name__
    if link not in ("LogLink", "IdentityLink"):
        raise Unsupported(f"{type(estimator).__name__} with a {link}", hint="it is served natively, slower")
    return found.apply("Exp") if link == "LogLink" else found


# -- Bayesian, neural, constant ---------------------------------------------------------------------------------------------------------


@knows("answer", "GaussianNB")
def _gaussian(estimator: Any, frame: Frame) -> Block:
    x = frame.numbers
    parts = []
    for mean, variance, prior in zip(estimator.theta_, estimator.var_, estimator.class_prior_, strict=True):
        apart = x - mean
        away = (apart * apart / variance).reduce("ReduceSum")
        parts.append(away * -0.5 + float(np.log(prior) - 0.5 * np.log(2.0 * np.pi * variance).sum()))
    return joined(parts).apply("Softmax", axis=1)


@knows("answer", "BernoulliNB")
def _bernoulli(estimator: Any, frame: Frame) -> Block:
    x = frame.numbers
    x = x.test("Greater", estimator.binarize) if estimator.binarize is not None else x
    absent = np.log(1 - np.exp(estimator.feature_log_prob_))
    sums: Block = x.matmul((estimator.feature_log_prob_ - absent).T) + (estimator.class_log_prior_ + absent.sum(axis=1))
    return sums.apply("Softmax", axis=1)


@knows("answer", "MultinomialNB")
def _multinomial(estimator: Any, frame: Frame) -> Block:
    sums: Block = frame.numbers.matmul(estimator.feature_log_prob_.T) + estimator.class_log_prior_
    return sums.apply("Softmax", axis=1)


@knows("answer", "ComplementNB")
def _complement(estimator: Any, frame: Frame) -> Block:
    sums = frame.numbers.matmul(estimator.feature_log_prob_.T)
    return (sums + estimator.class_log_prior_ if len(estimator.classes_) == 1 else sums).apply("Softmax", axis=1)


@knows("answer", "QuadraticDiscriminantAnalysis")
def _quadratic(estimator: Any, frame: Frame) -> Block:
    x = frame.numbers
    parts = []
    for mean, rotation, scale, prior in zip(estimator.means_, estimator.rotations_, estimator.scalings_, estimator.priors_, strict=True):
        turned = (x - mean).matmul(rotation * np.asarray(scale) ** -0.5)
        parts.append(((turned * turned).reduce("ReduceSum") + float(np.log(scale).sum())) * -0.5 + float(np.log(prior)))
    return joined(parts).apply("Softmax", axis=1)


@knows("answer", "MLPClassifier", "MLPRegressor")
def _perceptron(estimator: Any, frame: Frame) -> Block:
    given = frame.numbers
    writer, last = given.writer, len(estimator.coefs_) - 1
    name = given.as_float32()  # as it was trained; and what makes networks smaller knows no other numbers
    for layer, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        name = writer.node("MatMul", name, writer.constant(np.asarray(weights, np.float32), FLOAT))
        name = writer.node("Add", name, writer.constant(np.asarray(bias, np.float32), FLOAT))
        activation = estimator.activation if layer < last else estimator.out_activation_
        if activation != "identity":
            name = writer.node("Softmax", name, axis=1) if activation == "softmax" else writer.node(_ACTIVATIONS[activation], name)
    x = given.of(writer.node("Cast", name, to=DOUBLE), len(estimator.intercepts_[-1]))
    is_share = hasattr(estimator, "classes_") and x.width == 1
    return joined([(-x) + 1.0, x]) if is_share else x


@knows("answer", "DummyClassifier")
def _dummy(estimator: Any, frame: Frame) -> Block:
    if estimator.strategy not in ("prior", "most_frequent"):
        raise Unsupported(f"DummyClassifier(strategy={estimator.strategy!r})")
    prior = np.asarray(estimator.class_prior_, np.float64)
    return _always(frame, prior if estimator.strategy == "prior" else (np.arange(len(prior)) == prior.argmax()).astype(np.float64))


@knows("answer", "DummyRegressor")
def _dummy_number(estimator: Any, frame: Frame) -> Block:
    return _always(frame, np.ravel(estimator.constant_))


def _always(frame: Frame, values: Any) -> Block:
    """Return a constant row for every row, whatever is in it."""
    x = frame.each()[0]
    some = x.of(x.writer.node("Cast", x.writer.node("Equal", x.name, x.name), to=DOUBLE), 1)
    return some * 0.0 + np.asarray(values, np.float64)


# -- trees, and what is left ------------------------------------------------------------------------------------------------------------


@knows("answer", "DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")
@knows("answer", "DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor")
@knows("answer", "GradientBoostingClassifier", "GradientBoostingRegressor")
def _trees(estimator: Any, frame: Frame) -> Block:
    return _scored(graph_of_trees(estimator, frame.width), estimator, frame)


@knows("answer", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
def _histogram(estimator: Any, frame: Frame) -> Block:
    if estimator.is_categorical_ is not None:
        # It numbers categories itself and puts them first.
        frame = transform(estimator._preprocessor, frame)
    exact = not frame.is_single
    return _scored(graph_of_trees(estimator, frame.width, exact=exact), estimator, frame, exact=exact)


@knows_library("lightgbm")
def _lightgbm(estimator: Any, frame: Frame) -> Block:
    from sampan.flavors.lightgbm import graph_of_booster

    exact = not frame.is_single
    return _scored(graph_of_booster(estimator, frame.width, exact=exact), estimator, frame, exact=exact)


@knows_library("xgboost")
def _xgboost(estimator: Any, frame: Frame) -> Block:
    from sampan.flavors.xgboost import XGBoost

    return _scored(XGBoost().to_onnx(estimator, frame.width), estimator, frame)


def _scored(graph: bytes, estimator: Any, frame: Frame, *, exact: bool = False) -> Block:
    """Write a graph of the common shape in place; of two classes it says the second alone."""
    onnx = require("onnx", extra="train")
    x = frame.numbers
    model = onnx.load_from_string(graph)
    score = inlined(x.writer, model, {INPUT: x.name if exact else x.as_float32()})[OUTPUT]
    score = x.writer.node("Cast", score, to=DOUBLE)
    n_classes = len(estimator.classes_) if hasattr(estimator, "classes_") else 1
    if n_classes > 2:
        return x.of(score, n_classes)
    column = x.of(x.writer.node("Unsqueeze", score, x.writer.constant(np.array([1]), 7)), 1)
    return column if n_classes == 1 else joined([(-column) + 1.0, column])


@knows("answer", "SVC", "NuSVC")
def _support(estimator: Any, frame: Frame) -> Block:
    if not estimator.probability:
        raise Unsupported(f"{type(estimator).__name__}(probability=False) has no probabilities", hint="probability=True")
    return converted(estimator, frame.numbers)
