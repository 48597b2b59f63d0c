"""JSON lines keep JSON's types."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.errors import DataFormatError
from sampan.table import blocks, spool
from sampan.table.jsonlines import read_json_lines
from sampan.table.source_form import SourceForm
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

    found = read_source(path)

    assert found.frame.height == 5000
    assert [(cell.line, cell.value) for cell in found.bad_cells] == [(5001, '{"a": ')]


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


def test_lines_that_are_no_object_wait_and_the_good_ones_go_on(tmp_path: Path) -> None:
    good = [f'{{"id": {i}, "day": "2024-05-{i:02}"}}' for i in range(1, 31)]
    good[9] = '{"id": 10, "day": "soon"}'
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(["", *good[:5], '{"id": 5', "[1]", *good[5:]]))

    found = read_source(path, form=SourceForm(types={"day": "date"}))

    assert found.frame["id"].to_list() == [i for i in range(1, 31) if i != 10]
    assert [(cell.row, cell.line, cell.column, cell.value) for cell in found.bad_cells] == [
        (0, 7, "", '{"id": 5'),
        (1, 8, "", "[1]"),
        (2, 13, "day", "soon"),
    ]
    assert found.bad_rows is not None
    assert found.bad_rows.rows() == [("", ""), ("", ""), ("10", "soon")]
    assert "2 lines are no JSON object and left out; the first is line 7" in found.notes


def test_nan_is_missing_and_fields_may_have_no_name() -> None:
    parsed = read_json_lines(b'{"a": NaN, "": 1}\n{"a": 2.5, "": 2}\n{"a": Infinity}\n', source="t")

    assert parsed.frame.rows() == [(None, 1), (2.5, 2), (float("inf"), None)]
    assert parsed.notes == ("a field has no name and is called column_1", "1 x NaN read as missing")
    for text in (b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}\n", b'{"a": "\\ud83d"}\n'):
        with pytest.raises(DataFormatError, match="line 1 of t is not JSON"):
            read_json_lines(text, source="t")


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects_is_read_some_items_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None) -> None:
    rows = [{"id": i, "tags": [{"a": "}, {"}, {"b": i}], "t": "x},{"} for i in range(2000)]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(rows, indent=indent))
    monkeypatch.setattr(blocks.read_blocks, "__kwdefaults__", {"size": 10_000, "on_bytes": None})

    found = read_source(path).frame

    assert found["id"].to_list() == [*range(2000)]
    assert found["tags"][7] == '[{"a":"}, {"},{"b":7}]'
    assert set(found["t"]) == {"x},{"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, {"a": 2}, {"a": 3', "is not closed: it breaks off after 2 objects"),
        ('[{"a": 1}, {"a": 2}, 3]', "no JSON array of objects: after 1 of them"),
        ("[]", "is empty"),
    ],
)
def test_an_array_that_is_none_of_objects_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.json").write_text(text)

    with pytest.raises(DataFormatError, match=said):
        read_source(tmp_path / "t.json")
