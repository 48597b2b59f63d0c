"""How far two properties of the same things go together."""

from __future__ import annotations

import math


def pointwise_information(both: float, first: float, second: float, total: float, *, prior: float = 0.0) -> float:
    """Return the normalized pointwise mutual information of two properties: −1 never together, 0 independent, 1 always together.

    NaN where it is undefined: nothing was counted, or one of them never holds.

    Parameters
    ----------
    both, first, second, total : how many things have both, the first, the second; how many there are
    prior : added to each of the four cells; 0.5 is Jeffreys', which steadies small counts

    References
    ----------
    G. Bouma (2009), "Normalized (Pointwise) Mutual Information in Collocation Extraction", GSCL.

    >>> pointwise_information(10, 20, 50, 100)
    0.0
    """
    cells = [both, first - both, second - both, total - first - second + both]
    if total <= 0 or not first or not second or min(cells) < 0:
        return math.nan
    if not both and not prior:
        return -1.0
    if both == total:
        return 1.0
    together, only_first, only_second, neither = (cell + prior for cell in cells)
    n = together + only_first + only_second + neither
    information = math.log(together * n / ((together + only_first) * (together + only_second)))
    return max(-1.0, min(1.0, information / -math.log(together / n)))
