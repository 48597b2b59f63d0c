"""A sheet of a workbook as a table: xlsx, xlsm, xlsb, xls and ods. Cells keep the workbook's types; mixed columns are read as text."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sampan.core.refs import nearest
from sampan.errors import DataFormatError, NotFound
from sampan.plugins import require

_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # xls, a compound document


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet's table."""

    frame: pl.DataFrame
    sheet: str
    notes: tuple[str, ...] = ()


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


def read_workbook(path: Path, *, sheet: str = "") -> Sheet:
    """Read one sheet; its first row with anything in it names the columns.

    Raises
    ------
    NotFound : there is no such sheet.
    DataFormatError : damaged, or several sheets hold tables and none was named.
    MissingDependency : the package that reads workbooks is not installed.
    """
    fastexcel = require("fastexcel", extra="excel")
    try:
        book = fastexcel.read_excel(path)
        name = _choose(book, sheet, path)
        loaded = book.load_sheet(name, schema_sample_rows=None, skip_whitespace_tail_rows=True)
        frame = loaded.to_polars()
    except fastexcel.FastExcelError as cause:
        first = str(cause).splitlines()[0]
        raise DataFormatError(f"{path} is a damaged workbook: {first}", source=str(path), hint="save it again") from cause
    frame = frame.select(pl.all().name.map(str.strip))
    others = [other for other in book.sheet_names if other != name]
    notes = (f"of the sheets {', '.join([name, *others][:8])}, {name!r} was read",) if others else ()
    return Sheet(_without_zones(frame), name, notes)


def _choose(book: Any, sheet: str, path: Path) -> str:
    names = list(book.sheet_names)
    if sheet:
        if sheet not in names:
            raise NotFound(
                f"{path} has no sheet {sheet!r}", did_you_mean=nearest(sheet, names), hint="its sheets: " + ", ".join(names[:20])
            )
        return sheet
    filled = [name for name in names if book.load_sheet(name, n_rows=1).height]
    if len(filled) != 1:
        said = f"{len(filled)} sheets with tables ({', '.join(filled[:8])})" if filled else "no sheet with a table"
        raise DataFormatError(f"{path} has {said}", source=str(path), hint="say which: --sheet NAME")
    return str(filled[0])


def _without_zones(frame: pl.DataFrame) -> pl.DataFrame:
    """A workbook's times have no zone; they are read as UTC, in microseconds as everywhere."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")) if times else frame
