"""LightGBM boosters and its scikit-learn estimators, for outcomes, classes and numbers, kept as LightGBM's own text.

The graph is built here, node by node. The public converter rounds thresholds to the nearest float32, which may step over a value of the
data, and sends NaN the wrong way at splits that saw none in training; 0.15 % of real rows then got another answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError, Unsupported
from sampan.flavors.onnx_graph import Link, tree_graph
from sampan.flavors.trees import Ensemble
from sampan.plugins import require

FILE = "model.txt"


class LightGBM:
    """`Booster`, `LGBMClassifier` and `LGBMRegressor`."""

    name = "lightgbm"

    def matches(self, model: object) -> bool:
        """Say whether the model comes from LightGBM."""
        return type(model).__module__.partition(".")[0] == "lightgbm"

    def save(self, model: object, folder: Path) -> None:
        """Write the trees as text."""
        (folder / FILE).write_text(_booster(model).model_to_string(), encoding="utf-8")

    def load(self, folder: Path) -> object:
        """Read the trees back."""
        lightgbm = require("lightgbm", extra="train")
        return lightgbm.Booster(model_str=(folder / FILE).read_text(encoding="utf-8"))

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class, of each class, or the number, with one thread."""
        return np.asarray(_booster(model).predict(features, num_threads=1), dtype=np.float64)

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Build a graph of one tree ensemble node. Raises Unsupported as `graph_of_booster` does."""
        return graph_of_booster(model, n_features)


def graph_of_booster(model: object, n_features: int, *, exact: bool = False) -> bytes:
    """Build a graph of one tree ensemble node, for rows of float32, or `exact` for rows of float64.

    Raises
    ------
    Unsupported : categorical splits, zeros as missing, averaged trees.
    """
    booster = _booster(model)
    if booster.num_feature() != n_features:
        raise ParameterError(f"the model was fitted on {booster.num_feature()} features, not {n_features}")
    dump = booster.dump_model()
    if dump["average_output"]:
        raise Unsupported("LightGBM random forests are not exported", hint="they are served natively, slower")
    ensemble = Ensemble(exact=exact)
    n_outputs = int(booster.num_model_per_iteration())
    for number, tree in enumerate(dump["tree_info"]):
        ensemble.add(**_nodes(tree["tree_structure"]), output=number % n_outputs)
    link, scale = _link(str(dump.get("objective", "")))
    return tree_graph(ensemble.columns, n_features, link=link, scale=scale, base=[0.0] * n_outputs, exact=exact)


def _nodes(root: dict[str, Any]) -> dict[str, Any]:
    """Lay a nested tree out as columns, parents before children."""
    rows: list[list[float]] = []

    def add(node: dict[str, Any]) -> int:
        own = len(rows)
        if "split_feature" not in node:
            rows.append([-1, -1, 0, 0.0, 0, float(node["leaf_value"])])
            return own
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise Unsupported("categorical splits and zeros as missing are not exported", hint="encode categories in the feature view")
        threshold = float(node["threshold"])
        # Where training saw no NaN, LightGBM reads it as 0.
        missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0
        rows.append([0, 0, int(node["split_feature"]), threshold, int(missing_left), 0.0])
        rows[own][0], rows[own][1] = add(node["left_child"]), add(node["right_child"])
        return own

    add(root)
    left, right, feature, threshold, missing_left, value = np.array(rows, dtype=np.float64).T
    as_ints = {name: each.astype(np.int64) for name, each in (("left", left), ("right", right), ("feature", feature))}
    return {**as_ints, "threshold": threshold, "missing_left": missing_left, "value": value}


def _booster(model: object) -> Any:
    return getattr(model, "booster_", model)


def _link(objective: str) -> tuple[Link, float]:
    """Return what turns the sum of leaves into the answer, and a factor before it."""
    name, *settings = objective.split() or [""]
    factor = next((float(word.partition(":")[2]) for word in settings if word.startswith("sigmoid:")), 1.0)
    if name in ("binary", "cross_entropy"):
        return "sigmoid", factor
    if name == "multiclass":
        return "softmax", 1.0
    if name in ("poisson", "gamma", "tweedie"):
        return "exp", 1.0
    if name == "regression" and "sqrt" in settings:
        return "signed_square", 1.0
    if name in ("multiclassova", "cross_entropy_lambda"):
        raise Unsupported(f"LightGBM's objective {name} is not exported", hint="train with objective='multiclass' or 'binary'")
    return "none", 1.0
