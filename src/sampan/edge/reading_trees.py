"""ONNX's tree ensembles as trees of keys: all comparisons become `key <= threshold`, the classifier's conventions plain sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.keys import key_of
from sampan.edge.program import Tree
from sampan.errors import Unsupported

_SWAPPED: Final = ("BRANCH_GT", "BRANCH_GTE")
_BELOW: Final = ("BRANCH_LT", "BRANCH_GTE")  # a value at the threshold is not below it


@dataclass(frozen=True, slots=True, eq=False)
class ReadTrees:
    """Trees, what is added to their sum, and what is done with it: NONE, LOGISTIC, SOFTMAX; `second_class` says how one sum makes two."""

    trees: tuple[Tree, ...]
    base: NDArray[np.float64]
    transform: str
    second_class: str = ""  # "" | complement (p as given) | negation (a raw score)


def read_regressor(attributes: Mapping[str, Any]) -> ReadTrees:
    """Read a TreeEnsembleRegressor. Raises Unsupported for minima and maxima of trees."""
    n_targets = int(attributes.get("n_targets", 1))
    trees = _trees(attributes, "target", n_targets)
    base = np.array(_numbers(attributes, "base_values") or [0.0] * n_targets, np.float64)
    how = attributes.get("aggregate_function", "SUM")
    if how not in ("SUM", "AVERAGE"):
        raise Unsupported(f"trees aggregated by {how} are not generated", hint="sum or average them")
    if how == "AVERAGE":
        trees = [_scaled(tree, 1 / len(trees)) for tree in trees]
    return ReadTrees(tuple(trees), base, str(attributes.get("post_transform", "NONE")))


def read_classifier(attributes: Mapping[str, Any]) -> ReadTrees:
    """Read a TreeEnsembleClassifier's scores; its labels are left out.

    Of two classes, weights may be given for one alone; the other's score is then 1 - p where all weights are positive, else -p.
    """
    n_classes = len(attributes.get("classlabels_int64s") or attributes.get("classlabels_strings") or ())
    ids = attributes["class_ids"]
    binary = n_classes == 2 and len(set(ids)) == 1
    shown = {**attributes, "class_ids": [0] * len(ids)} if binary else attributes
    width = 1 if binary else n_classes
    base_values = _numbers(attributes, "base_values")
    base = np.zeros(width)
    base[: min(width, len(base_values))] = base_values[-width:] if binary else base_values
    positive = min(_numbers(attributes, "class_weights"), default=0.0) >= 0
    second = ("complement" if positive else "negation") if binary else ""
    return ReadTrees(tuple(_trees(shown, "class", width)), base, str(attributes.get("post_transform", "NONE")), second)


def _numbers(attributes: Mapping[str, Any], name: str) -> list[float]:
    given = attributes.get(name, attributes.get(f"{name}_as_tensor"))
    return [] if given is None else np.asarray(given, dtype=np.float64).ravel().tolist()


def _trees(attributes: Mapping[str, Any], leaf: str, width: int) -> list[Tree]:
    """Split the columns of an ensemble into trees, in the order of their numbers."""
    number = np.asarray(attributes["nodes_treeids"], np.int64)
    values = np.asarray(_numbers(attributes, "nodes_values"), np.float32)
    missing = np.asarray(attributes.get("nodes_missing_value_tracks_true") or np.zeros(len(number)), bool)
    modes = np.array([m.decode() if isinstance(m, bytes) else m for m in attributes["nodes_modes"]])
    columns = [np.asarray(attributes[f"nodes_{name}"], np.int64) for name in ("nodeids", "featureids", "truenodeids", "falsenodeids")]
    weights = np.asarray(_numbers(attributes, f"{leaf}_weights"))
    leaf_tree, leaf_node, leaf_id = (np.asarray(attributes[f"{leaf}_{name}"], np.int64) for name in ("treeids", "nodeids", "ids"))
    trees = []
    for each in np.unique(number):
        own, leaves = number == each, leaf_tree == each
        ids, feature, yes, no = (column[own] for column in columns)
        grown = _Grower(ids, feature, yes, no, values[own], modes[own], missing[own])
        for node, target, weight in zip(leaf_node[leaves].tolist(), leaf_id[leaves].tolist(), weights[leaves].tolist(), strict=True):
            grown.leaf(node, width)[target] += weight
        trees.append(grown.tree(width))
    return trees


class _Grower:
    """Rebuilds one tree in preorder, with one kind of comparison."""

    def __init__(
        self,
        ids: NDArray[np.int64],
        feature: NDArray[np.int64],
        if_true: NDArray[np.int64],
        if_false: NDArray[np.int64],
        values: NDArray[np.float32],
        modes: NDArray[Any],
        missing: NDArray[np.bool_],
    ) -> None:
        self._ids: list[int] = ids.tolist()
        self._place = {node: n for n, node in enumerate(self._ids)}
        self._feature, self._true, self._false = feature.tolist(), if_true.tolist(), if_false.tolist()
        self._keys, self._modes, self._missing = key_of(values).tolist(), modes.tolist(), missing.tolist()
        self._leaves: dict[int, NDArray[np.float64]] = {}
        self._root = int(ids[0])

    def leaf(self, node: int, width: int) -> NDArray[np.float64]:
        return self._leaves.setdefault(node, np.zeros(width))

    def tree(self, width: int) -> Tree:
        rows: list[list[int]] = []  # left, right, feature, threshold, missing left
        values: list[NDArray[np.float64]] = []
        stack: list[tuple[int, int, int]] = [(self._root, -1, 0)]
        limit = 64 * len(self._place) + 64  # tests for equality double a branch; a circle never ends
        while stack:
            node, parent, side = stack.pop()
            if parent >= 0:
                rows[parent][side] = len(rows)
            if len(rows) > limit or (node >= 0 and node not in self._place):
                raise Unsupported("a tree of the graph cannot be walked", hint="export the model again")
            split = self._split(node)
            values.append(np.zeros(width) if split is not None else self._leaves.get(node, np.zeros(width)))
            if split is None:
                rows.append([-1, -1, 0, 0, 0])
                continue
            left, right, feature, threshold, missing_left = split
            stack += [(right, len(rows), 1), (left, len(rows), 0)]
            rows.append([0, 0, feature, threshold, missing_left])
        table = np.array(rows, np.int64)
        left, right, feature, threshold, missing = table.T
        return Tree(left, right, feature, threshold, missing.astype(bool), np.array(values))

    def _split(self, node: int) -> tuple[int, int, int, int, bool] | None:
        """Return (left, right, feature, threshold, missing left). Negative numbers are the second half of a test for equality."""
        second, place = node < 0, self._place[-1 - node if node < 0 else node]
        mode, key, feature = self._modes[place], self._keys[place], self._feature[place]
        yes, no, missing = self._true[place], self._false[place], self._missing[place]
        if mode == "LEAF":
            return None
        if mode in ("BRANCH_EQ", "BRANCH_NEQ"):
            same, other = (yes, no) if mode == "BRANCH_EQ" else (no, yes)
            # NaN equals nothing: it goes to `other`, unless a test for equality says that missing values pass it.
            to_same = mode == "BRANCH_EQ" and missing
            if second:
                return other, same, feature, key - 1, not to_same
            return -1 - self._ids[place], other, feature, key, to_same
        if mode in _SWAPPED:
            return no, yes, feature, key - (mode in _BELOW), not missing
        if mode not in ("BRANCH_LEQ", "BRANCH_LT"):
            raise Unsupported(f"splits of mode {mode} are not generated", hint="export the model again")
        return yes, no, feature, key - (mode in _BELOW), missing


def _scaled(tree: Tree, factor: float) -> Tree:
    return Tree(tree.left, tree.right, tree.feature, tree.threshold, tree.missing_left, tree.values * factor)
