"""Which values several rows share. Not a scan: every row is compared with every other, so it is done on one number a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

COUNT = "\0n"


def repeated(lazy: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the values of `columns` that more than one row has, with the number of rows in COUNT, most first.

    Rows with a missing value are left out. Each row becomes a 64-bit number, equal where values are equal; only rows whose number repeats
    are grouped by their values, so that a collision of numbers costs time and never an answer.
    """
    present = lazy.select(columns).filter(pl.all_horizontal(pl.col(column).is_not_null() for column in columns))
    number = _number(columns, lazy.collect_schema())
    again = _repeated(present.select(number).collect(engine="streaming").to_series().to_numpy())
    sharing = present.filter(number.is_in(pl.lit(pl.Series(again)).implode()))
    sizes = sharing.group_by(columns).agg(pl.len().alias(COUNT)).filter(pl.col(COUNT) > 1)
    if not len(again):
        return sizes.collect_schema().to_frame()
    return sizes.sort(COUNT, *columns, descending=[True, *[False] * len(columns)]).collect(engine="streaming")


def _number(columns: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """Turn the values of a row into one number; a whole number is one already."""
    alone = pl.col(columns[0])
    return (alone if len(columns) == 1 and schema[columns[0]].is_integer() else pl.struct(columns).hash()).alias("\0number")


def _repeated(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the numbers that stand in more than one place."""
    if bool((numbers[1:] > numbers[:-1]).all()):
        return numbers[:0]
    ordered = np.sort(numbers)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
