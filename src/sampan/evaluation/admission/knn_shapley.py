"""What each row of an embedding is worth to a nearest-neighbor classifier: its exact Shapley value, in closed form."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.evaluation.admission.table import Floats, Matrix, Rows

_CHUNK: Final = 64  # asked rows whose distances are held at once


def knn_shapley(vectors: Matrix, classes: Rows, asked: Matrix, asked_classes: Rows, *, k: int = 10) -> Floats:
    """Return each row's Shapley value in the share of neighbors that are right, shape (n,).

    The values of all rows sum to the mean, over asked rows, of the share of their k nearest rows that have the right class. A negative
    value misleads: the classifier is better without the row. Neighbors are found by cosine distance; ties go to the earlier row.

    Parameters
    ----------
    vectors, classes : rows to be valued, shape (n, d), (n,); n > k
    asked, asked_classes : rows to be classified, shape (m, d), (m,)

    Raises
    ------
    ParameterError : k is below 1 or not below n, or nothing is asked.

    References
    ----------
    R. Jia et al. (2019), "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", VLDB 12(11), theorem 1.

    >>> line = np.array([[1.0, 0.0], [1.0, 0.2], [1.0, 2.0]], np.float32)
    >>> knn_shapley(line, np.array([1, 0, 1]), line[:1], np.array([1]), k=1).round(4).tolist()
    [0.8333, -0.1667, 0.3333]
    """
    n = len(vectors)
    if not 1 <= k < n:
        raise ParameterError(f"k = {k} neighbors of {n} rows", hint=f"give 1 to {n - 1}")
    if not len(asked):
        raise ParameterError("no row is asked about", hint="give rows of known class that are not among those valued")
    own, other = _directions(vectors), _directions(asked)
    place = np.arange(1, n)
    step = np.minimum(k, place) / (place * k)
    total = np.zeros(n)
    for start in range(0, len(other), _CHUNK):
        near = np.argsort(-(other[start : start + _CHUNK] @ own.T), axis=1, kind="stable")
        right = (classes[near] == asked_classes[start : start + _CHUNK, None]).astype(np.float64)
        worth = np.empty_like(right)
        worth[:, -1] = right[:, -1] / n * min(k, n) / k
        # From the furthest row inward: a row differs from the next one only where exchanging them changes an answer.
        worth[:, :-1] = np.cumsum(((right[:, :-1] - right[:, 1:]) * step)[:, ::-1], axis=1)[:, ::-1] + worth[:, -1:]
        np.add.at(total, near, worth)
    return total / len(asked)


def _directions(vectors: Matrix) -> NDArray[np.float32]:
    """Return the rows at length 1; missing numbers are 0."""
    known = np.nan_to_num(vectors.astype(np.float32))
    return np.asarray(known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12))
