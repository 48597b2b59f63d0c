"""Check the shape of CSV text before it is parsed: what a parser would guess over is an error with its line here.

A quote flips a state, and a doubled quote flips it twice; so the count of quotes before a byte, modulo 2, says whether it is inside a
quoted field. That makes the whole check a handful of array operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sampan.errors import DataFormatError

QUOTE, NEWLINE, RETURN, SPACE = 34, 10, 13, 32
_BLOCK = 1 << 24

Positions = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Structure:
    """Where records lie. `starts` and `ends` are byte offsets of the records that hold anything; blank lines are only counted."""

    starts: Positions
    ends: Positions  # exclusive, without the line's end
    n_fields: Positions  # of each record
    n_blank: int
    quoted_newlines: Positions  # newlines inside quotes: they are lines but no records
    first_line: int = 1  # where the text begins in its file

    def line(self, record: int, text: bytes) -> int:
        """Return the 1-based line on which a record begins (in a whole file, record 0 is the header)."""
        return text.count(b"\n", 0, int(self.starts[record])) + self.first_line


def scan_structure(text: bytes, delimiter: str, *, source: str, first_line: int = 1) -> Structure:
    """Find the records of `text`, with their numbers of fields.

    Raises
    ------
    DataFormatError : a quote is opened and not closed, or stands inside a field.
    """
    array = np.frombuffer(text, dtype=np.uint8)
    marks = _find_marks(array, ord(delimiter))
    if marks.inside_at_end:
        line = _line(text, int(marks.quotes[-1]) if len(marks.quotes) else 0) + first_line - 1
        raise DataFormatError(
            f"the quote opened on line {line} is never closed",
            source=source,
            line=line,
            hint='close it, or double a quote that belongs to the text: ""',
        )
    _check_quotes(text, array, marks, ord(delimiter), source=source, first_line=first_line)
    starts, ends = _records(array, marks.newlines)
    blank = ends <= starts
    kept = ~blank
    n_blank = int(blank.sum()) - int(len(blank) > 0 and blank[-1])  # what follows the last line's end is no line
    starts, ends = starts[kept], ends[kept]
    n_fields = np.searchsorted(marks.delimiters, ends) - np.searchsorted(marks.delimiters, starts) + 1
    return Structure(starts, ends, n_fields, n_blank, marks.quoted_newlines, first_line)


def records_at(text: bytes, structure: Structure, records: Positions) -> bytes:
    """Return some records, each on lines of its own."""
    view = memoryview(text)
    starts, ends = structure.starts[records].tolist(), structure.ends[records].tolist()
    return b"\n".join(view[a:b] for a, b in zip(starts, ends, strict=True)) + b"\n" * bool(starts)


def refuse_ragged(text: bytes, structure: Structure, records: Positions, n_fields: int, *, source: str, delimiter: str) -> DataFormatError:
    """Build the error for records of another number of fields than the header's, which names the first."""
    first = int(records[0])
    line = structure.line(first, text)
    more = f" (and {len(records) - 1:,} more lines)" if len(records) > 1 else ""
    excerpt = _excerpt(text, int(structure.starts[first]))
    return DataFormatError(
        f"line {line} has {structure.n_fields[first]:,} fields where the header has {n_fields:,}{more}: {excerpt!r}",
        source=source,
        line=line,
        hint=f"put quotes around a value that holds {delimiter!r}, complete the line, or say --delimiter",
    )


@dataclass(frozen=True, slots=True)
class _Marks:
    newlines: Positions  # outside quotes
    delimiters: Positions  # outside quotes
    quotes: Positions
    quoted_newlines: Positions
    inside_at_end: bool


def _find_marks(array: Bytes, delimiter: int) -> _Marks:
    newlines, delimiters, quotes, quoted = [], [], [], []
    inside = False
    for at in range(0, len(array), _BLOCK):
        block = array[at : at + _BLOCK]
        found_newlines, found_delimiters = np.flatnonzero(block == NEWLINE), np.flatnonzero(block == delimiter)
        found_quotes = np.flatnonzero(block == QUOTE)
        if len(found_quotes) or inside:
            newline_inside = (np.searchsorted(found_quotes, found_newlines) + inside) % 2 == 1
            quoted.append(found_newlines[newline_inside] + at)
            found_newlines = found_newlines[~newline_inside]
            found_delimiters = found_delimiters[(np.searchsorted(found_quotes, found_delimiters) + inside) % 2 == 0]
        newlines.append(found_newlines + at)
        delimiters.append(found_delimiters + at)
        quotes.append(found_quotes + at)
        inside ^= len(found_quotes) % 2 == 1
    return _Marks(
        newlines=_join(newlines),
        delimiters=_join(delimiters),
        quotes=_join(quotes),
        quoted_newlines=_join(quoted),
        inside_at_end=bool(inside),
    )


def _join(parts: list[Any]) -> Positions:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _check_quotes(text: bytes, array: Bytes, marks: _Marks, delimiter: int, *, source: str, first_line: int) -> None:
    """An opening quote must begin a field and a closing one end it; a doubled quote closes and opens at once."""
    if not len(marks.quotes):
        return
    opening, closing = marks.quotes[0::2], marks.quotes[1::2]
    before = np.where(opening > 0, array[np.maximum(opening - 1, 0)], NEWLINE)
    last = len(array) - 1
    after = np.where(closing < last, array[np.minimum(closing + 1, last)], NEWLINE)
    bad_open = ~np.isin(before, (delimiter, NEWLINE, QUOTE))
    bad_close = ~np.isin(after, (delimiter, NEWLINE, RETURN, QUOTE))
    bad = np.concatenate([opening[bad_open], closing[bad_close]])
    if len(bad):
        at = int(bad.min())
        line = _line(text, at) + first_line - 1
        raise DataFormatError(
            f"line {line} has a quote in the middle of a field: {_excerpt(text, at)!r}",
            source=source,
            line=line,
            hint='put the whole field in quotes and double the ones inside: "5"" pipe"',
        )


def _records(array: Bytes, newlines: Positions) -> tuple[Positions, Positions]:
    starts = np.concatenate([np.zeros(1, dtype=np.int64), newlines + 1])
    ends = np.concatenate([newlines, np.full(1, len(array), dtype=np.int64)])
    if len(array):
        has_return = (ends > starts) & (array[np.maximum(ends - 1, 0)] == RETURN)
        ends = ends - has_return
    return starts, ends


def _line(text: bytes, at: int) -> int:
    return text.count(b"\n", 0, at) + 1


def _excerpt(text: bytes, at: int, width: int = 40) -> str:
    start = max(text.rfind(b"\n", 0, at) + 1, at - width // 2)
    return text[start : start + width].split(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
