"""A sheet becomes the table a person sees in it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from sampan.errors import DataFormatError, NotFound
from sampan.table.source_form import SourceForm
from sampan.table.sources import Loaded, read_source


def load(folder: Path, write: Callable[[Any], object], **form: str) -> Loaded:
    path = folder / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        write(book)
    return read_source(path, form=SourceForm(**form))  # type: ignore[arg-type]  # texts


def typed(book: Any) -> None:
    sheet = book.add_worksheet("May")
    day, at, hour = (book.add_format({"num_format": layout}) for layout in ("dd/mm/yyyy", "dd/mm/yyyy hh:mm", "hh:mm"))
    sheet.write_row(0, 0, ["id", "day", "at", "hour", "paid", "mixed"])
    for i in range(1, 21):
        sheet.write_row(i, 0, [i])
        sheet.write_datetime(i, 1, date(2024, 5, i), day)
        sheet.write_datetime(i, 2, datetime.combine(date(2024, 5, i), time(8, 15)), at)
        sheet.write_number(i, 3, 0.5, hour)
        sheet.write_number(i, 4, i / 4)
        sheet.write_datetime(i, 5, date(2024, 5, i), day)
    sheet.write_formula(3, 4, "=1/0", None, "#DIV/0!")
    sheet.write_string(5, 5, "31.02.2024")


def test_whole_numbers_days_and_hours_are_what_they_are(tmp_path: Path) -> None:
    found = load(tmp_path, typed)

    assert found.frame.schema == {
        "id": pl.Int64,
        "day": pl.Date,
        "at": pl.Datetime("us", "UTC"),
        "hour": pl.String,
        "paid": pl.Float64,
        "mixed": pl.Date,
    }
    assert found.frame.row(0) == (1, date(2024, 5, 1), datetime(2024, 5, 1, 8, 15, tzinfo=UTC), "12:00:00", 0.25, date(2024, 5, 1))
    assert "column 'paid': 1 x '#DIV/0!' read as missing" in found.notes
    assert [(cell.column, cell.value, cell.line) for cell in found.bad_cells] == [("mixed", "31.02.2024", 6)]


def titled(book: Any) -> None:
    sheet = book.add_worksheet("Báo cáo")
    sheet.merge_range(0, 0, 0, 2, "Doanh thu", book.add_format())
    sheet.write_row(1, 0, ["Lập ngày", "01/05/2024"])
    sheet.write_row(3, 0, ["id", "tên", ""])
    for i in range(4, 20):
        sheet.write_row(i, 0, [i, f"n{i}", "much" if i == 8 else i / 2])
    hidden = book.add_worksheet("lists")
    hidden.write_column(0, 0, ["a", "b"])
    hidden.hide()


def test_a_title_is_left_out_hidden_sheets_are_passed_by_and_lines_are_those_of_the_sheet(tmp_path: Path) -> None:
    found = load(tmp_path, titled)

    assert found.frame.columns == ["id", "tên", "column_3"]
    assert found.frame.height == 15
    assert [(cell.value, cell.line) for cell in found.bad_cells] == [("much", 9)]
    assert "lines 1 to 3 above the header left out: 'Doanh thu'" in found.notes[1]


def test_a_name_twice_and_a_sheet_spelled_otherwise_are_said(tmp_path: Path) -> None:
    def twice(book: Any) -> None:
        sheet = book.add_worksheet("May")
        sheet.write_row(0, 0, ["a", "a"])
        sheet.write_row(1, 0, [1, 2])

    with pytest.raises(DataFormatError, match="'a' in columns 1, 2"):
        load(tmp_path, twice)
    assert load(tmp_path, twice, header="none").frame.rows() == [("a", "a"), ("1", "2")]
    with pytest.raises(NotFound) as missing:
        load(tmp_path, twice, sheet="may")
    assert missing.value.did_you_mean == ("May",)


def test_a_workbook_writes_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def gap(book: Any) -> None:
        sheet = book.add_worksheet("May")
        sheet.write_row(0, 0, ["a", "", "b"])
        sheet.write_row(1, 0, [1, "", 3])

    assert load(tmp_path, gap).frame.columns == ["a", "column_2", "b"]
    assert capfd.readouterr() == ("", "")
