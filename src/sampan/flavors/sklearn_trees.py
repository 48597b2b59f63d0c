"""scikit-learn's tree ensembles as one ONNX tree ensemble: trees, forests, gradient boosting, histogram boosting; classes and numbers.

The public converter sends missing values the wrong way in forests that saw them in training: 63 % of rows then got another answer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import Link, tree_graph
from sampan.flavors.trees import Ensemble, category_chain

_FORESTS: Final = ("RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor")
_TREES: Final = ("DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor")
_BOOSTED: Final = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAM: Final = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_LOGARITHMIC: Final = ("poisson", "gamma")  # losses of histogram boosting whose sums are logarithms


def is_trees(estimator: object) -> bool:
    """Say whether `graph_of_trees` knows the estimator."""
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.") and kind.__name__ in (*_FORESTS, *_TREES, *_BOOSTED, *_HISTOGRAM)


def graph_of_trees(estimator: Any, n_features: int, *, exact: bool = False) -> bytes:
    """Build the graph.

    Parameters
    ----------
    exact : rows come as float64; only histogram boosting looks at more than their float32

    Raises
    ------
    Unsupported : it has categorical splits, several outputs, or begins from another model's answer.
    """
    ensemble, name = Ensemble(exact=exact), type(estimator).__name__
    if name in _HISTOGRAM:
        for round_ in estimator._predictors:
            for output, tree in enumerate(round_):
                _add_histogram_tree(ensemble, tree, output)
        base = np.ravel(estimator._baseline_prediction).tolist()
        return tree_graph(ensemble.columns, n_features, link=_histogram_link(estimator, len(base)), base=base, exact=exact)
    if name in _BOOSTED:
        for round_ in estimator.estimators_:
            for output, regressor in enumerate(round_):
                _add_tree(ensemble, regressor.tree_, regressor.tree_.value[:, 0, 0] * estimator.learning_rate, output)
        base = _prior(estimator, n_features)
        return tree_graph(ensemble.columns, n_features, link=_link(estimator, len(base)), base=base)
    trees = estimator.estimators_ if name in _FORESTS else [estimator]
    values = [_leaf_values(each, name) / len(trees) for each in trees]
    for each, value in zip(trees, values, strict=True):
        _add_tree(ensemble, each.tree_, value, 0)
    return tree_graph(ensemble.columns, n_features, base=[0.0] * (values[0].shape[1] if values[0].ndim == 2 else 1))


def _leaf_values(each: Any, name: str) -> NDArray[np.float64]:
    """Return what each node of a tree says: a number, the share of the second of two classes, or the share of each class."""
    if each.tree_.n_outputs != 1:
        raise Unsupported(f"a {name} of several outputs is not exported", hint="fit one model for each")
    values: NDArray[np.float64] = each.tree_.value[:, 0, :]
    width = values.shape[1]
    return values[:, min(width - 1, 1)] if width <= 2 else values


def _link(estimator: Any, n_outputs: int) -> Link:
    if type(estimator).__name__.endswith("Regressor"):
        return "none"
    if estimator.loss == "exponential":
        raise Unsupported("boosting with an exponential loss is not exported", hint="leave loss out")
    return "softmax" if n_outputs > 1 else "sigmoid"


def _histogram_link(estimator: Any, n_outputs: int) -> Link:
    if type(estimator).__name__.endswith("Regressor"):
        return "exp" if estimator.loss in _LOGARITHMIC else "none"
    return "softmax" if n_outputs > 1 else "sigmoid"


def _add_tree(ensemble: Ensemble, tree: Any, value: Any, output: int) -> None:
    ensemble.add(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left,
        value=value,
        output=output,
    )


def _add_histogram_tree(ensemble: Ensemble, tree: Any, output: int) -> None:
    nodes = tree.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    columns = {
        "left": np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        "right": np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        "feature": nodes["feature_idx"].astype(np.int64),
        "threshold": nodes["num_threshold"].astype(np.float64),
        "missing_left": nodes["missing_go_to_left"].astype(np.int64),
        "value": nodes["value"].astype(np.float64),
    }
    modes = np.full(len(nodes), "BRANCH_LEQ", dtype=object)
    for place in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf):
        columns, modes = _with_categories(columns, modes, int(place), _categories(tree, int(nodes["bitset_idx"][place])))
    ensemble.add(**columns, mode=modes, output=output)


def _categories(tree: Any, row: int) -> list[float]:
    """Return the categories that go left at a split, from its set of bits."""
    words = np.asarray(tree.raw_left_cat_bitsets[row], np.uint32)
    return [float(32 * word + bit) for word in range(len(words)) for bit in range(32) if words[word] >> np.uint32(bit) & 1]


def _with_categories(
    columns: dict[str, NDArray[Any]], modes: NDArray[Any], place: int, values: list[float]
) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Put a chain of tests for one category each in the place of a split by a set of them."""
    first = len(modes)
    missing = int(columns["missing_left"][place])
    chain = category_chain(values, left=int(columns["left"][place]), right=int(columns["right"][place]), first=first - 1)
    # The first test stands where the split stood, the others at the end.
    more = len(chain) - 1
    grown = {name: np.concatenate([column, np.zeros(more, column.dtype)]) for name, column in columns.items()}
    modes = np.concatenate([modes, np.full(more, "BRANCH_EQ", dtype=object)])
    for at, (left, right, value) in zip([place, *range(first, first + more)], chain, strict=True):
        grown["left"][at], grown["right"][at], grown["threshold"][at] = left, right, value
        grown["feature"][at], grown["missing_left"][at] = columns["feature"][place], missing
        modes[at] = "BRANCH_EQ"
    return grown, modes


def _prior(estimator: Any, n_features: int) -> list[float]:
    """Return the raw scores that boosting begins with, where they are the same for every row."""
    if estimator.init_ != "zero" and type(estimator.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise Unsupported("boosting that begins from another model is not exported", hint="leave init out")
    found: list[float] = np.ravel(estimator._raw_predict_init(np.zeros((1, n_features), np.float32))).tolist()
    return found
