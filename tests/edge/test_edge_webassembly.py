"""WebAssembly and its module answer as ONNX does: features of random expressions, in Node, and the score."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))  # drawn_expressions, under importlib's import mode

from drawn_expressions import ROW, ROWS, SCHEMA, expressions

from sampan.edge.program import Buffer, Elementwise, Program
from sampan.edge.source import Schema, generate
from sampan.edge.toolchains import require_tool
from sampan.edge.webassembly import About, ask_module, compile_wasm, operations, read_transform, write_module
from sampan.errors import MissingDependency, StepFailed, Unsupported
from sampan.features import Columns, Expr, Means, feature, number, view, view_tables
from sampan.features.fitted import FittedView
from sampan.features.graph import feature_graph, inputs_of, leaves
from sampan.features.online import OnlineView

N_FEATURES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the WebAssembly of a model of three features: the second, plus 0.5."""
    made = tmp_path_factory.mktemp("wasm")
    given, out = Buffer(0, N_FEATURES), Buffer(1, N_FEATURES)
    program = Program(given, out, (Elementwise("Add", (given, np.full(N_FEATURES, 0.5, np.float32)), out),))
    compile_wasm(generate(program, Schema("m", outputs=("a", "b", "c"))), made)
    return made


def about(fitted: FittedView, **more: Any) -> About:
    both = inputs_of(leaves(fitted))
    tensors = {"num": both.num, "cat": both.cat}
    return About(
        model="m@v1",
        version="v1",
        title="m",
        threshold=None,
        fields={c.name: {"type": c.kind, "nullable": True} for columns in tensors.values() for c in columns},
        features=fitted.names,
        outputs=("a", "b", "c"),
        inputs={name: tuple({"name": c.name, "kind": c.kind} for c in columns) for name, columns in tensors.items()},
        **more,
    )


def fitted_of(expr: Expr, frame: pl.DataFrame) -> FittedView:
    value = expr if expr.kind != "moment" else expr - ROW.m
    features = {"plain": ROW.b, "drawn": feature(value, encode=Means(smoothing=1) if expr.kind == "text" else None), "last": ROW.a}
    drawn = view("drawn", on="rows", columns=Columns(id=number(), **ROW), key=["id"], moment=ROW.m, features=features)
    raw = view_tables.batch(drawn, {"rows": frame})
    return view_tables.fit(drawn, raw.with_columns(__label=pl.int_range(pl.len()).cast(pl.Float64)))


def by_onnx(fitted: FittedView, requests: list[dict[str, Any]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(feature_graph(fitted), providers=["CPUExecutionProvider"])
    tensors = OnlineView.of(fitted, {}).tensors(requests)
    found: NDArray[np.float32] = session.run(None, {each.name: tensors[each.name] for each in session.get_inputs()})[0]
    return found


def sendable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON can carry them: nothing infinite, and what is not a number is missing."""

    def one(value: Any) -> Any:
        return (
            (None if math.isnan(value) else math.copysign(1e300, value)) if isinstance(value, float) and not math.isfinite(value) else value
        )

    return [{name: one(value) for name, value in row.items()} for row in rows]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(expr=st.sampled_from(["number", "text", "moment", "flag"]).flatmap(lambda kind: expressions(kind, 3)), rows=ROWS)
def test_a_module_computes_the_features_that_onnx_does(folder: Path, expr: Expr, rows: list[dict[str, Any]]) -> None:
    rows = sendable(rows)
    frame = pl.DataFrame(rows, schema=SCHEMA).with_row_index("id").with_columns(pl.col("id").cast(pl.Float64))
    fitted = fitted_of(expr, frame)
    used = [each.name for both in [inputs_of(leaves(fitted))] for each in (*both.num, *both.cat)]
    requests = frame.select(list(fitted.view.request_schema())).to_dicts()

    module = write_module(about(fitted), feature_graph(fitted), "m", folder)
    answered = ask_module(module, [{name: row[name] for name in used} for row in rows])

    expected = by_onnx(fitted, requests)
    # Sines and logarithms of two libraries may differ in their last digit, which counts where numbers nearly cancel.
    np.testing.assert_allclose(answered.features, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(answered.scores, (answered.features + np.float32(0.5)).astype(np.float64))


@pytest.mark.slow
def test_a_request_is_refused_with_all_its_faults(folder: Path) -> None:
    frame = pl.DataFrame([{"a": 1.0, "t": "A"}, {"a": 2.0, "t": "B"}], schema=SCHEMA).with_row_index("id").cast({"id": pl.Float64})
    fitted = fitted_of(ROW.t, frame)
    told = about(fitted)
    needed = msgspec.structs.replace(told, fields={**told.fields, "a": {"type": "number", "nullable": False}})
    module = write_module(needed, feature_graph(fitted), "m", folder)

    with pytest.raises(StepFailed) as refused:
        ask_module(module, [{"b": "x", "t": 3, "z": 1}])

    said = 'there is no field z; b is "x", expected a number; a is missing, expected a number; t is 3, expected text'
    assert said in refused.value.message


def test_a_tool_that_is_missing_is_named_with_the_package_that_has_it() -> None:
    with pytest.raises(MissingDependency) as refused:
        require_tool("no-such-node", "nodejs")

    assert ("no-such-node is not installed", "sudo apt-get install nodejs") == (refused.value.message, refused.value.hint)


def test_a_graph_with_other_operations_is_refused_by_name() -> None:
    node = onnx.helper.make_node("Softmax", ["num"], ["features"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 2]) for name in ("num", "features")]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])

    with pytest.raises(Unsupported, match="a page does not carry out Softmax"):
        read_transform(onnx.helper.make_model(graph).SerializeToString())


def test_what_the_module_carries_out_is_read_from_the_module() -> None:
    assert {"Add", "LabelEncoder", "Where", "StringConcat", "MatMul"} <= operations()
    assert 32 == len(operations())
