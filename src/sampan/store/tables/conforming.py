"""New rows for an old table: brought into its columns, or refused with everything in which they differ."""

from __future__ import annotations

import polars as pl

from sampan.errors import ParameterError
from sampan.store.tables import parts


def conform(frame: pl.DataFrame | pl.LazyFrame, schema: pl.Schema) -> pl.DataFrame | pl.LazyFrame:
    """Bring new rows into the table's columns. Raises ParameterError naming every column that is missing, unknown or of another type."""
    given = frame.collect_schema()
    if isinstance(frame, pl.DataFrame) and list(given.items()) == list(schema.items()):
        return frame
    faults = [f"{name}: missing (the table has {dtype})" for name, dtype in schema.items() if name not in given]
    faults += [f"{name}: not in the table" for name in given if name not in schema]
    faults += [
        f"{name}: {dtype} instead of {schema[name]}"
        for name, dtype in given.items()
        if name in schema and dtype != schema[name] and not isinstance(dtype, pl.Null)
    ]
    if faults:
        raise ParameterError(
            "the new rows do not have the table's columns: " + "; ".join(faults),
            hint="cast or rename the columns, or create a new table",
        )
    # A column without any value has no type of its own; it takes the table's.
    untyped = [parts.exactly([name]).cast(dtype) for name, dtype in schema.items() if isinstance(given[name], pl.Null)]
    if isinstance(frame, pl.DataFrame) and not untyped:
        return pl.DataFrame([frame.get_column(name) for name in schema.names()]) if schema else frame
    ordered = frame.lazy().select(parts.exactly(schema.names())).with_columns(untyped)
    return ordered.collect() if isinstance(frame, pl.DataFrame) else ordered
