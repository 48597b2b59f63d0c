"""How alike the values of two columns are, from the smallest hashes of their distinct values (a KMV sketch, as profiles keep it).

Below the smaller of the two sketches' greatest hashes both are complete, so what they share there estimates what they share everywhere
(K. Beyer et al. 2007, "On Synopses for Distinct-Value Estimation under Multiset Operations"). Columns with few values are compared exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
_EVERYTHING = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A column's values: `hashes` ascend; where `is_sampled`, they are the smallest of many."""

    hashes: Hashes
    is_sampled: bool
    n_distinct: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """Shares from 0 to 1: of either's values that both have, of the first's values found in the second, and the other way round."""

    jaccard: float
    contained: float
    contains: float
    n_compared: int  # values the shares rest on; few say little


def compare(first: Sketch, second: Sketch) -> Likeness:
    """Compare two columns' values; all shares are 0 where either has none.

    >>> a = Sketch(np.array([1, 2, 3], dtype=np.uint64), False, 3)
    >>> b = Sketch(np.array([2, 3, 4, 5], dtype=np.uint64), False, 4)
    >>> compare(a, b).jaccard, round(compare(a, b).contained, 3), compare(a, b).contains
    (0.4, 0.667, 0.5)
    """
    limit = min(_greatest(first), _greatest(second))
    mine, theirs = first.hashes[first.hashes <= limit], second.hashes[second.hashes <= limit]
    if not len(mine) or not len(theirs):
        return Likeness(0.0, 0.0, 0.0, 0)
    both = len(np.intersect1d(mine, theirs, assume_unique=True))
    n = len(mine) + len(theirs) - both
    return Likeness(both / n, both / len(mine), both / len(theirs), n)


def _greatest(sketch: Sketch) -> np.uint64:
    return np.uint64(sketch.hashes[-1]) if sketch.is_sampled and len(sketch.hashes) else _EVERYTHING
