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
    n_blank: int
    quoted_newlines: Positions  # newlines inside quotes: they are lines but no records

    def line(self, record: int, text: bytes) -> int:
        """Return the 1-based line on which a record begins (record 0 is the header)."""
        return text.count(b"\n", 0, int(self.starts[record])) + 1


def scan_structure(text: bytes, delimiter: str, *, source: str) -> Structure:
    """Find the records of `text` and refuse what is not one table.

    Raises
    ------
    DataFormatError : a quote is opened and not closed or stands inside a field, or a record has another number of fields than the header.
    """
    array = np.frombuffer(text, dtype=np.uint8)
    marks = _find_marks(array, ord(delimiter))
    if marks.inside_at_end:
        at = int(marks.quotes[-1]) if len(marks.quotes) else 0
        raise DataFormatError(
            f"the quote opened on line {_line(text, at)} is never closed",
            source=source,
            line=_line(text, at),
            hint='close it, or double a quote that belongs to the text: ""',
        )
    _check_quotes(text, array, marks, ord(delimiter), source=source)
    starts, ends = _records(array, marks.newlines)
    # Spaces alone are a blank line to a person; tabs are not, they may be an empty record of a tab-separated file.
    blank = ends <= starts
    kept = ~blank
    n_blank = int(blank.sum()) - int(len(blank) > 0 and blank[-1])  # what follows the last line's end is no line
    starts, ends = starts[kept], ends[kept]
    _check_field_counts(text, starts, ends, marks.delimiters, source=source, delimiter=delimiter)
    return Structure(starts=starts, ends=ends, n_blank=n_blank, quoted_newlines=marks.quoted_newlines)


def without_blank_lines(text: bytes, structure: Structure) -> bytes:
    """Return `text` with its blank lines taken out: a parser would make rows of missing values of them."""
    if structure.n_blank == 0:
        return text
    view = memoryview(text)
    return b"\n".join(view[a:b] for a, b in zip(structure.starts.tolist(), structure.ends.tolist(), strict=True)) + b"\n"


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


def _check_quotes(text: bytes, array: Bytes, marks: _Marks, delimiter: int, *, source: str) -> None:
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
        line = _line(text, at)
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


def _check_field_counts(text: bytes, starts: Positions, ends: Positions, delimiters: Positions, *, source: str, delimiter: str) -> None:
    if not len(starts):
        return
    n_fields = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1
    bad = np.flatnonzero(n_fields != n_fields[0])
    if not len(bad):
        return
    first = int(bad[0])
    line = _line(text, int(starts[first]))
    more = f" (and {len(bad) - 1:,} more lines)" if len(bad) > 1 else ""
    raise DataFormatError(
        f"line {line} has {n_fields[first]:,} fields where the header has {n_fields[0]:,}{more}: {_excerpt(text, int(starts[first]))!r}",
        source=source,
        line=line,
        hint=f"put quotes around a value that holds {delimiter!r}, complete the line, or say --delimiter",
    )


def _line(text: bytes, at: int) -> int:
    return text.count(b"\n", 0, at) + 1


def _excerpt(text: bytes, at: int, width: int = 40) -> str:
    start = max(text.rfind(b"\n", 0, at) + 1, at - width // 2)
    return text[start : start + width].split(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
