"""Online tables that follow versions of their data: after any edits, and whatever was fed meanwhile, the same values as in batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.features import Columns, Expr, Label, features, moment, number, past, text, view_tables
from sampan.features.held_keys import HeldKeys
from sampan.features.online import OnlineView
from sampan.features.view import FeatureOptions

HOUR = 3_600_000
orders = Columns(
    order=number(nullable=False),
    at=moment(nullable=False),
    shop=text(nullable=False),
    late=number(later=True),
    done=moment(later=True),
)
late = Label(orders.late > 0, known_at=orders.done)


@features(on="orders", columns=orders, key=["order"], moment=orders.at, label=late)
def watched(row: Columns) -> dict[str, Expr | FeatureOptions]:
    """How often a shop was late, ever and lately."""
    return {
        "ever": past(late.value, by=[row.shop], known_at=late.known_at, stat="rate"),
        "lately": past(late.value, by=[row.shop], known_at=late.known_at, window="6h", stat="count"),
    }


ROW = st.fixed_dictionaries(
    {
        "at": st.integers(0, 48).map(lambda hour: hour * HOUR),
        "shop": st.sampled_from(["north", "south"]),
        "late": st.sampled_from([None, 0.0, 1.0]),
        "takes": st.integers(0, 12),
    }
)
# Rows by their order's number: an edit adds a row, changes one or takes one away.
EDIT = st.dictionaries(st.integers(0, 15), st.none() | ROW, max_size=6)


def table(rows: dict[int, dict[str, Any]]) -> pl.DataFrame:
    """Lay rows out; what has no outcome has no moment at which it became known."""
    found = [
        {
            "order": float(number),
            "at": row["at"],
            "shop": row["shop"],
            "late": row["late"],
            "done": None if row["late"] is None else row["at"] + row["takes"] * HOUR,
        }
        for number, row in rows.items()
    ]
    schema = {"order": pl.Float64, "at": pl.Int64, "shop": pl.String, "late": pl.Float64, "done": pl.Int64}
    return pl.DataFrame(found, schema=schema)


def asked(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.select(list(watched.request_schema())).to_dicts()


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.integers(0, 15), ROW, min_size=1), st.lists(EDIT, max_size=4), st.sets(st.integers(0, 15)))
def test_after_any_edits_online_values_are_those_of_the_newest_version_in_batch(
    first: dict[int, dict[str, Any]], edits: list[dict[int, Any]], fed: set[int]
) -> None:
    frame = table(first)
    fitted = view_tables.fit(watched, view_tables.batch(watched, {"orders": frame}))
    online = OnlineView.of(fitted, view_tables.online_tables(watched, {"orders": frame}, 24 * HOUR), known_until=24 * HOUR)
    rows = dict(first)
    for edit in edits:
        rows = {number: row for number, row in {**rows, **edit}.items() if row is not None}
        if not rows:
            continue
        newest = table(rows)
        outcomes = newest.filter(pl.col("order").is_in([float(number) for number in sorted(fed)]) & pl.col("late").is_not_null())
        online.feed("orders", outcomes.select(watched.feed_columns()).to_dicts())
        renewal = online.renewed({"orders": newest})
        renewal.feed("orders", outcomes.select(watched.feed_columns()).to_dicts())  # fed before, and in the version by now
        renewal.install()

        batch = fitted.matrix(view_tables.batch(watched, {"orders": newest}))
        np.testing.assert_array_equal(online.matrix(asked(newest)), batch)


def test_what_is_fed_counts_beside_a_version_that_does_not_have_it_yet() -> None:
    rows = {n: {"at": n * HOUR, "shop": "north", "late": 1.0, "takes": 0} for n in range(4)}
    open_row = {"at": 4 * HOUR, "shop": "north", "late": None, "takes": 0}
    frame = table({**rows, 4: open_row})
    fitted = view_tables.fit(watched, view_tables.batch(watched, {"orders": frame}))
    online = OnlineView.of(fitted, view_tables.online_tables(watched, {"orders": frame}, 0), known_until=0)
    renewal = online.renewed({"orders": frame})
    outcome = {"order": 4, "shop": "north", "late": 0.0, "done": 4 * HOUR}

    renewal.feed("orders", [outcome, {**outcome, "order": 3, "late": 0.0}])  # 3 has its outcome in the version
    before = online.matrix([{"order": 9, "at": 5 * HOUR, "shop": "north"}])
    renewal.install()

    assert before.tolist() == [[1.0, 1.0]], "not in use before it is installed: of then, only the first was known"
    assert online.matrix([{"order": 9, "at": 5 * HOUR, "shop": "north"}]).tolist() == [[np.float32(0.8), 5.0]]


def test_held_keys_are_found_however_their_numbers_are_written() -> None:
    held = HeldKeys([(1.0, "x"), (2.0, "y")])

    assert (1, "x") in held
    assert (2.0, "y") in held
    assert (1, "y") not in held
    assert (1,) not in HeldKeys()
