"""scikit-learn classifiers, regressors and pipelines, kept as JSON and arrays: a pickle would run code when read.

Any regressor, and any classifier with `predict_proba`, that is made of scikit-learn's own parts answers, read back, bit for bit as before.
One with parts of another package is kept as its ONNX graph, where that answers the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import ALL, OnnxScorer, with_one_score
from sampan.flavors.sklearn_graph import graph_of_matrix, refuse_known_wrong
from sampan.flavors.sklearn_state import STATE, read_state, write_state
from sampan.flavors.sklearn_trees import graph_of_trees, is_trees
from sampan.plugins import require

GRAPH, PARAMS = "model.onnx", "params.json"
OPSETS = {"": 15, "ai.onnx.ml": 3}


class ScikitLearn:
    """Classifiers with `predict_proba` and regressors that follow scikit-learn's protocol."""

    name = "sklearn"

    def matches(self, model: object) -> bool:
        """Say whether the model is a scikit-learn estimator, or was loaded from one that this flavor saved."""
        if isinstance(model, OnnxScorer):
            return True
        return hasattr(model, "get_params") and (hasattr(model, "predict_proba") or is_regressor(model))

    def save(self, model: object, folder: Path) -> None:
        """Write the estimator's state and parameters, or its graph where the state cannot be told without pickle.

        Raises
        ------
        Unsupported : neither can be had.
        """
        estimator: Any = model
        params = {name: repr(value) for name, value in sorted(estimator.get_params().items())}
        (folder / PARAMS).write_bytes(msgspec.json.format(msgspec.json.encode({"class": type(model).__qualname__, "params": params})))
        try:
            write_state(estimator, folder)
        except Unsupported as refused:
            try:
                graph = self.to_onnx(model, int(estimator.n_features_in_))
            except Unsupported as cause:
                raise Unsupported(
                    f"the model cannot be kept without pickle: {refused.message}; {cause.message}", hint=cause.hint
                ) from cause
            (folder / GRAPH).write_bytes(graph)

    def load(self, folder: Path) -> object:
        """Read the estimator back, or its graph. Models of releases before this one have a graph alone."""
        if not (folder / STATE).exists():
            return OnnxScorer((folder / GRAPH).read_bytes())
        require("sklearn", extra="train")
        return read_state(folder)

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class, of each class, or the number."""
        if isinstance(model, OnnxScorer):
            return model(features)
        estimator: Any = model
        if is_regressor(model):
            numbers = np.asarray(estimator.predict(features), dtype=np.float64)
            return numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers
        _check_classes(estimator)
        chances = np.asarray(estimator.predict_proba(features), dtype=np.float64)
        return chances[:, 1] if chances.shape[1] == 2 else chances

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Build the graph here, by what each step learned; convert with skl2onnx what has graphs within its graph.

        The converter is silently wrong for some estimators: the parity gate decides whether a graph is used.
        """
        estimator: Any = model
        if not is_regressor(model):
            _check_classes(estimator)
        if is_trees(estimator) and getattr(estimator, "is_categorical_", None) is None:
            return graph_of_trees(estimator, n_features)
        try:
            return graph_of_matrix(estimator, n_features)
        except Unsupported as refused:
            refuse_known_wrong(estimator)
            column: int | Literal["all"] = 0 if is_regressor(model) else 1 if len(estimator.classes_) == 2 else ALL
            try:
                return with_one_score(_convert(estimator, n_features), column=column)
            except Unsupported:
                raise refused from None


def is_regressor(model: object) -> bool:
    """Say whether an estimator answers with a number, by the tags of scikit-learn's protocol."""
    tags = getattr(model, "__sklearn_tags__", None)
    try:
        return tags is not None and tags().estimator_type == "regressor"
    except (AttributeError, TypeError):  # a class, or an estimator of an older protocol
        return getattr(model, "_estimator_type", "") == "regressor"


def _check_classes(estimator: Any) -> None:
    """Raise Unsupported unless the estimator tells the classes apart 0 to k - 1 that it was given."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise Unsupported(
            f"{type(estimator).__name__} does not tell classes 0, 1 … apart", hint="fit a classifier on the labels that it is given"
        )


def _convert(estimator: Any, n_features: int) -> bytes:
    skl2onnx = require("skl2onnx", extra="train")
    data_types = require("skl2onnx.common.data_types", extra="train")
    types = [("given", data_types.FloatTensorType([None, n_features]))]
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    try:
        converted = skl2onnx.to_onnx(estimator, initial_types=types, options=options, target_opset=OPSETS)
    except Exception as cause:  # converters raise anything
        reason = str(cause).split("\n", 1)[0][:200]  # some print the whole model
        raise Unsupported(
            f"{type(estimator).__name__} cannot be converted to ONNX: {reason}", hint="it is served natively, slower"
        ) from cause
    return bytes(converted.SerializeToString())
