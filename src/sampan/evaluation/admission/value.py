"""What each labeled row is worth, and what quarantining the least valuable ones does.

Of a table, a row's value is its margin: the chance that models which did not see the row give its label, less the most they give another.
-1 contradicts all that is known, 1 is as expected. Where the label is a number, it is the share of rows with a larger error, on the same
scale: -1 is the largest error of all, 1 none. Of embeddings it is the row's exact Shapley value for nearest neighbors, scaled so that
the rows' mean is the share of right neighbors. A low value says "look": the label may be wrong, or the row rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.knn_shapley import knn_shapley
from sampan.evaluation.admission.learner import CrossFit, Learner
from sampan.evaluation.admission.loss import row_losses
from sampan.evaluation.admission.outlook import NumberOutlook, both
from sampan.evaluation.admission.table import Floats, Matrix, Rows, Table
from sampan.evaluation.noise import wrong_class_share
from sampan.stats.bootstrap import Estimate, Resampling, draw_weights

Method = Literal["margin", "knn-shapley"]

N_FOLDS: Final = 3
_HOLD_OUT: Final = 4  # every fourth row judges the effect
_SHARES: Final = (0.01, 0.02, 0.05, 0.10)
_MOST_ASKED: Final = 2000
_N_BLOCKS, _DRAWS = 200, 500
_FAR_OUT: Final = 3.0  # times the distance between the quartiles, beyond them


@dataclass(frozen=True, slots=True)
class Values:
    """A value per row, and what was said of each."""

    method: Method
    values: Floats  # shape (n,)
    other: Floats  # the class that fits best besides the row's own, or the number to be expected, shape (n,)
    wrong: NDArray[np.bool_]  # labels that are confidently contradicted, shape (n,)
    share: Estimate  # of wrong labels


class QuarantineEffect(msgspec.Struct, frozen=True):
    """The loss on rows set aside, of a model that did not learn the least valuable rows.

    `change` is that less the loss of a model that learned all, `beside_random` less that of one that left out as many at random.
    """

    share: float
    n_held: int
    change: Estimate
    beside_random: Estimate


def value_rows(table: Table, rng: np.random.Generator) -> Values:
    """Value the trusted rows of a table: by out-of-fold margins, or of numbers by errors.

    Wrong classes are named by confident learning, wrong numbers by fences three quartile distances out.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70.
    J. W. Tukey (1977), "Exploratory Data Analysis", 2C: far out values.
    """
    if not table.classes:
        return _errors(table, rng)
    learner = Learner(table.matrix, table.labels, [*table.categories], n_classes=len(table.classes))
    said = CrossFit(learner, table.matrix, table.base, rng.permutation(table.n_base) % N_FOLDS).out_of_fold
    return _margins(both(said) if said.ndim == 1 else said, table.labels[: table.n_base].astype(np.intp))


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
    return Values("knn-shapley", values, other.astype(np.float64), wrong, Estimate(float(wrong.mean())))


def quarantine_effect(table: Table, rng: np.random.Generator, *, shares: tuple[float, ...] = _SHARES) -> tuple[QuarantineEffect, ...]:
    """Measure what a model gains by not learning the least valuable rows, on rows set aside and never valued.

    The rows set aside keep their labels, wrong ones too, so the gain on true labels is larger than the one measured.
    """
    order = rng.permutation(table.n_base)
    judged, learned = order[::_HOLD_OUT], np.delete(order, np.s_[::_HOLD_OUT])
    least = learned[np.argsort(value_rows(table.of(learned), rng).values, kind="stable")]
    learner = Learner(table.matrix, table.labels, [*table.categories], n_classes=len(table.classes))
    blocks = np.arange(len(judged), dtype=np.intp) % min(_N_BLOCKS, len(judged))
    resampling = Resampling(blocks, draw_weights(int(blocks.max()) + 1, _DRAWS, rng))
    held = {share: n for share in shares if (n := round(share * len(learned)))}
    ways = [learned, *(least[n:] for n in held.values()), *(rng.permutation(learned)[n:] for n in held.values())]
    matrix = table.matrix[judged]
    everything, *losses = (row_losses(table, judged, model(matrix)) for model in learner.fit_all(ways))
    without, random = losses[: len(held)], losses[len(held) :]
    return tuple(
        QuarantineEffect(share, n, resampling.mean(one - everything), resampling.mean(one - other))
        for (share, n), one, other in zip(held.items(), without, random, strict=True)
    )


def _errors(table: Table, rng: np.random.Generator) -> Values:
    """Value numbers by how far they lie from what is to be expected of their rows."""
    outlook = NumberOutlook(table, rng)
    errors = outlook.errors
    below = np.searchsorted(np.sort(errors), errors) / len(errors)
    low, high = np.quantile(errors, [0.25, 0.75])
    reach = _FAR_OUT * (high - low)
    wrong = (errors < low - reach) | (errors > high + reach)
    share = wrong_class_share(outlook.codes[: table.n_base], outlook.base)
    return Values("margin", 1 - 2 * np.abs(2 * below - 1), outlook.expected(outlook.fitted.out_of_fold), wrong, share)


def _margins(chances: Floats, classes: Rows) -> Values:
    rows = np.arange(len(classes))
    own = chances[rows, classes]
    fitting = chances.copy()
    fitting[rows, classes] = -1
    other = fitting.argmax(axis=1)
    # A class's usual self-confidence is its bar: a row is taken for another class only where it passes that class's bar.
    bars = np.array([own[classes == each].mean() if (classes == each).any() else np.inf for each in range(chances.shape[1])])
    wrong = (fitting[rows, other] >= bars[other]) & (fitting[rows, other] > own)
    share = wrong_class_share(classes, chances) if len(np.unique(classes)) > 1 else Estimate(None)
    return Values("margin", own - fitting[rows, other], other.astype(np.float64), wrong, share)


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
