"""Tree ensembles made smaller where they are, in their graph: the first trees alone, or branches cut back to leaves.

No label is needed, only rows like those the model learned from. Whatever is cut, the sum of the rest is fitted to the sum of the whole by a
line (a factor on the leaves, a constant beside them), since the first trees of boosting fall short of it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.plugins import require

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NUMBERS, _CLASSES = "TreeEnsembleRegressor", "TreeEnsembleClassifier"
_ENDS = ("treeids", "nodeids", "ids", "weights")  # of leaves: which, what it adds to, how much
_KEPT = ("post_transform", "classlabels_int64s", "classlabels_strings")  # as they are, whatever is cut
_DOMAIN = "ai.onnx.ml"


@dataclass(frozen=True, slots=True)
class Trees:
    """All trees' nodes in one numbering; a tree's root is where it begins. `left` is negative at leaves."""

    roots: Ints  # shape (trees,)
    tree: Ints  # shape (nodes,): which tree a node belongs to
    left: Ints
    right: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    strict: NDArray[np.bool_]  # BRANCH_LT: a value at the threshold goes right
    value: Floats  # shape (nodes, outputs): what a leaf adds
    base: Floats  # shape (outputs,)

    @classmethod
    def of(cls, graph: bytes) -> Self:
        """Read the trees of a graph.

        Raises
        ------
        Unsupported : the graph has no tree ensemble, or not of sums.
        """
        node = _tree_node(require("onnx", extra="train").load_from_string(graph))
        return cls._read(_as_numbers(node))

    @classmethod
    def _read(cls, told: dict[str, Any]) -> Self:
        if told.get("aggregate_function", b"SUM") != b"SUM":
            raise Unsupported("trees that are not added up are not cut back")
        modes = np.array([each.decode() for each in told["nodes_modes"]])
        if unknown := set(modes.tolist()) - {"LEAF", "BRANCH_LEQ", "BRANCH_LT"}:
            raise Unsupported(f"trees that branch by {', '.join(sorted(unknown))} are not cut back")
        trees, nodes = np.array(told["nodes_treeids"]), np.array(told["nodes_nodeids"])
        place = {pair: n for n, pair in enumerate(zip(trees.tolist(), nodes.tolist(), strict=True))}
        is_leaf = modes == "LEAF"
        left, right = (
            np.array([-1 if leaf else place[t, c] for leaf, t, c in zip(is_leaf, trees.tolist(), told[name], strict=True)])
            for name in ("nodes_truenodeids", "nodes_falsenodeids")
        )
        n_outputs = int(told.get("n_targets", 1))
        value = np.zeros((len(nodes), n_outputs))
        ends = (told[f"target_{word}"] for word in _ENDS)
        for t, n, output, weight in zip(*ends, strict=True):
            value[place[t, n], output] += weight
        numbers, roots = np.unique(trees, return_index=True)
        tracks = told.get("nodes_missing_value_tracks_true") or [0] * len(nodes)
        return cls(
            roots=roots.astype(np.int64),
            tree=np.searchsorted(numbers, trees).astype(np.int64),
            left=left.astype(np.int64),
            right=right.astype(np.int64),
            feature=np.array(told["nodes_featureids"], dtype=np.int64),
            threshold=np.array(told["nodes_values"], dtype=np.float32),
            missing_left=np.array(tracks, dtype=bool),
            strict=modes == "BRANCH_LT",
            value=value,
            base=np.array(told.get("base_values") or [0.0] * n_outputs, dtype=np.float64),
        )

    @property
    def n_leaves(self) -> int:
        """How many leaves there are."""
        return int((self.left < 0)[self._reached()].sum())

    def _reached(self) -> Ints:
        """Return the nodes that can be reached, parents before children."""
        level, found = self.roots, [self.roots]
        while len(level := np.concatenate([self.left[level], self.right[level]])[np.tile(self.left[level] >= 0, 2)]):
            found.append(level)
        return np.concatenate(found)

    def leaves(self, rows: NDArray[np.float32]) -> Ints:
        """Return the leaf each row reaches in each tree, shape (n, trees)."""
        at = np.tile(self.roots, (len(rows), 1))
        own = np.arange(len(rows))[:, None]
        while (inner := self.left[at] >= 0).any():
            values, bound = rows[own, self.feature[at]], self.threshold[at]
            goes_left = np.where(self.strict[at], values < bound, values <= bound) | (np.isnan(values) & self.missing_left[at])
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
        return at

    def sums(self, rows: NDArray[np.float32]) -> Floats:
        """Return the sum of the leaves that each row reaches, shape (n, outputs)."""
        return np.asarray(self.value[self.leaves(rows)].sum(axis=1) + self.base)

    def first(self, n_trees: int) -> Trees:
        """Return the first trees alone; where each output has trees of its own, as many of each."""
        n_outputs = len(self.base)
        step = n_outputs if self._are_apart() else 1
        return replace(self, roots=self.roots[: max(step, n_trees // step * step)])

    def _are_apart(self) -> bool:
        """Say whether each tree adds to one output alone."""
        added = np.zeros((len(self.roots), len(self.base)), dtype=bool)
        np.logical_or.at(added, self.tree, self.value != 0)
        return len(self.base) > 1 and bool((added.sum(axis=1) <= 1).all())

    def cut_back(self, rows: NDArray[np.float32], n_leaves: int) -> Trees:
        """Turn branches into leaves until so many leaves are left, those first that change the answers for these rows least.

        A branch whose children are leaves costs its rows' squared change, sum by sum; the leaf it becomes adds the mean of what they added.
        """
        cover = np.bincount(self.leaves(rows).ravel(), minlength=len(self.left)).astype(np.float64)
        left, right, value = self.left.copy(), self.right.copy(), self.value.copy()
        reached = self._reached()
        parent = np.full(len(left), -1)
        inner = reached[left[reached] >= 0]
        parent[left[inner]], parent[right[inner]] = inner, inner

        def cost(node: int) -> float:
            a, b = left[node], right[node]
            both = cover[a] + cover[b]
            return float(cover[a] * cover[b] / both * ((value[a] - value[b]) ** 2).sum()) if both else 0.0

        heap = [(cost(node), int(node)) for node in inner if left[left[node]] < 0 and left[right[node]] < 0]
        heapq.heapify(heap)
        remaining = len(reached) - len(inner)
        while heap and remaining > max(n_leaves, len(self.roots)):
            _, node = heapq.heappop(heap)
            a, b = left[node], right[node]
            both = cover[a] + cover[b]
            value[node] = (cover[a] * value[a] + cover[b] * value[b]) / both if both else (value[a] + value[b]) / 2
            cover[node], left[node], right[node] = both, -1, -1
            remaining -= 1
            above = parent[node]
            if above >= 0 and left[left[above]] < 0 and left[right[above]] < 0:
                heapq.heappush(heap, (cost(above), int(above)))
        return replace(self, left=left, right=right, value=value)

    def fitted_to(self, whole: Floats, rows: NDArray[np.float32]) -> Trees:
        """Return the trees with the factor and constant by which their sums come nearest to the whole's."""
        own = self.sums(rows) - self.base
        apart, wanted = own - own.mean(axis=0), whole - whole.mean(axis=0)
        spread = (apart**2).sum(axis=0)
        factor = np.divide((apart * wanted).sum(axis=0), spread, out=np.ones(len(self.base)), where=spread > 0)
        return replace(self, value=self.value * factor, base=whole.mean(axis=0) - factor * own.mean(axis=0))

    def columns(self) -> dict[str, Any]:
        """Return the attributes of a tree ensemble node; nodes that cannot be reached are left out."""
        reached = np.sort(self._reached())
        number = np.zeros(len(self.left), dtype=np.int64)
        for root in self.roots:
            own = reached[self.tree[reached] == self.tree[root]]
            number[own] = np.arange(len(own))
        is_leaf = self.left[reached] < 0
        modes = np.where(is_leaf, "LEAF", np.where(self.strict[reached], "BRANCH_LT", "BRANCH_LEQ"))
        leaves = reached[is_leaf]
        # Each leaf once for each output it adds to, and once where it adds nothing.
        adds = (self.value[leaves] != 0) | ((self.value[leaves] == 0).all(axis=1)[:, None] & (np.arange(len(self.base)) == 0))
        which, output = np.nonzero(adds)
        ends = leaves[which]
        found: dict[str, Any] = {
            "nodes_treeids": self.tree[reached].tolist(),
            "nodes_nodeids": number[reached].tolist(),
            "nodes_featureids": np.where(is_leaf, 0, self.feature[reached]).tolist(),
            "nodes_modes": modes.tolist(),
            "nodes_values": np.where(is_leaf, np.float32(0), self.threshold[reached]).astype(float).tolist(),
            "nodes_truenodeids": np.where(is_leaf, 0, number[self.left[reached]]).tolist(),
            "nodes_falsenodeids": np.where(is_leaf, 0, number[self.right[reached]]).tolist(),
            "nodes_missing_value_tracks_true": (self.missing_left[reached] & ~is_leaf).astype(int).tolist(),
            "target_treeids": self.tree[ends].tolist(),
            "target_nodeids": number[ends].tolist(),
            "target_ids": output.tolist(),
            "target_weights": self.value[ends, output].tolist(),
            "n_targets": len(self.base),
        }
        return {**found, "base_values": self.base.tolist()} if self.base.any() else found

    def into(self, graph: bytes) -> bytes:
        """Return a graph with its trees replaced by these."""
        onnx = require("onnx", extra="train")
        model = onnx.load_from_string(graph)
        node = _tree_node(model)
        told = {**_as_this_node(node, self.columns()), **{name: value for name, value in _attributes(node).items() if name in _KEPT}}
        made = onnx.helper.make_node(node.op_type, list(node.input), list(node.output), name=node.name, domain=_DOMAIN, **told)
        node.CopyFrom(made)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def n_trees(graph: bytes) -> int:
    """Return how many trees a graph has, 0 where it has none."""
    try:
        return len(Trees.of(graph).roots)
    except Unsupported:
        return 0


