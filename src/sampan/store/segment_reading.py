"""Reads segments: every whole batch up to a torn tail, without erased rows. The half of logs that needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from sampan.store.journals import writer_lives
from sampan.store.segment_erasing import ErasedRows, noted_erased
from sampan.store.segment_files import SEALED, Segment

_TORN = (EOFError, OSError, pa.ArrowInvalid)  # what Arrow says of a message that is not whole, or not there


@dataclass(frozen=True, slots=True)
class Piece:
    """What a segment had from an offset on."""

    batches: list[pa.RecordBatch]
    end: int
    is_finished: bool
    schema: pa.Schema | None


def read_segment(found: Segment, offset: int) -> Piece:
    """Read a segment from an offset on, 0 = all of it."""
    # Asked before reading: what a writer adds in between is read by the next call.
    is_finished = found.path.suffix == SEALED or not writer_lives(found.path)
    try:
        with _open(found.path) as file:
            schema = _read_schema(file)
            if schema is None:
                return Piece([], offset, is_finished, None)
            start = max(offset, file.tell())
            file.seek(start)
            data = file.read()
            # Noted before a row is overwritten: so looked for after the bytes are read, no blank row is taken for one.
            erased = noted_erased(found.path.parent).get(found.number, {})
            batches, n_bytes = _read_batches(data, schema, start, erased)
            return Piece(batches, start + n_bytes, is_finished, schema)
    except FileNotFoundError:
        return Piece([], offset, is_finished=True, schema=None)  # it was empty, and its writer removed it


def within(batch: pa.RecordBatch, column: str, low: int, high: int) -> pa.RecordBatch:
    """Return a batch's rows with `low` <= column < `high`; none where it has no such column."""
    if column not in batch.schema.names:
        return batch.slice(0, 0)
    values = batch.column(column).to_numpy(zero_copy_only=False)  # a missing value is NaN here, which no range holds
    inside = (values >= low) & (values < high)
    return batch if inside.all() else batch.filter(pa.array(np.asarray(inside, dtype=np.bool_)))


def integers(batch: pa.RecordBatch) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Iterate over a batch's 64-bit integer columns: name and the values that are there."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.type == pa.int64():
            yield field.name, (column.drop_null() if column.null_count else column).to_numpy()


def together(tables: list[pa.Table]) -> pa.Table:
    """Lay tables under one another; a column that is text in some and a number in others is text in all."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = {field.name for table in tables for field in table.schema if pa.types.is_string(field.type)}
        return pa.concat_tables([_with_texts(table, texts) for table in tables], promote_options="permissive")


def _with_texts(table: pa.Table, names: set[str]) -> pa.Table:
    fields = [pa.field(field.name, pa.string() if field.name in names else field.type) for field in table.schema]
    return table.cast(pa.schema(fields))


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:  # sealed a moment ago
        return path.with_suffix(SEALED).open("rb")


def _read_schema(file: IO[bytes]) -> pa.Schema | None:
    try:
        return pa.ipc.read_schema(pa.ipc.read_message(file))
    except _TORN:
        return None


def _read_batches(data: bytes, schema: pa.Schema, start: int, erased: ErasedRows) -> tuple[list[pa.RecordBatch], int]:
    """Read whole batches; also return how many bytes they took. A torn tail, or the end mark, is left."""
    source, batches, end = pa.BufferReader(data), [], 0
    try:
        while True:
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)
            batches.append(_without_erased(batch, erased.get(start + end)))
            end = source.tell()
    except _TORN:
        return batches, end


def _without_erased(batch: pa.RecordBatch, rows: Sequence[int] | None) -> pa.RecordBatch:
    if not rows:
        return batch
    gone = set(rows)
    return batch.take(pa.array([row for row in range(batch.num_rows) if row not in gone], pa.int64()))
