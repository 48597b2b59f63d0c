"""Single rows of a table: by key, or by number. Of what is not asked for, only the key is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from sampan.errors import ParameterError
from sampan.store.tables import deletions, edits, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import Reader, exactly, free_name


def check_keys(keys: pl.DataFrame, schema: pl.Schema) -> None:
    """Refuse keys that are not made of the table's columns and types. Raises ParameterError naming those that differ."""
    edits.check_key(keys.columns, schema)
    other = [f"{name} is {dtype} and in the table {schema[name]}" for name, dtype in keys.schema.items() if dtype != schema[name]]
    if other:
        raise ParameterError("these keys have other types: " + "; ".join(other), hint="cast them first")


def numbers_with(rows: pl.LazyFrame, keys: pl.DataFrame) -> Positions:
    """Return the numbers of the rows that have one of the keys, ascending."""
    names = keys.columns
    row = free_name(names, "row")
    numbered = rows.select(exactly(names)).with_row_index(row)
    condition = edits.is_one_of(keys)
    if condition is not None:
        found = numbered.filter(condition)
    else:
        found = numbered.join(keys.lazy(), on=[exactly([name]) for name in names], how="semi", nulls_equal=True)
    return np.sort(found.select(row).collect(engine="streaming").to_series().cast(pl.Int64).to_numpy())


def rows_with(listed: Sequence[Part], schema: pl.Schema, keys: pl.DataFrame, blobs: Reader) -> pl.DataFrame:
    """Return the rows that have one of the keys, in the table's order."""
    frames = [pl.LazyFrame(schema=schema)]
    for part in listed:
        dead = parts.dead_rows(part, blobs)
        condition = edits.is_one_of(keys)
        if condition is not None and not any(set(keys.columns) & set(overlay.columns) for overlay in part.overlays):
            frames.append(_rows_where(part, condition, dead, schema, blobs).lazy())
        else:
            found = np.setdiff1d(numbers_with(parts.scan_with_dead(part, blobs), keys), dead, assume_unique=True)
            frames += [parts.rows_at(part, found, schema, blobs)] if len(found) else []
    return pl.concat(frames).collect(engine="streaming")


def _rows_where(part: Part, condition: pl.Expr, dead: Positions, schema: pl.Schema, blobs: Reader) -> pl.DataFrame:
    """Read the living rows of a part that meet a condition over columns of its own file: one pass, then the overlays at these rows."""
    row = free_name(schema.names(), "row")
    rows = pl.scan_parquet(blobs.path(part.base), glob=False, row_index_name=row).filter(condition).collect(engine="streaming")
    if len(dead):
        rows = rows.filter(~pl.Series(np.isin(rows[row].to_numpy(), dead, assume_unique=True)))
    if not rows.height:
        return pl.DataFrame(schema=schema)
    laid_over = parts.overlays_at(part, rows[row].cast(pl.Int64).to_numpy(), blobs)
    return (
        rows.drop(row, *(name for frame in laid_over for name in frame.columns), strict=False)
        .hstack([column for frame in laid_over for column in frame.get_columns()])
        .select(exactly(schema.names()))
    )


def take(listed: Sequence[Part], numbers: Positions, schema: pl.Schema, blobs: Reader) -> pl.DataFrame:
    """Return living rows by number in the table, ascending."""
    frames = [pl.LazyFrame(schema=schema)]
    start = 0
    for part in listed:
        first, last = np.searchsorted(numbers, (start, start + part.n_live))
        if last > first:
            dead = parts.dead_rows(part, blobs) if part.dead else deletions.none()
            frames.append(parts.rows_at(part, edits.living_rows(part, dead)[numbers[first:last] - start], schema, blobs))
        start += part.n_live
    return pl.concat(frames).collect(engine="streaming")


def in_order(rows: pl.DataFrame, ascending: Positions, asked: Sequence[int]) -> pl.DataFrame:
    """Bring rows from ascending order into the order asked for."""
    wanted = np.asarray(asked, dtype=np.int64)
    return rows if np.array_equal(ascending, wanted) else rows[np.searchsorted(ascending, wanted)]
