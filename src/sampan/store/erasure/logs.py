"""Erasing a subject from prediction logs, whose segments may be being written and read at this moment.

A row's bytes are overwritten where they stand: nothing moves, so cursors of readers and a living writer go on. Which rows these were is
noted beside the segments first, and readers leave them out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sampan.store.erasure.subjects import Subject
from sampan.store.files import store_errors
from sampan.store.segment_erasing import note_erased, noted_erased
from sampan.store.segments import Segments

_FIELD = "field."
_PREDICTIONS, _OUTCOMES = "predictions.", "outcomes."
_TORN = (EOFError, OSError, pa.ArrowInvalid)


def erase_from_logs(segments: Segments, subject: Subject) -> dict[str, int]:
    """Overwrite a subject's rows in every log; return how many by stream. Done again, it finds none.

    What names a prediction of the subject's (its id, its key) names the subject too: labels sent for it go as well.
    """
    counts: dict[str, int] = {}
    named: dict[str, dict[str, set[str]]] = {}  # service -> id | key -> those of the subject's predictions
    # Predictions first: their ids and keys are what labels are told by.
    for stream in sorted(segments.streams(), key=lambda name: not name.startswith(_PREDICTIONS)):
        service = stream.removeprefix(_PREDICTIONS).rpartition(".")[0] if stream.startswith(_PREDICTIONS) else stream.partition(".")[2]
        names = named.setdefault(service, {"id": set(), "key": set()})
        for number, path in segments.files(stream):
            with store_errors(path), _opened(path) as file:
                known = noted_erased(path.parent).get(number, {})
                n_rows = 0
                for stored in _batches(file):
                    rows, cells = _look(stored.batch, subject, known.get(stored.at, []), names if stream.startswith(_OUTCOMES) else {})
                    if rows and stream.startswith(_PREDICTIONS):
                        _note_names(stored.batch, rows, names)
                    if rows:
                        # Before its bytes go: no reader ever takes a blank row for one.
                        note_erased(path.parent, number, stored.at, rows)
                    if rows or cells:
                        n_rows += _overwrite(file, stored, rows, cells)
            if n_rows:
                counts[stream] = counts.get(stream, 0) + n_rows
    return counts


class _Stored(NamedTuple):
    """A batch with the bytes it lies in, and where these stand in the segment."""

    at: int
    data: bytearray
    batch: pa.RecordBatch


class _Cell(NamedTuple):
    """A cell that holds rows of others too, as JSON, and what it becomes."""

    row: int
    column: int
    text: bytes


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # sealed a moment ago
        file = os.open(path.with_suffix(".arrows"), os.O_RDWR | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _batches(file: int) -> Iterator[_Stored]:
    """Iterate over whole batches; a torn tail is left."""
    data = os.pread(file, os.fstat(file).st_size, 0)
    source = pa.BufferReader(data)
    try:
        schema = pa.ipc.read_schema(pa.ipc.read_message(source))
        while True:
            at = source.tell()
            pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)
            own = bytearray(data[at : source.tell()])
            yield _Stored(at, own, pa.ipc.read_record_batch(pa.ipc.read_message(pa.BufferReader(pa.py_buffer(own))), schema))
    except _TORN:
        return


def _note_names(batch: pa.RecordBatch, rows: Sequence[int], named: dict[str, set[str]]) -> None:
    for column, names in named.items():
        if column in batch.schema.names:
            names.update(text for row in rows if (text := (batch.column(column)[row].as_py() or "").strip()))


def _look(batch: pa.RecordBatch, subject: Subject, known: Sequence[int], named: Mapping[str, set[str]]) -> tuple[list[int], list[_Cell]]:
    """Return a batch's rows that are the subject's, without those that are known and blank, and cells that hold rows of others too."""
    blank = {row for row in known if _is_blank(batch, row)}
    rows = sorted({*_rows(batch, subject), *_labels(batch, named)})
    return [row for row in rows if row not in blank], list(_json_cells(batch, subject))


def _overwrite(file: int, stored: _Stored, rows: Sequence[int], cells: Sequence[_Cell]) -> int:
    """Blank rows and rewrite cells where they stand, flushed; return how many rows that were."""
    for row in rows:
        for column in stored.batch.columns:
            _blank(stored, column, row)
    for cell in cells:
        _fill(stored, stored.batch.columns[cell.column], cell.row, cell.text)
    os.pwrite(file, stored.data, stored.at)
    os.fsync(file)
    return len(rows) + len({cell.row for cell in cells})


def _rows(batch: pa.RecordBatch, subject: Subject) -> list[int]:
    rows: set[int] = set()
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_string(field.type):
            name = field.name.removeprefix(_FIELD)
            rows.update(row for row in _candidates(column, subject) if _names(name, column[row].as_py(), subject))
        elif field.name.startswith(_FIELD) and (value := _as_number(subject.keys.get(field.name.removeprefix(_FIELD)))) is not None:
            rows.update(pc.indices_nonzero(pc.fill_null(pc.equal(column.cast(pa.float64()), value), fill_value=False)).to_pylist())
    return sorted(rows)


def _as_number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _labels(batch: pa.RecordBatch, named: Mapping[str, set[str]]) -> Iterator[int]:
    """Yield the rows that speak of predictions of the subject's."""
    for column, names in named.items():
        if names and column in batch.schema.names:
            found = pc.is_in(batch.column(column), value_set=pa.array(sorted(names), pa.string()))
            yield from pc.indices_nonzero(pc.fill_null(found, fill_value=False)).to_pylist()


