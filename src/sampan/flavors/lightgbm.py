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
        trees = [_Tree(number).read(tree["tree_structure"]) for number, tree in enumerate(dump["tree_info"])]
        columns = {name: [value for tree in trees for value in tree.columns[name]] for name in trees[0].columns} if trees else {}
        return tree_graph(columns, n_features, scale=_sigmoid(str(dump.get("objective", ""))))


class _Tree:
    """One tree's nodes as the columns of an ONNX tree ensemble."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._n_nodes = 0
        names = (
            "nodes_treeids",
            "nodes_nodeids",
            "nodes_featureids",
            "nodes_modes",
            "nodes_values",
            "nodes_truenodeids",
            "nodes_falsenodeids",
        )
        more = ("nodes_missing_value_tracks_true", "target_treeids", "target_nodeids", "target_ids", "target_weights")
        self.columns: dict[str, list[Any]] = {name: [] for name in (*names, *more)}

    def read(self, root: dict[str, Any]) -> _Tree:
        self._node(root)
        return self

    def _node(self, node: dict[str, Any]) -> int:
        own = self._n_nodes
        self._n_nodes += 1
        if "split_feature" not in node:
            self._add_node(own, 0, "LEAF", 0.0, missing_left=0)
            self._add(target_treeids=self._number, target_nodeids=own, target_ids=0, target_weights=float(node["leaf_value"]))
            return own
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise Unsupported("categorical splits and zeros as missing are not exported", hint="encode categories in the feature view")
        threshold = float(node["threshold"])
        # Where training saw no NaN, LightGBM reads it as 0.
        missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0
        at = self._add_node(own, int(node["split_feature"]), "BRANCH_LEQ", _floor32(threshold), missing_left=int(missing_left))
        self.columns["nodes_truenodeids"][at] = self._node(node["left_child"])
        self.columns["nodes_falsenodeids"][at] = self._node(node["right_child"])
        return own

    def _add_node(self, own: int, feature: int, mode: str, value: float, *, missing_left: int) -> int:
        self._add(nodes_treeids=self._number, nodes_nodeids=own, nodes_featureids=feature, nodes_modes=mode, nodes_values=value)
        self._add(nodes_truenodeids=0, nodes_falsenodeids=0, nodes_missing_value_tracks_true=missing_left)
        return len(self.columns["nodes_nodeids"]) - 1

    def _add(self, **values: Any) -> None:
        for name, value in values.items():
            self.columns[name].append(value)


def _floor32(threshold: float) -> float:
    """Round down to float32: for every float32 x, `x <= threshold` and `x <= floor32(threshold)` are then the same."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


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
