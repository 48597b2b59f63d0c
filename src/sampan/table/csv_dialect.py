"""What a delimited file is like, from its first bytes and some from its middle: delimiter, header, and the form of each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from sampan.errors import DataFormatError, ParameterError
from sampan.table.dates import is_day_first
from sampan.table.numerals import PLAIN
from sampan.table.source_form import NULL_SPELLINGS
from sampan.table.structure import Structure, records_at, scan_structure
from sampan.table.types import ColumnForm, Found, Habits, clear_nulls, declared_form, find_form, tolerated

DELIMITERS = (",", "\t", ";", "|")
DELIMITER_NAMES = {"\t": "tab", " ": "space"}
_RARE = ("^", "~", ":", "\x01", "\x1f")
_SNIFFED_LINES = 50


@dataclass(frozen=True, slots=True)
class CsvForm:
    """What a person declared of a file; empty means "find out". `expected` are the types of the dataset the file is a batch for."""

    delimiter: str = ""
    null_values: tuple[str, ...] = NULL_SPELLINGS
    types: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""


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
    header_bytes: int  # of the text up to the first record after the header
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
    delimiter = form.delimiter or sniff_delimiter(text)
    _check_delimiter(delimiter)
    structure = scan_structure(text, delimiter, source=source)
    names, notes = _header(text, structure, delimiter, source=source)
    _refuse_wrong_delimiter(names, text, structure, delimiter, declared=bool(form.delimiter), source=source)
    unknown = sorted(set(form.types) - set(names))
    if unknown:
        hint = "its columns: " + ", ".join(names[:20])
        raise ParameterError(f"a type is declared for {unknown[0]!r}, which {source} does not have", hint=hint)
    rows = _sampled_rows(text, structure, sample.pieces, names, delimiter, source)
    columns = [clear_nulls(column, form.null_values)[0] for column in rows]
    inferred = _infer(columns, form)
    end = int(structure.starts[1]) if structure.starts.size > 1 else len(text)
    return Dialect(
        delimiter=delimiter,
        names=tuple(names),
        header_bytes=end,
        header_lines=text.count(b"\n", 0, end),
        forms=tuple(_form_of(name, found, form) for name, found in zip(names, inferred, strict=True)),
        inferred=inferred,
        notes=(*notes, *([f"the delimiter is {DELIMITER_NAMES.get(delimiter, delimiter)}"] if delimiter != "," else [])),
    )


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


def _infer(columns: Sequence[pl.Series], form: CsvForm) -> tuple[Found, ...]:
    """Find the columns' forms twice: first those that show how the file writes numbers and dates, then the ambiguous ones by them."""
    declared = Habits(decimal=form.decimal, thousands=form.thousands)
    first = [find_form(column, tolerance=tolerated(len(column) - column.null_count()), habits=declared) for column in columns]
    habits = _habits(first, declared)
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


def _form_of(name: str, found: Found, form: CsvForm) -> ColumnForm:
    """Return what was declared, else what the dataset has, else what the column looks like."""
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
    text: bytes, structure: Structure, pieces: Sequence[bytes], names: Sequence[str], delimiter: str, source: str
) -> list[pl.Series]:
    kept = np.flatnonzero(structure.n_fields == len(names))
    frames = [parse_text(records_at(text, structure, kept[kept > 0]), names, delimiter, source=source)]
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


def _header(text: bytes, structure: Structure, delimiter: str, *, source: str) -> tuple[list[str], list[str]]:
    first = text[int(structure.starts[0]) : int(structure.ends[0])]
    row = pl.read_csv(first + b"\n", has_header=False, infer_schema=False, separator=delimiter, encoding="utf8").row(0)
    names = ["" if cell is None else str(cell).strip() for cell in row]
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names, 1):
        places.setdefault(name, []).append(i)
    twice = {name: at for name, at in places.items() if name and len(at) > 1}
    if twice:
        said = "; ".join(f"{name!r} in columns {', '.join(map(str, at))}" for name, at in list(twice.items())[:5])
        line = structure.line(0, text)
        hint = "give every column its own name"
        raise DataFormatError(f"the header of {source} has a name twice: {said}", source=source, line=line, hint=hint)
    notes = []
    for at in places.get("", ()):
        name = f"column_{at}"
        while name in places:
            name += "_"
        names[at - 1] = name
        notes.append(f"column {at} has no name in the header and is called {name}")
    return names, notes


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
