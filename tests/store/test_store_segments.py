"""Prediction logs: every whole batch is read once, whatever became of its writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError, StoreUnavailable, UsageError
from sampan.store.segments import Segments, SegmentWriter
from sampan.table.arrow_blocks import Block, Field, Schema

SCHEMA = Schema([Field("id", "int64"), Field("score", "float64")])


def batch(*ids: int) -> Block:
    return Block(SCHEMA, len(ids), [list(ids), [i / 2 for i in ids]])


def ids(table: pa.Table) -> list[int]:
    return table["id"].to_pylist() if table.num_columns else []


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    return Segments(tmp_path)


def test_flushed_batches_are_read_while_the_writer_lives(segments: Segments) -> None:
    writer = segments.writer("flights", SCHEMA)
    writer.write(batch(1, 2))
    assert ids(segments.read("flights")[0]) == []

    writer.flush()
    rows, cursor = segments.read("flights")
    assert ids(rows) == [1, 2]
    assert rows.schema == pa.schema([("id", pa.int64()), ("score", pa.float64())])
    writer.write(batch(3))
    writer.seal()
    assert ids(segments.read("flights", after=cursor)[0]) == [3]
    assert ids(segments.read("flights")[0]) == [1, 2, 3]


def test_a_stream_that_nobody_wrote_has_no_rows(segments: Segments) -> None:
    rows, cursor = segments.read("nothing")

    assert (rows.num_rows, cursor) == (0, "")
    assert segments.streams() == []


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["write", "flush", "seal", "read"])), max_size=40))
def test_every_row_comes_exactly_once(tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, str]]) -> None:
    segments = Segments(tmp_path_factory.mktemp("log"))
    writers: dict[int, SegmentWriter] = {}
    seen: list[int] = []
    cursor, n_written = "", 0
    for who, what in script:
        if what == "read":
            rows, cursor = segments.read("log", after=cursor)
            seen += ids(rows)
            continue
        if who not in writers:
            writers[who] = segments.writer("log", SCHEMA)
        if what == "write":
            writers[who].write(batch(n_written, n_written + 1))
            n_written += 2
        elif what == "flush":
            writers[who].flush()
        else:
            writers.pop(who).seal()
    for writer in writers.values():
        writer.seal()
    rows, cursor = segments.read("log", after=cursor)

    assert sorted(seen + ids(rows)) == list(range(n_written))
    assert segments.read("log", after=cursor)[0].num_rows == 0
    assert ":" not in cursor
    assert segments.read("log", after=cursor)[1] == cursor


def test_a_cursor_stays_short_over_many_segments(segments: Segments) -> None:
    for number in range(30):
        with segments.writer("log", SCHEMA) as writer:
            writer.write(batch(number))

    assert segments.read("log")[1] == "30"


def test_a_torn_tail_is_left_out_at_every_length(segments: Segments, tmp_path: Path) -> None:
    with segments.writer("log", SCHEMA) as writer:
        writer.write(batch(1))
        writer.write(batch(2))
    path = next(tmp_path.rglob("*.arrows"))
    data = path.read_bytes()
    path.unlink()
    torn = path.with_suffix(".open")
    counts = []
    for length in range(0, len(data) + 1, 7):
        torn.write_bytes(data[:length])
        counts.append(segments.read("log")[0].num_rows)

    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}
    second = len(data) - 8 - len(batch(2).message())
    torn.write_bytes(data[:second] + bytes(4096))
    assert ids(segments.read("log")[0]) == [1]


def test_streams_have_any_name_and_columns_may_grow(segments: Segments) -> None:
    wider = Schema([*SCHEMA.fields, Field("carrier", "utf8")])
    with segments.writer("flights-late/b3:12 ü", SCHEMA) as writer:
        writer.write(batch(1))
    with segments.writer("flights-late/b3:12 ü", wider) as writer:
        writer.write(Block(wider, 1, [[2], [0.5], ["UA"]]))
    with segments.writer("..", SCHEMA) as writer:
        writer.write(batch(9))

    rows, _ = segments.read("flights-late/b3:12 ü")
    assert rows["carrier"].to_pylist() == [None, "UA"]
    assert segments.streams() == ["..", "flights-late/b3:12 ü"]
    assert ids(segments.read("..")[0]) == [9]


def test_other_columns_are_refused(segments: Segments) -> None:
    with segments.writer("log", SCHEMA) as writer, pytest.raises(ParameterError, match="other int64"):
        writer.write(Block(Schema([Field("other", "int64")]), 1, [[1]]))
    with pytest.raises(ParameterError, match="needs a name"):
        segments.writer("", SCHEMA)
    with pytest.raises(ParameterError, match="'nonsense' is no cursor"):
        segments.read("log", after="nonsense")


def test_a_sealed_writer_takes_no_more_and_an_empty_segment_vanishes(segments: Segments, tmp_path: Path) -> None:
    writer = segments.writer("log", SCHEMA)
    writer.seal()
    writer.seal()

    assert list(tmp_path.rglob("*.open")) + list(tmp_path.rglob("*.arrows")) == []
    with pytest.raises(UsageError, match="is sealed"):
        writer.write(batch(1))


def test_a_failed_flush_leaves_whole_batches_and_a_usable_writer(
    segments: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = segments.writer("log", SCHEMA)
    writer.write(batch(1))
    writer.flush()
    really_write = os.write

    def write_a_little_then_fail(file: int, data: memoryview) -> int:
        really_write(file, data[:10])
        raise OSError(28, "No space left on device")

    writer.write(batch(2))
    monkeypatch.setattr("os.write", write_a_little_then_fail)
    with pytest.raises(StoreUnavailable, match="No space left") as caught:
        writer.flush()
    monkeypatch.undo()
    writer.write(batch(3))
    writer.seal()

    assert "sampan gc" in caught.value.hint
    assert ids(segments.read("log")[0]) == [1, 3]


def test_a_day_of_a_long_log_is_read_from_the_segments_that_can_hold_it(segments: Segments, tmp_path: Path) -> None:
    for day in range(100):
        with segments.writer("log", SCHEMA) as writer:
            writer.write(batch(day * 10, day * 10 + 9))
    late = segments.writer("log", SCHEMA)  # one being written may hold anything
    late.write(batch(425))
    late.flush()
    for path in tmp_path.rglob("*.arrows"):
        if path.stem not in ("0000000043", "0000000044"):
            path.write_bytes(b"this would not be read as Arrow")

    assert [43, 101] == segments.covering("log", "id", 420, 430)
    assert [420, 429, 425] == ids(segments.read_range("log", "id", 420, 430))
    assert [44, 101] == segments.covering("log", "id", 439, 440)
    late.seal()
    assert [43] == segments.covering("log", "id", 429, 430) == segments.covering("log", "id", 426, 430)


@given(
    st.lists(st.tuples(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=4), st.booleans()), max_size=8),
    st.integers(-(2**40), 2**40),
    st.integers(0, 2**40),
)
def test_a_range_has_the_rows_that_all_rows_have_of_it(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[list[int | None], bool]], low: int, width: int
) -> None:
    segments = Segments(tmp_path_factory.mktemp("log"))
    writers = []
    for values, sealed in parts:
        writers.append(segments.writer("log", SCHEMA))
        writers[-1].write(Block(SCHEMA, len(values), [values, [0.0] * len(values)]))
        writers[-1].flush()
        if sealed:
            writers[-1].seal()
    expected = [value for values, _ in parts for value in values if value is not None and low <= value < low + width]

    assert expected == ids(segments.read_range("log", "id", low, low + width))
    for writer in writers:
        writer.seal()
    assert expected == ids(segments.read_range("log", "id", low, low + width))


def test_segments_whose_range_is_not_known_are_read(segments: Segments, tmp_path: Path) -> None:
    for number in range(3):
        with segments.writer("log", SCHEMA) as writer:
            writer.write(batch(number))
    ranges = next(tmp_path.rglob("ranges"))
    lines = ranges.read_bytes().split(b"\n\n")
    ranges.write_bytes(lines[0] + b"\n" + lines[1][:-9] + b"\n" + lines[2])

    assert [1, 2] == segments.covering("log", "id", 0, 1)
    ranges.unlink()
    assert [1, 2, 3] == segments.covering("log", "id", 0, 1)
    assert [0] == ids(segments.read_range("log", "id", 0, 1))
    assert 0 == segments.read_range("log", "nothing", 0, 1).num_rows


CHILD = """
import os, sys
from pathlib import Path
from sampan.store.segments import Segments
from sampan.table.arrow_blocks import Block, Field, Schema
schema = Schema([Field("id", "int64"), Field("score", "float64")])
writer = Segments(Path(sys.argv[1])).writer("log", schema)
number = int(sys.argv[2])
for step in range(10**9):
    writer.write(Block(schema, 1, [[number], [0.0]]))
    if step % 3 == 0:
        writer.flush()
        os.write(1, b"%d\\n" % number)
    number += 1
"""


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_was_flushed(segments: Segments, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    seen: list[int] = []
    cursor = ""
    for number in range(4):
        start = number * 10**6
        with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(start)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(1 + 37 * number)]
            child.kill()
            lines += child.stdout.readlines()
        acknowledged += [n for line in lines if line.endswith(b"\n") for n in range(start, int(line) + 1)]
        rows, cursor = segments.read("log", after=cursor)
        seen += ids(rows)

    assert set(acknowledged) <= set(seen)
    assert len(seen) == len(set(seen))
    assert cursor == "4"
    assert segments.seal_abandoned() == 4
    assert [3] == segments.covering("log", "id", 2 * 10**6, 3 * 10**6)
    assert sorted(ids(segments.read("log")[0])) == sorted(seen)
    assert list(tmp_path.rglob("*.open")) == []