def _tree_node(model: Any) -> Any:
    found = [node for node in model.graph.node if node.op_type in (_NUMBERS, _CLASSES)]
    if len(found) != 1:
        raise Unsupported(f"the graph has {len(found)} tree ensembles, not one")
    return found[0]


def _as_numbers(node: Any) -> dict[str, Any]:
    """Return a node's attributes by the names of an ensemble of numbers: a classifier's sums are numbers until it makes chances of them."""
    told = _attributes(node)
    if node.op_type == _NUMBERS:
        return told
    classes = _classes(told)
    place = {number: n for n, number in enumerate(classes)}
    ends = {f"target_{word}": told[f"class_{word}"] for word in _ENDS}
    if len(told.get("base_values") or classes) != len(classes):
        raise Unsupported("trees of classes with constants of their own for none of their sums are not cut back")
    return {**told, **ends, "target_ids": [place[each] for each in told["class_ids"]], "n_targets": len(classes)}


def _as_this_node(node: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return an ensemble's columns by the names of a node's attributes."""
    if node.op_type == _NUMBERS:
        return columns
    classes = _classes(_attributes(node))
    found = {name.replace("target_", "class_"): value for name, value in columns.items() if name != "n_targets"}
    return {**found, "class_ids": [classes[each] for each in columns["target_ids"]]}


def _classes(told: dict[str, Any]) -> list[int]:
    """Return the classes that leaves add to: one, where of two classes the other is what is left of it."""
    named = sorted(set(told["class_ids"]))
    labels = told.get("classlabels_int64s") or told.get("classlabels_strings") or named
    return named if len(named) == 1 else list(range(len(labels)))


def _attributes(node: Any) -> dict[str, Any]:
    onnx = require("onnx", extra="train")
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
