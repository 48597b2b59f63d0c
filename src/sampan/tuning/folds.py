"""Validation in time order: a model is judged on rows later than all it learned from, as it will be in use.

A label is often known only later than its row's moment. So a row is left out of training when its label was not yet known at the moment
the validation begins: learning from it would be learning from the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError

DAY_MS = 86_400_000
Moments = NDArray[np.int64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to learn from and to judge on; `begins` is the moment between them."""

    train: Rows
    validate: Rows
    begins: int


@dataclass(frozen=True, slots=True)
class Split:
    """Folds for the search, and a later one that the search never sees."""

    search: tuple[Fold, ...]
    test: Fold


def rolling_origin(moments: Moments, known_at: Moments, *, n_folds: int = 2, test_share: float = 0.25) -> Split:
    """Split rows by time: first the origin, then `n_folds` spans to validate on, at last the span to test on.

    Spans begin at midnight UTC, where the shares of rows fall nearest. The spans of the search together hold 4/9 of the rows before the
    test; each learns from all rows before it.

    Parameters
    ----------
    moments, known_at : shape (n,), milliseconds; the moment of prediction and when the label was known

    Raises
    ------
    ParameterError : the rows span too few days for that many folds.
    """
    shares = np.linspace((1 - test_share) * 5 / 9, 1 - test_share, n_folds + 1)
    ordered = np.sort(moments)
    edges = [_midnight(int(ordered[int(share * (len(ordered) - 1))])) if len(ordered) else 0 for share in shares]
    bounds = [int(ordered[0]) if len(ordered) else 0, *edges]
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        days = len(np.unique(moments // DAY_MS))
        raise ParameterError(
            f"{len(moments):,} rows on {days} days cannot be split into {n_folds} validation spans and a test span in time order",
            hint="give more days of data, or fewer folds",
        )
    search = tuple(_fold(moments, known_at, begin, end) for begin, end in pairwise(edges))
    return Split(search, _fold(moments, known_at, edges[-1], None))


def _fold(moments: Moments, known_at: Moments, begins: int, ends: int | None) -> Fold:
    learned = (moments < begins) & (known_at <= begins)
    judged = moments >= begins if ends is None else (moments >= begins) & (moments < ends)
    return Fold(np.flatnonzero(learned), np.flatnonzero(judged), begins)


def _midnight(moment: int) -> int:
    """Return the nearest beginning of a day."""
    return (moment + DAY_MS // 2) // DAY_MS * DAY_MS
