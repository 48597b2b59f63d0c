"""What a graph from outside is still worth: the answers of a probe on its outputs where there are labels, else how alike its outputs are.

The probe is fitted once, to the parent's outputs, half by half, and asked about rows it had not learned from. Every variant is asked by the
parent's probes: who put a smaller graph in the place of a larger one does not train what comes after it anew.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.plugins import require
from sampan.stats.bootstrap import Resampling, draw_weights
from sampan.stats.estimates import Estimate

ACCURACY, LIKENESS = "accuracy of a probe", "likeness"
BLOCKS: Final = 1000
_DRAWS: Final = 1000
_STEPS: Final = 1000

Floats = NDArray[np.float64]


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


class Likeness:
    """Judges outputs by their angle to the parent's: the cosine, 1 where they point the same way."""

    metric = LIKENESS

    def __init__(self, outputs: NDArray[Any]) -> None:
        self._parent = flat(outputs)

    def rows(self, outputs: NDArray[Any]) -> Floats:
        """Return each row's cosine."""
        given = flat(outputs)
        sizes = np.linalg.norm(given, axis=1) * np.linalg.norm(self._parent, axis=1)
        found: Floats = np.divide((given * self._parent).sum(axis=1), sizes, out=np.ones(len(given)), where=sizes > 0)
        return found


def gain(ours: Floats, parents: Floats, rng: np.random.Generator) -> Estimate:
    """Return how much more the rows come to than the parent's, with the interval of a paired bootstrap of the rows."""
    n_blocks = min(len(ours), BLOCKS)
    blocks = (rng.permutation(len(ours)) % n_blocks).astype(np.intp)
    return Resampling(blocks, draw_weights(n_blocks, _DRAWS, rng)).mean(ours - parents)


def flat(outputs: NDArray[Any]) -> Floats:
    """Return one vector for each row."""
    return np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
