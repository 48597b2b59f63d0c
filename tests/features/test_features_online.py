"""Requests: what is refused and how it is said, what is flagged, and how feeds change answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.features import (
    Columns,
    Label,
    Means,
    OnlineView,
    View,
    as_of,
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

HOUR = 3_600_000
COLUMNS = Columns(
    id=number(nullable=False),
    city=text(),
    at=moment(nullable=False),
    km=number(),
    rush=flag(),
    slow=number(later=True),
    seen=moment(later=True),
)
SLOW = Label(COLUMNS.slow, known_at=COLUMNS.seen)
ROW: dict[str, Any] = {"id": 1, "city": "A", "at": 10 * HOUR, "km": 2.5, "rush": True}


@pytest.fixture
def built() -> View:
    return view(
        "trips",
        on="trips",
        columns=COLUMNS,
        key=["id"],
        moment=COLUMNS.at,
        label=SLOW,
        features={
            "km": COLUMNS.km,
            "rush": COLUMNS.rush,
            "code": COLUMNS.city,
            "mean": feature(COLUMNS.city, encode=Means()),
            "people": lookup("cities", {"city": COLUMNS.city}, "people"),
            "rain": as_of("weather", {"city": COLUMNS.city}, "rain", time="hour", tolerance="2h"),
            "slow_3h": past(SLOW.value, by=[COLUMNS.city], known_at=SLOW.known_at, window="3h"),
            "n": planned("trips", {"city": COLUMNS.city}),
        },
    )


@pytest.fixture
def online(built: View) -> OnlineView:
    tables = {
        "trips": pl.DataFrame(
            {
                "id": [1, 2],
                "city": ["A", "B"],
                "at": [0, 0],
                "km": [1.0, 2.0],
                "rush": [True, None],
                "slow": [1.0, 0.0],
                "seen": [9 * HOUR, HOUR],
            }
        ),
        "cities": pl.DataFrame({"city": ["A"], "people": [7]}),
        "weather": pl.DataFrame({"city": ["A"], "hour": [9 * HOUR], "rain": [0.5]}),
    }
    return OnlineView.of(view_tables.fit(built, view_tables.batch(built, tables)), view_tables.online_tables(built, tables, 9 * HOUR))


def _answer(online: OnlineView, **changes: Any) -> dict[str, float]:
    found = online.matrix([ROW | changes])[0].tolist()
    return dict(zip(online.fitted.names, found, strict=True))


def test_a_request_is_answered_from_the_tables(online: OnlineView) -> None:
    assert _answer(online) == pytest.approx(
        {"km": 2.5, "rush": 1, "code": 1, "mean": 11 / 21, "people": 7, "rain": 0.5, "slow_3h": 1, "n": 1}, rel=1e-6
    )


def test_null_and_the_unseen_are_answered_too(online: OnlineView) -> None:
    assert _answer(online, city="Z", km=None)["code"] == 0
    assert _answer(online, city="Z")["n"] == 0
    assert np.isnan([v for k, v in _answer(online, city=None, km=None, rush=None).items() if k != "n"]).all()


def test_no_rows_give_an_empty_matrix(online: OnlineView) -> None:
    assert online.matrix([]).shape == (0, 8)
    assert online.moments([]).tolist() == []


@pytest.mark.parametrize("at", [10 * HOUR, "1970-01-01T10:00:00Z", "1970-01-01T17:00:00+07:00", datetime(1970, 1, 1, 10, tzinfo=UTC), 36e6])
def test_moments_are_taken_in_any_usual_form(online: OnlineView, at: object) -> None:
    assert online.moments([ROW | {"at": at}]).tolist() == [10 * HOUR]
    assert online.moments([ROW]).dtype == np.int64


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({k: v for k, v in ROW.items() if k != "km"}, "row 0: field 'km' is missing, expected a number"),
        (ROW | {"kms": 1}, "row 0: unexpected field 'kms', did you mean 'km'?"),
        (ROW | {"slow": 1}, "row 0: unexpected field 'slow'"),
        (ROW | {"km": "far"}, "row 0: field 'km' is 'far', expected a number"),
        (ROW | {"km": True}, "row 0: field 'km' is True, expected a number"),
        (ROW | {"km": 10**400}, "row 0: field 'km' is 1000"),
        (ROW | {"city": 5}, "row 0: field 'city' is 5, expected text"),
        (ROW | {"rush": 1}, "row 0: field 'rush' is 1, expected true or false"),
        (ROW | {"at": "noon"}, "row 0: field 'at' is 'noon', expected a moment"),
        (ROW | {"at": None}, "row 0: field 'at' is null, expected a moment"),
        (ROW | {"km": [1]}, "row 0: field 'km' is [1], expected a number"),
        ([1, 2], "row 0 is [1, 2], expected an object of fields"),
    ],
)
def test_a_faulty_request_is_refused_with_field_value_and_expectation(online: OnlineView, row: Any, message: str) -> None:
    for refuse in (online.check, online.matrix, online.moments):
        with pytest.raises(ParameterError) as raised:
            refuse([row])
        assert message in raised.value.message


def test_all_faults_of_all_rows_are_named(online: OnlineView) -> None:
    with pytest.raises(ParameterError) as raised:
        online.matrix([ROW, ROW | {"km": "x", "city": 1}, {}])

    assert (
        "row 1: field 'city' is 1, expected text; row 1: field 'km' is 'x', expected a number; row 2: field 'id' is missing"
        in raised.value.message
    )
    assert "fields are: id, city, at, km, rush" in raised.value.hint


def test_a_long_value_and_many_faults_are_cut_short(online: OnlineView) -> None:
    with pytest.raises(ParameterError) as raised:
        online.matrix([ROW | {"km": "x" * 10_000}] * 1000)

    assert len(raised.value.message) < 2_000
    assert raised.value.message.endswith("and more")


def test_good_rows_pass_the_check(online: OnlineView) -> None:
    online.check([ROW, ROW | {"km": None, "city": "never seen"}])


def test_numpy_numbers_are_numbers(online: OnlineView) -> None:
    assert _answer(online, km=np.float32(2.5), id=np.int64(1)) == _answer(online)


def test_what_training_never_showed_is_flagged(online: OnlineView) -> None:
    found = online.flags([ROW, ROW | {"city": "Z"}, ROW | {"city": None}, ROW | {"city": "B"}])

    assert found == [
        (),
        (
            "code: category 'Z' was not seen in training",
            "mean: category 'Z' was not seen in training",
            "city: 'Z' is not in cities",
        ),
        (),
        ("city: 'B' is not in cities",),
    ]


def test_an_outcome_counts_from_the_moment_it_is_known(online: OnlineView) -> None:
    online.feed("trips", [{"id": 3, "city": "A", "slow": 0.0, "seen": 11 * HOUR, "more": "ignored"}])

    assert _answer(online, at=10 * HOUR)["slow_3h"] == 1.0
    assert _answer(online, at=11 * HOUR)["slow_3h"] == 0.5
    assert _answer(online, at=13 * HOUR)["slow_3h"] == 0.0


def test_an_outcome_without_a_value_is_no_event(online: OnlineView) -> None:
    online.feed("trips", [{"city": "A", "slow": None, "seen": 9 * HOUR}, {"city": None, "slow": 1.0, "seen": 9 * HOUR}])

    assert _answer(online)["slow_3h"] == 1.0


def test_newer_weather_is_seen_and_old_weather_forgotten(online: OnlineView) -> None:
    online.feed("weather", [{"city": "A", "hour": 10 * HOUR, "rain": 0.75}, {"city": "A", "hour": 11 * HOUR, "rain": 9.0}])

    assert _answer(online)["rain"] == 0.75
    assert np.isnan(_answer(online, at=14 * HOUR)["rain"])


def test_a_reference_row_is_replaced_and_a_plan_grows(online: OnlineView) -> None:
    online.feed("cities", [{"city": "A", "people": 8}, {"city": "B", "people": 3}])
    online.feed("trips.planned", [{"city": "A"}, {"city": "A"}])

    assert _answer(online)["people"] == 8
    assert _answer(online)["n"] == 3
    assert online.flags([ROW | {"city": "B"}]) == [()]


def test_a_faulty_feed_changes_nothing_and_says_why(online: OnlineView) -> None:
    before = _answer(online)

    with pytest.raises(ParameterError, match="row 1: field 'seen' is missing"):
        online.feed("trips", [{"city": "A", "slow": 0.0, "seen": 9 * HOUR}, {"city": "A", "slow": 0.0}])
    with pytest.raises(ParameterError, match=r"past cannot aggregate 1e\+13"):
        online.feed("trips", [{"city": "A", "slow": 1e13, "seen": 9 * HOUR}])
    with pytest.raises(ParameterError, match="looks nothing up in 'wether'") as raised:
        online.feed("wether", [{}])

    assert raised.value.hint == "did you mean weather?"
    assert _answer(online) == before


def test_online_tables_hold_nothing_known_later(built: View) -> None:
    tables = {
        "trips": pl.DataFrame(
            {
                "id": [1, 2, 3],
                "city": ["A", "A", "B"],
                "at": [0, 1, 2],
                "km": [1, 1, 1],
                "rush": [None] * 3,
                "slow": [1, 0, 1],
                "seen": [5, 6, None],
            }
        ),
        "cities": pl.DataFrame({"city": ["A"], "people": [7], "mayor": ["somebody"]}),
        "weather": pl.DataFrame({"city": ["A", "A", "A"], "hour": [5, 6, None], "rain": [0.5, 0.1, 0.2]}),
    }

    found = view_tables.online_tables(built, tables, 5)

    assert found["trips"].to_dicts() == [{"city": "A", "seen": 5, "slow": 1}]
    assert found["weather"]["hour"].to_list() == [5]
    assert found["cities"].columns == ["city", "people"]
    assert found["trips.planned"].to_dicts() == [{"city": "A", "planned": 2}, {"city": "B", "planned": 1}]


def test_an_event_that_the_tables_hold_is_not_counted_again_when_it_is_fed() -> None:
    columns = Columns(at=moment(), shop=text(), late=flag(later=True), known=moment(later=True))
    label = Label(columns.late, known_at=columns.known)
    built = view(
        "v",
        on="t",
        columns=columns,
        key=["at"],
        moment=columns.at,
        label=label,
        features={"n": past(label.value, by=[columns.shop], known_at=label.known_at, window="9h", stat="count")},
    )
    events = pl.DataFrame({"at": [0, 1], "shop": ["s", "s"], "late": [True, False], "known": [HOUR, 2 * HOUR]})
    tables = {"t": events}
    fitted = view_tables.fit(built, view_tables.batch(built, tables))
    online = OnlineView.of(fitted, view_tables.online_tables(built, tables, HOUR), known_until=HOUR)

    online.feed("t", events.select(built.event_columns()).to_dicts())

    assert [[2.0]] == online.matrix([{"at": 3 * HOUR, "shop": "s"}]).tolist()


def test_an_event_with_its_key_counts_once_however_often_it_is_fed() -> None:
    columns = Columns(at=moment(), shop=text(), late=flag(later=True), known=moment(later=True))
    label = Label(columns.late, known_at=columns.known)
    features = {"n": past(label.value, by=[columns.shop], known_at=label.known_at, window="9h", stat="count")}
    built = view("v", on="t", columns=columns, key=["at"], moment=columns.at, label=label, features=features)
    empty = pl.DataFrame(
        {"at": [0], "shop": ["s"], "late": [None], "known": [None]}, schema_overrides={"late": pl.Boolean, "known": pl.Int64}
    )
    online = OnlineView.of(
        view_tables.fit(built, view_tables.batch(built, {"t": empty})), view_tables.online_tables(built, {"t": empty}, 0)
    )
    events = [{"at": 1, "shop": "s", "late": True, "known": HOUR}, {"at": 2, "shop": "s", "late": False, "known": HOUR}]

    for _ in range(3):
        online.feed("t", [{name: event[name] for name in built.feed_columns()} for event in events])

    assert [[2.0]] == online.matrix([{"at": 3 * HOUR, "shop": "s"}]).tolist()
