"""What each labeled row is worth, and what quarantining the least valuable ones does.

Of a table, a row's value is its margin: the chance that models which did not see the row give its label, less the most they give another.
-1 contradicts all that is known, 1 is as expected. Of embeddings it is the row's exact Shapley value for nearest neighbors, scaled so that
the rows' mean is the share of right neighbors. A low value says "look": the label may be wrong, or the row rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.knn_shapley import knn_shapley
from sampan.evaluation.admission.learner import CrossFit, Learner, Predict
from sampan.evaluation.admission.table import Floats, Matrix, Rows
from sampan.evaluation.losses import CLOSEST
from sampan.stats.bootstrap import Estimate, Resampling, draw_weights

Method = Literal["margin", "knn-shapley"]

N_FOLDS: Final = 3
_HOLD_OUT: Final = 4  # every fourth row judges the effect
_SHARES: Final = (0.01, 0.02, 0.05, 0.10)
_MOST_ASKED: Final = 2000
_N_BLOCKS, _DRAWS = 200, 500


@dataclass(frozen=True, slots=True)
class Values:
    """A value per row, and what was said of each."""

    method: Method
    values: Floats  # shape (n,)
    other: Rows  # the class that fits best besides the row's own, shape (n,); -1 where none was asked for
    wrong: NDArray[np.bool_]  # labels that are confidently contradicted, shape (n,)


class QuarantineEffect(msgspec.Struct, frozen=True):
    """Log loss on rows set aside, of a model that did not learn the least valuable rows.

    `change` is that less the loss of a model that learned all, `beside_random` less that of one that left out as many at random.
    """

    share: float
    n_held: int
    change: Estimate
    beside_random: Estimate


def value_rows(matrix: Matrix, classes: Rows, categorical: list[int], rng: np.random.Generator) -> Values:
    """Value the rows of a table by out-of-fold margins; wrong labels are named by confident learning.

    Parameters
    ----------
    matrix, classes : shape (n, k), (n,); classes from 0
    categorical : the columns that hold codes

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70.
    """
    chances = out_of_fold(matrix, classes, categorical, rng)
    return _margins(chances, classes)


def value_vectors(vectors: Matrix, classes: Rows, rng: np.random.Generator, *, k: int = 10) -> Values:
    """Value the rows of an embedding by exact KNN-Shapley; each part of the rows is asked about the others.

    Rows with a negative value are named wrong where their neighbors agree on another class.
    """
    n = len(classes)
    parts = rng.permutation(n) % 2
    values, votes = np.zeros(n), np.zeros((n, int(classes.max()) + 1))
    for part in (0, 1):
        own, others = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        asked = rng.permutation(others)[:_MOST_ASKED]
        neighbors = min(k, len(own) - 1)
        values[own] = knn_shapley(vectors[own], classes[own], vectors[asked], classes[asked], k=neighbors) * len(own)
        votes[own] = _votes(vectors[own], vectors[others], classes[others], votes.shape[1], k=neighbors)
    fitting = votes.copy()
    fitting[np.arange(n), classes] = -1
    other = fitting.argmax(axis=1)
    wrong = (values < 0) & (votes[np.arange(n), other] > 0.5)
    return Values("knn-shapley", values, other, wrong)


def out_of_fold(matrix: Matrix, classes: Rows, categorical: list[int], rng: np.random.Generator) -> Floats:
    """Return the chance of each class by models that did not see the row, shape (n, n_classes)."""
    n_classes = int(classes.max()) + 1
    folds = rng.permutation(len(classes)) % N_FOLDS
    rows = np.arange(len(classes))
    columns = []
    for each in range(1, 2) if n_classes == 2 else range(n_classes):
        learner = Learner(matrix, (classes == each).astype(np.float64), categorical)
        columns.append(CrossFit(learner, matrix, rows, folds).out_of_fold)
    chances = np.column_stack([1 - columns[0], columns[0]] if n_classes == 2 else columns)
    return np.asarray(chances / np.maximum(chances.sum(axis=1, keepdims=True), CLOSEST))


def quarantine_effect(
    matrix: Matrix, classes: Rows, categorical: list[int], rng: np.random.Generator, *, shares: tuple[float, ...] = _SHARES
) -> tuple[QuarantineEffect, ...]:
    """Measure what a model gains by not learning the least valuable rows, on rows set aside and never valued.

    The rows set aside keep their labels, wrong ones too, so the gain on true labels is larger than the one measured. Two classes only.
    """
    order = rng.permutation(len(classes))
    judged, learned = order[::_HOLD_OUT], np.delete(order, np.s_[::_HOLD_OUT])
    worth = _margins(out_of_fold(matrix[learned], classes[learned], categorical, rng), classes[learned]).values
    least = learned[np.argsort(worth, kind="stable")]
    learner = Learner(matrix, classes.astype(np.float64), categorical)
    blocks = np.arange(len(judged), dtype=np.intp) % min(_N_BLOCKS, len(judged))
    resampling = Resampling(blocks, draw_weights(int(blocks.max()) + 1, _DRAWS, rng))

    def losses(model: Predict) -> Floats:
        chances = model(matrix[judged])
        given = np.where(classes[judged] == 1, chances, 1 - chances)
        return np.asarray(-np.log(np.clip(given, CLOSEST, 1.0)))

    everything = losses(learner.fit(learned))
    found = []
    for share in shares:
        n = round(share * len(learned))
        if not n:
            continue
        without, random = losses(learner.fit(least[n:])), losses(learner.fit(rng.permutation(learned)[n:]))
        found.append(QuarantineEffect(share, n, resampling.mean(without - everything), resampling.mean(without - random)))
    return tuple(found)


def _margins(chances: Floats, classes: Rows) -> Values:
    rows = np.arange(len(classes))
    own = chances[rows, classes]
    fitting = chances.copy()
    fitting[rows, classes] = -1
    other = fitting.argmax(axis=1)
    # A class's usual self-confidence is its bar: a row is taken for another class only where it passes that class's bar.
    bars = np.array([own[classes == each].mean() if (classes == each).any() else np.inf for each in range(chances.shape[1])])
    wrong = (fitting[rows, other] >= bars[other]) & (fitting[rows, other] > own)
    return Values("margin", own - fitting[rows, other], other, wrong)


def _votes(vectors: Matrix, others: Matrix, classes: Rows, n_classes: int, *, k: int) -> Floats:
    """Return, for each row, the share of its k nearest other rows of each class."""
    own, near = np.nan_to_num(vectors), np.nan_to_num(others)
    own = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    near = near / np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-12)
    votes = np.zeros((len(own), n_classes))
    k = min(k, len(near))
    for start in range(0, len(own), 512):
        nearest = np.argpartition(-(own[start : start + 512] @ near.T), k - 1, axis=1)[:, :k]
        for each in range(n_classes):
            votes[start : start + 512, each] = (classes[nearest] == each).mean(axis=1)
    return votes
