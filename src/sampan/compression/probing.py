"""What a graph from outside is still worth: the answers of a probe on its outputs where there are labels, else how alike its outputs are.

Classes are told by a logistic probe, numbers by a linear one, fitted once to the parent's outputs, half by half, and asked about rows it
had not learned from. Every variant is asked by the parent's probes: who put a smaller graph in the place of a larger one does not train
what comes after it anew.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.plugins import require
from sampan.stats.bootstrap import Resampling, draw_weights
from sampan.stats.estimates import Estimate

ACCURACY, EXPLAINED, LIKENESS = "accuracy of a probe", "R² of a probe", "likeness"
BLOCKS: Final = 1000
_DRAWS: Final = 1000
_STEPS: Final = 1000
_SMALLEST: Final = 1e-6  # of singular values, beside the largest: outputs that always move together leave the rest undetermined
_MOST_CLASSES: Final = 1000  # different labels of integers or words; more are no classes, or too many to tell

Floats = NDArray[np.float64]


def are_numbers(labels: NDArray[Any]) -> bool:
    """Say whether labels are numbers to come near to, not classes to tell apart: floats with fractions, or very many integers."""
    if labels.dtype.kind == "f":
        return bool((labels != np.round(labels)).any())
    return labels.dtype.kind in "iu" and len(np.unique(labels)) > _MOST_CLASSES


class Probe:
    """Judges outputs by labels: shape (n, d) in, one figure for each row out, 1 where the class is right."""

    metric = ACCURACY

    def __init__(self, outputs: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator) -> None:
        linear = require("sklearn.linear_model", extra="train")
        self._codes = np.unique(labels, return_inverse=True)[1]
        self._half = rng.permutation(len(labels)) % 2
        self._fitted = [
            linear.LogisticRegression(max_iter=_STEPS).fit(flat(outputs)[self._half != half], self._codes[self._half != half])
            for half in (0, 1)
        ]

    def rows(self, outputs: NDArray[Any]) -> Floats:
        """Return for each row whether its class is told right."""
        given, found = flat(outputs), np.empty(len(outputs))
        for half, fitted in enumerate(self._fitted):
            inside = self._half == half
            found[inside] = fitted.predict(given[inside]) == self._codes[inside]
        return found


class NumberProbe:
    """Judges outputs by labels that are numbers: one figure for each row out, whose mean is the share of their variance that is told."""

    metric = EXPLAINED

    def __init__(self, outputs: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator) -> None:
        self._labels = labels.astype(np.float64)
        self._variance = float(self._labels.var())
        self._half = rng.permutation(len(labels)) % 2
        design = _with_constant(flat(outputs))
        self._fitted = [
            np.linalg.lstsq(design[self._half != half], self._labels[self._half != half], rcond=_SMALLEST)[0] for half in (0, 1)
        ]

    def rows(self, outputs: NDArray[Any]) -> Floats:
        """Return for each row 1 less its squared error, in units of the labels' variance."""
        design = _with_constant(flat(outputs))
        told = np.where(self._half == 0, design @ self._fitted[0], design @ self._fitted[1])
        found: Floats = 1 - (told - self._labels) ** 2 / self._variance
        return found


class Likeness:
    """Judges outputs by the parent's: vectors by the cosine of their angle, single numbers by their distance; 1 where they are the same.

    A distance is in units of the parent's standard deviation; who is farther off than that is not alike at all, 0.
    """

    metric = LIKENESS

    def __init__(self, outputs: NDArray[Any]) -> None:
        self._parent = flat(outputs)

    def rows(self, outputs: NDArray[Any]) -> Floats:
        """Return how alike each row is."""
        given = flat(outputs)
        if given.shape[1] == 1:  # the angle of single numbers is their sign
            return np.maximum(0.0, 1 - np.abs(given - self._parent)[:, 0] / (float(self._parent.std()) or 1.0))
        sizes = np.linalg.norm(given, axis=1) * np.linalg.norm(self._parent, axis=1)
        found: Floats = np.divide((given * self._parent).sum(axis=1), sizes, out=np.ones(len(given)), where=sizes > 0)
        return found


def _with_constant(rows: Floats) -> Floats:
    return np.column_stack([rows, np.ones(len(rows))])


def judge_of(outputs: NDArray[Any], labels: NDArray[Any] | None, rng: np.random.Generator) -> Probe | NumberProbe | Likeness:
    """Return what judges variants of a graph that gave these outputs, by labels where there are some."""
    if labels is None:
        return Likeness(outputs)
    return NumberProbe(outputs, labels, rng) if are_numbers(labels) else Probe(outputs, labels, rng)


def gain(ours: Floats, parents: Floats, rng: np.random.Generator) -> Estimate:
    """Return how much more the rows come to than the parent's, with the interval of a paired bootstrap of the rows."""
    n_blocks = min(len(ours), BLOCKS)
    blocks = (rng.permutation(len(ours)) % n_blocks).astype(np.intp)
    return Resampling(blocks, draw_weights(n_blocks, _DRAWS, rng)).mean(ours - parents)


def flat(outputs: NDArray[Any]) -> Floats:
    """Return one vector for each row."""
    return np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
