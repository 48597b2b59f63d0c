"""The nodes of tree ensembles as ONNX keeps them, whichever library grew the trees.

Converters in use round thresholds to the nearest float32, which may step over a value of the data, and forget where missing values go. Here
thresholds are moved so that every float32 goes the way it went: see `floor32`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns of ONNX's tree ensemble, in the order in which `add` fills them.
_SPLITS = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
_LEAVES = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


class Ensemble:
    """Trees added one by one; `columns` are the attributes of one TreeEnsembleRegressor whose answer is the sum of the leaves reached.

    Thresholds are for rows of float32; `exact` ones for rows of float64.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._n_trees = 0
        self.exact = exact
        self.columns: dict[str, list[Any]] = {name: [] for name in (*_SPLITS, *_LEAVES)}

    def add(
        self,
        *,
        left: NDArray[Any],
        right: NDArray[Any],
        feature: NDArray[Any],
        threshold: NDArray[Any],
        missing_left: NDArray[Any],
        value: NDArray[Any],
        mode: str | NDArray[Any] = "BRANCH_LEQ",
        output: int = 0,
    ) -> None:
        """Add a tree whose node 0 is the root.

        Parameters
        ----------
        left, right : shape (n,); where a row goes next, negative at leaves
        feature, threshold, missing_left : shape (n,); `row[feature] <= threshold` goes left, a missing value where the flag says
        value : shape (n,); what a leaf adds to the output, or (n, k) for what it adds to each of k outputs
        mode : BRANCH_LEQ, or BRANCH_LT where a value at the threshold goes right; for all nodes, or one for each
        output : which of the answer's numbers the leaves add to
        """
        is_leaf = np.asarray(left) < 0
        bounds = np.asarray(threshold, dtype=np.float64)
        bounds = bounds if self.exact else np.where(np.asarray(mode) == "BRANCH_LEQ", floor32(threshold), bounds)
        number, n = self._n_trees, len(is_leaf)
        self._n_trees += 1
        nodes = (
            [number] * n,
            list(range(n)),
            np.where(is_leaf, 0, feature).tolist(),
            np.where(is_leaf, "LEAF", mode).tolist(),
            np.where(is_leaf, 0.0, bounds).tolist(),
            np.where(is_leaf, 0, left).tolist(),
            np.where(is_leaf, 0, right).tolist(),
            np.where(is_leaf, 0, np.asarray(missing_left, dtype=np.int64)).tolist(),
        )
        leaves = np.flatnonzero(is_leaf)
        weights = np.asarray(value, dtype=np.float64)[is_leaf]
        width = weights.shape[1] if weights.ndim == 2 else 1
        targets = np.tile(np.arange(width), len(leaves)) if width > 1 else np.full(len(leaves), output)
        ends = ([number] * len(targets), np.repeat(leaves, width).tolist(), targets.tolist(), weights.ravel().tolist())
        for name, values in zip((*_SPLITS, *_LEAVES), (*nodes, *ends), strict=True):
            self.columns[name].extend(values)


def category_chain(values: Sequence[float], *, left: int, right: int, first: int) -> list[tuple[int, int, float]]:
    """Say "is one of these" as nodes that each test for one value: (left, right, value), the first of them at place `first`.

    All share the same left child: ONNX's trees are graphs, and the runtime makes one set of such a chain.
    """
    return [(left, first + place + 1 if place + 1 < len(values) else right, value) for place, value in enumerate(values)]


def floor32(thresholds: Any) -> NDArray[np.float64]:
    """Round down to float32: for every float32 x, `x <= threshold` and `x <= floor32(threshold)` are then the same."""
    exact = np.asarray(thresholds, dtype=np.float64)
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
        lower = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) <= exact, nearest, lower).astype(np.float64)


def well_formed(left: NDArray[Any], right: NDArray[Any], feature: NDArray[Any], *, is_leaf: NDArray[np.bool_], n_features: int) -> bool:
    """Say whether a tree read from a file can be walked: children after their parents and within it, features within the row.

    Libraries walk trees without looking: one edge out of bounds reads foreign memory, one backwards never ends.
    """
    split = ~is_leaf
    own, n = np.arange(len(left)), len(left)
    children = [np.asarray(each)[split].astype(np.int64) for each in (left, right)]
    wanted = np.asarray(feature)[split].astype(np.int64)
    return bool(n and all(((each > own[split]) & (each < n)).all() for each in children) and ((wanted >= 0) & (wanted < n_features)).all())
