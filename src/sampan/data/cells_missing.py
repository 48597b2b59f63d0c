"""Gaps: single missing cells of a column that nearly every row fills.

A gap is a slip of entry, not a pattern: where the missing cells of a column come together with another column's, or with some value of
another column (no wind direction where the wind speed is 0), they say something and are left alone. What belongs there is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sampan.data.cells_columns import MISSING, Column, Suspect

_MOST = 0.1  # of the rows are missing at most
_MIN_ROWS = 50
_TOGETHER = 0.5  # of the missing cells share a sign: then it is a pattern
_APART = 6.0  # deviations from what chance would have together
_MIN_SHARED = 3

Numbers = np.ndarray[Any, np.dtype[Any]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def find_gaps(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find missing cells where nearly all rows have a value and nothing explains why these do not."""
    if not columns or len(columns[0].codes) < _MIN_ROWS:
        return
    missing = {column.name: column.codes == MISSING for column in columns}
    for column in columns:
        here = missing[column.name]
        n_missing = int(here.sum())
        if not 0 < n_missing <= _MOST * len(here) or _is_pattern(column, here, columns, missing):
            continue
        share = 1 - n_missing / len(here)
        reason = f"missing, though {share:.1%} of the rows have a value and nothing tells these apart"
        yield Suspect(column=column.name, kind="missing", rows=np.flatnonzero(here), reason=reason, confidence=0.5)


def _is_pattern(column: Column, here: Flags, columns: Sequence[Column], missing: dict[str, Flags]) -> bool:
    """Say whether the missing cells go with another column's missing cells, or with one of its values."""
    n_here, n_rows = int(here.sum()), len(here)
    for other in columns:
        if other.name == column.name:
            continue
        absent = missing[other.name]
        shared = np.bincount(other.codes[here & ~absent], minlength=len(other.values))
        counts = np.append(other.counts, absent.sum())
        if _go_together(np.append(shared, (here & absent).sum()), counts / n_rows, n_here).any():
            return True
    return False


def _go_together(shared: Numbers, base: Numbers, n_here: int) -> Flags:
    """Say which signs at least half of the missing cells share, and far more often than chance has it."""
    chance = n_here * base
    apart = (shared - chance) / np.sqrt(np.maximum(chance * (1 - base), 1e-9))
    return np.asarray((shared >= max(_MIN_SHARED, _TOGETHER * n_here)) & (apart >= _APART))
