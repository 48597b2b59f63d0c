"""Rows that are there already: equal to a trusted row, or to an earlier one of the batch, in every column that says something."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Rows, Table

LIMIT: Final = 0.1  # of the rows that would usually be new

_LEAST: Final = 0.03


class Repeats(msgspec.Struct, frozen=True):
    """The share of arriving rows that repeat others, and the share usual among trusted rows."""

    share: float
    usual: float

    @property
    def too_many(self) -> bool:
        """Say whether far more rows repeat than usual."""
        return self.share - self.usual > LIMIT * (1 - self.usual) and self.share > self.usual + _LEAST


def find_repeats(table: Table, newest: Rows) -> tuple[Repeats, NDArray[np.bool_]]:
    """Return the shares, and which arriving rows repeat others, shape (n_batch,).

    Parameters
    ----------
    newest : trusted rows to learn the usual share from, about as many as arrive
    """
    # Hashes are compared within this call only: another release may hash otherwise.
    hashes = pl.from_numpy(table.matrix).with_columns(label=pl.Series(table.labels)).hash_rows(seed=0).to_numpy()
    usual = _repeat(np.delete(hashes[: table.n_base], newest), hashes[newest])
    repeated = _repeat(hashes[: table.n_base], hashes[table.n_base :])
    return Repeats(float(repeated.mean()), float(usual.mean()) if len(usual) else 0.0), repeated


def _repeat(before: NDArray[np.uint64], now: NDArray[np.uint64]) -> NDArray[np.bool_]:
    first = np.zeros(len(now), dtype=np.bool_)
    first[np.unique(now, return_index=True)[1]] = True
    return np.isin(now, before) | ~first
