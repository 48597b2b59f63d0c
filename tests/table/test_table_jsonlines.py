"""JSON lines keep JSON's types."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.errors import DataFormatError
from sampan.table import blocks, spool
from sampan.table.jsonlines import read_json_lines
from sampan.table.sources import read_source


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


def test_many_blocks_give_the_same_table_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": i, "day": f"2013-01-{i % 28 + 1:02}", "note": f"n {i}"} for i in range(3000)]
    rows += [{"id": i + 0.5, "day": f"2013-01-01T{i % 24:02}:00:00Z", "note": i, "new": i % 2 == 0} for i in range(3000)]
    text = b"\n".join(msgspec.json.encode(row) for row in rows)
    path = tmp_path / "t.jsonl"
    path.write_bytes(text)
    whole = read_json_lines(text, source=str(path))

    monkeypatch.setattr(blocks.read_blocks, "__kwdefaults__", {"size": 20_000, "on_bytes": None})
    monkeypatch.setattr(spool, "_IN_MEMORY", 50_000)
    in_blocks = read_source(path)

    assert in_blocks.frame.equals(whole.frame)
    assert whole.frame.schema == {"id": pl.Float64, "day": pl.Datetime("us", "UTC"), "note": pl.String, "new": pl.Boolean}
    assert whole.frame["note"][[2999, 3000]].to_list() == ["n 2999", "0"]
    said = ("column 'day' its times have no zone and are read as UTC", "column 'note' stays text: it holds numbers and text")
    assert in_blocks.notes == whole.notes == said


def test_a_bad_line_of_a_later_block_is_named_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 5000 + b'{"a": \n')
    monkeypatch.setattr(blocks.read_blocks, "__kwdefaults__", {"size": 1_000, "on_bytes": None})

    with pytest.raises(DataFormatError, match=r"line 5001 of .* is not JSON"):
        read_source(path)


def test_an_older_encoding_that_only_a_later_block_shows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"name": "plain"}\n' * 40_000 + ('{"name": "Gar\u00e7on \u00e0 No\u00ebl"}\n' * 300).encode("cp1252"))
    monkeypatch.setattr(blocks.read_blocks, "__kwdefaults__", {"size": 100_000, "on_bytes": None})

    assert read_source(path).frame["name"][-1] == "Garçon à Noël"


def test_whole_numbers_beyond_64_bits_stay_text() -> None:
    parsed = read_json_lines(b'{"a": 1, "b": -9223372036854775808}\n{"a": 9223372036854775808, "c": 1}\n', source="t")

    assert parsed.frame["a"].to_list() == ["1", "9223372036854775808"]
    assert parsed.frame["b"].to_list() == [-(2**63), None]
    assert parsed.notes == ("column 'a' stays text: it holds numbers",)
