"""Successive halving over folds: after the first, second, fourth … fold only the better half of the trials goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sampan.tuning.trials import Trial

FEWEST: Final = 4  # trials at a rung before half of them can be told


def is_behind_half(told: Sequence[Trial], steps: Sequence[float]) -> bool:
    """Say whether a trial is in the worse half of those that came as far, by its mean loss so far.

    Parameters
    ----------
    told : earlier trials, pruned ones too
    steps : the loss on each fold so far, at least one

    References
    ----------
    L. Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", MLSys 2.

    >>> is_behind_half([Trial(n, {}, (float(n),), (float(n),)) for n in range(4)], [1.6])
    True
    """
    n_steps = len(steps)
    if n_steps & (n_steps - 1):
        return False
    others = [float(np.mean(trial.steps[:n_steps])) for trial in told if len(trial.steps) >= n_steps]
    return len(others) >= FEWEST and float(np.mean(steps)) > float(np.median(others))
