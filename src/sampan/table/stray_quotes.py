"""Lines whose quotes are wrong, set aside so that the other lines of a file can be read.

A quote that is never closed, or stands in the middle of a field, says nothing of the lines after it: each line is looked at by itself, and
joined with the following ones only where that makes a record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.errors import DataFormatError
from sampan.table.structure import Structure, scan_structure

_MOST_LINES = 200  # of a record among lines that are wrong


@dataclass(frozen=True, slots=True)
class Scanned:
    """A text in which records were found; lines whose quotes are wrong are empty in it and stand apart, with their numbers."""

    text: bytes
    structure: Structure
    wrong: tuple[tuple[int, bytes], ...] = ()
    error: DataFormatError | None = None  # what is wrong with the first of them
    rest: bytes = b""  # of a text that goes on: what may be the beginning of a record


def scan_leniently(text: bytes, delimiter: str, *, source: str, first_line: int, is_last: bool = True) -> Scanned:
    """Find the records of a text, without lines whose quotes are wrong.

    Parameters
    ----------
    is_last : whether the text ends here. Where quotes are wrong, their count does not say whether it was cut at the end of a record

    Raises
    ------
    DataFormatError : the quotes are wrong and it cannot be said in which lines.
    """
    try:
        return Scanned(text, scan_structure(text, delimiter, source=source, first_line=first_line))
    except DataFormatError as error:
        lines = text.split(b"\n")
        wrong = _wrong_lines(lines, delimiter)
        if not wrong:
            raise
        end = len(lines) if is_last else _open_line(lines, wrong)
        rest, lines = b"\n".join(lines[end:]), lines[:end]
        apart = tuple((at + first_line, lines[at]) for at in wrong if at < end)
        for at in wrong:
            if at < end:
                lines[at] = b""
        found = b"\n".join([*lines, *([b""] if rest else [])])
        return Scanned(found, scan_structure(found, delimiter, source=source, first_line=first_line), apart, error, rest)


def _open_line(lines: list[bytes], wrong: list[int]) -> int:
    """Return the line near the end where a record may begin that goes on beyond it; their number where none may."""
    near = [at for at in wrong if at >= len(lines) - _MOST_LINES and lines[at].count(b'"') % 2]
    return next((at for at in near if sum(line.count(b'"') for line in lines[at:]) % 2), len(lines))


def _wrong_lines(lines: list[bytes], delimiter: str) -> list[int]:
    """Return which lines belong to no record."""
    mark = re.escape(delimiter.encode())
    field = rb'(?:"(?:[^"]|"")*"|[^"' + mark + rb"\r\n]*)"
    record = re.compile(rb"%b(?:%b%b)*\r?" % (field, mark, field))
    wrong, at = [], 0
    while at < len(lines):
        n_lines = 1 if b'"' not in lines[at] else _record_lines(lines, at, record)
        if not n_lines:
            wrong.append(at)
        at += n_lines or 1
    return wrong


def _record_lines(lines: list[bytes], at: int, record: re.Pattern[bytes]) -> int:
    """Return how many lines the record has that begins on a line; 0 where none does."""
    n_quotes = 0
    for n in range(1, min(_MOST_LINES, len(lines) - at) + 1):
        n_quotes += lines[at + n - 1].count(b'"')
        if n_quotes % 2 == 0:
            return n if record.fullmatch(b"\n".join(lines[at : at + n])) else 0
    return 0
