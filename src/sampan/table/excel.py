"""A sheet of a workbook as a table: xlsx, xlsm, xlsb, xls and ods. Cells keep the workbook's types; mixed columns are read as text.

A workbook knows numbers and times, but neither whole numbers nor days: a column whose numbers are all whole is one of whole numbers, one
whose times are all midnight is one of dates, as they would be in any other file.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from sampan.core.refs import nearest
from sampan.errors import DataFormatError, NotFound
from sampan.plugins import require
from sampan.table.headers import LOOKED_AT, above_note, column_names, declared_header, find_header, unnamed_columns

_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # xls, a compound document
_EXACT = 2**53  # up to here a workbook's numbers are whole if they look so
_ZERO_DAY = date(1899, 12, 31)  # on which, or before, a time without a day is
_MIDNIGHT = r"^(\d{4}-\d{2}-\d{2}) 00:00:00$"
_TIMED = r"^\d{4}-\d{2}-\d{2} \d"
_FAULT = re.compile(r"Error\((\w+)\)")
_FAULTS = {"Div0": "#DIV/0!", "NA": "#N/A", "Name": "#NAME?", "Null": "#NULL!", "Num": "#NUM!", "Ref": "#REF!", "Value": "#VALUE!"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet's table."""

    frame: pl.DataFrame
    sheet: str
    notes: tuple[str, ...] = ()
    first_line: int = 2  # the line of its first row


@dataclass(frozen=True, slots=True)
class _Top:
    """The first rows of a sheet, as text."""

    name: str
    rows: list[list[str]]
    is_visible: bool

    @property
    def is_table(self) -> bool:
        """Whether there is more than one row."""
        return len(self.rows) > 1


def is_workbook(path: Path) -> bool:
    """Say whether a file is a workbook, by its content."""
    with path.open("rb") as file:
        head = file.read(8)
    if head == _OLD:
        return True
    if not head.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        return False
    if "[Content_Types].xml" in names and not any(name.startswith("xl/") for name in names):
        raise DataFormatError(f"{path} is an office document, but no workbook", source=str(path), hint="export its table as CSV")
    return "[Content_Types].xml" in names or {"content.xml", "META-INF/manifest.xml"} <= names


def read_workbook(path: Path, *, sheet: str = "", header: str = "") -> Sheet:
    """Read one sheet.

    Parameters
    ----------
    header : the row that names the columns, from 1, or "none"; by default the first that titles do not explain

    Raises
    ------
    NotFound : there is no such sheet.
    DataFormatError : damaged, or several sheets hold tables and none was named; a name twice in the header.
    MissingDependency : the package that reads workbooks is not installed.
    """
    fastexcel = require("fastexcel", extra="excel")
    # It warns of each column without a value; handled here, so that it does not reach the terminal.
    logging.getLogger("fastexcel").addHandler(logging.NullHandler())
    try:
        book = fastexcel.read_excel(path)
        top = _choose(book, sheet, path)
        return _read(book, top, header, path)
    except fastexcel.FastExcelError as cause:
        first = str(cause).splitlines()[0]
        raise DataFormatError(f"{path} is a damaged workbook: {first}", source=str(path), hint="save it again") from cause


def _read(book: Any, top: _Top, header: str, path: Path) -> Sheet:
    at = find_header(top.rows) if not header else _declared_row(header, top, path)
    loaded = book.load_sheet(top.name, header_row=at, schema_sample_rows=None, skip_whitespace_tail_rows=True)
    batch, faults = loaded.to_arrow_with_errors()
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    names, notes = unnamed_columns(frame.width), list[str]()
    if at is not None:
        names, notes = column_names(top.rows[at], source=f"sheet {top.name!r} of {path}", line=at + 1)
    frame.columns = names
    others = [other for other in book.sheet_names if other != top.name]
    said = [f"of the sheets {', '.join([top.name, *others][:8])}, {top.name!r} was read"] if others else []
    said += [above_note(top.rows, at + 1)] if at and not header else []
    frame = frame.select(_settled(column) for column in frame.get_columns())
    return Sheet(frame, top.name, (*said, *notes, *_fault_notes(names, faults)), first_line=1 if at is None else at + 2)


def _choose(book: Any, sheet: str, path: Path) -> _Top:
    names = list(book.sheet_names)
    if sheet:
        if sheet not in names:
            alike = tuple(name for name in names if name.casefold() == sheet.casefold()) or nearest(sheet, names)
            raise NotFound(f"{path} has no sheet {sheet!r}", did_you_mean=alike, hint="its sheets: " + ", ".join(names[:20]))
        return _top(book, sheet)
    filled = [top for top in (_top(book, name) for name in names) if top.is_table]
    shown = [top for top in filled if top.is_visible] or filled
    if len(shown) != 1:
        said = f"{len(shown)} sheets with tables ({', '.join(top.name for top in shown[:8])})" if shown else "no sheet with a table"
        raise DataFormatError(f"{path} has {said}", source=str(path), hint="say which: --sheet NAME")
    return shown[0]


def _top(book: Any, name: str) -> _Top:
    loaded = book.load_sheet(name, header_row=None, dtypes="string", n_rows=LOOKED_AT)
    rows = [[cell or "" for cell in row] for row in loaded.to_polars().rows()]
    return _Top(name, rows, is_visible=loaded.visible == "visible")


def _declared_row(header: str, top: _Top, path: Path) -> int | None:
    line = declared_header(header)
    if line is not None and line > len(top.rows):
        hint = f"it is looked for in the first {len(top.rows)} rows"
        raise DataFormatError(f"sheet {top.name!r} of {path} has no header in row {line}", source=str(path), hint=hint)
    return None if line is None else line - 1


def _settled(column: pl.Series) -> pl.Series:
    """Give a column the type that its values have: whole numbers, dates, times of day as text."""
    if not len(column) or column.null_count() == len(column):
        return column
    if column.dtype == pl.Float64:
        is_whole = bool(((column == column.round()) & (column.abs() <= _EXACT)).all())
        return column.cast(pl.Int64) if is_whole else column
    if isinstance(column.dtype, pl.Datetime):
        return _times(column)
    if column.dtype == pl.String:  # a mixed column shows its days at midnight, unless some have a time
        timed = column.str.contains(_TIMED)
        days = column.str.contains(_MIDNIGHT)
        return column.str.replace(_MIDNIGHT, "$1") if timed.any() and (timed == days).all() else column
    return column


def _times(column: pl.Series) -> pl.Series:
    """A workbook's times have no zone; they are read as UTC, in microseconds as everywhere."""
    days = column.dt.date()
    if bool((days <= _ZERO_DAY).all()):
        return column.dt.strftime("%H:%M:%S")
    if bool((column.dt.time() == pl.Series([0]).cast(pl.Time)).all()):
        return days
    return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _fault_notes(names: list[str], faults: Any) -> list[str]:
    """Say which cells hold an error of a formula and are missing for that."""
    counts: Counter[tuple[str, str]] = Counter()
    for fault in faults.errors if faults is not None else ():
        found = _FAULT.search(fault.detail)
        counts[names[fault.position[1]], _FAULTS.get(found[1], found[1]) if found else fault.detail] += 1
    return [f"column {name!r}: {n:,} x {what!r} read as missing" for (name, what), n in counts.items()]
