"""One JSON object a line, or an array of them, to a table. A field absent from a line is missing there; one of several types stays text.

A line that is no object is left out with its text, as a line of CSV with too many fields is; more than a few, and the file is refused.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.bad_cells import MANY, BadCell, LeftOut
from sampan.table.blocks import Block
from sampan.table.csv import NotUtf8, Parsed, gather
from sampan.table.encodings import check_utf8
from sampan.table.spool import Spool
from sampan.table.types import ColumnForm, convert, find_form, form_note, tolerated

_DECODER = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_WORDS: dict[type, str] = {list: "arrays", dict: "objects", str: "text", bool: "truth values"}


def read_json_lines(text: bytes, *, source: str) -> Parsed:
    """Parse JSON lines. ISO timestamps become times, whole numbers stay whole.

    Raises
    ------
    DataFormatError : empty, or a line is not one JSON object; names the line.
    """
    with JsonLines(source) as lines:
        lines.read(iter([Block(text)]))
        return Parsed(frame=gather(lines.schema, lines.frames()), notes=lines.notes(), left_out=lines.left_out())


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
        self._n_rows = 0
        self._bad: list[tuple[int, str, DataFormatError]] = []  # lines that are no object
        self._skipped: list[int] = []  # lines without a row, as they would be counted without the ones before
        self._n_nan = 0
        self._unnamed = ""  # what the field without a name is called

    def __enter__(self) -> JsonLines:
        self.spool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.spool.__exit__(*error)

    def read(self, blocks: Iterator[Block]) -> None:
        """Read all lines. Raises DataFormatError as `read_json_lines`."""
        line = 1
        for block in blocks:
            self._add(self._rows(block.text, line))
            line += block.text.count(b"\n")
            if len(self._bad) > max(MANY, tolerated(self._n_rows)):
                raise self._bad[0][2]
        if len(self._bad) > tolerated(self._n_rows):
            raise self._bad[0][2]
        self._refuse_empty()

    def read_items(self, chunks: Iterator[list[dict[str, Any]]]) -> None:
        """Read all items of an array. Raises DataFormatError as `read_json_lines`."""
        for rows in chunks:
            self._add(rows)
        self._refuse_empty()

    def line_of(self, row: int) -> int:
        """Return the line of a row, both from where they begin: blank lines and those left out have none."""
        return row + 1 + bisect_right(self._skipped, row + 1)

    def left_out(self) -> LeftOut:
        """Return the lines that are no object, each as a row without values."""
        found = LeftOut(list(self.schema))
        if self._bad:
            rows = pl.DataFrame({name: [""] * len(self._bad) for name in self.schema}, schema=dict.fromkeys(self.schema, pl.String))
            cells = [BadCell(at, "", text, "not a JSON object", self.source, line) for at, (line, text, _) in enumerate(self._bad)]
            found.add(rows, cells)
        return found

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
        if self._unnamed:
            said.append(f"a field has no name and is called {self._unnamed}")
        if self._n_nan:
            said.append(f"{self._n_nan:,} x NaN read as missing")
        if self._bad:
            n, line = len(self._bad), self._bad[0][0]
            said.append(f"{n:,} {'line is' if n == 1 else 'lines are'} no JSON object and left out; the first is line {line}")
        return tuple(said)

    def _add(self, rows: list[dict[str, Any]]) -> None:
        self._n_rows += len(rows)
        if rows:
            self.spool.add(self._frame(rows))

    def _refuse_empty(self) -> None:
        if not self._n_rows:
            hint = 'write one JSON object a line, such as {"id": 1, "at": "2013-01-01T06:00:00Z"}'
            raise DataFormatError(f"{self.source} is empty", source=self.source, hint=hint)

    def _rows(self, text: bytes, first_line: int) -> list[dict[str, Any]]:
        lines = text.split(b"\n")
        try:
            # The quick way, which does not say where a fault is.
            found = [_DECODER.decode(line) for line in lines if line and not line.isspace()]
        except _UNREADABLE:
            found = []
        n_lines = len(lines) - (not lines[-1])
        if len(found) == n_lines and all(type(row) is dict for row in found):
            return found
        try:
            check_utf8(text, source=self.source, first_line=first_line)
        except DataFormatError as error:
            raise NotUtf8(text, error) from error
        return [row for number, line in enumerate(lines[:n_lines], first_line) if (row := self._row(line, number)) is not None]

    def _row(self, line: bytes, number: int) -> dict[str, Any] | None:
        """Read one line by itself; None for a blank one, and for one that is no object."""
        try:
            if line.strip():
                row, n_nan = _decode_line(line, number, source=self.source)
                self._n_nan += n_nan
                return row
        except DataFormatError as error:
            self._bad.append((number, line.decode("utf-8", "replace"), error))
        self._skipped.append(number - len(self._skipped))
        return None

    def _frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        names = dict.fromkeys(rows[0])
        for row in rows:
            if row.keys() != names.keys():  # most rows have the fields of the first
                names.update(dict.fromkeys(row))
        return pl.DataFrame([self._column(self._name(name, names), [row.get(name) for row in rows]) for name in names])

    def _name(self, name: str, names: Collection[str]) -> str:
        if name:
            return name
        self._unnamed = self._unnamed or "column_1" + "_" * ("column_1" in names)
        return self._unnamed

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


def _decode_line(line: bytes, number: int, *, source: str) -> tuple[dict[str, Any], int]:
    """Return a line's object, and how many NaN were in it."""
    n_nan = 0
    try:
        row = _DECODER.decode(line)
    except _UNREADABLE as cause:
        try:
            row, n_nan = _with_nan(line)
        except (ValueError, RecursionError):
            hint = "write one JSON object a line"
            raise DataFormatError(f"line {number} of {source} is not JSON: {cause}", source=source, line=number, hint=hint) from cause
    if not isinstance(row, dict):
        hint = 'write lines such as {"id": 1, "at": "2013-01-01T06:00:00Z"}'
        raise DataFormatError(
            f"line {number} of {source} holds a {type(row).__name__}, not an object", source=source, line=number, hint=hint
        )
    return row, n_nan


def _with_nan(line: bytes) -> tuple[Any, int]:
    """Read what Python and JavaScript write where a number is none; NaN is missing. Raises ValueError where that is not what is wrong."""
    if b"NaN" not in line and b"Infinity" not in line:
        raise ValueError
    seen: list[str] = []

    def constant(word: str) -> float | None:
        seen.append(word)
        return None if word == "NaN" else float(word)

    return json.loads(line, parse_constant=constant), seen.count("NaN")
