"""Feature transforms as C make of a request what the package makes of it, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))  # under importlib's import mode

from drawn_expressions import ROW, ROWS, SCHEMA, expressions

from sampan.edge.program import Ladder
from sampan.edge.reading import read_program, read_transform
from sampan.edge.requests import answer_requests
from sampan.edge.source import Field, Generated, Schema, generate
from sampan.errors import Unsupported
from sampan.features import Columns, Expr, Means, View, concat, feature, moment, number, text, view, view_tables
from sampan.features.fitted import FittedView
from sampan.features.graph import feature_graph
from sampan.features.online import OnlineView

QUICK = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
KINDS = ("number", "text", "moment", "flag", "text", "number")


def same_features(n: int) -> bytes:
    """Build a model that answers with its features."""
    shape = [None, n]
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["features"], ["score"])
    graph = onnx.helper.make_graph([node], "g", [value("features", 1, shape)], [value("score", 1, shape)])
    return bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9).SerializeToString())


def generated_of(fitted: FittedView) -> Generated:
    transform, n = read_transform(feature_graph(fitted)), len(fitted.names)
    outputs = tuple(map(str, range(n)))
    return generate(read_program(same_features(n)), Schema("m", outputs=outputs, numbers=(Field("a"),)), transform=transform)


def features_of(fitted: FittedView, frame: pl.DataFrame, folder: Path) -> tuple[Any, Any]:
    """Return features by the generated code and by the package's own way, for the rows of a frame."""
    folder.mkdir(exist_ok=True)
    online = OnlineView.of(fitted, {})
    rows = frame.select(list(fitted.view.request_schema())).to_dicts()
    n = len(fitted.names)
    found, _ = answer_requests(generated_of(fitted), online.tensors(rows), (n, n), folder, flags=QUICK)
    return found, online.matrix(rows)


def view_of(drawn: list[Expr]) -> View:
    features: dict[str, Any] = {"plain": ROW.b}
    for n, expr in enumerate(drawn):
        value = expr if expr.kind != "moment" else expr - ROW.m
        features[f"drawn{n}"] = feature(value, encode=Means(smoothing=1) if expr.kind == "text" else None)
    return view("drawn", on="rows", columns=Columns(id=number(), **ROW), key=["id"], moment=ROW.m, features=features)


@pytest.mark.slow
@settings(
    max_examples=20,
    phases=(Phase.generate,),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=st.tuples(*(expressions(kind, 2) for kind in KINDS)), rows=ROWS)
def test_random_expressions_give_in_c_what_the_package_gives(tmp_path: Path, drawn: Any, rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA).with_row_index("id").with_columns(pl.col("id").cast(pl.Float64))
    whole = view_of(list(drawn))
    fitted = view_tables.fit(whole, view_tables.batch(whole, {"rows": frame}).with_columns(__label=pl.int_range(pl.len()).cast(pl.Float64)))
    try:
        feature_graph(fitted)
    except Unsupported:
        return  # no graph, no transform to generate

    found, expected = features_of(fitted, frame, tmp_path)

    assert np.allclose(found, expected, rtol=1e-6, atol=0, equal_nan=True)


def test_local_times_are_one_search_among_the_changes_of_the_clock(tmp_path: Path) -> None:
    columns = Columns(id=number(), at=moment(nullable=False), here=text(), there=text())
    features = {
        "hour": columns.at.hour("America/New_York"),
        "month": columns.at.month("Asia/Ho_Chi_Minh"),
        "route": feature(concat(columns.here, columns.there), encode=Means(smoothing=1)),
        "here": feature(columns.here.fill('no where, "@\\'), encode=Means(smoothing=1)),
    }
    clock = view("clock", on="rows", columns=columns, key=["id"], moment=columns.at, features=features)
    rng = np.random.default_rng(0)
    n = 200
    frame = pl.DataFrame(
        {
            "id": np.arange(n, dtype=np.float64),
            "at": rng.integers(0, 2_000_000_000_000, n).astype(np.float64),
            "here": [["a", "b,", "đ", None][i] for i in rng.integers(0, 4, n)],
            "there": [["", "c d", "xyzé", None][i] for i in rng.integers(0, 4, n)],
        },
        schema_overrides={"here": pl.String, "there": pl.String},
    )
    seen = frame.filter(pl.col("here").is_null() | (pl.col("here") != "a"))
    fitted = view_tables.fit(clock, view_tables.batch(clock, {"rows": seen}).with_columns(__label=pl.int_range(pl.len()).cast(pl.Float64)))

    found, expected = features_of(fitted, frame, tmp_path)

    steps = read_transform(feature_graph(fitted)).steps
    assert sum(isinstance(step, Ladder) for step in steps) >= 1
    assert np.array_equal(found, expected, equal_nan=True)
