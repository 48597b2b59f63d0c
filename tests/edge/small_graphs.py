"""Small ONNX graphs of networks, from features to score."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime

FLOAT = onnx.TensorProto.FLOAT


def graph_of(nodes: list[Any], weights: dict[str, Any], n_features: int, shape: list[Any]) -> bytes:
    """Build a graph from features to score."""
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    given = onnx.helper.make_tensor_value_info("features", FLOAT, [None, n_features])
    out = onnx.helper.make_tensor_value_info("score", FLOAT, shape)
    graph = onnx.helper.make_graph(nodes, "g", [given], [out], constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def node(kind: str, given: list[str], out: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, given, [out], **attributes)


def expected_of(graph: bytes, rows: Any) -> Any:
    (found,) = onnxruntime.InferenceSession(graph).run(None, {"features": rows})
    return np.asarray(found, np.float64).reshape(len(rows), -1)


def network(rng: np.random.Generator, sizes: tuple[int, ...] = (18, 32, 16, 1)) -> bytes:
    nodes, weights, last = [], {}, "features"
    for n, (given, made) in enumerate(pairwise(sizes)):
        weights[f"w{n}"] = (rng.normal(size=(made, given)) / np.sqrt(given)).astype(np.float32)
        weights[f"b{n}"] = rng.normal(scale=0.1, size=made).astype(np.float32)
        nodes.append(node("Gemm", [last, f"w{n}", f"b{n}"], f"sum{n}", transB=1))
        last = f"sum{n}"
        if n < len(sizes) - 2:
            nodes.append(node("Relu", [last], f"kept{n}"))
            last = f"kept{n}"
    nodes.append(node("Sigmoid", [last], "score"))
    return graph_of(nodes, weights, sizes[0], [None, sizes[-1]])
