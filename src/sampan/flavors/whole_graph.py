"""One graph of two: the feature transform before the model. What a request says goes in; the features and the score come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import INPUT, OUTPUT, checked_graph, open_session
from sampan.plugins import require

_FRONT, _MODEL = "front_", "model_"
# Operations whose axes were an attribute before opset 18 and are an input since.
_REDUCTIONS: Final = {f"Reduce{each}" for each in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")}
# Operations that mean something else in later opsets, beyond taking more types; met in no graph of ours, so refused.
_CHANGED: Final = ("Split", "Pad", "Resize", "Upsample", "GridSample", "GroupNormalization", "DFT")


def whole_graph(front: bytes, model: bytes) -> bytes:
    """Put a feature transform before a graph of the common shape.

    Raises
    ------
    Unsupported : the two do not fit together, or the model's graph cannot be said in the transform's opset.
    """
    onnx = require("onnx", extra="train")
    first, last = onnx.load_from_string(front), onnx.load_from_string(model)
    version = max(_version(first), _version(last))
    _lift(onnx, first, version)
    _lift(onnx, last, version)
    _rename(first, _FRONT, keep={*(each.name for each in first.graph.input), INPUT})
    _rename(last, _MODEL, keep={INPUT, *(each.name for each in last.graph.output)})
    if [each.name for each in first.graph.output] != [INPUT] or [each.name for each in last.graph.input] != [INPUT]:
        raise Unsupported("the transform does not give what the model's graph takes", hint="pack the model again")
    graph = onnx.helper.make_graph(
        [*first.graph.node, *last.graph.node],
        "whole",
        list(first.graph.input),
        [*first.graph.output, *last.graph.output],
        [*first.graph.initializer, *last.graph.initializer],
    )
    domains = {each.domain: each.version for each in (*first.opset_import, *last.opset_import)}
    opsets = [onnx.helper.make_opsetid(domain, number) for domain, number in sorted(domains.items())]
    ir_version = max(first.ir_version, last.ir_version)
    merged = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, producer_name="sampan", functions=list(last.functions)
    )
    return checked_graph(merged)


class WholeScorer:
    """Runs a whole graph with one thread, as `OnnxScorer` runs a model's."""

    def __init__(self, graph: bytes) -> None:
        self._session = open_session(graph)

    def __call__(self, tensors: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return features, shape (n, k), and one score per row, shape (n,)."""
        features, scores = self._session.run([INPUT, OUTPUT], tensors)
        return features, np.asarray(scores, dtype=np.float64)


def _version(model: Any) -> int:
    return next((int(each.version) for each in model.opset_import if each.domain == ""), 1)


def _lift(onnx: Any, model: Any, version: int) -> None:
    """Say a graph in a later opset."""
    if _version(model) == version:
        return
    for node in model.graph.node:
        if node.domain == "" and node.op_type in _CHANGED:
            raise Unsupported(f"{node.op_type} of opset {_version(model)} means something else in {version}", hint="it is served as it is")
        axes = [each for each in node.attribute if each.name == "axes"]
        if node.domain == "" and node.op_type in _REDUCTIONS and axes:
            name = f"axes_of_{node.output[0]}"
            model.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(axes[0].ints)], axes[0].ints))
            node.input.append(name)
            node.attribute.remove(axes[0])
    for each in model.opset_import:
        if each.domain == "":
            each.version = version


def _rename(model: Any, prefix: str, keep: set[str]) -> None:
    """Give everything within a graph a prefix, so that two graphs cannot mean two things by one name."""
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        raise Unsupported("a graph with graphs in it is not put behind a transform", hint="the model is served as it is")

    def named(name: str) -> str:
        return name if name in keep or not name else prefix + name

    for node in model.graph.node:
        node.input[:] = [named(each) for each in node.input]
        node.output[:] = [named(each) for each in node.output]
        node.name = named(node.name)
    for each in model.graph.initializer:
        each.name = named(each.name)
