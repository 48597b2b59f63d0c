"""JSON lines keep JSON's types."""

from datetime import UTC, datetime

import polars as pl
import pytest

from sampan.errors import DataFormatError
from sampan.table.jsonlines import read_json_lines


def test_types_come_from_json_and_absent_fields_are_missing() -> None:
    text = b'{"a": 1, "t": "2013-01-01T06:00:00Z", "z": "7"}\n\n{"a": 2, "b": true, "f": 1.5}\n{"f": 2}\n'
    frame = read_json_lines(text, source="t").frame

    assert frame["a"].to_list() == [1, 2, None]
    assert frame["b"].to_list() == [None, True, None]
    assert frame["f"].to_list() == [None, 1.5, 2.0]
    assert frame["t"][0] == datetime(2013, 1, 1, 6, tzinfo=UTC)
    assert frame["z"].dtype == pl.String


def test_mixed_types_stay_text_and_it_is_said() -> None:
    parsed = read_json_lines(b'{"a": 1}\n{"a": "x"}\n{"a": [2]}\n', source="t")

    assert parsed.frame["a"].to_list() == ["1", "x", "[2]"]
    assert parsed.notes == ("column 'a' stays text: it holds arrays and numbers and text",)


@pytest.mark.parametrize(("text", "line"), [(b'{"a": 1}\n{"a": \n', 2), (b"[1]\n", 1), (b"", None)])
def test_a_line_that_is_no_object_is_named(text: bytes, line: int | None) -> None:
    with pytest.raises(DataFormatError) as caught:
        read_json_lines(text, source="t")

    assert caught.value.line == line
