"""What a fit has come to while it goes on, and whether it is worth going on: earlier fits on the same fold are what it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from sampan.tuning.trials import Curve, Pruner

FEWEST: Final = 5  # earlier fits that came as far, before anything can be told
WARM_UP: Final = 4  # points before anything is judged: small steps look worse at first and may end better
_KEPT_PERCENT: Final = {"median": 50.0, "percentile": 25.0, "halving": 50.0}
_GROWTH: Final = 1.5


def is_behind(others: Sequence[Curve], mine: Curve, pruner: Pruner) -> bool:
    """Say whether a fit that goes on should be stopped.

    The best loss it has seen so far is held against the best that earlier fits had seen by then; of those only the ones that came as far
    count. After its first few points it goes on among the best half (`median`; `halving`, asked after its fourth, eighth … point) or the
    best quarter (`percentile`).

    Parameters
    ----------
    others : of earlier fits on the same fold, stopped ones too
    mine : (step, loss), in the order of the steps; at least one

    References
    ----------
    D. Golovin et al. (2017), "Google Vizier: A Service for Black-Box Optimization", KDD (the median stopping rule).
    L. Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", MLSys 2.

    >>> def curve(loss):
    ...     return tuple((step, loss) for step in (10, 15, 23, 35))
    >>> is_behind([curve(float(n)) for n in range(5)], curve(2.5), "median")
    True
    """
    if pruner == "none" or len(mine) < WARM_UP or (pruner == "halving" and len(mine) & (len(mine) - 1)):
        return False
    step = mine[-1][0]
    then = [min(loss for at, loss in other if at <= step) for other in others if other and other[0][0] <= step <= other[-1][0]]
    return len(then) >= FEWEST and min(loss for _, loss in mine) > float(np.percentile(then, _KEPT_PERCENT[pruner]))


def rungs(total: int, *, first: int) -> Iterator[int]:
    """Iterate over the steps after which a fit is looked at: each half as much again as the one before, the last is the total.

    So all looks together score about three times as many trees or epochs as one look at the end.

    >>> list(rungs(50, first=10))
    [10, 15, 23, 35, 50]
    """
    step = float(first)
    while step < total:
        yield int(step)
        step = max(float(int(step) + 1), np.ceil(step * _GROWTH))
    yield total
