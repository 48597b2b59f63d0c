"""What a delimited file is like, from its first bytes and some from its middle: delimiter, header, and the form of each column."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from sampan.errors import DataFormatError, ParameterError
from sampan.table.dates import is_day_first
from sampan.table.headers import LOOKED_AT, above_note, column_names, declared_header, find_header, look_like_values, unnamed_columns
from sampan.table.numerals import PLAIN
from sampan.table.source_form import NULL_SPELLINGS
from sampan.table.stray_quotes import scan_leniently
from sampan.table.structure import Structure, records_at, scan_structure
from sampan.table.types import ColumnForm, Found, Habits, clear_nulls, declared_form, find_form, tolerated

DELIMITERS = (",", "\t", ";", "|")
DELIMITER_NAMES = {"\t": "tab", " ": "space"}
_WITH_COMMAS = ";"  # the delimiter where a comma is the decimal sign
_POINTED = r"\.(\d{1,2}|\d{4,})$|^[+-]?0\.\d"  # a point that stands not between thousands
_RARE = ("^", "~", ":", "\x01", "\x1f")
_SNIFFED_LINES = 50
_SEPARATOR = re.compile(rb'"?sep=([\x01-\x7f])"?\r?\n')  # the line by which a file tells Excel how to split it


@dataclass(frozen=True, slots=True)
class CsvForm:
    """What a person declared of a file; empty means "find out". `expected` are the types of the dataset the file is a batch for."""

    delimiter: str = ""
    null_values: tuple[str, ...] = NULL_SPELLINGS
    types: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Pieces of a file, in UTF-8: its beginning, and whole lines from further on."""

    head: bytes
    pieces: tuple[bytes, ...] = ()
    is_whole: bool = True  # whether the head is all there is


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    names: tuple[str, ...]
    header_bytes: int  # of the text up to the first record after the header, with what stands above it
    header_lines: int
    forms: tuple[ColumnForm, ...]
    inferred: tuple[Found, ...]  # what the columns look like whatever was declared
    notes: tuple[str, ...] = ()


def sniff(sample: Sample, form: CsvForm, *, source: str) -> Dialect:
    """Find how a file is written.

    Raises
    ------
    DataFormatError : empty, a name twice in the header, a wrong delimiter, broken quotes.
    ParameterError : a type is declared for a column that is not there; the delimiter cannot be one.
    """
    text = sample.head if sample.is_whole else sample.head[: sample.head.rfind(b"\n") + 1] or sample.head
    if not text.strip():
        raise DataFormatError(f"{source} is empty", source=source, hint="a table needs at least a header line with the columns' names")
    if form.delimiter:
        _check_delimiter(form.delimiter)
    above = _above(text, form, source=source)
    text = text[above.n_bytes :]
    delimiter = form.delimiter or above.delimiter or sniff_delimiter(text)
    found = scan_leniently(text, delimiter, source=source, first_line=above.n_lines + 1)
    if found.error is not None and found.wrong[0][0] == above.n_lines + 1:
        raise found.error
    text, structure = found.text, found.structure
    first_record = 1 if above.has_header else 0
    names, notes = _names(text, structure, delimiter, above, source=source)
    _refuse_wrong_delimiter(names, text, structure, delimiter, declared=bool(form.delimiter), source=source)
    if _ends_with_delimiters(text, structure, delimiter, len(names)):
        names, notes = [*names, f"column_{len(names) + 1}"], [*notes, "every row ends with a delimiter that the header has not"]
    unknown = sorted(set(form.types) - set(names))
    if unknown:
        hint = "its columns: " + ", ".join(names[:20])
        raise ParameterError(f"a type is declared for {unknown[0]!r}, which {source} does not have", hint=hint)
    rows = _sampled_rows(text, structure, sample.pieces, names, delimiter, source, first_record=first_record)
    columns = [clear_nulls(column, form.null_values)[0] for column in rows]
    inferred = _infer(columns, form, delimiter)
    end = _end_of_header(text, structure) if above.has_header else 0
    return Dialect(
        delimiter=delimiter,
        names=tuple(names),
        header_bytes=above.n_bytes + end,
        header_lines=above.n_lines + text.count(b"\n", 0, end),
        forms=tuple(_form_of(name, found, form, source=source) for name, found in zip(names, inferred, strict=True)),
        inferred=inferred,
        notes=(
            *([above.note] if above.note else []),
            *notes,
            *_header_notes(names, inferred, is_found=above.has_header and not form.header),
            *([f"the delimiter is {DELIMITER_NAMES.get(delimiter, delimiter)}"] if delimiter != "," else []),
        ),
    )


def _ends_with_delimiters(text: bytes, structure: Structure, delimiter: str, n_names: int) -> bool:
    """Say whether each row has one field more than the header, without a value."""
    rows = structure.n_fields[1:]
    if not len(rows) or n_names == 1 or not (rows == n_names + 1).all():
        return False
    mark = ord(delimiter)
    return all(text[end - 1] == mark for end in structure.ends[1:].tolist())


