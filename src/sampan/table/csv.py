"""Delimited text to a table: find the delimiter, check the shape, parse, type each column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from sampan.errors import DataFormatError, ParameterError
from sampan.table.structure import Structure, scan_structure, without_blank_lines
from sampan.table.types import NULL_SPELLINGS, clear_nulls, declare_type, find_type

DELIMITERS = (",", "\t", ";", "|")
_NAMES = {"\t": "tab", " ": "space"}
_RARE = ("^", "~", ":", "\x01", "\x1f")
_SNIFFED_LINES = 50


@dataclass(frozen=True, slots=True)
class CsvForm:
    """What a person declared of a file; empty means "find out"."""

    delimiter: str = ""
    null_values: tuple[str, ...] = NULL_SPELLINGS
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A table and what its reader should know of how it was read."""

    frame: pl.DataFrame
    notes: tuple[str, ...]
    delimiter: str = ""


def read_csv(text: bytes, *, source: str, form: CsvForm | None = None, on_column: Callable[[], None] = lambda: None) -> Parsed:
    """Parse UTF-8 text with a header line. `on_column` is called as each column is typed.

    A header without rows gives a table of 0 rows with text columns. Blank lines are left out and counted in the notes.

    Raises
    ------
    DataFormatError : empty, a name twice in the header, wrong delimiter, broken quotes, a record of another length, a value that is not
        of its declared type.
    """
    form = form or CsvForm()
    notes: list[str] = []
    if b"\n" not in text and b"\r" in text:
        text = text.replace(b"\r", b"\n")
        notes.append("lines end with a carriage return alone")
    if not text.strip():
        raise DataFormatError(f"{source} is empty", source=source, hint="a table needs at least a header line with the columns' names")
    delimiter = form.delimiter or sniff_delimiter(text)
    _check_delimiter(delimiter)
    structure = scan_structure(text, delimiter, source=source)
    if structure.n_blank:
        notes.append(f"{structure.n_blank:,} blank lines left out")
    names, name_notes = _header(text, structure, delimiter, source=source)
    _refuse_wrong_delimiter(names, text, structure, delimiter, declared=bool(form.delimiter), source=source)
    raw = _parse(without_blank_lines(text, structure), names, delimiter, source=source)
    if delimiter != ",":
        notes.append(f"the delimiter is {_NAMES.get(delimiter, delimiter)}")
    unknown = sorted(set(form.types) - set(names))
    if unknown:
        hint = "its columns: " + ", ".join(names[:20])
        raise ParameterError(f"a type is declared for {unknown[0]!r}, which {source} does not have", hint=hint)
    columns = []
    untyped = raw.get_columns()[::-1]
    del raw
    while untyped:  # popped one by one, so that the text of a column is freed once it is typed
        column, said = _type_column(untyped.pop(), form, structure, text, source=source)
        columns.append(column)
        notes.extend(said)
        on_column()
    if structure.starts.size == 1:
        notes.append("no rows: only a header")
    return Parsed(frame=pl.DataFrame(columns), notes=(*name_notes, *notes), delimiter=delimiter)


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
    first = text[: int(structure.ends[0])][int(structure.starts[0]) :]
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
            word, right = _NAMES.get(delimiter, delimiter), _NAMES.get(candidate, candidate)
            raise DataFormatError(
                f"with the delimiter {word!r} the header of {source} is one column, {names[0][:60]!r}; "
                f"with {right!r} it would be {counts[0] + 1}",
                source=source,
                line=structure.line(0, text),
                hint=f"say --delimiter {candidate!r}",
            )


def _parse(text: bytes, names: list[str], delimiter: str, *, source: str) -> pl.DataFrame:
    try:
        return pl.read_csv(
            text,
            has_header=False,
            skip_rows=0,
            skip_lines=0,
            new_columns=names,
            infer_schema=False,
            separator=delimiter,
            quote_char='"',
            encoding="utf8",
            raise_if_empty=True,
        ).slice(1)
    except pl.exceptions.PolarsError as cause:
        raise DataFormatError(f"{source} cannot be parsed: {str(cause).splitlines()[0]}", source=source) from cause


def _type_column(raw: pl.Series, form: CsvForm, structure: Structure, text: bytes, *, source: str) -> tuple[pl.Series, list[str]]:
    name = raw.name
    column, spelled = clear_nulls(raw, form.null_values)
    declared = form.types.get(name)
    if declared:
        return declare_type(column, declared, source=source), []
    typed = find_type(column)
    notes = []
    if typed.note:
        where = _odd_values(typed.odd_rows, column, structure, text)
        notes.append(f"column {name!r} {typed.note}{where}")
    if spelled and typed.values.dtype == pl.String and typed.values.null_count() < len(typed.values):
        words = ", ".join(f"{n:,} x {word!r}" for word, n in spelled.items())
        notes.append(f"column {name!r}: {words} read as missing (--nulls says which words mean missing)")
    return typed.values, notes


def _odd_values(rows: tuple[int, ...], column: pl.Series, structure: Structure, text: bytes) -> str:
    if not rows:
        return ""
    return "; " + ", ".join(f"line {structure.line(row + 1, text)}: {str(column[row])[:40]!r}" for row in rows)
