"""The language: its meaning in both evaluators, and what it refuses."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.features import Columns, Expr, col, concat, constant, flag, maximum, minimum, moment, number, past, text, where
from sampan.features.batch import Batch
from sampan.features.describe import describe
from sampan.features.nodes import Apply, Column, Literal
from sampan.features.operations import kind_of
from sampan.features.program import Program
from sampan.features.requests import Reader

NAN = math.nan
row = Columns(x=number(), y=number(), t=text(), u=text(), f=flag(), g=flag(), m=moment())


def both(expr: Expr, **columns: list[object]) -> list[object]:
    """Evaluate over a table and over request columns; both must agree before the answer is looked at."""
    schema = {"x": pl.Float64, "y": pl.Float64, "t": pl.String, "u": pl.String, "f": pl.Boolean, "g": pl.Boolean, "m": pl.Float64}
    frame = pl.DataFrame(columns, schema={name: schema[name] for name in columns})
    kinds = {name: row[name].type for name in columns}
    batch = Batch({"rows": frame}, "rows", kinds).evaluate({"answer": expr.node})["answer"].to_list()
    reader = Reader({name: row[name] for name in columns}, needed=list(columns), exact=True)
    requests = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    found = Program([expr.node]).run(reader.read(requests), frame.height)[0]
    if not isinstance(found, list):
        found = [None if np.isnan(v) else v for v in np.broadcast_to(found, frame.height).tolist()]
    assert batch == found
    return batch


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (row.x + row.y, [7.0, None, None]),
        (row.x - 1, [5.0, None, -4.0]),
        (2 * row.x / row.y, [12.0, None, None]),
        (row.x / 0, [None, None, None]),
        (row.x % 4, [2.0, None, 1.0]),
        (row.x // 4, [1.0, None, -1.0]),
        (-row.x, [-6.0, None, 3.0]),
        (abs(row.x), [6.0, None, 3.0]),
        (row.x.log1p(), [math.log1p(6), None, None]),
        (row.x.sqrt(), [math.sqrt(6), None, None]),
        (row.x.fill(9), [6.0, 9.0, -3.0]),
        (row.x.fill(row.y), [6.0, 2.0, -3.0]),
        (row.x.is_missing(), [0.0, 1.0, 0.0]),
        (row.x > 0, [1.0, None, 0.0]),
        (row.x == 6, [1.0, None, 0.0]),
        (row.x != row.y, [1.0, None, None]),
        (~(row.x > 0), [0.0, None, 1.0]),
        ((row.x > 0) & (row.y > 0), [1.0, None, None]),
        ((row.x > 0) | (row.y > 0), [1.0, None, None]),
        (where(row.x > 0, row.y, 5), [1.0, None, 5.0]),
        (where(row.x > 0, "big", "small"), ["big", None, "small"]),
        (minimum(row.x, row.y, 0), [0.0, None, None]),
        (maximum(row.x, row.y), [6.0, None, None]),
        (row.x.clip(0, 5), [5.0, None, 0.0]),
        (row.x.cut([-3, 0, 6]), [3.0, None, 1.0]),
        (row.x.isin([6, 7]), [1.0, None, 0.0]),
        (row.x.isin([]), [0.0, None, 0.0]),
        (row.x.distance_to([5, -10, 20]), [1.0, None, 7.0]),
        (constant(3) + 4, [7.0, 7.0, 7.0]),
        (constant(3) / 0, [None, None, None]),
        (where(constant(2) > 1, constant("yes"), "no"), ["yes", "yes", "yes"]),
    ],
    ids=lambda value: describe(value.node) if isinstance(value, Expr) else "",
)
def test_every_operation_has_one_meaning_and_missing_stays_missing(expr: Expr, expected: list[object]) -> None:
    assert expected == both(expr, x=[6.0, None, -3.0], y=[1.0, 2.0, None])


def test_what_is_no_finite_number_is_missing() -> None:
    huge = [1e308, NAN, math.inf, -math.inf]

    assert both(row.x * 10, x=huge) == [None, None, None, None]
    assert both(row.x.is_missing(), x=huge) == [0.0, 1.0, 1.0, 1.0]


def test_text_operations_keep_missing_text_missing() -> None:
    columns: dict[str, list[object]] = {"t": ["JFK", None, ""], "u": ["LAX", "LAX", "BOS"]}

    assert both(concat(row.t, row.u), **columns) == ["JFK-LAX", None, "-BOS"]
    assert both(concat(row.t, "x", separator="/"), **columns) == ["JFK/x", None, "/x"]
    assert both(row.t == "JFK", **columns) == [1.0, None, 0.0]
    assert both(row.t.isin(["JFK", "EWR"]), **columns) == [1.0, None, 0.0]
    assert both(row.t.fill(row.u), **columns) == ["JFK", "LAX", ""]
    assert both(row.t.is_missing(), **columns) == [0.0, 1.0, 0.0]


def test_flags_are_strict_about_missing() -> None:
    assert both(row.f & row.g, f=[False, True, False], g=[None, None, True]) == [None, None, 0.0]
    assert both(row.f | row.g, f=[False, True, False], g=[None, None, True]) == [None, None, 1.0]


def test_moments_subtract_to_milliseconds_and_compare() -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)

    assert both(row.m - start, m=[start.timestamp() * 1000 + 86_400_000, None]) == [86_400_000.0, None]
    assert both(row.m > start, m=[start.timestamp() * 1000 + 1, None]) == [1.0, None]
    assert (row.m + 5).kind == "moment"


def test_dates_are_local_days() -> None:
    noon = datetime(2013, 7, 4, 16, tzinfo=UTC).timestamp() * 1000
    day = row.m.local_day("America/New_York")

    assert both(day.distance_to([date(2013, 7, 4)]), m=[noon, noon + 86_400_000]) == [0.0, 1.0]
    assert both(day.isin([date(2013, 7, 4)]), m=[noon, noon + 86_400_000]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: row.x + "a", "add cannot be applied to <number x> and <text 'a'>"),
        (lambda: row.t + row.t, "add cannot be applied"),
        (lambda: row.m + row.m, "add cannot be applied"),
        (lambda: row.x & row.f, "and cannot be applied"),
        (lambda: where(row.x, 1, 2), "where cannot be applied"),
        (lambda: where(row.f, 1, "a"), "where cannot be applied"),
        (lambda: row.t < "b", "lt cannot be applied"),
        (lambda: row.x.hour("UTC"), "hour cannot be applied"),
        (lambda: concat(row.t, row.x), "concat cannot be applied"),
        (lambda: row.m.hour("New York"), "unknown time zone 'New York'"),
        (lambda: row.x.cut([]), "do not rise"),
        (lambda: row.x.cut([1, 1]), "do not rise"),
        (lambda: row.x.isin(["a"]), "'a' is text, not a number"),
        (lambda: row.x.distance_to([]), "at least one"),
        (lambda: row.x + math.inf, "cannot be part of an expression"),
        (lambda: row.x + object(), "cannot be part of an expression"),
        (lambda: col("a", "int"), "cannot be of kind 'int'"),  # type: ignore[arg-type]
        (lambda: bool(row.x > 1), "has no truth value"),
        (lambda: past(row.x, by=[row.t], known_at=row.m, stat="rate"), "past rate cannot be taken"),
        (lambda: past(row.x, by=[row.t], known_at=row.m, stat="median"), "no statistic 'median'"),  # type: ignore[arg-type]
        (lambda: past(row.x, by=[row.t], known_at=row.m, window="3 days"), "'3 days' is no span of time"),
        (lambda: past(row.x, by=[], known_at=row.m), "at least one"),
        (lambda: past(row.x, by=[row.t], known_at=row.x), "known_at is <number x>, not a moment"),
    ],
)
def test_a_wrong_expression_is_refused_where_it_is_written(wrong: object, message: str) -> None:
    with pytest.raises(ParameterError) as raised:
        wrong()  # type: ignore[operator]

    assert message in raised.value.message


def test_a_misspelled_column_names_the_nearest() -> None:
    flights = Columns(distance=number(), origin=text())

    with pytest.raises(ParameterError, match="no column 'distnace' is declared") as raised:
        _ = flights.distnace

    assert raised.value.hint == "did you mean distance?"


def test_a_tree_with_an_unknown_or_misused_operation_is_refused() -> None:
    x = Column("x", "number")

    with pytest.raises(ParameterError, match="unknown operation 'ad'") as raised:
        kind_of(Apply("ad", (x, x)))
    with pytest.raises(ParameterError, match="add cannot be applied to number, text"):
        kind_of(Apply("add", (x, Literal("a", "text"))))
    assert "did you mean" in raised.value.hint


def test_expressions_describe_themselves() -> None:
    assert describe((where(row.x > 0, row.y, 5) + 1).node) == "(where((x > 0), y, 5) + 1)"
    assert describe(past(row.x > 1, by=[row.t], known_at=row.m, window="14d", stat="rate").node) == "rate of (x > 1) by t over 14 days"
