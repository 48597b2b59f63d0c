"""Rows on their way are frames or Arrow tables, whichever somebody wants, and the same rows."""

from itertools import accumulate, pairwise

import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sampan.table.pieces import Frames, RowQueue, as_frame, as_table

FRAME = pl.DataFrame({"": [1, 2, None], "text": ["a", None, "a long text that does not fit a view"], "*": [0.5, 1.5, None]})


def test_a_piece_is_the_same_rows_either_way() -> None:
    table = as_table(FRAME)

    assert as_frame(table).equals(FRAME)
    assert table.schema.field("text").type == pa.large_string()
    assert as_frame(FRAME) is FRAME
    assert as_table(table) is table


def test_pieces_of_either_kind_are_iterated_as_frames_and_as_tables() -> None:
    pieces = [FRAME, as_table(FRAME)]

    assert [frame.height for frame in Frames(iter(pieces))] == [3, 3]
    assert pa.concat_tables(Frames(iter(pieces)).tables()).num_rows == 6


def test_who_looks_on_is_told_the_rows_of_each_piece() -> None:
    seen: list[int] = []
    frames = Frames(iter([FRAME, as_table(FRAME.head(1))])).seen(seen.append)

    assert pl.concat(frames).height == 4
    assert seen == [3, 1]


def test_a_queue_gives_any_number_of_rows() -> None:
    rows = pl.DataFrame({"x": range(10)})
    queue = RowQueue(iter([as_table(rows[:3]), as_table(rows[3:4]), as_table(rows[4:])]), step=100)

    taken = [queue.take(n) for n in (2, 5, 0, 9, 1)]

    assert [None if table is None else table["x"].to_pylist() for table in taken] == [[0, 1], [2, 3, 4, 5, 6], None, [7, 8, 9], None]
    assert queue.n_taken == 10


@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 6))
def test_what_a_queue_gives_is_in_pieces_of_whole_steps(lengths: list[int], asked: list[int], step: int) -> None:
    ends = list(accumulate(lengths, initial=0))
    rows = pl.DataFrame({"x": range(ends[-1])}, schema={"x": pl.Int64})
    queue = RowQueue((as_table(rows[start:end]) for start, end in pairwise(ends)), step=step)

    taken = [table["x"] for n in asked if (table := queue.take(n)) is not None]

    assert [value for column in taken for value in column.to_pylist()] == list(range(min(ends[-1], sum(asked))))
    assert all(len(chunk) % step == 0 for column in taken for chunk in column.chunks[:-1])
