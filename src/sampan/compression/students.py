"""Models that stand in for one that has no graph: trees and networks of a few sizes, each of which can be a graph.

They are scikit-learn's, with its customary settings but the size; what they learn from, labels or a teacher's answers, is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError, Unsupported
from sampan.plugins import require

ParameterValue = int | float | str | bool

TREES, NETWORK = "trees", "network"
_TREES: Final = ((200, 31), (100, 15), (50, 15), (50, 7), (20, 7))
_WIDTHS: Final = (64, 16)
_STEPS: Final = 200


def students() -> list[tuple[str, str, dict[str, ParameterValue]]]:
    """Return the name, the kind and the size of each, the largest of a kind first.

    >>> [name for name, _, _ in students()][:2]
    ['200 trees of 31 leaves', '100 trees of 15 leaves']
    """
    found: list[tuple[str, str, dict[str, ParameterValue]]] = []
    found += [(f"{n} trees of {leaves} leaves", TREES, {"rounds": n, "leaves": leaves}) for n, leaves in _TREES]
    found += [(f"network of {width} units", NETWORK, {"width": width}) for width in _WIDTHS]
    return found


def fit_student(kind: str, size: Mapping[str, ParameterValue], matrix: NDArray[Any], labels: NDArray[Any], *, of: str, seed: int) -> Any:
    """Fit one and return the estimator.

    Parameters
    ----------
    matrix : shape (n, k), NaN where a feature is missing
    labels : shape (n,)
    of : "regression" where labels are numbers; else they are codes of classes

    Raises
    ------
    ParameterError : there is no such kind.
    Unsupported : it cannot learn from these rows.
    """
    if kind not in _FITS:
        raise ParameterError(f"there is no student {kind!r}", hint=", ".join(_FITS))
    try:
        return _FITS[kind](size, matrix, labels, of, seed)
    except ValueError as cause:  # such as of numbers without end
        raise Unsupported(f"no {kind} can be fitted to these rows: {str(cause).splitlines()[0]}") from cause


def _fit_trees(size: Mapping[str, ParameterValue], matrix: NDArray[Any], labels: NDArray[Any], of: str, seed: int) -> Any:
    ensemble = require("sklearn.ensemble", extra="train")
    kind = ensemble.HistGradientBoostingRegressor if of == "regression" else ensemble.HistGradientBoostingClassifier
    trees = kind(max_iter=size["rounds"], max_leaf_nodes=size["leaves"], early_stopping=False, random_state=seed)
    return trees.fit(matrix, labels if of == "regression" else labels.astype(np.intp))


def _fit_network(size: Mapping[str, ParameterValue], matrix: NDArray[Any], labels: NDArray[Any], of: str, seed: int) -> Any:
    neural, impute = require("sklearn.neural_network", extra="train"), require("sklearn.impute", extra="train")
    pipeline, scale = require("sklearn.pipeline", extra="train"), require("sklearn.preprocessing", extra="train")
    kind = neural.MLPRegressor if of == "regression" else neural.MLPClassifier
    layers = kind(hidden_layer_sizes=(size["width"],), max_iter=_STEPS, early_stopping=True, random_state=seed)
    whole = pipeline.make_pipeline(impute.SimpleImputer(keep_empty_features=True), scale.StandardScaler(), layers)
    if of != "regression":
        return whole.fit(matrix, labels.astype(np.intp))
    # A network learns numbers far from 1 badly; its last layer takes their unit in afterwards, so that no step is added.
    middle, unit = labels.mean(), labels.std() or 1.0
    whole.fit(matrix, (labels - middle) / unit)
    layers.coefs_[-1] = layers.coefs_[-1] * unit
    layers.intercepts_[-1] = layers.intercepts_[-1] * unit + middle
    return whole


_FITS: Final = {TREES: _fit_trees, NETWORK: _fit_network}
