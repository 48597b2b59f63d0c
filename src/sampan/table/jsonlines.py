"""One JSON object a line to a table. A field absent from a line is missing there; a field of several types stays text, and it is said."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.csv import Parsed
from sampan.table.types import find_type

_DECODER = msgspec.json.Decoder()


def read_json_lines(text: bytes, *, source: str) -> Parsed:
    """Parse JSON lines. ISO timestamps become times, whole numbers stay whole.

    Raises
    ------
    DataFormatError : empty, or a line is not one JSON object; names the line.
    """
    columns: dict[str, list[Any]] = {}
    n_rows = 0
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        row = _decode_line(line, number, source=source)
        for name in [name for name in row if name not in columns]:
            columns[name] = [None] * n_rows
        for name, values in columns.items():
            values.append(row.get(name))
        n_rows += 1
    if not n_rows:
        raise DataFormatError(f"{source} is empty", source=source, hint="write one JSON object a line")
    series, notes = [], []
    for name, values in columns.items():
        column, note = _column(name, values)
        series.append(column)
        if note:
            notes.append(f"column {name!r} {note}")
    return Parsed(frame=pl.DataFrame(series), notes=tuple(notes))


def _decode_line(line: bytes, number: int, *, source: str) -> dict[str, Any]:
    try:
        row = _DECODER.decode(line)
    except msgspec.DecodeError as cause:
        hint = "write one JSON object a line; a JSON array is not read"
        raise DataFormatError(f"line {number} of {source} is not JSON: {cause}", source=source, line=number, hint=hint) from cause
    if not isinstance(row, dict):
        hint = 'write lines such as {"id": 1, "at": "2013-01-01T06:00:00Z"}'
        raise DataFormatError(
            f"line {number} of {source} holds a {type(row).__name__}, not an object", source=source, line=number, hint=hint
        )
    return row


def _column(name: str, values: list[Any]) -> tuple[pl.Series, str]:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {str}:
        return _text_column(pl.Series(name, values, dtype=pl.String))
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean), ""
    if kinds == {int} and all(-(2**63) <= v < 2**63 for v in values if v is not None):
        return pl.Series(name, values, dtype=pl.Int64), ""
    if kinds <= {int, float} and float in kinds:
        return pl.Series(name, [None if v is None else float(v) for v in values], dtype=pl.Float64), ""
    text = [v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
    words = " and ".join(sorted({list: "arrays", dict: "objects", str: "text", bool: "truth values"}.get(k, "numbers") for k in kinds))
    return pl.Series(name, text, dtype=pl.String), f"stays text: it holds {words}"


def _text_column(text: pl.Series) -> tuple[pl.Series, str]:
    """JSON has types of its own: only times are read out of its strings."""
    typed = find_type(text)
    if isinstance(typed.values.dtype, pl.Datetime | pl.Date):
        return typed.values, typed.note
    return text, ""
