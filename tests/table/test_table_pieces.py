"""Rows on their way are frames or Arrow tables, whichever somebody wants, and the same rows."""

import polars as pl
import pyarrow as pa

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


def test_a_queue_gives_any_number_of_rows_in_one_piece() -> None:
    rows = pl.DataFrame({"x": range(10)})
    queue = RowQueue(iter([as_table(rows[:3]), as_table(rows[3:4]), as_table(rows[4:])]))

    taken = [queue.take(n) for n in (2, 5, 0, 9, 1)]

    assert [None if table is None else table["x"].to_pylist() for table in taken] == [[0, 1], [2, 3, 4, 5, 6], None, [7, 8, 9], None]
    assert [table["x"].num_chunks for table in taken if table is not None] == [1, 1, 1]
    assert queue.n_taken == 10
