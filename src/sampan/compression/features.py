"""Which features a model can do without: how much its answers for rows it had not learned from suffer when a feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEPT: Final = (0.75, 0.5, 0.33)  # of the features, level after level
ROWS: Final = 5_000

Floats = NDArray[np.float64]
Answers = Callable[[NDArray[np.float32]], Floats]
Losses = Callable[[Floats], Floats]


def importance(answer: Answers, losses: Losses, rows: NDArray[np.float32], rng: np.random.Generator) -> Floats:
    """Return by how much shuffling each feature raises the mean loss, shape (k,).

    Parameters
    ----------
    answer : the model: rows to scores
    losses : scores to one loss for each row
    rows : shape (n, k), rows the model had not learned from

    References
    ----------
    L. Breiman (2001), "Random Forests", Machine Learning 45.
    """
    whole = float(losses(answer(rows)).mean())
    found = np.empty(rows.shape[1])
    for place in range(rows.shape[1]):
        shuffled = rows.copy()
        shuffled[:, place] = rng.permutation(shuffled[:, place])
        found[place] = float(losses(answer(shuffled)).mean()) - whole
    return found


def levels(n_features: int) -> list[int]:
    """Return how many features to keep, level after level, fewer each time.

    >>> levels(23), levels(3), levels(1)
    ([17, 12, 8], [2, 1], [])
    """
    counts = [max(1, round(share * n_features)) for share in KEPT]
    return [count for place, count in enumerate(counts) if count < n_features and count not in counts[:place]]
