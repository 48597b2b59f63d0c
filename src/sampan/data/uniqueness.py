"""Which values several rows share. Not a scan: every row is compared with every other, so it is done on one number a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

COUNT = "\0n"
_FEW_ROWS = 100_000  # below that, grouping is as quick


def repeated(lazy: pl.LazyFrame, columns: Sequence[str], *, few_rows: int = _FEW_ROWS) -> pl.DataFrame:
    """Return the values of `columns` that more than one row has, with the number of rows in COUNT, most first.

    Rows with a missing value are left out. Each row becomes a 64-bit number, equal where values are equal; only rows whose number repeats
    are grouped by their values, so that a collision of numbers costs time and never an answer.
    """
    keys = lazy.select(columns).drop_nulls().collect(engine="streaming")
    if keys.height > few_rows:
        numbers = _numbers(keys)
        again = _repeated(numbers)
        keys = keys.filter(pl.Series(np.isin(numbers, again))) if len(again) else keys.clear()
    sizes = keys.lazy().group_by(columns).agg(pl.len().alias(COUNT)).filter(pl.col(COUNT) > 1)
    return sizes.sort(COUNT, *columns, descending=[True, *[False] * len(columns)]).collect()


def _numbers(keys: pl.DataFrame) -> np.ndarray[Any, Any]:
    if keys.width == 1 and keys.dtypes[0].is_integer():
        return keys.to_series().to_numpy()
    return keys.hash_rows().to_numpy()


def _repeated(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the numbers that stand in more than one place."""
    if bool((numbers[1:] > numbers[:-1]).all()):
        return numbers[:0]
    ordered = np.sort(numbers)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
