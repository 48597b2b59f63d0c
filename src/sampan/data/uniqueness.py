"""Which values several rows share. Not a scan: every row is compared with every other, so it is done on one number a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from sampan.table.named import all_named, named

COUNT = "\0n"
_FIRST_ROWS = 65_536


def repeated(lazy: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the values of `columns` that more than one row has, with the number of rows in COUNT, most first.

    Rows with a missing value are left out. Where one column ascends from row to row, as running numbers do, no two rows are alike in all
    of them, and nothing else is read. Otherwise each row becomes a 64-bit number, equal where values are equal; only rows whose number
    repeats are grouped by their values, so that a collision of numbers costs time and never an answer.
    """
    schema = lazy.collect_schema()
    these = all_named(columns)
    present = lazy.select(these).filter(pl.all_horizontal(one.is_not_null() for one in these))
    if any(_ascends(lazy, column) for column in columns if _is_whole(schema[column]) or schema[column].is_temporal()):
        return present.group_by(these).agg(pl.len().alias(COUNT)).collect_schema().to_frame()
    number = _number(columns, schema)
    again = _repeated(present.select(number).collect(engine="streaming").to_series().to_numpy())
    sharing = present.filter(number.is_in(pl.lit(pl.Series(again)).implode()))
    sizes = sharing.group_by(these).agg(pl.len().alias(COUNT)).filter(pl.col(COUNT) > 1)
    if not len(again):
        return sizes.collect_schema().to_frame()
    return sizes.sort(COUNT, *these, descending=[True, *[False] * len(columns)]).collect(engine="streaming")


def _is_whole(dtype: pl.DataType) -> bool:
    return dtype.is_integer() and dtype != pl.Int128  # which NumPy does not have


def _ascends(lazy: pl.LazyFrame, column: str) -> bool:
    """Say whether every value is greater than the one before; the first rows tell at once of most columns that it is not."""
    return all(_is_ascending(rows.select(named(column).to_physical())) for rows in (lazy.head(_FIRST_ROWS), lazy))


def _is_ascending(lazy: pl.LazyFrame) -> bool:
    values = lazy.collect(engine="streaming").to_series()
    if values.null_count():
        return False
    numbers = values.to_numpy()
    return bool((numbers[1:] > numbers[:-1]).all())


def _number(columns: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """Turn the values of a row into one number; a whole number is one already."""
    alone = named(columns[0])
    return (alone if len(columns) == 1 and _is_whole(schema[columns[0]]) else pl.struct(all_named(columns)).hash()).alias("\0number")


def _repeated(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the numbers that stand in more than one place."""
    if bool((numbers[1:] > numbers[:-1]).all()):
        return numbers[:0]
    ordered = np.sort(numbers)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
