"""Intervals for a share estimated from counts."""

from __future__ import annotations

import math
from statistics import NormalDist

from sampan.errors import ParameterError


def wilson(k: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Bound the share behind `k` hits in `n` independent trials.

    Unlike the textbook interval it stays inside 0–1 and has a width when k is 0 or n. With n = 0 nothing is known: (0, 1).

    Raises
    ------
    ParameterError : not 0 ≤ k ≤ n, or `confidence` outside 0–1.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.

    >>> [round(x, 4) for x in wilson(5, 100)]
    [0.0215, 0.1118]
    """
    if not 0 <= k <= n:
        raise ParameterError(f"{k} hits in {n} trials is not a share", hint="give 0 ≤ k ≤ n")
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence {confidence} is not between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = k / n
    denominator = 1 + z * z / n
    center = (share + z * z / (2 * n)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if k == 0 else center - half), (1.0 if k == n else center + half)
