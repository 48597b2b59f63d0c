"""Profiling tables where they lie: Parquet files batch by batch, texts read as the dictionaries they are stored as."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from sampan.stats.profile_building import BATCH_ROWS, ProfileBuilder
from sampan.stats.profiles import Profile

Positions = np.ndarray[Any, np.dtype[np.int64]]

_NONE: Positions = np.empty(0, dtype=np.int64)
_ROWS_AT_ONCE = 1 << 19  # rows of rarer types that are read in one go
_PLAIN = {
    pl.Int8(): pa.int8(),
    pl.Int16(): pa.int16(),
    pl.Int32(): pa.int32(),
    pl.Int64(): pa.int64(),
    pl.UInt8(): pa.uint8(),
    pl.UInt16(): pa.uint16(),
    pl.UInt32(): pa.uint32(),
    pl.UInt64(): pa.uint64(),
    pl.Float32(): pa.float32(),
    pl.Float64(): pa.float64(),
    pl.Date(): pa.date32(),
}


def _ignore(n_rows: int) -> None:
    """Report to nobody."""


def profile_parquet(path: Path, schema: pl.Schema, *, dead: Positions = _NONE, done: Callable[[int], object] = _ignore) -> Profile:
    """Profile the columns of `schema` in a Parquet file, less the rows at some positions, ascending; `done` is told how many more rows are.

    Columns come through Arrow, a batch at a time in memory that the next one takes again, texts as the dictionaries they are stored as:
    counting them is then counting small integers. Columns of rarer types come through Polars, which knows what they are to it.
    """
    builder = ProfileBuilder(schema)
    texts = [name for name, kind in builder.kinds.items() if kind == "text"]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        plain = [name for name, dtype in schema.items() if _is_plain(dtype, file.schema_arrow.field(name).type)]
        others = [name for name in schema if name not in {*texts, *plain}]
        lines = pl.scan_parquet(path, glob=False).select(cs.by_name(*others)) if others else pl.LazyFrame()
        first = 0
        for group, n_rows in _groups(file):
            rest = lines.slice(first, n_rows).collect() if others else pl.DataFrame()
            start = 0
            for n, lent in _batches(file, group, [*texts, *plain], n_rows):
                builder.add(*_living(n, rest.slice(start, n), lent, dead=_within(dead, first + start, n)))
                start += n
                done(n)
            first += n_rows
    return builder.profile()


def _batches(file: pq.ParquetFile, group: list[int], names: list[str], n_rows: int) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """Yield the columns of row groups batch by batch, and how many rows each has."""
    if not names:
        yield from ((min(BATCH_ROWS, n_rows - start), {}) for start in range(0, n_rows, BATCH_ROWS))
        return
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=group, columns=names, use_threads=False):
        n, lent = batch.num_rows, {name: _array(batch.column(name)) for name in names}
        del batch
        yield n, lent
        lent.clear()  # the next batch takes this one's memory


def _within(positions: Positions, start: int, n: int) -> Positions:
    """Return which of some ascending positions are among `n` from `start` on, counted from there."""
    first, last = np.searchsorted(positions, (start, start + n))
    return positions[first:last] - start


def _living(n: int, batch: pl.DataFrame, lent: dict[str, pa.Array], *, dead: Positions) -> tuple[pl.DataFrame, dict[str, pa.Array]]:
    """Leave the dead rows of a batch out."""
    if not len(dead):
        return batch, lent
    alive = np.ones(n, dtype=bool)
    alive[dead] = False
    mask = pa.array(alive)
    return batch.filter(pl.Series(alive)) if batch.width else batch, {name: array.filter(mask) for name, array in lent.items()}


def _is_plain(dtype: pl.DataType, stored: pa.DataType) -> bool:
    """Say whether what a file holds is, number by number, what Polars would make of it."""
    if isinstance(dtype, pl.Datetime):
        return dtype.time_unit == "us" and pa.types.is_timestamp(stored) and stored.unit == "us"
    return bool(stored == _PLAIN.get(dtype))


def profile_lazily(frame: pl.LazyFrame, *, done: Callable[[int], object] = _ignore) -> Profile:
    """Profile a lazy frame batch by batch; `done` is told how many more rows are."""
    builder = ProfileBuilder(frame.collect_schema())
    for batch in frame.collect_batches(chunk_size=BATCH_ROWS):
        builder.add(batch)
        done(batch.height)
    return builder.profile()


def _groups(file: pq.ParquetFile) -> list[tuple[list[int], int]]:
    """Return row groups to be read together, and their rows."""
    found: list[tuple[list[int], int]] = []
    for number in range(file.num_row_groups):
        n = file.metadata.row_group(number).num_rows
        if found and found[-1][1] + n <= _ROWS_AT_ONCE:
            found[-1] = ([*found[-1][0], number], found[-1][1] + n)
        else:
            found.append(([number], n))
    return found


def _array(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else column
