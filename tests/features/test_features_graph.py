"""A view's ONNX graph computes what the view computes: random expressions over random rows, and fetched values as inputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from drawn_expressions import ROW, ROWS, SCHEMA, expressions

from sampan.features import Codes, Columns, Expr, Means, View, as_of, feature, lookup, moment, number, text, view, view_tables
from sampan.features.fitted import FittedView
from sampan.features.graph import InputColumn, feature_graph, inputs_of, leaves
from sampan.features.online import OnlineView
from sampan.features.view import FeatureOptions
from sampan.table.graph_writer import MISSING

HOUR = 3_600_000


def run(fitted: FittedView, tensors: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    graph = feature_graph(fitted)
    onnx.checker.check_model(onnx.load_from_string(graph))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {each.name: tensors[each.name] for each in session.get_inputs()})[0]
    return found


def of_one(expr: Expr) -> View:
    """Define a view whose features are the expression, beside plain columns on both sides."""
    value = expr if expr.kind != "moment" else expr - ROW.m
    features: dict[str, Expr | FeatureOptions] = {
        "plain": ROW.b,
        "drawn": feature(value, encode=Means(smoothing=1) if expr.kind == "text" else None),
        "last": ROW.a,
    }
    return view("drawn", on="rows", columns=Columns(id=number(), **ROW), key=["id"], moment=ROW.m, features=features)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(expr=st.sampled_from(["number", "text", "moment", "flag"]).flatmap(lambda kind: expressions(kind, 3)), rows=ROWS)
def test_the_graph_of_a_random_expression_gives_what_batch_gives(expr: Expr, rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA).with_row_index("id").with_columns(pl.col("id").cast(pl.Float64))
    drawn = of_one(expr)
    raw = view_tables.batch(drawn, {"rows": frame})
    fitted = view_tables.fit(drawn, raw.with_columns(__label=pl.int_range(pl.len()).cast(pl.Float64)))

    found = run(fitted, OnlineView.of(fitted, {}).tensors(frame.select(list(drawn.request_schema())).to_dicts()))

    np.testing.assert_allclose(found, fitted.matrix(raw), rtol=2e-7, atol=1e-12)


VISITS = Columns(id=number(nullable=False), shop=text(), at=moment(nullable=False), price=number())


def visits_view() -> View:
    size = lookup("shops", {"shop": VISITS.shop}, "size")
    return view(
        "visits",
        on="visits",
        columns=VISITS,
        key=["id"],
        moment=VISITS.at,
        features={
            "price": VISITS.price,
            "shop": feature(VISITS.shop, encode=Codes()),
            "size": size,
            "per_size": VISITS.price / size,
            "owner": lookup("shops", {"shop": VISITS.shop}, "owner", kind="text"),
            "rain": as_of("weather", {"shop": VISITS.shop}, "rain", time="hour", tolerance="3h").fill(-1),
            "weekday": VISITS.at.weekday("America/New_York"),
        },
    )


TABLES = {
    "shops": pl.DataFrame({"shop": ["a", "b"], "size": [2.0, 0.0], "owner": ["ana", None]}),
    "weather": pl.DataFrame({"shop": ["a"], "hour": [HOUR], "rain": [0.5]}),
    "visits": pl.DataFrame(
        {"id": [1.0, 2.0, 3.0], "shop": ["a", "b", "zzz"], "at": [2 * HOUR, HOUR, 90 * HOUR], "price": [1.0, 2.0, None]}
    ),
}


def test_what_a_store_answers_stands_among_the_inputs_by_name() -> None:
    built = visits_view()
    raw = view_tables.batch(built, TABLES)
    fitted = view_tables.fit(built, raw.head(2))
    online = OnlineView.of(fitted, view_tables.online_tables(built, TABLES, 10**15))
    rows = TABLES["visits"].select(list(built.request_schema())).to_dicts()

    inputs = inputs_of(leaves(fitted))
    tensors = online.tensors([*rows, {**rows[0], "shop": None}])

    assert ("price", "size", "weather.rain", "at") == tuple(each.name for each in inputs.num)
    assert (InputColumn("shop", "text", "request"), InputColumn("owner", "text", "store")) == inputs.cat
    assert MISSING == tensors["cat"][3, 0]
    np.testing.assert_array_equal(run(fitted, tensors)[:3], fitted.matrix(raw))
    np.testing.assert_array_equal(run(fitted, tensors), online.matrix([*rows, {**rows[0], "shop": None}]))


def test_a_graph_takes_any_number_of_rows_and_is_the_same_bytes_each_time() -> None:
    built = visits_view()
    fitted = view_tables.fit(built, view_tables.batch(built, TABLES))
    online = OnlineView.of(fitted, view_tables.online_tables(built, TABLES, 10**15))

    assert (0, 7) == run(fitted, online.tensors([])).shape
    assert feature_graph(fitted) == feature_graph(FittedView.from_json(fitted.to_json()))


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "UTC"])
def test_local_times_around_changes_of_the_clock_are_those_of_batch(zone: str) -> None:
    rows = Columns(id=number(), at=moment())
    features = {part: getattr(rows.at, part)(zone) for part in ("hour", "minute_of_day", "weekday", "month", "day_of_year", "local_day")}
    built = view("clock", on="rows", columns=rows, key=["id"], moment=rows.at, features=features)
    times = [t + d for t in (1_362_898_800_000, 1_383_458_400_000, 1_365_260_400_000, -2_208_988_800_001) for d in (-1, 0, 1, 1_800_000)]
    frame = pl.DataFrame({"id": range(len(times)), "at": times}, schema={"id": pl.Float64, "at": pl.Int64})
    raw = view_tables.batch(built, {"rows": frame})
    fitted = view_tables.fit(built, raw)

    np.testing.assert_array_equal(run(fitted, OnlineView.of(fitted, {}).tensors(frame.select("id", "at").to_dicts())), fitted.matrix(raw))
