"""What a large part's layout keeps: every value and type, and bytes that follow from the rows alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing.parametric import dataframes

from sampan.store.tables import layout, parts
from sampan.table.pieces import Frames, as_table

TYPES: list[pl.DataType | type[pl.DataType]] = [
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64),
    *(pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Datetime("ms"), pl.Datetime("us", "Asia/Ho_Chi_Minh"), pl.Datetime("ns")),
]


@settings(max_examples=60, deadline=None)
@given(dataframes(allowed_dtypes=TYPES, allow_null=True, min_cols=1, max_cols=4, min_size=1, max_size=40), st.integers(1, 50))
def test_every_value_comes_back_under_its_type(frame: pl.DataFrame, times: int) -> None:
    rows = pl.concat([frame] * times).rechunk()
    back = pl.read_parquet(io.BytesIO(layout.encode(rows)))

    assert back.schema == rows.schema
    assert back.equals(rows)


def flights(n_rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "id": np.arange(n_rows) * 3,
            "delay": rng.integers(-20, 200, n_rows) / 1,
            "weight": rng.normal(size=n_rows),
            "carrier": rng.choice(["UA", "AA", "VN"], n_rows),
            "token": rng.integers(-(2**62), 2**62, n_rows),
            "note": [f"passenger {number} of the day" for number in range(n_rows)],
            "late": rng.random(n_rows) < 0.2,
        }
    )


def test_columns_are_encoded_by_what_their_values_are_like() -> None:
    found = layout.layout_of(flights(layout.MIN_ROWS))

    assert found == layout.Layout(dictionaries=["delay", "carrier"], deltas=["id"], plain=["weight", "token", "note", "late"])


def test_a_column_of_nothing_but_missing_values_stands_plainly() -> None:
    rows = pl.DataFrame({"x": pl.Series([None] * 9, dtype=pl.Int64), "y": pl.Series([None] * 9, dtype=pl.String)})

    assert layout.layout_of(rows).plain == ["x", "y"]
    assert pl.read_parquet(io.BytesIO(layout.encode(rows))).equals(rows)


def test_large_parts_are_laid_out_and_small_ones_are_left_to_polars() -> None:
    rows = flights(layout.MIN_ROWS)
    many, few = (pq.ParquetFile(io.BytesIO(parts.encode(frame))).metadata for frame in (rows, rows[1:]))

    assert many.created_by.startswith("parquet-cpp-arrow")
    assert few.created_by.startswith("Polars")
    assert "RLE_DICTIONARY" in many.row_group(0).column(1).encodings
    assert many.row_group(0).column(0).encodings == ("RLE", "DELTA_BINARY_PACKED")
    assert len(parts.encode(rows)) < len(parts.encode(rows[1:]))


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["a"], dtype=pl.Categorical),
        pl.Series(["a"], dtype=pl.Enum(["a"])),
        pl.Series([[1]], dtype=pl.List(pl.Int8)),
        pl.Series([timedelta(1)]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_types_that_the_writers_do_not_tell_alike_are_left_to_polars(column: pl.Series) -> None:
    rows = pl.DataFrame({"x": column.new_from_index(0, layout.MIN_ROWS)})

    assert not layout.suits(rows.dtypes)
    assert pl.read_parquet(io.BytesIO(parts.encode(rows))).equals(rows)


def test_the_bytes_follow_from_the_rows_alone() -> None:
    rows = flights(layout.MIN_ROWS).with_columns(day=date(2013, 1, 1))
    in_pieces = pl.concat([rows[:1000], rows[1000:3000], rows[3000:]], rechunk=False)
    twice = pl.concat([rows, rows])[: rows.height]

    assert parts.encode(rows) == parts.encode(in_pieces) == parts.encode(twice)


def test_zeros_of_both_signs_and_what_is_no_number_come_back() -> None:
    rows = pl.DataFrame({"x": [0.0, -0.0, float("nan"), float("inf")] * 8})
    file = io.BytesIO(layout.encode(rows))
    back = pl.read_parquet(file)

    assert back["x"].to_numpy().tobytes() == rows["x"].to_numpy().tobytes()
    assert pl.scan_parquet(file).filter(pl.col("x") > 5).collect().height == rows.filter(pl.col("x") > 5).height == 16


def test_columns_may_have_any_name() -> None:
    n_rows = 5000
    columns = {name: [i % 9 / 4 for i in range(n_rows)] for name in ("a.b", "", "*", "^a$", "a.b.list.element")}
    rows = pl.DataFrame({**columns, "id.x": range(n_rows)})
    data = layout.encode(rows)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)

    assert pl.read_parquet(io.BytesIO(data)).equals(rows)
    assert all("RLE_DICTIONARY" in metadata.column(number).encodings for number in range(len(columns)))
    assert "DELTA_BINARY_PACKED" in metadata.column(len(columns)).encodings


@pytest.mark.parametrize("n_rows", [3, layout.MIN_ROWS - 1, layout.MIN_ROWS, layout.ROW_GROUP_ROWS + 5, 300_000])
def test_rows_that_come_as_arrow_tables_give_the_same_parts(n_rows: int) -> None:
    rows = flights(300_000).head(n_rows)
    pieces = [rows[at : at + 70_001] for at in range(0, n_rows, 70_001)]
    mixed = [as_table(piece) if number % 2 else piece for number, piece in enumerate(pieces)]

    found = list(parts.encode_parts(parts.Pieces(rows.schema, Frames(iter(mixed))), 200_000))

    assert found == list(parts.encode_parts(rows, 200_000))
    assert sum(n for n, _ in found) == n_rows


def test_wide_tables_that_come_as_arrow_tables_give_the_same_parts() -> None:
    rows = pl.DataFrame({f"x{number}": range(500) for number in range(60)})

    found = list(parts.encode_parts(parts.Pieces(rows.schema, Frames(iter([as_table(rows)]))), 90))

    assert found == list(parts.encode_parts(rows, 90))


@pytest.mark.parametrize(("values", "is_one"), [(range(70_000), False), ([7, 2**62, -(2**62)] * 30_000, True), ([5, 6] * 40_000, True)])
def test_numbers_stand_in_a_dictionary_if_that_saves_a_third(values: Sequence[int], is_one: bool) -> None:
    rows = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int64).shuffle(seed=1)})

    assert (layout.layout_of(rows).dictionaries == ["x"]) == is_one
