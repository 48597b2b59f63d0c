"""Logistic ONNX graphs that misbehave on purpose, real ones: what they do, onnxruntime does.

A row with a large x1 sets them off: `throws_at` reads past the end of a constant, `hangs_at` goes round a loop a million million times,
`eats_at` fills hundreds of megabytes. `rounds` of a loop make every request slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

BIAS = -0.4
NEVER = 1e30


def wild_graph(
    weights: Sequence[float],
    *,
    throws_at: float = NEVER,
    hangs_at: float = NEVER,
    eats_at: float = NEVER,
    eats_bytes: int = 400 << 20,
    rounds: int = 0,
) -> bytes:
    """Build score = sigmoid(features @ weights + BIAS), with what goes wrong beside it."""
    constants = {
        "w": np.array(weights, np.float32).reshape(-1, 1),
        "b": np.array([BIAS], np.float32),
        "flat": np.array([-1], np.int64),
        "first": np.array([0], np.int64),
        "one": np.array([1.0], np.float32),
        "zero": np.array([0.0], np.float32),
        "rounds": np.array([rounds], np.int64),
        "far": np.array([5], np.int64),
        "forever": np.array([1 << 40], np.int64),
        "much": np.array([eats_bytes // 4], np.int64),
        "throws_at": np.array([throws_at], np.float32),
        "hangs_at": np.array([hangs_at], np.float32),
        "eats_at": np.array([eats_at], np.float32),
        "go_on": np.array(True),
    }
    nodes = [
        helper.make_node("Gather", ["features", "first"], ["x1"], axis=1),
        helper.make_node("ReduceMax", ["x1"], ["largest"], keepdims=0),
        *_if_above("throws", "far"),
        helper.make_node("Gather", ["one", "throws_n"], ["thrown"]),
        *_if_above("hangs", "forever"),
        helper.make_node("Add", ["hangs_n", "rounds"], ["trips_1"]),
        helper.make_node("Squeeze", ["trips_1"], ["trips"]),
        helper.make_node("Loop", ["trips", "go_on", "zero"], ["looped"], body=_round()),
        *_if_above("eats", "much"),
        helper.make_node("ConstantOfShape", ["eats_n"], ["eaten"], value=numpy_helper.from_array(np.array([1.0], np.float32))),
        helper.make_node("ReduceSum", ["eaten"], ["fed"], keepdims=0),
        helper.make_node("MatMul", ["features", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logit"]),
        helper.make_node("Mul", ["looped", "zero"], ["nothing_1"]),
        helper.make_node("Mul", ["fed", "zero"], ["nothing_2"]),
        helper.make_node("Add", ["logit", "nothing_1"], ["logit_1"]),
        helper.make_node("Add", ["logit_1", "nothing_2"], ["logit_2"]),
        helper.make_node("Mul", ["logit_2", "thrown"], ["logit_3"]),
        helper.make_node("Sigmoid", ["logit_3"], ["chance"]),
        helper.make_node("Reshape", ["chance", "flat"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "wild",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def _if_above(what: str, n: str) -> list[Any]:
    """Compute `{what}_n`: the constant `n` where a row's x1 is above `{what}_at`, else 0."""
    return [
        helper.make_node("Greater", ["largest", f"{what}_at"], [f"{what}_is"]),
        helper.make_node("Cast", [f"{what}_is"], [f"{what}_1"], to=TensorProto.INT64),
        helper.make_node("Mul", [f"{what}_1", n], [f"{what}_n"]),
    ]


def _round() -> Any:
    one = numpy_helper.from_array(np.array([1.0], np.float32), "step")
    return helper.make_graph(
        [helper.make_node("Identity", ["more"], ["goes_on"]), helper.make_node("Add", ["sum", "step"], ["next"])],
        "round",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", TensorProto.FLOAT, [1])],
        [one],
    )
