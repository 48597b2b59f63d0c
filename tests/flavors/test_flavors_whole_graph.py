"""Two graphs made one: their names do not meet, and a model's older opset is lifted without another meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sampan.errors import IntegrityError, Unsupported
from sampan.flavors.whole_graph import WholeScorer, whole_graph


def front(opset: int = 21, width: int = 2) -> bytes:
    """Return features = 2 * num, as float32."""
    nodes = [
        helper.make_node("Cast", ["num"], ["t0"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["t0", "c0"], ["features"]),
    ]
    given = [helper.make_tensor_value_info("num", TensorProto.DOUBLE, [None, width])]
    made = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])]
    return graph(nodes, given, made, [helper.make_tensor("c0", TensorProto.FLOAT, [], [2.0])], opset)


def model(*nodes: onnx.NodeProto, opset: int = 15) -> bytes:
    given = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])]
    made = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])]
    return graph(list(nodes), given, made, [helper.make_tensor("c0", TensorProto.FLOAT, [], [10.0])], opset)


def graph(nodes: list[Any], given: list[Any], made: list[Any], constants: list[Any], opset: int) -> bytes:
    built = helper.make_graph(nodes, "g", given, made, constants)
    return bytes(helper.make_model(built, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString())


def test_equal_names_in_both_graphs_stay_apart_and_old_reductions_are_said_anew() -> None:
    old = model(
        helper.make_node("Mul", ["features", "c0"], ["t0"]), helper.make_node("ReduceMean", ["t0"], ["score"], axes=[1], keepdims=0)
    )

    features, scores = WholeScorer(whole_graph(front(), old))({"num": np.array([[1.0, 2.0], [3.0, 5.0]])})

    np.testing.assert_array_equal([[2, 4], [6, 10]], features)
    np.testing.assert_array_equal([30, 80], scores)


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        (model(helper.make_node("Split", ["features"], ["a", "score"], axis=1)), "Split of opset 15"),
        (front(), "does not give"),
    ],
)
def test_what_would_mean_something_else_is_refused(last: bytes, fault: str) -> None:
    with pytest.raises(Unsupported, match=fault):
        whole_graph(front(), last)


def test_a_whole_graph_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(IntegrityError, match="cannot be loaded"):
        WholeScorer(b"no graph")