def _end_of_header(text: bytes, structure: Structure) -> int:
    """Return where the line after the header begins."""
    end = text.find(b"\n", int(structure.ends[0]))
    return end + 1 if end >= 0 else len(text)


def sniff_delimiter(text: bytes) -> str:
    r"""Find the delimiter that splits the first lines into equally many fields; ',' if none does.

    >>> sniff_delimiter(b"a;b\n1,5;2\n")
    ';'
    """
    lines = _first_lines(text)
    best, best_score = ",", (0.0, 0)
    for candidate in DELIMITERS:
        counts = [_count_outside_quotes(line, candidate) for line in lines]
        if counts[0]:
            agreeing = sum(n == counts[0] for n in counts) / len(counts)
            if (agreeing, counts[0]) > best_score:
                best, best_score = candidate, (agreeing, counts[0])
    return best


def parse_text(text: bytes, names: Sequence[str], delimiter: str, *, source: str) -> pl.DataFrame:
    """Parse records without a header into columns of text, an empty field as an empty text."""
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    try:
        parsed = pl.read_csv(
            text, has_header=False, new_columns=list(names), infer_schema=False, separator=delimiter, quote_char='"', encoding="utf8"
        )
        return parsed.fill_null("")
    except pl.exceptions.PolarsError as cause:
        raise DataFormatError(f"{source} cannot be parsed: {str(cause).splitlines()[0]}", source=source) from cause


def _infer(columns: Sequence[pl.Series], form: CsvForm, delimiter: str) -> tuple[Found, ...]:
    """Find the columns' forms twice: first those that show how the file writes numbers and dates, then the ambiguous ones by them."""
    declared = Habits(decimal=form.decimal, thousands=form.thousands)
    first = [find_form(column, tolerance=tolerated(len(column) - column.null_count()), habits=declared) for column in columns]
    habits = _habits(first, declared)
    if delimiter == _WITH_COMMAS and not habits.decimal:
        shown = [c for c, f in zip(columns, first, strict=True) if f.form.kind == "number"]
        habits = replace(habits, doubts_points=not any(column.str.contains(_POINTED).any() for column in shown))
    if habits == declared:
        return tuple(first)
    return tuple(find_form(c, tolerance=tolerated(len(c) - c.null_count()), habits=habits) for c in columns)


def _habits(found: Sequence[Found], declared: Habits) -> Habits:
    written = {f.form.numerals for f in found if f.form.numerals != PLAIN}
    orders = {is_day_first(f.form.layout) for f in found if f.form.layout} - {None}
    habits = replace(declared, day_first=orders.pop() if len(orders) == 1 else None)
    if declared.decimal or declared.thousands or len({way.decimal for way in written}) != 1:
        return habits
    marks = {way.thousands for way in written} - {""}
    return replace(habits, decimal=next(iter(written)).decimal, thousands=marks.pop() if len(marks) == 1 else "")


def _form_of(name: str, found: Found, form: CsvForm, *, source: str) -> ColumnForm:
    """Return what was declared, else what the dataset has, else what the column looks like."""
    if found.has_two_readings and form.expected.get(name, "text") != "text" and name not in form.types:
        said = f"the numbers of column {name!r} have two readings: 1.234 may be 1234 or 1.234"
        raise DataFormatError(said, source=source, hint="say --decimal , or --decimal .")
    if name in form.types:
        declared = declared_form(form.types[name], name, habits=Habits(form.decimal, form.thousands))
        same = found.form.kind == declared.kind or {found.form.kind, declared.kind} == {"integer", "number"}
        if same and not declared.layout and not (form.decimal or form.thousands):
            return replace(found.form, kind=declared.kind, is_given=True)
        return replace(declared, missing=found.form.missing)
    expected = form.expected.get(name)
    if expected is None:
        return found.form
    if found.form.kind == expected or (found.form.kind, expected) == ("integer", "number"):
        return replace(found.form, kind=expected, is_given=True)  # type: ignore[arg-type]  # a kind of DTYPES
    if found.form.kind == "text" or expected == "text":
        return declared_form(expected, name)
    return found.form  # of another type: the plan says so


def _sampled_rows(
    text: bytes,
    structure: Structure,
    pieces: Sequence[bytes],
    names: Sequence[str],
    delimiter: str,
    source: str,
    *,
    first_record: int,
) -> list[pl.Series]:
    kept = np.flatnonzero(structure.n_fields == len(names))
    frames = [parse_text(records_at(text, structure, kept[kept >= first_record]), names, delimiter, source=source)]
    for piece in pieces:
        try:
            found = scan_structure(piece, delimiter, source=source)
        except DataFormatError:
            continue  # a piece may begin inside a quoted text
        if len(found.starts) and (found.n_fields == len(names)).all():
            frames.append(parse_text(records_at(piece, found, np.arange(len(found.starts))), names, delimiter, source=source))
    return pl.concat(frames).get_columns()


