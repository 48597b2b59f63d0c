"""Defining a view: what it derives, what it refuses, and its way to JSON and back."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.features import (
    HOUR,
    Columns,
    Expr,
    FieldSpec,
    FittedView,
    Label,
    Means,
    View,
    as_of,
    concat,
    feature,
    features,
    lookup,
    moment,
    number,
    past,
    planned,
    text,
    view,
    view_tables,
    where,
)

trips = Columns(
    id=number(nullable=False),
    city=text("where it starts"),
    taxi=text("plate"),
    start=moment("planned start", nullable=False),
    km=number("planned way"),
    minutes=number("how long it took", later=True),
    end=moment("when it ended", later=True),
)
slow = Label(trips.minutes > 30, known_at=trips.end, missing="no label: trip was called off")


def trips_view(**changes: object) -> View:
    """Define a view with something of each family; `changes` replace features."""
    given: dict[str, object] = {
        "km": trips.km,
        "weekday": trips.start.weekday("America/New_York"),
        "city_code": trips.city,
        "city_slow": feature(trips.city, encode=Means(smoothing=2)),
        "pair": concat(trips.city, trips.taxi),
        "seats": lookup("taxis", {"plate": trips.taxi}, "seats"),
        "km_per_seat": trips.km / lookup("taxis", {"plate": trips.taxi}, "seats"),
        "rain": as_of("weather", {"city": trips.city}, "rain", time="at", tolerance="2h"),
        "slow_1d": past(slow.value, by=[trips.city], known_at=slow.known_at, window="1d", stat="rate"),
        "trips_then": planned("trips", {"city": trips.city, "start": trips.start}),
    }
    given |= changes
    return view(
        "slow-trips",
        on="trips",
        columns=trips,
        key=["id"],
        slices=["city"],
        moment=trips.start - HOUR,
        label=slow,
        features=given,  # type: ignore[arg-type]
    )


@pytest.fixture
def tables() -> dict[str, pl.DataFrame]:
    hour = 3_600_000
    return {
        "trips": pl.DataFrame(
            {
                "id": [1, 2, 3, 4, 5],
                "city": ["A", "A", "B", "A", None],
                "taxi": ["x", "y", "x", "z", "x"],
                "start": [10 * hour, 11 * hour, 11 * hour, 20 * hour, 20 * hour],
                "km": [3, None, 8, 9, 1],
                "minutes": [40.0, 10.0, 50.0, None, 31.0],
                "end": [11 * hour, 13 * hour, 12 * hour, None, 21 * hour],
            }
        ),
        "taxis": pl.DataFrame({"plate": ["x", "y", "y"], "seats": [4, 5, 6]}),
        "weather": pl.DataFrame({"city": ["A", "A", "B"], "at": [8 * hour, 9 * hour, 9 * hour], "rain": [0.5, None, 2.0]}),
    }


def test_a_batch_holds_identity_moment_label_and_features(tables: dict[str, pl.DataFrame]) -> None:
    found = view_tables.batch(trips_view(), tables)

    assert found.columns[:5] == ["id", "city", "__moment", "__label", "__known_at"]
    assert found["__moment"].to_list()[:2] == [9 * 3_600_000, 10 * 3_600_000]
    assert pl.Int64 == found["__known_at"].dtype
    assert found["__label"].to_list() == [1.0, 0.0, 1.0, None, 1.0]
    assert found["seats"].to_list() == [4.0, 6.0, 4.0, None, 4.0]  # of two rows of plate y the last counts
    assert found["km_per_seat"].to_list() == [0.75, None, 2.0, None, 0.25]
    assert found["rain"].to_list() == [None, None, 2.0, None, None]  # the newest row counts, though its rain is missing
    assert found["slow_1d"].to_list() == [None, None, None, 0.5, None]
    assert found["trips_then"].to_list() == [1.0, 1.0, 1.0, 1.0, None]
    assert found["pair"].to_list() == ["A-x", "A-y", "B-x", "A-z", None]


def test_lazy_tables_give_the_same_batch(tables: dict[str, pl.DataFrame]) -> None:
    assert view_tables.batch(trips_view(), tables).equals(
        view_tables.batch(trips_view(), {name: frame.lazy() for name, frame in tables.items()})
    )


def test_rows_without_a_label_are_counted_under_their_rule(tables: dict[str, pl.DataFrame]) -> None:
    built = trips_view()

    assert built.unlabelled(view_tables.batch(built, tables)) == {"no label: trip was called off": 1}


def test_families_follow_from_how_a_feature_is_made(tables: dict[str, pl.DataFrame]) -> None:
    built = trips_view()

    assert view_tables.fit(built, view_tables.batch(built, tables)).families == {
        "km": "derivative",
        "weekday": "derivative",
        "city_code": "encoding",
        "city_slow": "encoding",
        "pair": "combination",
        "seats": "enrichment",
        "km_per_seat": "combination",
        "rain": "enrichment",
        "slow_1d": "enrichment",
        "trips_then": "enrichment",
    }


def test_a_request_carries_what_features_read_and_nothing_known_later() -> None:
    built = trips_view()

    assert list(built.request_schema()) == ["id", "city", "taxi", "start", "km"]
    assert FieldSpec("number", True, "planned way") == built.request_schema()["km"]
    assert (*built.tables[:1], built.on, *built.tables[1:]) == ("taxis", "trips", "weather")
    assert built.event_columns() == ("city", "minutes", "end")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leak": trips.minutes}, "feature 'leak' reads 'minutes', which is known only later"),
        ({"leak": trips.km + trips.minutes}, "feature 'leak' reads 'minutes'"),
        ({"leak": lookup("taxis", {"plate": trips.taxi, "n": trips.minutes}, "seats")}, "feature 'leak' reads 'minutes'"),
        ({"leak": lookup("trips", {"id": trips.id}, "minutes")}, "fetches from 'trips' itself"),
        ({"leak": as_of("trips", {"city": trips.city}, "minutes", time="start")}, "fetches from 'trips' itself"),
        ({"leak": planned("trips", {"minutes": trips.km})}, "counts by 'minutes', which is known only later"),
        ({"leak": past(slow.value, by=[trips.minutes], known_at=trips.end)}, "feature 'leak' reads 'minutes'"),
        ({"leak": past(slow.value, by=[trips.city], known_at=trips.end, at=trips.end)}, "feature 'leak' reads 'end'"),
        ({"city": trips.city}, "feature 'city' has the name of a key or slice column"),
        ({"start_at": trips.start}, "feature 'start_at' is a moment"),
        ({"other": Columns(kms=number()).kms}, "column 'kms' is not declared as number"),
    ],
)
def test_a_view_that_could_see_the_future_or_is_wrong_is_refused(change: dict[str, Expr], message: str) -> None:
    with pytest.raises(ParameterError) as raised:
        trips_view(**change)

    assert message in raised.value.message


def test_all_faults_of_a_view_come_at_once() -> None:
    with pytest.raises(ParameterError) as raised:
        view("v", on="trips", columns=trips, key=["ids"], moment=trips.km, features={"id": trips.minutes}, label=Label(trips.end, trips.km))

    for part in (
        "'ids' is not declared, did you mean id?",
        "moment of prediction is a number",
        "label is a moment",
        "known_at is a number",
        "'minutes'",
    ):
        assert part in raised.value.message


def test_a_view_without_features_is_refused() -> None:
    with pytest.raises(ParameterError, match="there are no features"):
        view("v", on="trips", columns=trips, key=["id"], moment=trips.start, features={})


def test_only_text_can_be_encoded() -> None:
    with pytest.raises(ParameterError, match="is no category to encode"):
        feature(trips.km, encode=Means())
    with pytest.raises(ParameterError, match="no feature family 'magic'"):
        feature(trips.km, family="magic")  # type: ignore[arg-type]


def test_the_decorator_defines_a_view_named_after_its_function() -> None:
    @features(on="trips", columns=trips, key=["id"], moment=trips.start, label=slow)
    def long_trips(row: Columns) -> dict[str, Expr]:
        return {"long": row.km > 10, "unit": row.km / 1.6}

    assert isinstance(long_trips, View)
    assert long_trips.name == "long-trips"
    assert list(long_trips.request_schema()) == ["id", "start", "km"]


def test_faults_of_a_table_come_at_once_with_the_nearest_name(tables: dict[str, pl.DataFrame]) -> None:
    broken = tables["trips"].rename({"km": "kms"}).with_columns(pl.col("minutes").cast(pl.String))

    with pytest.raises(ParameterError) as raised:
        view_tables.batch(trips_view(), tables | {"trips": broken})
    assert "it has no column 'km' (did you mean kms?); column 'minutes' is String, declared as number" in raised.value.message

    with pytest.raises(ParameterError, match="table 'taxis' was not given") as raised:
        view_tables.batch(trips_view(), {"trips": tables["trips"], "weather": tables["weather"], "taxi": tables["taxis"]})
    assert raised.value.hint.startswith("did you mean taxi")


def test_a_moment_that_is_none_is_refused_with_its_row(tables: dict[str, pl.DataFrame]) -> None:
    broken = tables["trips"].with_columns(pl.Series("start", ["2013-01-01T00:00:00Z", "yesterday", None, None, None]))

    with pytest.raises(ParameterError, match="table 'trips' column 'start' row 1 is 'yesterday', not a moment"):
        view_tables.batch(trips_view(), tables | {"trips": broken})


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["1970-01-02T00:00:00Z", "1970-01-02T07:00:00.5+07:00", None]),
        pl.Series(["1970-01-02T00:00:00", "1970-01-02T00:00:00.500", None]).str.to_datetime(),
        pl.Series(["1970-01-02T00:00:00", "1970-01-02T00:00:00.500", None])
        .str.to_datetime(time_zone="UTC")
        .dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([86_400_000, 86_400_500, None]),
    ],
    ids=["text", "naive", "zoned", "milliseconds"],
)
def test_moments_come_in_any_usual_form(column: pl.Series) -> None:
    built = view("v", on="t", columns=trips, key=["start"], moment=trips.start, features={"x": trips.start.seconds()})

    assert view_tables.batch(built, {"t": pl.DataFrame({"start": column})})["x"].to_list() == [86_400.0, 86_400.5, None]


def test_a_table_without_rows_gives_a_batch_without_rows(tables: dict[str, pl.DataFrame]) -> None:
    empty = {name: frame.clear() for name, frame in tables.items()}

    found = view_tables.batch(trips_view(), empty)

    assert found.height == 0
    with pytest.raises(ParameterError, match="cannot be fitted on no rows"):
        view_tables.fit(trips_view(), found)


def test_a_fitted_view_survives_json_and_its_bytes_are_stable(tables: dict[str, pl.DataFrame]) -> None:
    built = trips_view()
    frame = view_tables.batch(built, tables)
    fitted = view_tables.fit(built, frame)

    again = FittedView.from_json(fitted.to_json())

    assert again.to_json() == fitted.to_json() == view_tables.fit(trips_view(), frame.sample(fraction=1, shuffle=True, seed=1)).to_json()
    assert again.view == built
    assert again.view.digest == built.digest
    np.testing.assert_array_equal(fitted.matrix(frame), again.matrix(frame))


def test_another_definition_has_another_digest() -> None:
    assert trips_view().digest != trips_view(km=trips.km * 2).digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: b"{", "not a fitted feature view"),
        (lambda t: t.replace(b'"format": 1', b'"format": 2'), "features file of format 2"),
        (lambda t: t.replace(b'"op": "div"', b'"op": "eval"'), "unknown operation 'eval'"),
        (lambda t: t.replace(b'"name": "km",', b'"name": "minutes",'), "minutes"),
        (lambda t: t.replace(b'"city_slow": {', b'"city_fast": {'), "encoders do not fit the view: city_fast, city_slow"),
    ],
)
def test_a_file_that_is_none_or_was_tampered_with_is_refused(tables: dict[str, pl.DataFrame], change: object, message: str) -> None:
    built = trips_view()
    data = change(view_tables.fit(built, view_tables.batch(built, tables)).to_json())  # type: ignore[operator]

    with pytest.raises(ParameterError) as raised:
        FittedView.from_json(data)
    assert message in raised.value.message


@given(depth=st.integers(50_000, 60_000))
def test_a_file_nested_without_end_is_refused_not_a_crash(depth: int) -> None:
    with pytest.raises(ParameterError, match="not a fitted feature view"):
        FittedView.from_json(b'{"format":1,"encoders":{},"view":' + b"[" * depth)


def test_expressions_that_look_alike_are_one_struct() -> None:
    first, second = (where(trips.km > 1, trips.km, 0).node for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def test_a_label_may_name_a_class_and_is_then_no_number_to_encode_by(tables: dict[str, pl.DataFrame]) -> None:
    asked = {"on": "trips", "columns": trips, "key": ["id"], "moment": trips.start, "label": Label(trips.city, known_at=trips.end)}

    built = view("v", features={"km": trips.km}, **asked)  # type: ignore[arg-type]  # a table of arguments

    assert ["A", "A", "B", "A", None] == view_tables.batch(built, tables)["__label"].to_list()
    with pytest.raises(ParameterError, match="'taxi_mean' is encoded by the mean label, and the label is text"):
        view("v", features={"taxi_mean": feature(trips.taxi, encode=Means())}, **asked)  # type: ignore[arg-type]
