"""One look over a block sees blank lines, empty fields, and zeros that a number would lose, wherever they stand."""

import csv
import io
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.table import glance
from sampan.table.glance import Glancer


def zeros(text: str, delimiter: str = ",") -> list[int]:
    found: list[int] = Glancer(delimiter).look(text.encode()).zeros.tolist()
    return found


@pytest.mark.parametrize("value", ["007", "-007", "+007", " 007", "00", "0x1F", "0X1F", '"012"', '"-012"'])
@pytest.mark.parametrize("stride", [1 << 18, 5])
def test_a_leading_zero_is_found_in_any_field_and_across_strides(monkeypatch: pytest.MonkeyPatch, value: str, stride: int) -> None:
    monkeypatch.setattr(glance, "_STRIDE", stride)
    for text in (f"{value},1\n2,3\n", f"1,{value}\n2,3\n", f"1,2\n3,{value}\n", f"1,2\n{value},3\n", f"1,2\n3,{value}"):
        assert [text.index("0", text.index(value))] == zeros(text)[:1]


def test_zeros_and_dates_are_no_suspects() -> None:
    assert zeros("0,0.5,10,2013-01-01T05:00:00Z,2013-01-01 05:00:00,-0.5\n0,100,-0,1,2,0\n0") == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":", " "])
def test_any_delimiter_begins_a_field(delimiter: str) -> None:
    assert zeros(f"1{delimiter}007\n", delimiter) == [2]
    assert zeros(f"1{delimiter}70\n", delimiter) == []
    assert zeros("", delimiter) == []


@given(st.text(alphabet="0a1x,\n -.", max_size=40), st.integers(2, 9), st.sampled_from(["\n", "\r\n"]))
def test_a_look_finds_what_a_slow_reading_finds_in_strides_of_any_length(text: str, stride: int, line_end: str) -> None:
    lines = text.removesuffix("\n").split("\n") if text else []
    text = text.replace("\n", line_end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glance, "_STRIDE", stride)
        found = Glancer(",").look(text.encode())

    assert found.zeros.tolist() == [match.start(1) for match in re.finditer(r"(?:(?<=[,\n])|^)(?:(?<![ +-])[ +-])?(0)(?=[0-9xX])", text)]
    assert found.is_tidy == ("" not in lines)
    if found.is_tidy:
        assert found.n_empty == sum(field == "" for line in lines for field in line.split(","))


@given(
    st.lists(st.lists(st.text(alphabet='0a", ', max_size=4), min_size=2, max_size=3), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_writer_of_csv_quoted_is_tidy(rows: list[list[str]], line_end: str, quoting: Literal[0, 1]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator=line_end, quoting=quoting).writerows(rows)
    found = Glancer(",").look(file.getvalue().encode())

    assert found.is_tidy
    assert found.n_empty == sum(field == "" for row in rows for field in row)


@pytest.mark.parametrize("text", ['a,"b\nc"\n', 'a,b"c"\n', 'a,"b"c\n', 'a,"b\n', "a,\0\n", 'a,"b",""c""\n'])
def test_quotes_that_do_not_enclose_one_field_of_a_line_are_not_tidy(text: str) -> None:
    assert not Glancer(",").look(text.encode()).is_tidy