def _first_lines(text: bytes) -> list[str]:
    head = text[: 1 << 18].decode("utf-8", "ignore")
    lines = [line.rstrip("\r") for line in head.split("\n") if line.strip()]
    return lines[:_SNIFFED_LINES] or [""]


def _count_outside_quotes(line: str, delimiter: str) -> int:
    return sum(part.count(delimiter) for part in line.split('"')[0::2])


def _check_delimiter(delimiter: str) -> None:
    if len(delimiter) != 1 or ord(delimiter) > 127 or delimiter in '"\r\n':
        raise ParameterError(f"{delimiter!r} cannot be a delimiter", hint="one ASCII character such as ',' ';' '|' or a tab")


@dataclass(frozen=True, slots=True)
class _Above:
    """What stands above a table: so many lines, and whether the next one names the columns."""

    n_bytes: int = 0
    n_lines: int = 0
    has_header: bool = True
    note: str = ""
    delimiter: str = ""  # where a line above says it


def _above(text: bytes, form: CsvForm, *, source: str) -> _Above:
    """Find the line that names the columns: the declared one, else the first that is no title."""
    if not form.header and (said := _SEPARATOR.match(text)):
        return _Above(said.end(), 1, delimiter=said[1].decode())
    if not form.header:
        rows, lines = _first_rows(text, form.delimiter)
        line = lines[find_header(rows)]
        note = above_note(rows, line) if line > 1 and find_header(rows) else ""
        return _cut_above(text, line if note else 1, note)
    declared = declared_header(form.header)
    if declared is None:
        return _Above(has_header=False)
    if declared > text.count(b"\n") + (not text.endswith(b"\n")):
        hint = "it is looked for among the first lines; say a line of these"
        raise DataFormatError(f"{source} has no header in line {declared}", source=source, hint=hint)
    return _cut_above(text, declared, "")


def _cut_above(text: bytes, line: int, note: str) -> _Above:
    end = 0
    for _ in range(line - 1):
        end = text.index(b"\n", end) + 1
    return _Above(end, line - 1, note=note)


def _first_rows(text: bytes, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Split the first lines with the delimiter that most of them hold equally often; also return on which line each row begins."""
    lines = text[: 1 << 16].decode("utf-8", "replace").splitlines(keepends=True)[: 2 * LOOKED_AT]
    reader = csv.reader(lines, delimiter=delimiter or _usual_delimiter(lines))
    rows: list[list[str]] = []
    begins = [1]
    try:
        for row in reader:
            rows.append(row)
            begins.append(reader.line_num + 1)
            if len(rows) == LOOKED_AT:
                break
    except csv.Error:
        pass  # a line longer than csv takes: whoever parses the table names it
    return rows, begins


def _usual_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that most lines hold equally often, whatever the first line is."""
    best, best_score = ",", (0, 0)
    for candidate in DELIMITERS:
        counts = Counter(n for line in lines if (n := _count_outside_quotes(line, candidate)))
        n, n_lines = counts.most_common(1)[0] if counts else (0, 0)
        if (n_lines, n) > best_score:
            best, best_score = candidate, (n_lines, n)
    return best


def _header_notes(names: Sequence[str], inferred: Sequence[Found], *, is_found: bool) -> list[str]:
    if not is_found or not look_like_values(names, [found.form.kind not in ("text", "boolean") for found in inferred]):
        return []
    return ["the header looks like a row of values; if it is one, say --header none"]


def _names(text: bytes, structure: Structure, delimiter: str, above: _Above, *, source: str) -> tuple[list[str], list[str]]:
    first = text[int(structure.starts[0]) : int(structure.ends[0])]
    row = pl.read_csv(first + b"\n", has_header=False, infer_schema=False, separator=delimiter, encoding="utf8").row(0)
    if not above.has_header:
        return unnamed_columns(len(row)), []
    return column_names(["" if cell is None else str(cell) for cell in row], source=source, line=structure.line(0, text))


def _refuse_wrong_delimiter(names: list[str], text: bytes, structure: Structure, delimiter: str, *, declared: bool, source: str) -> None:
    """One column whose name holds other delimiters is a file read wrongly, not a table."""
    if len(names) != 1:
        return
    candidates = [c for c in (*DELIMITERS, *_RARE) if c != delimiter and c in names[0]]
    rows = _first_lines(text)
    for candidate in candidates:
        counts = [_count_outside_quotes(line, candidate) for line in rows]
        if counts[0] and (declared or all(n == counts[0] for n in counts)):
            word, right = DELIMITER_NAMES.get(delimiter, delimiter), DELIMITER_NAMES.get(candidate, candidate)
            raise DataFormatError(
                f"with the delimiter {word!r} the header of {source} is one column, {names[0][:60]!r}; "
                f"with {right!r} it would be {counts[0] + 1}",
                source=source,
                line=structure.line(0, text),
                hint=f"say --delimiter {candidate!r}",
            )
