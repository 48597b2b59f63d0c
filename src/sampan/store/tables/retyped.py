"""Values of a column that has one type in one version and another in the other: which of them are the same.

Numbers are compared as numbers, moments as moments, texts as texts; a text beside a number is what it reads as. Where two types have no
form in common, such as a list and a text, values are never the same.
"""

from __future__ import annotations

import polars as pl

Types = tuple[pl.DataType, pl.DataType]


def retyped_columns(before: pl.Schema, after: pl.Schema) -> dict[str, Types]:
    """Return the columns that both have with different types, with both types."""
    return {name: (dtype, after[name]) for name, dtype in before.items() if name in after and after[name] != dtype}


def differ(one: pl.Expr, other: pl.Expr, types: Types | None) -> pl.Expr:
    """Return whether values differ; null equals null and NaN equals NaN. `types` : both types, if they are not the same."""
    if types is None:
        return one.ne_missing(other)
    form = _common_form(*types)
    if form is None:
        return one.is_not_null() | other.is_not_null()
    # What cannot be read in the common form is null there, and still no null.
    unread = one.is_null() != other.is_null()
    return unread | one.cast(form, strict=False).ne_missing(other.cast(form, strict=False))


def differing(one: pl.Series, other: pl.Series) -> pl.Series:
    """Return whether values differ, column beside column."""
    if one.dtype == other.dtype:
        return one.ne_missing(other)
    both = pl.DataFrame({"one": one, "other": other})
    return both.select(differ(pl.col("one"), pl.col("other"), (one.dtype, other.dtype)).alias("differ"))["differ"]


def _common_form(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    types = (one, other)
    if any(dtype.is_nested() or isinstance(dtype, pl.Object) for dtype in types):
        return None
    if all(dtype.is_integer() for dtype in types):
        return pl.Int128()
    if all(dtype.is_temporal() and not isinstance(dtype, pl.Time | pl.Duration) for dtype in types):
        return pl.Datetime("us")
    if any(dtype.is_numeric() for dtype in types) and not any(dtype.is_temporal() or isinstance(dtype, pl.Binary) for dtype in types):
        return pl.Float64()
    return pl.Binary() if any(isinstance(dtype, pl.Binary) for dtype in types) else pl.String()
