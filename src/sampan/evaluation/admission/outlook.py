"""What models of trusted rows say of a row's label: the chance of each class; of a number, the chance of each of its ranges.

Chances of classes come from out-of-fold predictions and a calibration. A number is expected by one model and its error by another; the
errors of trusted rows, each divided by the one expected, are a distribution that any row's chances are read from. Numbers are cut at
quantiles of the trusted rows, so that what follows need not know which of both a label is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.learner import CrossFit, Learner
from sampan.evaluation.admission.table import Floats, Matrix, Rows, Table
from sampan.evaluation.losses import logits, probabilities
from sampan.stats.ranking import auc, mid_ranks

N_FOLDS: Final = 3
_N_RANGES: Final = 10
_RARE: Final = 1e-4
_SCALE_ROUNDS: Final = 30
_OUTER: Final = 0.9  # a number is contradicted where errors as large have less than the rest of the chance
_STEPS: Final = 25


class Outlook(ABC):
    """Chances of each code of the label by models of trusted rows: `base` those of trusted rows, out of fold; `codes` of all rows."""

    codes: Rows
    base: Floats

    def __init__(self, table: Table, learner: Learner, rng: np.random.Generator) -> None:
        self.table, self.learner = table, learner
        folds = rng.permutation(table.n_base) % N_FOLDS
        self.fitted = CrossFit(learner, table.matrix, table.base, folds)

    @property
    def n_codes(self) -> int:
        """How many codes a label may have."""
        return int(self.base.shape[1])

    def votes(self, matrix: Matrix) -> Floats:
        """Return what each model says of rows that none saw, shape (n_models, n, n_codes).

        The mean of several models is less sure than it could be: of each alone, labels are as wrong as of trusted rows out of fold.
        """
        return np.stack([self.read(model(matrix), matrix) for model in self.fitted.models])

    def chances(self, matrix: Matrix) -> Floats:
        """Return the chance of each code for rows that no model saw, shape (n, n_codes)."""
        return np.asarray(self.votes(matrix).mean(axis=0))

    def since(self, learned: list[Rows], asked: list[Rows]) -> list[Floats]:
        """Return the chances of some rows by models of others alone, such as those before them."""
        models = self.learner.fit_all(learned)
        return [self.read(model(self.table.matrix[rows]), self.table.matrix[rows]) for model, rows in zip(models, asked, strict=True)]

    def own(self, rng: np.random.Generator) -> Floats:
        """Return the chances of all rows, the arriving ones too, by models that learned from the other rows of both."""
        table = self.table
        fitted = CrossFit(self.learner, table.matrix, np.arange(len(table)), rng.permutation(len(table)) % N_FOLDS)
        return self.read_own(fitted.out_of_fold)

    @abstractmethod
    def read(self, predicted: Floats, matrix: Matrix) -> Floats:
        """Turn predictions into chances."""

    @abstractmethod
    def read_own(self, predicted: Floats) -> Floats:
        """Turn predictions of all rows into chances that need not be calibrated."""

    @abstractmethod
    def likely(self, chances: Floats) -> Floats:
        """Return the label to be expected of each arriving row: a class, or a number."""

    @abstractmethod
    def surprise(self, chances: Floats) -> Floats:
        """Return, for arriving rows, how improbable labels so far off are, 0 to 1."""

    @abstractmethod
    def contradicted(self, chances: Floats) -> NDArray[np.bool_]:
        """Mark arriving rows whose label is not the one to be expected."""


class ClassOutlook(Outlook):
    """Of classes."""

    def __init__(self, table: Table, learner: Learner, rng: np.random.Generator) -> None:
        super().__init__(table, learner, rng)
        self.codes = table.labels.astype(np.intp)
        said, trusted = self.fitted.out_of_fold, table.labels[: table.n_base]
        self._line = calibration(trusted, said) if said.ndim == 1 else (0.0, _sharpness(self.codes[: table.n_base], said))
        self.base = self.read(said, table.matrix[: table.n_base])

    def read(self, predicted: Floats, matrix: Matrix) -> Floats:
        """Calibrate."""
        del matrix
        return both(calibrated(predicted, self._line)) if predicted.ndim == 1 else _sharpened(predicted, self._line[1])

    def read_own(self, predicted: Floats) -> Floats:
        """Leave predictions as they are."""
        return both(predicted) if predicted.ndim == 1 else predicted

    def likely(self, chances: Floats) -> Floats:
        """Return the likeliest class."""
        return np.asarray(chances.argmax(axis=1), dtype=np.float64)

    def surprise(self, chances: Floats) -> Floats:
        """Return the chance that the label is another."""
        now = self.codes[self.table.n_base :]
        return np.asarray(1 - chances[np.arange(len(now)), now])

    def contradicted(self, chances: Floats) -> NDArray[np.bool_]:
        """Mark rows of which another class is likelier."""
        now = self.codes[self.table.n_base :]
        return np.asarray(chances[np.arange(len(now)), now] < chances.max(axis=1))


class NumberOutlook(Outlook):
    """Of numbers."""

    def __init__(self, table: Table, rng: np.random.Generator) -> None:
        # Places among trusted labels, 0 to 1, not the numbers: a few labels far off would else decide what is expected of all.
        self._places = _places(table.labels[: table.n_base], table.labels)
        super().__init__(table, Learner(table.matrix, self._places, [*table.categories], n_classes=0), rng)
        trusted = self._places[: table.n_base]
        self._edges = np.unique(np.quantile(trusted, np.linspace(0, 1, _N_RANGES + 1)[1:-1]))
        self.codes = np.searchsorted(self._edges, self._places, side="right").astype(np.intp)
        gaps = trusted - self.fitted.out_of_fold
        # Roots of errors: a few great ones would else make all look usual.
        roots = np.zeros(len(table))
        roots[: table.n_base] = np.sqrt(np.abs(gaps))
        scale = Learner(table.matrix, roots, [*table.categories], n_classes=0)
        self._scale = CrossFit(scale, table.matrix, table.base, rng.permutation(table.n_base) % N_FOLDS, n_rounds=_SCALE_ROUNDS)
        self._least = max(float(np.median(roots[: table.n_base])) / 10, 1e-12)
        self.errors = gaps / self._width(self._scale.out_of_fold)
        self._errors = np.sort(self.errors)
        self.base = self._ranges(self.fitted.out_of_fold, self._width(self._scale.out_of_fold))
        arriving = table.matrix[table.n_base :]
        self._expected = self.fitted(arriving) if len(arriving) else np.zeros(0)
        self._widths = self._width(self._scale(arriving)) if len(arriving) else np.zeros(0)

    def read(self, predicted: Floats, matrix: Matrix) -> Floats:
        """Read the chance of each range from the distribution of errors."""
        return self._ranges(predicted, self._width(self._scale(matrix)))

    def read_own(self, predicted: Floats) -> Floats:
        """Read the chance of each range, with the errors that trusted rows have."""
        return self._ranges(predicted, np.concatenate([self._width(self._scale.out_of_fold), self._widths]))

    def likely(self, chances: Floats) -> Floats:
        """Return the number to be expected."""
        del chances
        return self.expected(self._expected)

    def expected(self, places: Floats) -> Floats:
        """Return the trusted numbers at places, 0 to 1."""
        return np.quantile(self.table.labels[: self.table.n_base], np.clip(places, 0, 1))

    def surprise(self, chances: Floats) -> Floats:
        """Return the chance of a smaller error."""
        del chances
        below = np.searchsorted(self._errors, (self._places[self.table.n_base :] - self._expected) / self._widths) / len(self._errors)
        return np.asarray(np.abs(2 * below - 1))

    def contradicted(self, chances: Floats) -> NDArray[np.bool_]:
        """Mark rows whose error is among the largest."""
        return np.asarray(self.surprise(chances) > _OUTER)

    def _width(self, roots: Floats) -> Floats:
        return np.asarray(np.maximum(roots, self._least) ** 2)

    def _ranges(self, expected: Floats, width: Floats) -> Floats:
        below = np.searchsorted(self._errors, (self._edges - expected[:, None]) / width[:, None]) / len(self._errors)
        chances = np.maximum(np.diff(below, axis=1, prepend=0.0, append=1.0), _RARE)
        return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def look(table: Table, learner: Learner, rng: np.random.Generator) -> Outlook:
    """Learn from the trusted rows what labels to expect."""
    return ClassOutlook(table, learner, rng) if table.classes else NumberOutlook(table, rng)


def _places(trusted: Floats, labels: Floats) -> Floats:
    """Return the share of trusted labels below each label; equal ones count half."""
    ordered = np.sort(trusted)
    below, upto = np.searchsorted(ordered, labels, side="left"), np.searchsorted(ordered, labels, side="right")
    return np.asarray((below + upto) / (2 * len(ordered)))


def strength(codes: Rows, chances: Floats) -> float:
    """Return how well chances order labels: AUC, of several classes one against the rest by their frequency; nan where all are alike.

    Of ordered ranges (a number's), read `agreement`.
    """
    if chances.shape[1] == 2:
        return auc(codes.astype(np.float64), chances[:, 1])
    counts = np.bincount(codes, minlength=chances.shape[1])
    there = np.flatnonzero((counts > 0) & (counts < len(codes)))
    if not len(there):
        return float("nan")
    return float(np.average([auc((codes == each).astype(np.float64), chances[:, each]) for each in there], weights=counts[there]))


def agreement(codes: Rows, chances: Floats) -> float:
    """Return how well the expected range orders the ranges that came."""
    return agreement_of(chances @ np.arange(chances.shape[1], dtype=np.float64), codes.astype(np.float64))


def agreement_of(expected: Floats, came: Floats) -> float:
    """Return half of 1 and the rank correlation, so that 0.5 is none and 1 the same order; nan where either is all alike."""
    said, ranks = mid_ranks(expected), mid_ranks(came)
    if said.min() == said.max() or ranks.min() == ranks.max():
        return float("nan")
    return (1 + float(np.corrcoef(said, ranks)[0, 1])) / 2


def both(positive: Floats) -> Floats:
    """Return the chances of both classes, shape (n, 2)."""
    return np.column_stack([1 - positive, positive])


def calibration(labels: Floats, scores: Floats) -> tuple[float, float]:
    """Return a and b of sigmoid(a + b logit(score)), by maximum likelihood with a slight pull to 0 and 1.

    References
    ----------
    J. Platt (1999), "Probabilistic Outputs for Support Vector Machines".
    """
    said = logits(scores)
    line = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        chance = probabilities(line[0] + line[1] * said)
        weight = np.maximum(chance * (1 - chance), 1e-9)
        design = np.column_stack([np.ones_like(said), said])
        gradient = design.T @ (labels - chance) - (line - [0.0, 1.0])
        step = np.linalg.solve((design * weight[:, None]).T @ design + np.eye(2), gradient)
        line = line + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-5:
            break
    return float(line[0]), float(line[1])


def calibrated(scores: Floats, line: tuple[float, float]) -> Floats:
    """Apply a calibration."""
    return probabilities(line[0] + line[1] * logits(scores))


def _sharpness(codes: Rows, chances: Floats) -> float:
    """Return the power that chances of several classes are raised to, by maximum likelihood with a slight pull to 1.

    References
    ----------
    C. Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML (temperature scaling).
    """
    said = np.log(np.clip(chances, _RARE, 1.0))
    given = said[np.arange(len(codes)), codes]
    power = 1.0
    for _ in range(_STEPS):
        now = _sharpened(chances, power)
        expected = (now * said).sum(axis=1)
        slope = (given - expected).sum() - (power - 1)
        step = slope / ((now * said**2).sum() - (expected**2).sum() + 1)
        power = max(power + float(np.clip(step, -0.5, 0.5)), 0.05)
        if abs(step) < 1e-5:
            break
    return power


def _sharpened(chances: Floats, power: float) -> Floats:
    said = power * np.log(np.clip(chances, _RARE, 1.0))
    raised = np.exp(said - said.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