def _candidates(column: pa.Array, subject: Subject) -> list[int]:
    """Find the rows that may name the subject, without looking at each in Python: a log has many."""
    found = pc.is_in(column, value_set=pa.array(sorted(subject.keys.values()), pa.string()))
    for text in subject.written:
        found = pc.or_kleene(found, pc.match_substring(column, text, ignore_case=True))
    rows: list[int] = pc.indices_nonzero(pc.fill_null(found, fill_value=False)).to_pylist()
    return rows


def _names(column: str, value: str, subject: Subject) -> bool:
    if subject.keys.get(column) == value or subject.redact_text(value) != value:
        return True
    # A log's key is the key fields' values with | between: one that is the subject's, and nothing else, is the subject.
    return column == "key" and value in subject.keys.values()


def _json_cells(batch: pa.RecordBatch, subject: Subject) -> Iterator[_Cell]:
    for index, field in enumerate(batch.schema):
        if not pa.types.is_binary(field.type):
            continue
        for row, value in enumerate(batch.columns[index].to_pylist()):
            if value is not None and subject.mentions(value.decode(errors="replace")) and (text := _without(value, subject)) != value:
                yield _Cell(row, index, text)


def _without(value: bytes, subject: Subject) -> bytes:
    """Return a JSON list of rows without the subject's, never longer than it was."""
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    if isinstance(found, list):
        found = [entry for entry in found if not (isinstance(entry, dict) and subject.is_row(entry))]
    text = msgspec.json.encode(subject.redact(found))
    return text.ljust(len(value)) if len(text) <= len(value) else b"[]".ljust(len(value))


def _is_blank(batch: pa.RecordBatch, row: int) -> bool:
    return all(not str(column[row].as_py() or "").strip() for column in batch.columns if pa.types.is_string(column.type))


def _blank(stored: _Stored, column: pa.Array, row: int) -> None:
    """Overwrite one cell: numbers with zeros, text with blanks."""
    buffers = column.buffers()
    if len(buffers) == 3:
        _fill(stored, column, row, b"")
    elif len(buffers) == 2 and buffers[1] is not None:
        width = column.type.bit_width
        if width >= 8:
            start = _place(stored, buffers[1]) + row * width // 8
            stored.data[start : start + width // 8] = bytes(width // 8)
        else:
            stored.data[_place(stored, buffers[1]) + row // 8] &= ~(1 << (row % 8)) & 0xFF


def _fill(stored: _Stored, column: pa.Array, row: int, text: bytes) -> None:
    """Write a text over a cell that is as long or longer, and blanks over the rest."""
    _, offsets, values = column.buffers()
    if values is None:
        return
    first, last = memoryview(offsets).cast("i")[row : row + 2]
    start = _place(stored, values)
    stored.data[start + first : start + last] = text.ljust(last - first)


def _place(stored: _Stored, buffer: pa.Buffer) -> int:
    """Say where a buffer begins within the batch's bytes: Arrow reads it without copying."""
    return int(buffer.address - pa.py_buffer(stored.data).address)
