"""A column gets the narrowest type that every value has, and none that would lose anything."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.table.types import ColumnForm, Habits, clear_nulls, convert, declared_form, find_form, find_type, reason_for


def typed(*values: str | None) -> pl.Series:
    return find_type(pl.Series("c", values, dtype=pl.String)).values


def note(*values: str | None) -> str:
    return find_type(pl.Series("c", values, dtype=pl.String)).note


def test_numbers_and_truth_values() -> None:
    assert typed("1", "-2", "+3", None).to_list() == [1, -2, 3, None]
    assert typed("1", "2.5", "1e3", ".5", "inf").to_list() == [1.0, 2.5, 1000.0, 0.5, float("inf")]
    assert typed("true", "False", None).to_list() == [True, False, None]
    assert typed("0", "0.5").to_list() == [0.0, 0.5]


def test_times_become_utc() -> None:
    at = datetime(2013, 1, 1, 6, tzinfo=UTC)

    assert typed("2013-01-01T06:00:00Z", "2013-01-01T08:00:00+02:00").to_list() == [at, at]
    assert typed("2013-01-01 06:00", "2013-01-01T06:00:00.000").to_list() == [at, at]
    assert typed("2013-01-01T06:00:00.123456Z")[0].microsecond == 123456
    assert typed("2013-01-01", "2013-12-31").to_list() == [date(2013, 1, 1), date(2013, 12, 31)]
    assert "read as UTC" in note("2013-01-01 06:00")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("007", "100"), "start with 0"),
        (("12345678901234567890", "1"), "do not fit into 64 bits"),
        (("1", "2", "x"), "2 of 3 values are numbers"),
        (("2013-01-01", "2013-02-30", "2013-03-01"), "2 of 3 values are dates"),
        (("2013-01-01T00:00:00Z", "2013-13-01T00:00:00Z", "2013-01-01T00:00:00Z"), "2 of 3 values are timestamps"),
    ],
)
def test_what_would_lose_something_stays_text_and_it_is_said(values: tuple[str, ...], why: str) -> None:
    assert typed(*values).to_list() == list(values)
    assert why in note(*values)


def test_plain_text_is_left_alone() -> None:
    assert typed("a", "b").dtype == pl.String
    assert note("a", "b") == ""
    assert typed(None, None).null_count() == 2


def test_an_odd_value_after_the_sample_is_found() -> None:
    values = [str(i) for i in range(1, 1001)] + ["x"]
    found = find_type(pl.Series("c", values))

    assert found.values.dtype == pl.String
    assert found.odd_rows == (1000,)


@pytest.mark.parametrize("name", ["c", "count"])
def test_spellings_of_missing_are_counted_in_a_column_of_any_name(name: str) -> None:
    cleared, counts = clear_nulls(pl.Series(name, ["a", "NA", "", "NA", None]), ("", "NA"))

    assert cleared.to_list() == ["a", None, None, None, None]
    assert counts == {"NA": 2}


def test_an_unknown_declared_type_is_refused() -> None:
    with pytest.raises(ParameterError, match="'int' is no type"):
        declared_form("int", "c")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (["2024-03-14 10:00:00+07", "2024-03-14 11:00:00.5+07"], "timestamp"),  # as PostgreSQL writes them
        (["+84901234567", "+84901234568"], "text"),
        (["+12345678", "-5"], "integer"),
        (["1\u2019234.50", "2\u2019345\u2019678.25"], "number"),
        (["March 14, 2024", "May 4, 2024"], "date"),
        (["ngày 14 tháng 3 năm 2024", "ngày 4 tháng 12 năm 2023"], "date"),
        (["1.2.3", "192.168.0.1"], "text"),
    ],
)
def test_what_other_tools_and_languages_write_is_read_as_it_is_meant(text: list[str], kind: str) -> None:
    found = find_form(pl.Series(text), tolerance=0, habits=Habits())

    assert found.form.kind == kind
    assert convert(pl.Series(text), found.form).null_count() == 0
    assert "sign beside" not in found.note


def test_hours_alone_are_an_offset() -> None:
    assert convert(pl.Series(["2024-03-14 10:00:00+07"]), ColumnForm("timestamp")).dt.hour().to_list() == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12.5%", "number:%"),
        ("1.200.000 ₫", "number:%"),
        ("14/03/24", "date:%d/%m/%y"),
        ("14-Mar-24", "date:%d-%b-%y"),
        ("20240314", "date:%Y%m%d"),
    ],
)
def test_what_nobody_may_guess_says_how_to_declare_it(text: str, said: str) -> None:
    assert f"--types COLUMN={said}" in find_form(pl.Series([text] * 9), tolerance=0, habits=Habits()).note


def test_numbers_with_a_sign_are_read_where_it_is_declared() -> None:
    dong = declared_form("number:₫", "paid", habits=Habits(thousands="."))

    assert convert(pl.Series(["1.200.000 ₫", "7 ₫", "7,5 ₫", "1.5 ₫", "x"]), dong).to_list() == [1_200_000, 7, 7.5, None, None]
    assert reason_for(dong) == "not a number with ₫"
    assert convert(pl.Series(["12.5 %"]), declared_form("number:%", "share")).to_list() == [12.5]
