"""Numbers that a quick parser would read with a loss are found wherever they stand."""

import pytest

from sampan.table import lossy


@pytest.mark.parametrize("value", ["007", "-007", "+007", " 007", "00", "0x1F", "0X1F", '"012"'])
@pytest.mark.parametrize("stride", [1 << 18, 5])
def test_a_leading_zero_is_found_in_any_field_and_across_strides(monkeypatch: pytest.MonkeyPatch, value: str, stride: int) -> None:
    monkeypatch.setattr(lossy, "_STRIDE", stride)
    for text in (f"{value},1\n2,3\n", f"1,{value}\n2,3\n", f"1,2\n3,{value}\n", f"1,2\n{value},3\n"):
        hits = lossy._suspicious(text.encode(), ",")

        assert [text.index("0", text.index(value))] == hits[:1].tolist()


def test_zeros_and_dates_are_no_suspects() -> None:
    assert lossy._suspicious(b"0,0.5,10,2013-01-01T05:00:00Z,-0.5\n0,100,-0,1\n", ",").tolist() == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":"])
def test_any_delimiter_begins_a_field(delimiter: str) -> None:
    assert lossy._suspicious(f"1{delimiter}007\n".encode(), delimiter).tolist() == [2]
    assert lossy._suspicious(f"1{delimiter}70\n".encode(), delimiter).tolist() == []
    assert lossy._suspicious(b"", delimiter).tolist() == []
