"""Fewer neurons: the units of a network's hidden layers that matter least are taken out, and the next layer is fitted anew without them.

A zero among the weights saves nothing, since no kernel skips it; a unit that is gone saves its row and its column. Which units matter is
seen on rows: how strongly a unit is active, times how much the next layer makes of it. The next layer's weights are then fitted by least
squares, so that what it adds up stays as near as can be.

References
----------
J.-H. Luo, J. Wu, W. Lin (2017), "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression", ICCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.compression.timing import open_session
from sampan.errors import Unsupported
from sampan.plugins import require

_ACTIVATIONS: Final = ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Selu", "Gelu", "Softplus")
_RIDGE: Final = 1e-4
_LEAST: Final = 2

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Layer:
    """A product with weights, and the constant added to it."""

    weights: str  # the initializer's name
    constant: str  # "" where there is none
    transposed: bool  # weights are (out, in)
    output: str


class _Arrays:
    """A graph's weights by name, to read and to replace."""

    def __init__(self, model: Any) -> None:
        self._helper = require("onnx", extra="train").numpy_helper
        self._known = {each.name: each for each in model.graph.initializer}

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._helper.to_array(self._known[name])
        return found

    def __setitem__(self, name: str, value: NDArray[Any]) -> None:
        self._known[name].CopyFrom(self._helper.from_array(np.ascontiguousarray(value), name))


@dataclass(slots=True)
class _Hidden:
    """A hidden layer: what makes it, its activation's output, what takes it."""

    before: _Layer
    active: str
    after: _Layer


def with_fewer_units(graph: bytes, rows: NDArray[np.float32], share: float) -> bytes:
    """Return a graph that keeps this share of every hidden layer's units.

    Parameters
    ----------
    rows : shape (n, k), rows like those the model learned from

    Raises
    ------
    Unsupported : the graph is no chain of layers with an activation between them.
    """
    onnx = require("onnx", extra="train")
    model = onnx.load_from_string(graph)
    hidden = _hidden_layers(model)
    if not hidden:
        raise Unsupported("no hidden layer between two products with weights")
    del model.graph.value_info[:]  # the shapes in between change
    before = _activities(model, [each.active for each in hidden], rows)
    for layer in hidden:  # one after the other: a later layer is fitted to what the earlier ones still say
        now = _activities(model, [layer.active], rows)
        _thin(model, layer, before[layer.active].astype(np.float64), now[layer.active].astype(np.float64), share)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _thin(model: Any, layer: _Hidden, before: Floats, active: Floats, share: float) -> None:
    """Take units out of one layer; `before` is how active its units were in the graph as it came, `active` as they are now."""
    arrays = _Arrays(model)
    outgoing = _oriented(arrays[layer.after.weights], layer.after).astype(np.float64)
    n_units = active.shape[1]
    n_kept = max(_LEAST, round(share * n_units))
    if n_kept >= n_units:
        return
    matters = np.sqrt((active**2).mean(axis=0)) * np.sqrt((outgoing**2).sum(axis=1))
    kept = np.sort(np.argsort(-matters, kind="stable")[:n_kept])
    wanted = before @ outgoing
    design = np.column_stack([active[:, kept], np.ones(len(active))]) if layer.after.constant else active[:, kept]
    penalty = _RIDGE * max(float((design**2).mean()), 1e-12) * len(design)
    start = np.vstack([outgoing[kept], np.zeros((1, outgoing.shape[1]))]) if layer.after.constant else outgoing[kept]
    # Nearest to the weights there were: units that always move together leave the rest undetermined.
    moved = np.linalg.solve(design.T @ design + penalty * np.eye(design.shape[1]), design.T @ (wanted - design @ start))
    fitted = start + moved
    if layer.after.constant:
        constant = arrays[layer.after.constant]
        arrays[layer.after.constant] = (constant + fitted[-1].reshape(constant.shape)).astype(np.float32)
        fitted = fitted[:-1]
    arrays[layer.after.weights] = _back(fitted.astype(np.float32), layer.after)
    arrays[layer.before.weights] = _back(_oriented(arrays[layer.before.weights], layer.before)[:, kept], layer.before)
    if layer.before.constant:
        constant = arrays[layer.before.constant]
        arrays[layer.before.constant] = np.take(constant, kept, axis=constant.ndim - 1)


def _oriented(weights: NDArray[Any], layer: _Layer) -> NDArray[Any]:
    """Return weights as (in, out)."""
    return weights.T if layer.transposed else weights


def _back(weights: NDArray[Any], layer: _Layer) -> NDArray[Any]:
    return np.ascontiguousarray(weights.T if layer.transposed else weights)


def _activities(model: Any, names: list[str], rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    onnx = require("onnx", extra="train")
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.extend([onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names])
    session = open_session(shown.SerializeToString())
    found = session.run(names, {session.get_inputs()[0].name: np.ascontiguousarray(rows)})
    return dict(zip(names, found, strict=True))


def _hidden_layers(model: Any) -> list[_Hidden]:
    """Find each activation whose input is one layer's output alone, and whose output one layer alone takes."""
    graph = model.graph
    weights = {each.name: len(each.dims) for each in graph.initializer}
    takers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    makers = {name: node for node in graph.node for name in node.output}
    found = []
    for node in graph.node:
        if node.op_type not in _ACTIVATIONS or len(takers.get(node.output[0], ())) != 1 or len(takers[node.input[0]]) != 1:
            continue
        before = _ending_in(makers.get(node.input[0]), makers, weights)
        after = _beginning_with(takers[node.output[0]][0], takers, weights)
        if before is not None and after is not None:
            found.append(_Hidden(before, node.output[0], after))
    return found


def _ending_in(node: Any, makers: dict[str, Any], weights: dict[str, int]) -> _Layer | None:
    """Read the layer that a node ends: a Gemm, or a MatMul with an Add after it."""
    if node is not None and node.op_type == "Add":
        constant = next((name for name in node.input if name in weights), "")
        product = next((makers.get(name) for name in node.input if name not in weights), None)
        layer = _product(product, weights) if constant and product is not None and product.op_type == "MatMul" else None
        return None if layer is None else _Layer(layer.weights, constant, layer.transposed, node.output[0])
    return _product(node, weights)


def _beginning_with(node: Any, takers: dict[str, list[Any]], weights: dict[str, int]) -> _Layer | None:
    layer = _product(node, weights)
    if layer is None or layer.constant or len(takers.get(layer.output, ())) != 1:
        return layer
    add = takers[layer.output][0]
    constant = next((name for name in add.input if name in weights), "") if add.op_type == "Add" else ""
    return _Layer(layer.weights, constant, layer.transposed, layer.output)


def _product(node: Any, weights: dict[str, int]) -> _Layer | None:
    """Read a product with weights whose input is what came before."""
    if node is None or node.op_type not in ("MatMul", "Gemm") or weights.get(node.input[1]) != 2 or node.input[0] in weights:
        return None
    told = {each.name: each for each in node.attribute}
    scaled = any(name in told and told[name].f != 1 for name in ("alpha", "beta")) or ("transA" in told and told["transA"].i)
    if scaled:
        return None
    constant = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
    return _Layer(node.input[1], constant, "transB" in told and bool(told["transB"].i), node.output[0])
