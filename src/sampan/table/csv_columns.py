"""Columns as Arrow's reader of delimited text is asked for them, and gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from sampan.table.types import ColumnForm, convert

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(form: ColumnForm) -> pa.DataType:
    """Return the type to read a column as."""
    import pyarrow as pa

    kinds = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(), "text": pa.large_string()}
    return kinds[form.kind] if form.kind in kinds else pa.timestamp("us", tz="UTC" if form.zoned else None)


def converted(column: pa.ChunkedArray, form: ColumnForm) -> pa.Array | None:
    """Make values of a column of text, written as its form says; None if a text is none of them."""
    text = pl.Series(column)
    values = convert(text, form)
    if values.null_count() > text.null_count():
        return None
    return values.cast(form.dtype).to_arrow(compat_level=pl.CompatLevel.oldest())


def named(columns: Sequence[pa.Array | pa.ChunkedArray], names: Sequence[str]) -> pa.Table:
    """Give columns their names; times without a zone become UTC, as they are read."""
    import pyarrow as pa

    naive, utc = pa.timestamp("us"), pa.timestamp("us", tz="UTC")
    return pa.table([column.cast(utc) if column.type == naive else column for column in columns], names=list(names))
