"""Keys in ascending runs: that each is there once, and which others are among them, is told without hashing a single one.

The keys of a table mostly stand in the order in which they were given out, a run for each time rows were written. Hashing ten million of
them costs more than reading them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Keys: TypeAlias = "NDArray[np.integer]"

MOST_RUNS = 256  # each is held against each


class KeyRuns:
    """A table's keys, as arrays that ascend strictly."""

    def __init__(self, runs: list[Keys]) -> None:
        self._runs = sorted(runs, key=lambda run: int(run[0]))

    @classmethod
    def of(cls, keys: pl.Series) -> KeyRuns | None:
        """Return keys as runs, as they lie in memory; None if they have no such order, or are no whole numbers or moments."""
        if not (keys.dtype.is_integer() or keys.dtype.is_temporal()) or keys.dtype == pl.Int128 or keys.null_count():
            return None
        runs = [chunk.to_numpy() for chunk in keys.alias("keys").to_physical().get_chunks() if len(chunk)]
        return cls(runs) if len(runs) <= MOST_RUNS and all((run[1:] > run[:-1]).all() for run in runs) else None

    def are_unique(self) -> bool:
        """Say whether no key is in two runs."""
        open_runs: list[Keys] = []
        for run in self._runs:
            open_runs = [other for other in open_runs if other[-1] >= run[0]]
            if any(_among(*sorted((run, other), key=len)).any() for other in open_runs):
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
            first, last = np.searchsorted(ascending, run[0]), np.searchsorted(ascending, run[-1], side="right")
            found[first:last] |= _among(ascending[first:last], run)
        there = np.empty_like(found)
        there[order] = found
        return pl.Series(there) & given.is_not_null()


def _among(ascending: Keys, run: Keys) -> NDArray[np.bool_]:
    """Say for each of some ascending keys whether it is in a run."""
    places = np.minimum(np.searchsorted(run, ascending), len(run) - 1)
    found: NDArray[np.bool_] = run[places] == ascending
    return found
