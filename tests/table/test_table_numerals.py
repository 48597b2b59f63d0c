"""Numbers and dates are read as their writer meant them, or stay text where two readings are possible."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from sampan.table.csv import CsvForm, read_csv
from sampan.table.types import Habits, convert, find_form


def found(*values: str, **habits: str) -> list[object]:
    column = pl.Series("c", values)
    form = find_form(column, tolerance=0, habits=Habits(**habits)).form  # type: ignore[arg-type]
    return convert(column, form).to_list()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1,5", "-2,25", "3"), [1.5, -2.25, 3.0]),
        (("1.234,5", "2.345.678,25"), [1234.5, 2345678.25]),
        (("1,234.5", "12,345,678"), [1234.5, 12345678.0]),
        (("1 234", "12 345 678"), [1234, 12345678]),
        (("1\u202f234,5", "12\u202f345"), [1234.5, 12345.0]),
        (("1'234.50", "10"), [1234.5, 10.0]),
        (("13/04/2024", "03/04/2024"), [date(2024, 4, 13), date(2024, 4, 3)]),
        (("04/13/2024", "04/03/2024"), [date(2024, 4, 13), date(2024, 4, 3)]),
        (("3.4.2024", "4.3.2024"), [date(2024, 4, 3), date(2024, 3, 4)]),
        (("2024/4/3", "2024/12/31"), [date(2024, 4, 3), date(2024, 12, 31)]),
        (("05-Jan-2013", "06-Feb-2013"), [date(2013, 1, 5), date(2013, 2, 6)]),
        (("1/2/2024 1:05 PM", "1/22/2024 11:05 AM"), [datetime(2024, 1, 2, 13, 5, tzinfo=UTC), datetime(2024, 1, 22, 11, 5, tzinfo=UTC)]),
    ],
)
def test_each_way_of_writing_is_found(values: tuple[str, ...], expected: list[object]) -> None:
    assert found(*values) == expected


@pytest.mark.parametrize(
    "values", [("1,234", "5,678"), ("03/04/2024", "05/06/2024"), ("13/04/2024", "04/13/2024"), ("1.234.5", "2"), ("1,23,456", "1")]
)
def test_what_has_two_readings_or_none_stays_text(values: tuple[str, ...]) -> None:
    assert found(*values) == list(values)


def test_a_declaration_settles_two_readings() -> None:
    assert found("1,234", "5,678", decimal=",") == [1.234, 5.678]
    assert found("1,234", "5,678", thousands=",") == [1234, 5678]


def test_another_column_of_the_file_settles_two_readings() -> None:
    text = b"a;b;day;when\n1.234;1,5;03/04/2024;13/04/2024\n5.678;2,5;05/06/2024;14/04/2024\n"
    frame = read_csv(text, source="t.csv").frame

    assert frame["a"].to_list() == [1234, 5678]
    assert frame["b"].to_list() == [1.5, 2.5]
    assert frame["day"].to_list() == [date(2024, 4, 3), date(2024, 6, 5)]


def test_a_declared_layout_is_held_to() -> None:
    frame = read_csv(b"d\n03/04/2024\n05/06/2024\n", source="t", form=CsvForm(types={"d": "date:%m/%d/%Y"})).frame

    assert frame["d"].to_list() == [date(2024, 3, 4), date(2024, 5, 6)]


def test_what_was_found_is_said() -> None:
    notes = " | ".join(read_csv(b"a;d;c\n1.234,5;3.4.2024;1,234\n2,25;13.4.2024;2,345\n", source="t").notes)

    assert "column 'a' has decimal commas, a point between thousands" in notes
    assert "column 'd' is written as DD.MM.YYYY" in notes
    assert "the delimiter is ;" in notes
