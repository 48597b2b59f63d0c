"""Values of one type become those of another, or their rows wait; nothing is rounded off."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from sampan.errors import DataFormatError
from sampan.table.fitting import Fitting, as_text, cast, is_lossless, is_natural, is_possible

MIDNIGHT, MORNING = (datetime.combine(date(2024, 5, 1), time(hour)) for hour in (0, 8))


@pytest.mark.parametrize(
    ("values", "given", "kind", "expected"),
    [
        ([3.0, 3.5, 1e300], pl.Float64(), pl.Int64(), [3, None, None]),
        ([5, 300, -1], pl.Int64(), pl.UInt8(), [5, None, None]),
        ([5, 2**53 + 1], pl.Int64(), pl.Float64(), [5.0, None]),
        ([0.1], pl.Float64(), pl.Float32(), [pytest.approx(0.1)]),
        (["3", "3.0", "007", "x"], pl.String(), pl.Int64(), [3, None, None, None]),
        (["3", "x"], pl.String(), pl.Int32(), [3, None]),
        (["true", "yes"], pl.String(), pl.Boolean(), [True, None]),
        (["a", None], pl.Categorical(), pl.String(), ["a", None]),
        ([0, 1, 2], pl.Int64(), pl.Boolean(), [False, True, None]),
        ([MIDNIGHT, MORNING], pl.Datetime("ns"), pl.Date(), [date(2024, 5, 1), None]),
        ([MORNING], pl.Datetime("ms"), pl.Datetime("us", "UTC"), [MORNING.replace(tzinfo=UTC)]),
        ([date(2024, 5, 1)], pl.Date(), pl.Datetime("us", "UTC"), [MIDNIGHT.replace(tzinfo=UTC)]),
        (["2024-05-01T08:00:00+07:00"], pl.String(), pl.Datetime("ns", "UTC"), [datetime(2024, 5, 1, 1, tzinfo=UTC)]),
        ([None], pl.Null(), pl.Int64(), [None]),
    ],
)
def test_a_value_becomes_one_of_another_type_or_nothing(
    values: list[Any], given: pl.DataType, kind: pl.DataType, expected: list[Any]
) -> None:
    made = cast(pl.Series(values, dtype=given), kind)

    assert made.dtype == kind
    assert made.to_list() == expected


def test_a_time_keeps_its_instant_in_another_zone() -> None:
    saigon = pl.Series([MORNING]).dt.replace_time_zone("Asia/Ho_Chi_Minh")

    made = cast(saigon, pl.Datetime("us", "UTC"))

    assert made.to_list() == [MORNING.replace(tzinfo=timezone(timedelta(hours=7)))]
    assert as_text(saigon).to_list() == ["2024-05-01T01:00:00Z"]


def test_which_types_fit_is_known_without_the_values() -> None:
    assert is_lossless(pl.UInt32(), pl.Int64())
    assert not is_lossless(pl.UInt64(), pl.Int64())
    assert is_natural(pl.Int64(), pl.Float64())
    assert not is_natural(pl.Float64(), pl.Int64())
    assert not is_natural(pl.Datetime("us"), pl.Date())
    assert is_possible(pl.String(), pl.Enum(["a"]))
    assert not is_possible(pl.Int64(), pl.Date())
    assert not is_possible(pl.Binary(), pl.String())


def test_rows_that_do_not_fit_are_left_out_with_their_values_as_they_came() -> None:
    frame = pl.DataFrame({"id": [1, 2, 3, 4], "n": [1.0, 2.5, float("nan"), 4.0], "day": [MIDNIGHT, MORNING, None, MIDNIGHT]})
    fitting = Fitting(frame.schema, {"id": pl.Int64(), "n": pl.Int64(), "day": pl.Date()}, source="b.parquet")

    rows = pl.concat(fitting.pieces(iter([frame[:2], frame[2:]])))

    assert rows.rows() == [(1, 1, date(2024, 5, 1)), (3, None, None), (4, 4, date(2024, 5, 1))]
    assert fitting.left_out.frame().rows() == [("2", "2.5", "2024-05-01T08:00:00Z")]
    assert [(cell.column, cell.value, cell.reason) for cell in fitting.left_out.cells] == [
        ("n", "2.5", "not a whole number"),
        ("day", "2024-05-01T08:00:00Z", "not a date"),
    ]


def test_a_column_most_of_which_does_not_fit_is_refused() -> None:
    frame = pl.DataFrame({"id": ["a1", "a2", "3"]})
    fitting = Fitting(frame.schema, {"id": pl.Int64()}, source="b.parquet")

    with pytest.raises(DataFormatError, match="of 3 rows, 2 have no value of Int64 in column 'id'; one is 'a1'"):
        list(fitting.pieces(iter([frame])))
