"""Profiling tables where they lie: Parquet files batch by batch, texts read as the dictionaries they are stored as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from sampan.stats.profile_building import BATCH_ROWS, ProfileBuilder
from sampan.stats.profiles import Profile

_ROWS_AT_ONCE = 1 << 19  # rows of numbers that are read in one go


def _ignore(n_rows: int) -> None:
    """Report to nobody."""


def profile_parquet(path: Path, schema: pl.Schema, *, done: Callable[[int], object] = _ignore) -> Profile:
    """Profile the columns of `schema` in a Parquet file; `done` is told how many more rows are.

    Numbers come through Polars, which decodes them fastest. Texts come through Arrow, which hands their dictionary on instead of spelling
    every one out: counting them is then counting small integers.
    """
    builder = ProfileBuilder(schema)
    texts = [name for name, kind in builder.kinds.items() if kind == "text"]
    others = [name for name in schema if name not in texts]
    lines = pl.scan_parquet(path, glob=False)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        first = 0
        for group, n_rows in _groups(file):
            numbers = lines.slice(first, n_rows).select(cs.by_name(*others)).collect() if others else pl.DataFrame()
            words = file.read_row_groups(group, columns=texts, use_threads=False) if texts else pa.table({})
            for start in range(0, n_rows, BATCH_ROWS):
                n = min(BATCH_ROWS, n_rows - start)
                piece = {name: _dictionary(words.column(name).slice(start, n)) for name in texts}
                builder.add(numbers.slice(start, n), piece)
                done(n)
            first += n_rows
    return builder.profile()


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


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()
