"""scikit-learn's tree ensembles of two classes as one ONNX tree ensemble: trees, forests, gradient boosting, histogram boosting.

The public converter sends missing values the wrong way in forests that saw them in training: 63 % of rows then got another answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import tree_graph
from sampan.flavors.trees import Ensemble

_FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier")
_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier")
_BOOSTED = ("GradientBoostingClassifier", "HistGradientBoostingClassifier")


def is_trees(estimator: object) -> bool:
    """Say whether `graph_of_trees` knows the estimator."""
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.") and kind.__name__ in (*_FORESTS, *_TREES, *_BOOSTED)


def graph_of_trees(estimator: Any, n_features: int) -> bytes:
    """Build the graph.

    Raises
    ------
    Unsupported : it has categorical splits, several outputs, or begins from another model's answer.
    """
    ensemble, name = Ensemble(), type(estimator).__name__
    if name == "HistGradientBoostingClassifier":
        for (tree,) in estimator._predictors:
            _add_histogram_tree(ensemble, tree.nodes)
        base = float(np.ravel(estimator._baseline_prediction)[0])
        return tree_graph(ensemble.columns, n_features, scale=1.0, base=base)
    if name == "GradientBoostingClassifier":
        for (regressor,) in estimator.estimators_:
            _add_tree(ensemble, regressor.tree_, regressor.tree_.value[:, 0, 0] * estimator.learning_rate)
        return tree_graph(ensemble.columns, n_features, scale=1.0, base=_prior(estimator, n_features))
    trees = estimator.estimators_ if name in _FORESTS else [estimator]
    for each in trees:
        if each.tree_.n_outputs != 1:
            raise Unsupported(f"a {name} of several outputs is not exported", hint="fit one model for each")
        _add_tree(ensemble, each.tree_, each.tree_.value[:, 0, 1] / len(trees))
    return tree_graph(ensemble.columns, n_features, scale=None)


def _add_tree(ensemble: Ensemble, tree: Any, value: Any) -> None:
    ensemble.add(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left,
        value=value,
    )


def _add_histogram_tree(ensemble: Ensemble, nodes: Any) -> None:
    is_leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"][~is_leaf].any():
        raise Unsupported("categorical splits are not exported", hint="encode categories in the feature view")
    ensemble.add(
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"],
        value=nodes["value"],
    )


def _prior(estimator: Any, n_features: int) -> float:
    """Return the raw score that boosting begins with, where it is the same for every row."""
    if estimator.init_ != "zero" and type(estimator.init_).__name__ != "DummyClassifier":
        raise Unsupported("boosting that begins from another model is not exported", hint="leave init out")
    return float(np.ravel(estimator._raw_predict_init(np.zeros((1, n_features), np.float32)))[0])
