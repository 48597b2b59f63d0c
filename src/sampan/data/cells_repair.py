"""Apply repairs to a table's columns."""

from __future__ import annotations

import polars as pl

from sampan.data.cells_columns import as_texts
from sampan.errors import ParameterError


def apply_repairs(frame: pl.DataFrame, repairs: pl.DataFrame) -> pl.DataFrame:
    """Return the columns with the repaired cells; `repairs` has row, column, repair (text, null for "missing").

    A text column in which, once its units and placeholders are gone, only numbers are left, becomes a column of numbers. Every other
    column keeps its type.

    Raises
    ------
    ParameterError : a repair is no value of its column's type.
    """
    mended = [_mend(frame[name], part.sort("row")) for (name,), part in repairs.partition_by("column", as_dict=True).items()]
    return pl.DataFrame(sorted(mended, key=lambda column: frame.columns.index(column.name)))


def _mend(column: pl.Series, repairs: pl.DataFrame) -> pl.Series:
    values = repairs["repair"] if column.dtype == pl.String else _as_values(repairs["repair"], column)
    mended = column.clone().scatter(repairs["row"], values)
    freed = column.dtype == pl.String and set(repairs["kind"]) & {"unit", "placeholder"}
    return _as_numbers(mended) if freed else mended


def _as_values(texts: pl.Series, column: pl.Series) -> pl.Series:
    """Return values of the column's type: most repairs are a value that other rows have; the rest are numbers."""
    known = column.drop_nulls().unique()
    values = texts.replace_strict(as_texts(known), known, default=None, return_dtype=column.dtype)
    rest = values.is_null() & texts.is_not_null()
    if not rest.any():
        return values
    try:
        return values.scatter(rest.arg_true(), texts.filter(rest).cast(column.dtype))
    except pl.exceptions.PolarsError as cause:
        raise ParameterError(f"a repair of {column.name} is not {column.dtype}: {str(cause).splitlines()[0]}") from cause


def _as_numbers(column: pl.Series) -> pl.Series:
    """Return numbers if every text is one that would be written the same way; else the texts."""
    present = column.drop_nulls()
    if present.is_empty() or present.str.contains(r"^[-+]?0\d").any():  # 007 is a code
        return column
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.cast(dtype, strict=False)
        if numbers.null_count() == column.null_count():
            return numbers
    return column
