"""Numbers that pile up: the same number again and again in a column that has hardly two alike, or far out of its range.

A stuck sensor, a default that stands for missing, a unit's cap or a planted mark look so, whatever the labels are. Columns of few numbers
are codes, and a new one may be honest: they are looked at with their labels, see `triggers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Matrix, Rows, Table

_MANY: Final = 50  # distinct trusted numbers; fewer are codes
_MIN_ROWS: Final = 12
_OFTEN: Final = 0.05  # of the arriving rows
_TIMES: Final = 10  # as often as before
_OUTSIDE: Final = 0.1  # of the range of trusted numbers, beyond it
_MIN_SHARE: Final = 0.002


class Pile(msgspec.Struct, frozen=True):
    """A number that many arriving rows share."""

    column: str
    value: str
    n_rows: int
    share: float  # of arriving rows
    usual_share: float  # of trusted rows
    outside: bool  # of the range of trusted numbers


def find_piles(table: Table, spans: Sequence[Rows], *, timed: bool) -> tuple[tuple[Pile, ...], tuple[NDArray[np.bool_], ...]]:
    """Return the numbers that pile up, most rows first, and which arriving rows have each, shape (n_batch,).

    Parameters
    ----------
    spans : parts of the trusted rows; a column that piled up in one of them does so by nature, such as last month's average in each row
    timed : whether trusted rows are in order of time
    """
    found: list[tuple[Pile, NDArray[np.bool_]]] = []
    for column, name in enumerate(table.names):
        before, now = table.matrix[: table.n_base, column], table.matrix[table.n_base :, column]
        distinct = np.unique(before[~np.isnan(before)])
        if column in table.categories or len(distinct) <= _MANY or table.runs(column):
            continue
        # Rows of an honest new category bring other numbers with them: the distance to a new place is one.
        looked_at = ~table.unseen(besides=column)
        piled = _outside(distinct, now[looked_at]) + _often(before, now[looked_at])
        if piled and any(_often(before[: span[0]] if timed else np.delete(before, span), before[span]) for span in spans):
            continue
        for value, outside in dict(reversed(piled)).items():
            rows = looked_at & (now == value)
            if table.n_distinct(table.batch[rows], besides=column) >= _MIN_ROWS:
                n = int(rows.sum())
                usual = float(np.mean(before == value))
                found.append((Pile(name, table.value(column, value), n, n / table.n_batch, usual, outside), rows))
    found.sort(key=lambda pair: -pair[0].n_rows)
    return tuple(pile for pile, _ in found), tuple(rows for _, rows in found)


def _outside(known: Matrix, now: Matrix) -> list[tuple[float, bool]]:
    """Return the numbers far out of the known range that some rows share."""
    values, counts = np.unique(now[~np.isnan(now)], return_counts=True)
    beyond = _OUTSIDE * float(known[-1] - known[0])
    far = (values < known[0] - beyond) | (values > known[-1] + beyond)
    return [(float(value), True) for value in values[far & (counts >= max(_MIN_ROWS, _MIN_SHARE * len(now)))]]


def _often(before: Matrix, now: Matrix) -> list[tuple[float, bool]]:
    """Return the numbers that many rows share and that were rare before."""
    values, counts = np.unique(now[~np.isnan(now)], return_counts=True)
    many = values[counts >= max(_MIN_ROWS, _OFTEN * len(now))]
    shares = counts[counts >= max(_MIN_ROWS, _OFTEN * len(now))] / max(len(now), 1)
    usual = np.array([float(np.mean(before == value)) for value in many])
    return [(float(value), False) for value in many[shares >= _TIMES * np.maximum(usual, 0.5 / max(len(before), 1))]]
