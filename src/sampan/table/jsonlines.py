"""One JSON object a line to a table. A field absent from a line is missing there; a field of several types stays text, and it is said."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.blocks import Block
from sampan.table.csv import NotUtf8, Parsed, gather
from sampan.table.encodings import check_utf8
from sampan.table.spool import Spool
from sampan.table.types import ColumnForm, convert, find_form, form_note

_DECODER = msgspec.json.Decoder()
_WORDS: dict[type, str] = {list: "arrays", dict: "objects", str: "text", bool: "truth values"}


def read_json_lines(text: bytes, *, source: str) -> Parsed:
    """Parse JSON lines. ISO timestamps become times, whole numbers stay whole.

    Raises
    ------
    DataFormatError : empty, or a line is not one JSON object; names the line.
    """
    with JsonLines(source) as lines:
        lines.read(iter([Block(text)]))
        return Parsed(frame=gather(lines.schema, lines.frames()), notes=lines.notes())


@dataclass(slots=True)
class _Seen:
    """What was seen of a column so far."""

    kinds: set[type] = field(default_factory=set)
    times: ColumnForm | None = None  # how its times are written, while all its values are times
    is_text: bool = False  # some text is no time


class JsonLines:
    """A file of JSON lines, read block by block; its types are known at the end."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.spool = Spool()
        self._seen: dict[str, _Seen] = {}

    def __enter__(self) -> JsonLines:
        self.spool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.spool.__exit__(*error)

    def read(self, blocks: Iterator[Block]) -> None:
        """Read all blocks. Raises DataFormatError as `read_json_lines`."""
        line, n_rows = 1, 0
        for block in blocks:
            rows = self._rows(block.text, line)
            line += block.text.count(b"\n")
            n_rows += len(rows)
            if rows:
                self.spool.add(self._frame(rows))
        if not n_rows:
            hint = 'write one JSON object a line, such as {"id": 1, "at": "2013-01-01T06:00:00Z"}'
            raise DataFormatError(f"{self.source} is empty", source=self.source, hint=hint)

    @property
    def schema(self) -> pl.Schema:
        """The columns with their types."""
        kinds = {name: self._times(name) for name in self._seen}
        return pl.Schema({name: form.dtype if (form := kinds[name]) else dtype for name, dtype in self.spool.schema.items()})

    def frames(self) -> Iterator[pl.DataFrame]:
        """Iterate over the rows, times read."""
        forms = {name: form for name in self._seen if (form := self._times(name)) is not None}
        for frame in self.spool.frames():
            yield frame.with_columns(convert(frame[name], form) for name, form in forms.items())

    def column(self, name: str) -> pl.Series:
        """Return a column of text whole."""
        return self.spool.column(name)

    def notes(self, *, known: Collection[str] = ()) -> tuple[str, ...]:
        """Say of mixed columns that they are text, and of times how they are read; not of columns whose type is `known` anyway."""
        said = []
        for name, seen in self._seen.items():
            if name in known:
                continue
            if (form := self._times(name)) is not None:
                said += [f"column {name!r} {note}" for note in [form_note(form)] if note]
            elif seen.kinds - {str} and self.spool.schema[name] == pl.String:
                words = " and ".join(sorted({_WORDS.get(kind, "numbers") for kind in seen.kinds}))
                said.append(f"column {name!r} stays text: it holds {words}")
        return tuple(said)

    def _rows(self, text: bytes, first_line: int) -> list[dict[str, Any]]:
        lines = text.split(b"\n")
        try:
            # The quick way, which does not say where a fault is.
            found = [_DECODER.decode(line) for line in lines if line and not line.isspace()]
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = []
        if found and all(type(row) is dict for row in found):
            return found
        try:
            check_utf8(text, source=self.source, first_line=first_line)
        except DataFormatError as error:
            raise NotUtf8(text, error) from error
        return [_decode_line(line, number, source=self.source) for number, line in enumerate(lines, first_line) if line.strip()]

    def _frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        names = dict.fromkeys(rows[0])
        for row in rows:
            if row.keys() != names.keys():  # most rows have the fields of the first
                names.update(dict.fromkeys(row))
        return pl.DataFrame([self._column(name, [row.get(name) for row in rows]) for name in names])

    def _column(self, name: str, values: list[Any]) -> pl.Series:
        kinds = set(map(type, values))
        kinds.discard(type(None))
        seen = self._seen.setdefault(name, _Seen())
        seen.kinds |= kinds
        if not kinds:
            return pl.Series(name, values, dtype=pl.Null)
        if kinds == {str}:
            text = pl.Series(name, values, dtype=pl.String)
            _look_for_times(text, seen)
            return text
        seen.is_text = True
        if kinds == {bool}:
            return pl.Series(name, values, dtype=pl.Boolean)
        if kinds == {int}:
            with suppress(TypeError, OverflowError):  # beyond 64 bits they are told as text
                return pl.Series(name, values, dtype=pl.Int64)
        if kinds <= {int, float} and float in kinds:
            return pl.Series(name, [None if v is None else float(v) for v in values], dtype=pl.Float64)
        written = [v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
        return pl.Series(name, written, dtype=pl.String)

    def _times(self, name: str) -> ColumnForm | None:
        seen = self._seen[name]
        return None if seen.is_text else seen.times


def _look_for_times(text: pl.Series, seen: _Seen) -> None:
    """JSON has types of its own: only times are read out of its strings."""
    if seen.is_text:
        return
    form = find_form(text, tolerance=0, habits=None).form
    if form.kind not in ("date", "timestamp"):
        seen.is_text = True
    elif seen.times is None:
        seen.times = form
    elif (seen.times.kind, form.kind) == ("date", "timestamp"):
        seen.times = replace(form, zoned=False)  # the dates before had none


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
