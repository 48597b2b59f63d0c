"""Arrow streams written with numpy alone: Arrow, Polars and DuckDB read them as they read Arrow's own."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.store.segments import Segments
from sampan.table.arrow_blocks import END_OF_STREAM, TYPES, Ascii, Beside, Block, Coded, Column, Field, Nullable, Repeated, Schema

ARROW = {
    "utf8": pa.string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "utf8": st.text(max_size=20),
    "binary": st.binary(max_size=20),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
}


def stream(schema: Schema, *blocks: Block) -> bytes:
    return b"".join([schema.message(), *(block.message() for block in blocks), END_OF_STREAM])


def read(data: bytes) -> pa.Table:
    table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
    return table


@st.composite
def tables(draw: st.DrawFn) -> tuple[Schema, list[list[list[Any]]]]:
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=6))
    fields = [Field(draw(st.text(max_size=6)) + str(at), kind, draw(st.booleans())) for at, kind in enumerate(types)]
    words = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
    blocks = []
    for n_rows in draw(st.lists(st.integers(0, 20), max_size=3)):
        given_ = [st.none() | VALUES[one.type] if one.nullable else VALUES[one.type] for one in fields]
        blocks.append([draw(st.lists(values, min_size=n_rows, max_size=n_rows)) for values in given_])
    return Schema(fields, words), blocks


@given(tables())
def test_arrow_reads_what_was_written(table: tuple[Schema, list[list[list[Any]]]]) -> None:
    schema, blocks = table
    found = read(stream(schema, *(Block(schema, len(columns[0]) if columns else 0, columns) for columns in blocks)))

    expected = pa.schema([pa.field(one.name, ARROW[one.type], one.nullable) for one in schema.fields])
    assert found.schema == expected
    assert {key.decode(): value.decode() for key, value in (found.schema.metadata or {}).items()} == schema.metadata
    assert [column.to_pylist() for column in found.columns] == [
        [value for columns in blocks for value in columns[at]] for at in range(len(schema.fields))
    ]


COLUMNS: dict[str, tuple[str, Column, list[Any]]] = {
    "words": ("utf8", ["Đà Nẵng", None, "", "x"], ["Đà Nẵng", None, "", "x"]),
    "same": ("utf8", Repeated(["lâu", "v2"], [3, 1]), ["lâu", "lâu", "lâu", "v2"]),
    "objects": ("utf8", np.array(["a", None, "b", "c"], object), ["a", None, "b", "c"]),
    "bytes": ("binary", [b"\x00\xff", None, b"", memoryview(b"m")], [b"\x00\xff", None, b"", b"m"]),
    "flags": ("bool", Nullable(np.array([True, False, True, True]), np.array([True, True, False, True])), [True, False, None, True]),
    "whole": ("int64", [1, None, -(2**63), 2**63 - 1], [1, None, -(2**63), 2**63 - 1]),
    "narrow": ("int32", np.arange(4), [0, 1, 2, 3]),
    "half": ("float32", np.array([0.5, np.inf, -0.0, 1e300]), [0.5, np.inf, -0.0, np.inf]),
    "every_other": ("float64", np.arange(8.0)[::2], [0.0, 2.0, 4.0, 6.0]),
    "all_there": ("float64", Nullable(np.arange(4.0), np.ones(4, np.bool_)), [0.0, 1.0, 2.0, 3.0]),
}
SCHEMA = Schema([Field(name, kind) for name, (kind, _, _) in COLUMNS.items()])
EXPECTED = {name: values for name, (_, _, values) in COLUMNS.items()}


def test_polars_and_duckdb_read_the_same_as_arrow() -> None:
    block = Block(SCHEMA, 4, [column for _, column, _ in COLUMNS.values()])
    data = stream(SCHEMA, block, Block(SCHEMA, 0, [[] for _ in COLUMNS]), block)
    table = read(data)
    twice = {name: values * 2 for name, values in EXPECTED.items()}

    assert table.to_pydict() == twice
    assert pl.read_ipc_stream(io.BytesIO(data)).to_dict(as_series=False) == twice
    found = duckdb.from_arrow(table).fetchall()
    assert found == list(zip(*twice.values(), strict=True))


def test_the_layout_is_that_of_arrows_own_writer() -> None:
    block = Block(SCHEMA, 4, [column for _, column, _ in COLUMNS.values()])
    own = pa.RecordBatch.from_pydict(EXPECTED, schema=read(stream(SCHEMA)).schema)
    body = own.get_total_buffer_size()

    message = pa.ipc.read_message(pa.BufferReader(block.message()))
    theirs = pa.ipc.read_message(own.serialize())
    assert message.metadata_version == theirs.metadata_version
    assert message.body.size == theirs.body.size
    assert body > 0


@pytest.mark.parametrize("n_rows", [0, 1, 2, 7, 8])
def test_columns_that_come_several_at_once_lie_as_each_by_itself_would(n_rows: int) -> None:
    kinds = {"a": "utf8", "x": "float64", "y": "float64", "n": "int64", "f": "float32", "g": "float32", "h": "float32"}
    schema = Schema([Field(name, kind) for name, kind in kinds.items()])
    wide, narrow = np.arange(2.0 * n_rows).reshape(2, n_rows), np.arange(3.0 * n_rows).reshape(3, n_rows).astype(np.float32)
    texts, numbers = [f"t{row}" for row in range(n_rows)], np.arange(n_rows)

    alone = Block(schema, n_rows, [texts, *wide, numbers, *narrow])
    beside = Block(schema, n_rows, [texts, Beside(wide), numbers, Beside(narrow)])

    assert alone.message() == beside.message()
    assert ["n"] == [name for name, _ in beside.integers()]


def test_columns_beside_are_of_their_type_and_as_many_as_the_schema_has() -> None:
    schema = Schema([Field("x", "float64"), Field("n", "int64")])
    with pytest.raises(ParameterError, match="columns 'n' cannot hold float64 beside others"):
        Block(schema, 1, [Beside(np.zeros((2, 1)))]).message()
    with pytest.raises(ParameterError, match="3 columns for a log of x float64, n int64"):
        Block(schema, 1, [Beside(np.zeros((3, 1)))]).message()
    with pytest.raises(ParameterError, match="column 'x' has 2 values for 1 rows"):
        Block(schema, 1, [Beside(np.zeros((1, 2))), np.zeros(1, np.int64)]).message()


def refused(kind: str, column: Column, *, nullable: bool = True, n_rows: int = 1) -> str:
    schema = Schema([Field("x", kind, nullable)])
    with pytest.raises(ParameterError) as found:
        Block(schema, n_rows, [column]).message()
    return str(found.value)


def test_what_a_type_cannot_hold_is_refused_with_the_columns_name() -> None:
    assert refused("utf8", ["a", 3], n_rows=2) == "column 'x' is of utf8 and cannot hold 3"
    assert "cannot hold '\\ud800'" in refused("utf8", ["\ud800"])
    assert refused("binary", ["a"]) == "column 'x' is of binary and cannot hold 'a'"
    assert "cannot hold its values" in refused("int64", [1.5])
    assert "9223372036854775808 is out of range" in refused("int64", [2**63])
    assert "cannot hold its values" in refused("int64", [2**70])
    assert "2147483648 is out of range" in refused("int32", np.array([2**31]))
    assert "cannot hold its values" in refused("float64", ["a"])
    assert "may miss none" in refused("float64", [None], nullable=False)
    assert "has 2 values for 1 rows" in refused("float64", [1.0, 2.0])
    with pytest.raises(ParameterError, match="'dates' of type 'date32'"):
        Field("dates", "date32")
    with pytest.raises(ParameterError, match="1 columns for a log of"):
        Block(SCHEMA, 1, [[1]]).message()


def test_a_segment_takes_blocks_and_knows_how_far_their_integers_reach(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    schema = Schema([Field("id", "utf8"), Field("moment", "int64")])
    for low in (0, 100):
        with segments.writer("log", schema) as writer:
            assert writer.write(Block(schema, 3, [["a", "b", "c"], [low + 5, None, low]])) % 8 == 0
            writer.write(Block(schema, 1, [["d"], [None]]))

    assert segments.read("log")[0].to_pydict() == {
        "id": ["a", "b", "c", "d"] * 2,
        "moment": [5, None, 0, None, 105, None, 100, None],
    }
    assert segments.covering("log", "moment", 6, 101) == [2]
    assert segments.read_range("log", "moment", 100, 101)["id"].to_pylist() == ["c"]
    with (
        segments.writer("log", schema) as writer,
        pytest.raises(ParameterError, match="columns x int64 for a log of id utf8, moment int64"),
    ):
        writer.write(Block(Schema([Field("x", "int64")]), 1, [[1]]))


def test_writing_a_log_imports_neither_polars_nor_pyarrow(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from sampan.table.arrow_blocks import Block, Field, Schema
from sampan.store.segments import Segments
schema = Schema([Field("id", "utf8"), Field("at", "int64")])
with Segments(Path(sys.argv[1])).writer("log", schema) as writer:
    writer.write(Block(schema, 1, [["a"], [1]]))
assert not {"polars", "pyarrow", "pandas"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)

    assert Segments(tmp_path).read("log")[0].to_pylist() == [{"id": "a", "at": 1}]


@given(st.lists(st.sampled_from(["", "a", "bé", "longer text", None]), max_size=30), st.integers(1, 4))
def test_texts_by_their_numbers_are_written_as_the_texts_themselves(values: list[str | None], n_parts: int) -> None:
    schema = Schema([Field("t", "utf8")])
    parts = [Coded.of(values) for _ in range(n_parts)]
    together = Coded.joined([*parts, parts[0]])

    table = pa.ipc.open_stream(schema.message() + Block(schema, len(together), [together]).message() + END_OF_STREAM).read_all()

    assert table.column("t").to_pylist() == list(together) == values * (n_parts + 1)
    assert list(together[1:]) == (values * (n_parts + 1))[1:]


@given(st.lists(st.text() | st.none(), max_size=20))
def test_any_text_is_read_back_also_one_with_a_nul(values: list[str | None]) -> None:
    schema = Schema([Field("t", "utf8")])

    table = pa.ipc.open_stream(schema.message() + Block(schema, len(values), [values]).message() + END_OF_STREAM).read_all()

    assert table.column("t").to_pylist() == values


def test_texts_held_as_bytes_read_like_texts() -> None:
    held = Ascii([b"b", b"", b"b", b"ac"])

    assert list(held) == ["b", "", "b", "ac"]
    assert (held[3], list(held[1:3]), len(held)) == ("ac", ["", "b"], 4)
    assert (held.coded().texts, held.coded().codes.tolist()) == (("b", "", "ac"), [0, 1, 0, 2])
