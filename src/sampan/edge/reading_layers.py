"""Layers of networks, linear models and scikit-learn's transformers, as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.program import Buffer, Convolution, Dense, Elementwise, Ladder, Pool, Reduce, Window
from sampan.errors import Unsupported

if TYPE_CHECKING:
    from sampan.edge.reading import Reader, Row

Attributes = Mapping[str, Any]


def _dense(reader: Reader, given: Row, weights: NDArray[Any], bias: NDArray[Any] | None) -> Row:
    """Write a step; weights have shape (outputs, inputs)."""
    if int(np.prod(given.elements.shape)) != weights.shape[1]:
        raise Unsupported("a product of matrices within one row is not generated", hint="sampan pack MODEL --target oci serves it whole")
    out = reader.buffer(len(weights))
    flat = np.zeros(len(weights), np.float32) if bias is None else np.broadcast_to(np.asarray(bias, np.float32).ravel(), len(weights))
    reader.steps.append(Dense(reader.floats(given), out, np.ascontiguousarray(weights, np.float32), np.ascontiguousarray(flat)))
    return reader.row(out, (*given.elements.shape[:-1], len(weights)))


def _gemm(reader: Reader, node: Any, attributes: Attributes) -> None:
    weights = reader.constant(node.input[1], "a weight") * attributes.get("alpha", 1.0)
    bias = reader.constant(node.input[2], "a bias") * attributes.get("beta", 1.0) if len(node.input) > 2 else None
    if attributes.get("transA"):
        raise Unsupported("a product of matrices within one row is not generated", hint="sampan pack MODEL --target oci serves it whole")
    reader.put(node, _dense(reader, reader.value(node.input[0]), weights if attributes.get("transB") else weights.T, bias))


def _matmul(reader: Reader, node: Any, _: Attributes) -> None:
    if ladder(reader, node):
        return
    weights = reader.constant(node.input[1], "a weight")
    if weights.ndim != 2:
        raise Unsupported(
            "a product with a weight that is no matrix is not generated", hint="sampan pack MODEL --target oci serves it whole"
        )
    reader.put(node, _dense(reader, reader.value(node.input[0]), weights.T, None))


def ladder(reader: Reader, node: Any) -> bool:
    """Read `(x >= edges) @ heights`, how a transform writes a function that is level between edges, as one step."""
    heights, given = np.asarray(reader.constant(node.input[1], "a weight"), np.float64), reader.value(node.input[0])
    step = next((s for s in reversed(reader.steps) if getattr(s, "out", None) == reader.whole(given)), None)
    if isinstance(step, Elementwise) and step.operation == "Identity":
        step = next((s for s in reversed(reader.steps) if s.out == step.operands[0]), None)
    if not isinstance(step, Elementwise) or step.operation != "GreaterOrEqual" or heights.shape[1:] != (1,):
        return False
    value, edges = step.operands
    if (
        not isinstance(value, Buffer)
        or isinstance(edges, Buffer)
        or value.size != 1
        or edges.size != len(heights)
        or (np.diff(edges) <= 0).any()
    ):
        return False
    out = reader.buffer(1, "double")
    summed = np.concatenate([[0.0], np.cumsum(heights[:, 0])])
    reader.steps.append(Ladder(value, out, np.asarray(edges, np.float64), summed))
    reader.put(node, reader.row(out, (1, 1)))
    return True


def _linear(reader: Reader, attributes: Attributes, given: Row, n: int) -> Row:
    weights = np.asarray(attributes["coefficients"], np.float32).reshape(n, -1)
    bias = np.asarray(attributes.get("intercepts") or np.zeros(n), np.float32)
    return _dense(reader, given, weights, bias)


def _linear_regressor(reader: Reader, node: Any, attributes: Attributes) -> None:
    from sampan.edge.reading import transformed

    sums = _linear(reader, attributes, reader.value(node.input[0]), int(attributes.get("targets", 1)))
    reader.put(node, transformed(reader, sums, attributes.get("post_transform", "NONE")))


def _linear_classifier(reader: Reader, node: Any, attributes: Attributes) -> None:
    from sampan.edge.reading import Row, transformed

    labels = attributes.get("classlabels_ints") or attributes.get("classlabels_strings") or ()
    given = reader.value(node.input[0])
    n = len(attributes["coefficients"]) // given.elements.shape[-1]
    sums = _linear(reader, attributes, given, n)
    how = attributes.get("post_transform", "NONE")
    if n == 1 and len(labels) == 2:
        shares = transformed(reader, sums, how)
        first = reader.computed("Sub", [np.ones(1, np.float32), shares]) if how == "LOGISTIC" else reader.computed("Neg", [shares])
        reader.put(node, Row(np.concatenate([first.elements, shares.elements], axis=1)), 1)
        return
    reader.put(node, transformed(reader, sums, how), 1)


def _scaler(reader: Reader, node: Any, attributes: Attributes) -> None:
    given: Any = reader.value(node.input[0])
    if (offset := attributes.get("offset")) is not None:
        given = reader.computed("Sub", [given, np.asarray(offset, np.float32)])
    if (scale := attributes.get("scale")) is not None:
        given = reader.computed("Mul", [given, np.asarray(scale, np.float32)])
    reader.put(node, given)


def _imputer(reader: Reader, node: Any, attributes: Attributes) -> None:
    given = reader.value(node.input[0])
    filled = np.asarray(attributes["imputed_value_floats"], np.float32)
    missing = float(attributes.get("replaced_value_float", np.nan))
    test = reader.computed("IsNaN", [given]) if np.isnan(missing) else reader.computed("Equal", [given, np.array([missing], np.float32)])
    reader.elementwise(node, "Where", [test, filled, given])


def _binarizer(reader: Reader, node: Any, attributes: Attributes) -> None:
    reader.elementwise(node, "Greater", [reader.value(node.input[0]), np.array([attributes.get("threshold", 0.0)], np.float32)])


def _one_hot(reader: Reader, node: Any, attributes: Attributes) -> None:
    from sampan.edge.reading import Row

    categories = attributes.get("cats_int64s")
    if categories is None:
        raise Unsupported("one-hot encoding of text within the graph is not generated", hint="encode categories in the feature view")
    given = reader.value(node.input[0]).elements
    reader.elementwise(node, "Equal", [Row(given[..., None]), np.asarray(categories, np.float32)])


def _normalizer(reader: Reader, node: Any, attributes: Attributes) -> None:
    given = reader.value(node.input[0])
    operation = {"MAX": "max", "L1": "norm1", "L2": "norm2"}[attributes.get("norm", "MAX")]
    out = reader.buffer(1)
    reader.steps.append(Reduce(operation, reader.floats(given), out))
    norm = reader.row(out, (1, 1))
    zero = reader.computed("Equal", [norm, np.zeros(1, np.float32)])
    reader.elementwise(node, "Div", [given, reader.computed("Where", [zero, np.ones(1, np.float32), norm])])


def _batch_normalization(reader: Reader, node: Any, attributes: Attributes) -> None:
    scale, bias, mean, variance = (np.asarray(reader.constant(name, "a weight"), np.float64) for name in node.input[1:5])
    given = reader.value(node.input[0])
    factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    shape = (1, -1, *(1,) * (given.elements.ndim - 2))
    product = reader.computed("Mul", [given, factor.astype(np.float32).reshape(shape)])
    reader.elementwise(node, "Add", [product, (bias - mean * factor).astype(np.float32).reshape(shape)])


def _planes(given: Row) -> tuple[int, int, int]:
    """Return channels, height and width; a line is a plane of height 1."""
    shape = given.elements.shape
    if len(shape) not in (3, 4):
        raise Unsupported(f"a convolution over {len(shape) - 2} dimensions is not generated", hint="use one or two")
    return (shape[1], 1, shape[2]) if len(shape) == 3 else (shape[1], shape[2], shape[3])


def _two(values: Any, *, line: bool, default: int) -> tuple[int, int]:
    found = tuple(values) if values else (default,) * (1 if line else 2)
    return (default, int(found[0])) if line else (int(found[0]), int(found[1]))


def _window(given: Row, attributes: Attributes, channels: int, kernel: tuple[int, ...]) -> Window:
    """Work out where a filter looks, with ONNX's conventions on padding."""
    line, planes = given.elements.ndim == 3, _planes(given)
    size = _two(kernel, line=line, default=1)
    strides = _two(attributes.get("strides"), line=line, default=1)
    dilations = _two(attributes.get("dilations"), line=line, default=1)
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    pads = attributes.get("pads") or [0] * (2 if line else 4)
    before, after = ((0, pads[0]), (0, pads[1])) if line else ((pads[0], pads[1]), (pads[2], pads[3]))
    auto = attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        outs = tuple(-(-planes[n + 1] // strides[n]) for n in (0, 1))
        lacking = [max((outs[n] - 1) * strides[n] + spans[n] - planes[n + 1], 0) for n in (0, 1)]
        before = tuple(each // 2 if auto == "SAME_UPPER" else -(-each // 2) for each in lacking)  # type: ignore[assignment]  # two numbers
    else:
        up = attributes.get("ceil_mode", 0)
        room = [planes[n + 1] + before[n] + after[n] - spans[n] for n in (0, 1)]
        outs = tuple((-(-room[n] // strides[n]) if up else room[n] // strides[n]) + 1 for n in (0, 1))
        if up:  # a window that begins in the padding after the plane is none
            outs = tuple(o - ((o - 1) * strides[n] >= planes[n + 1] + before[n]) for n, o in enumerate(outs))
    return Window(planes, (channels, outs[0], outs[1]), size, strides, (before[0], before[1]), dilations)


def _shape_of(window: Window, given: Row) -> tuple[int, ...]:
    channels, height, width = window.out
    return (1, channels, width) if given.elements.ndim == 3 else (1, channels, height, width)


def _convolution(reader: Reader, node: Any, attributes: Attributes) -> None:
    given = reader.value(node.input[0])
    weights = np.asarray(reader.constant(node.input[1], "a weight"), np.float32)
    window = _window(given, attributes, len(weights), weights.shape[2:])
    bias = reader.constant(node.input[2], "a bias") if len(node.input) > 2 else np.zeros(len(weights))
    out = reader.buffer(int(np.prod(window.out)))
    shaped = weights.reshape(len(weights), weights.shape[1], *window.kernel)
    reader.steps.append(
        Convolution(
            reader.floats(given), out, window, np.ascontiguousarray(shaped), np.asarray(bias, np.float32), int(attributes.get("group", 1))
        )
    )
    reader.put(node, reader.row(out, _shape_of(window, given)))


def _pool(operation: str) -> Callable[[Reader, Any, Attributes], None]:
    def read(reader: Reader, node: Any, attributes: Attributes) -> None:
        given = reader.value(node.input[0])
        window = _window(given, attributes, given.elements.shape[1], tuple(attributes["kernel_shape"]))
        out = reader.buffer(int(np.prod(window.out)))
        reader.steps.append(Pool(operation, reader.floats(given), out, window, bool(attributes.get("count_include_pad", 0))))
        reader.put(node, reader.row(out, _shape_of(window, given)))

    return read


def _global_pool(operation: str) -> Callable[[Reader, Any, Attributes], None]:
    def read(reader: Reader, node: Any, _: Attributes) -> None:
        given = reader.value(node.input[0])
        out = reader.buffer(given.elements.shape[1])
        reader.steps.append(Reduce(operation, reader.floats(given), out))
        reader.put(node, reader.row(out, (*given.elements.shape[:2], *(1,) * (given.elements.ndim - 2))))

    return read


LAYERS: Final[dict[str, Callable[[Any, Any, Attributes], None]]] = {
    "AveragePool": _pool("mean"),
    "BatchNormalization": _batch_normalization,
    "Binarizer": _binarizer,
    "Conv": _convolution,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "Imputer": _imputer,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "MatMul": _matmul,
    "MaxPool": _pool("max"),
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot,
    "Scaler": _scaler,
}
