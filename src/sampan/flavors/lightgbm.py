"""LightGBM boosters and its scikit-learn estimators for two classes, kept as LightGBM's own text.

The graph is built here, node by node. The public converter rounds thresholds to the nearest float32, which may step over a value of the
data, and sends NaN the wrong way at splits that saw none in training; 0.15 % of real rows then got another answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError, Unsupported
from sampan.flavors.onnx_graph import tree_graph
from sampan.flavors.trees import Ensemble
from sampan.plugins import require

FILE = "model.txt"


class LightGBM:
    """`Booster` and `LGBMClassifier`."""

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
        """Return the probability of the positive class, with one thread."""
        return np.asarray(_booster(model).predict(features, num_threads=1), dtype=np.float64)

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Build a graph of one tree ensemble node. Raises Unsupported for categorical splits, zeros as missing and averaged trees."""
        booster = _booster(model)
        if booster.num_feature() != n_features:
            raise ParameterError(f"the model was fitted on {booster.num_feature()} features, not {n_features}")
        dump = booster.dump_model()
        if dump["average_output"]:
            raise Unsupported("LightGBM random forests are not exported", hint="they are served natively, slower")
        ensemble = Ensemble()
        for tree in dump["tree_info"]:
            ensemble.add(**_nodes(tree["tree_structure"]))
        return tree_graph(ensemble.columns, n_features, scale=_sigmoid(str(dump.get("objective", ""))))


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
    found: Any = getattr(model, "booster_", model)
    if found.num_model_per_iteration() != 1:
        raise Unsupported("a LightGBM model of more than two classes", hint="train with objective='binary'")
    return found


def _sigmoid(objective: str) -> float | None:
    """Return the factor within the sigmoid; None where the raw sum is the answer."""
    words = objective.split()
    if not words or words[0] not in ("binary", "cross_entropy"):
        return None
    return next((float(w.partition(":")[2]) for w in words[1:] if w.startswith("sigmoid:")), 1.0)
