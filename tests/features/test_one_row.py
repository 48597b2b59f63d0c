"""A single row by plain values gives the same bits as by arrays, whatever is looked up and computed, and leaves the unusual to them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.features import (
    Columns,
    Label,
    Means,
    OnlineView,
    as_of,
    concat,
    feature,
    flag,
    lookup,
    moment,
    number,
    past,
    planned,
    text,
    view,
    view_tables,
)
from sampan.features.one_row import one_row

HOUR = 3_600_000
TRIPS = Columns(
    id=number(nullable=False),
    city=text(),
    zone=number(),
    at=moment(),
    km=number(),
    rush=flag(),
    slow=number(later=True),
    seen=moment(later=True),
)
SLOW = Label(TRIPS.slow, known_at=TRIPS.seen)
REGION = lookup("cities", {"city": TRIPS.city}, "region", kind="text")
PEOPLE = lookup("cities", {"city": TRIPS.city}, "people")
RAIN = as_of("weather", {"region": REGION, "zone": TRIPS.zone}, "rain", time="hour", tolerance="2h")
VIEW = view(
    "trips",
    on="trips",
    columns=TRIPS,
    key=["id"],
    moment=TRIPS.at - HOUR,
    label=SLOW,
    features={
        "km": TRIPS.km,
        "rush": TRIPS.rush,
        "city_code": TRIPS.city,
        "region": feature(REGION, encode=Means()),
        "people": PEOPLE,
        "rain": RAIN,
        "wet_km": TRIPS.km * RAIN / PEOPLE,
        "hour": TRIPS.at.hour("Asia/Ho_Chi_Minh"),
        "where": feature(concat(TRIPS.city, REGION)),
        "slow_3h": past(SLOW.value, by=[TRIPS.city], known_at=SLOW.known_at, window="3h"),
        "slow_n": past(SLOW.value, by=[TRIPS.city], known_at=SLOW.known_at, stat="count"),
        "slow_rate": past(SLOW.value > 0, by=[REGION, TRIPS.zone], known_at=SLOW.known_at, window="5h", stat="rate", at_least=2),
        "plans": planned("trips", {"city": TRIPS.city, "at": TRIPS.at}),
    },
)
TABLES = {
    "trips": pl.DataFrame(
        {
            "id": [1, 2, 3],
            "city": ["A", "B", "A"],
            "zone": [1.0, 2.0, 1.0],
            "at": [0, HOUR, 2 * HOUR],
            "km": [1.0, 2.0, 3.0],
            "rush": [True, None, False],
            "slow": [1.0, 0.1, 0.3],
            "seen": [HOUR, 2 * HOUR, 3 * HOUR],
        }
    ),
    "cities": pl.DataFrame({"city": ["A", "B"], "people": [7, None], "region": ["north", None]}),
    "weather": pl.DataFrame({"region": ["north", "north"], "zone": [1, 2], "hour": [HOUR, 2 * HOUR], "rain": [0.5, 0.1]}),
}


@pytest.fixture(scope="module")
def online() -> OnlineView:
    return OnlineView.of(view_tables.fit(VIEW, view_tables.batch(VIEW, TABLES)), view_tables.online_tables(VIEW, TABLES, 9 * HOUR))


NUMBERS = st.none() | st.sampled_from([0, 1.0, 2, -0.0, 0.1, 1e300, -1e39, 2**70]) | st.floats(allow_nan=False)
ROWS = st.fixed_dictionaries(
    {
        "id": st.just(9),
        "city": st.sampled_from([None, "A", "B", "C"]),
        "zone": NUMBERS,
        "at": st.none() | st.sampled_from([0, HOUR, 2.5 * HOUR, "1970-01-01T03:30:00Z", "1970-01-01T04:00", 5 * HOUR]),
        "km": NUMBERS,
        "rush": st.none() | st.booleans(),
    }
)


@given(row=ROWS)
def test_a_single_row_has_the_bits_of_the_same_row_among_others(online: OnlineView, row: dict[str, Any]) -> None:
    alone = online.matrix([row])

    np.testing.assert_array_equal(alone[0], online.matrix([row, row])[1])


def test_the_short_way_is_taken_and_leaves_what_it_cannot_pack(online: OnlineView) -> None:
    short = one_row(online.fitted, online.row_type, online._sources)
    assert short is not None
    row = {"id": 1, "city": "A", "zone": 1, "at": 2 * HOUR, "km": 2.5, "rush": True}

    assert short.matrix(msgspec.convert(row, online.row_type)) is not None
    assert [short.matrix(msgspec.convert({**row, "km": km}, online.row_type)) for km in (1e39, float("inf"), 10**400)] == [None] * 3
    assert short.matrix(msgspec.convert({**row, "at": "noon"}, online.row_type)) is None


def test_a_key_that_has_to_be_computed_goes_the_long_way() -> None:
    hour = as_of("weather", {"zone": TRIPS.zone + 1}, "rain", time="hour", tolerance="2h")
    built = view("v", on="trips", columns=TRIPS, key=["id"], moment=TRIPS.at, features={"rain": hour})
    opened = OnlineView.of(view_tables.fit(built, view_tables.batch(built, TABLES)), view_tables.online_tables(built, TABLES, 9 * HOUR))

    assert one_row(opened.fitted, opened.row_type, opened._sources) is None
    assert [[0.5]] == opened.matrix([{"id": 1, "zone": 0, "at": HOUR}]).tolist()
