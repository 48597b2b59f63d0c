"""One look over a block sees blank lines, empty fields, and zeros that a number would lose, wherever they stand."""

import re

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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":"])
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
    assert found.has_blank_line == ("" in lines)
    if not found.has_blank_line:
        assert found.n_empty == sum(field == "" for line in lines for field in line.split(","))


@pytest.mark.parametrize("stride", [1 << 18, 3])
def test_quotes_and_bytes_that_are_no_text_are_seen(monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    monkeypatch.setattr(glance, "_STRIDE", stride)
    looks = [Glancer(",").look(text) for text in (b"a,b\n1,2\n", b'a,b\n1,"2"\n', b"a,b\n1,\0\n")]

    assert [(look.has_quotes, look.has_nul) for look in looks] == [(False, False), (True, False), (False, True)]
