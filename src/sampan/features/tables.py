"""Tables as the evaluators want them: numbers, moments and flags as Float64, null where missing or not finite; text as String."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.features.moments import parse_moment
from sampan.features.nodes import Kind

Tables = Mapping[str, pl.DataFrame | pl.LazyFrame]
_TEXT = (pl.String, pl.Categorical, pl.Enum)


def canonical(tables: Tables, table: str, columns: Mapping[str, Kind]) -> pl.DataFrame:
    """Select columns of a table in the evaluators' form, rows in their order.

    Raises
    ------
    ParameterError : the table or columns are not there or cannot be of the declared kind; all faults at once.
    """
    lazy = find_table(tables, table).lazy()
    schema = lazy.collect_schema()
    faults = [f for name, kind in columns.items() if (f := _fault(schema, name, kind))]
    if faults:
        raise ParameterError(f"table {table!r} cannot be used: " + "; ".join(faults), hint="mend the table or the view's declaration of it")
    frame = lazy.select(*columns).collect() if columns else lazy.collect()
    return frame.select(_canonical_column(frame[name], kind, table) for name, kind in columns.items())


def find_table(tables: Tables, table: str) -> pl.DataFrame | pl.LazyFrame:
    """Return a table by name."""
    if table not in tables:
        close = nearest(table, tables)
        raise ParameterError(
            f"table {table!r} was not given",
            hint=f"did you mean {' or '.join(close)}?" if close else f"given: {', '.join(tables) or 'none'}",
        )
    return tables[table]


def _fault(schema: pl.Schema, name: str, kind: Kind) -> str:
    if name not in schema:
        close = nearest(name, schema)
        return f"it has no column {name!r}" + (f" (did you mean {' or '.join(close)}?)" if close else "")
    dtype = schema[name]
    fits = (
        dtype == pl.Null
        or {
            "number": dtype.is_numeric() or dtype == pl.Boolean,
            "flag": dtype == pl.Boolean or dtype.is_numeric(),
            "text": isinstance(dtype, _TEXT) or dtype in _TEXT,
            "moment": dtype in (pl.Date, pl.String) or isinstance(dtype, pl.Datetime) or dtype.is_numeric(),
        }[kind]
    )
    return "" if fits else f"column {name!r} is {dtype}, declared as {kind}"


def _canonical_column(column: pl.Series, kind: Kind, table: str) -> pl.Series:
    if kind == "text":
        return column.cast(pl.String)
    if kind == "moment":
        if column.dtype == pl.String:
            return _parsed(column, table)
        if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
            column = column.cast(pl.Datetime("ms")) if column.dtype == pl.Date else column
            return column.dt.epoch("ms").cast(pl.Float64)
    numbers = column.cast(pl.Float64)
    return numbers.set(~numbers.is_finite().fill_null(value=False), None)


def _parsed(column: pl.Series, table: str) -> pl.Series:
    """Read moments; each distinct text once, by the same reader as an online request's."""
    distinct = column.unique().drop_nulls()
    found = {}
    for value in distinct:
        try:
            found[value] = parse_moment(value)
        except ValueError:
            row = (column == value).arg_max()
            raise ParameterError(
                f"table {table!r} column {column.name!r} row {row} is {value!r}, not a moment",
                hint="write ISO 8601 such as 2013-09-01T05:00:00Z",
            ) from None
    return column.replace_strict(found, default=None, return_dtype=pl.Float64)
