"""Columns that arriving rows lack: missing in far more of them than in any span of the trusted rows.

A source that stopped sending a column, or renamed it, looks so. Models of trusted rows, of which none lack it, would say anything of such
rows: so the other tests of the batch do without the column, and do not blame what hangs together with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Rows, Table, column_of
from sampan.evaluation.admission.usual import Chart, chart

_FLOOR: Final = 0.05  # or twice the usual share, where that is more
_REACH: Final = 4.5  # all columns are looked at, and gaps come and go with the world
_MIN_ROWS: Final = 12


class Gap(msgspec.Struct, frozen=True):
    """A column that is missing in an unusual share of the arriving rows."""

    column: str
    n_rows: int
    share: float
    usual: Chart


def missing_shares(table: Table) -> dict[str, float]:
    """Return the share of arriving rows that lack a column, by column; of those that no row lacks nothing."""
    shares = np.isnan(table.matrix[table.n_base :]).mean(axis=0)
    return {column_of(table.names[at]): float(shares[at]) for at in np.flatnonzero(shares)}


def find_gaps(
    table: Table, spans: Sequence[Rows], earlier: Mapping[str, Sequence[float]]
) -> tuple[tuple[Gap, ...], tuple[NDArray[np.bool_], ...]]:
    """Return the columns with gaps, the widest first, and which arriving rows lack each, shape (n_batch,).

    Parameters
    ----------
    spans : parts of the trusted rows to learn the usual share from
    earlier : the shares of earlier batches, by column
    """
    missing = np.isnan(table.matrix)
    before, now = missing[: table.n_base], missing[table.n_base :]
    found: dict[str, tuple[Gap, NDArray[np.bool_]]] = {}  # the numbers of a vector are missing together
    for column in np.flatnonzero(now.sum(axis=0) >= _MIN_ROWS):
        name, share, usual = column_of(table.names[column]), float(now[:, column].mean()), float(before[:, column].mean())
        error = sqrt(max(usual * (1 - usual), 1 / table.n_base) / table.n_batch)
        values = [*(float(before[span, column].mean()) for span in spans), *earlier.get(name, ())]
        limits = chart(values, floor=max(_FLOOR, usual), error=error, reach=_REACH)
        if limits.exceeded_by(share):
            found.setdefault(name, (Gap(name, int(now[:, column].sum()), share, limits), now[:, column]))
    widest = sorted(found.values(), key=lambda pair: pair[0].usual.mean - pair[0].share)
    return tuple(gap for gap, _ in widest), tuple(rows for _, rows in widest)
