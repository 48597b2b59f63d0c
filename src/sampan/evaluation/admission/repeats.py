"""Rows that are there already: equal to a trusted row, or to an earlier one of the batch, in every column that says something."""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Rows, Table

LIMIT: Final = 0.1  # of the rows that would usually be new

_LEAST: Final = 0.03


Hashes = NDArray[np.uint64]


class Repeats(msgspec.Struct, frozen=True):
    """The share of arriving rows that repeat others; and, both beside the same older rows, their share and the usual one."""

    share: float
    comparable: float
    usual: float
    error: float  # of the difference of the last two, by sampling

    @property
    def too_many(self) -> bool:
        """Say whether far more rows repeat than usual."""
        excess = self.comparable - self.usual
        return excess > LIMIT * (1 - self.usual) and excess > max(_LEAST, 4 * self.error)


def find_repeats(table: Table, newest: Rows) -> tuple[Repeats, NDArray[np.bool_]]:
    """Return the shares, and which arriving rows repeat others, shape (n_batch,).

    Parameters
    ----------
    newest : trusted rows to learn the usual share from, about as many as arrive
    """
    hashes = _hashes(table)
    return count_repeats(hashes[: table.n_base], hashes[table.n_base :], newest)


def besides(found: tuple[Repeats, NDArray[np.bool_]], rows: NDArray[np.bool_]) -> tuple[Repeats, NDArray[np.bool_]]:
    """Count some arriving rows as no repeats, such as those that lack what would tell them apart."""
    repeats, repeated = found[0], found[1] & ~rows
    share = float(repeated.mean())
    return msgspec.structs.replace(repeats, share=share, comparable=min(repeats.comparable, share)), repeated


def that_arrive_again(table: Table) -> NDArray[np.bool_]:
    """Mark trusted rows that an arriving row equals, label and all; shape (n_base,)."""
    hashes = _hashes(table)
    return np.isin(hashes[: table.n_base], hashes[table.n_base :])


def _hashes(table: Table) -> Hashes:
    # Compared within one call only: another release may hash otherwise.
    return pl.from_numpy(table.matrix).with_columns(label=pl.Series(table.labels)).hash_rows(seed=0).to_numpy()


def count_repeats(before: Hashes, arriving: Hashes, newest: Rows) -> tuple[Repeats, NDArray[np.bool_]]:
    """Do the same for rows known by their hashes.

    Parameters
    ----------
    before, arriving : shape (n,), (m,); equal rows have equal hashes
    newest : places in `before`
    """
    older = np.delete(before, newest)
    usual = float(_repeat(older, before[newest]).mean())
    # The more rows there are, the more repeat by chance: so both are held against the same older rows, and as many of both.
    spaced = np.linspace(0, len(arriving) - 1, min(len(newest), len(arriving))).astype(np.intp)
    comparable = float(_repeat(older, arriving[spaced]).mean())
    repeated = _repeat(before, arriving)
    error = sqrt(usual * (1 - usual) * 2 / len(newest))
    return Repeats(float(repeated.mean()), comparable, usual, error), repeated


def _repeat(before: Hashes, now: Hashes) -> NDArray[np.bool_]:
    first = np.zeros(len(now), dtype=np.bool_)
    first[np.unique(now, return_index=True)[1]] = True
    return np.isin(now, before) | ~first
