"""Keys in ascending runs: that each is there once, and which others are among them, is told without hashing a single one.

The keys of a table mostly stand in the order in which they were given out, a run for each time rows were written. Hashing ten million of
them costs more than reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Keys: TypeAlias = "NDArray[np.integer]"

MOST_RUNS = 256  # each is held against each


@dataclass(frozen=True, slots=True)
class Run:
    """Keys that ascend strictly: the first, the last, and how to get all of them."""

    first: int
    last: int
    read: Callable[[], Keys]


def numbers_of(keys: pl.Series) -> Keys | None:
    """Return keys as numbers; None if they are no whole numbers or moments, or some are missing."""
    if not (keys.dtype.is_integer() or keys.dtype.is_temporal()) or keys.dtype == pl.Int128 or keys.null_count():
        return None
    return keys.alias("keys").to_physical().to_numpy()  # Polars would take a name like `^a.*$` for a pattern


def cut(numbers: Keys, most: int) -> list[slice] | None:
    """Say from where to where keys ascend strictly; None if that takes more than `most` runs."""
    ends = np.flatnonzero(numbers[1:] <= numbers[:-1]) + 1
    if len(ends) >= most:
        return None
    bounds = [0, *ends.tolist(), len(numbers)]
    return [slice(first, last) for first, last in pairwise(bounds) if first < last]


class KeyRuns:
    """A table's keys, as runs of which each ascends strictly; one is read only where its ends do not tell enough."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = sorted(runs, key=lambda run: run.first)

    def are_unique(self) -> bool:
        """Say whether no key is in two runs."""
        open_runs: list[Run] = []
        for run in self._runs:
            open_runs = [other for other in open_runs if other.last >= run.first]
            if open_runs and any(_among(*sorted((run.read(), other.read()), key=len)).any() for other in open_runs):
                return False
            open_runs.append(run)
        return True

    def holds(self, keys: pl.Series) -> pl.Series:
        """Say for each of some keys of the same type, in any order and some perhaps null, whether it is here."""
        given = keys.alias("keys")  # Polars would take a name like `^a.*$` for a pattern
        wanted = given.to_physical().fill_null(0)
        order = wanted.arg_sort().to_numpy()
        ascending = wanted.to_numpy()[order]
        found = np.zeros(len(keys), dtype=bool)
        for run in self._runs:
            first, last = np.searchsorted(ascending, run.first), np.searchsorted(ascending, run.last, side="right")
            if first < last:
                found[first:last] |= _among(ascending[first:last], run.read())
        there = np.empty_like(found)
        there[order] = found
        return pl.Series(there) & given.is_not_null()


def _among(ascending: Keys, run: Keys) -> NDArray[np.bool_]:
    """Say for each of some ascending keys whether it is in a run."""
    places = np.minimum(np.searchsorted(run, ascending), len(run) - 1)
    found: NDArray[np.bool_] = run[places] == ascending
    return found
