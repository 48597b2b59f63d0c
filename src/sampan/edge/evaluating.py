"""Programs evaluated with NumPy, for what needs usual values within them: rounding to int8 is fitted to the ranges that rows show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.program import Buffer, Convolution, Dense, Elementwise, Move, Pool, Program, Reduce, Softmax, Step, Window
from sampan.errors import Unsupported

Rows = NDArray[np.float32]


def values_in(program: Program, wanted: set[int], rows: Rows) -> dict[int, Rows]:
    """Return what buffers hold for rows of features, shape (n, size) each, by the buffers' numbers.

    Raises
    ------
    Unsupported : a step on the way is not evaluated here.
    """
    held: dict[int, Rows] = {program.given.number: np.asarray(rows, np.float32)}
    with np.errstate(all="ignore"):
        for step in program.steps:
            if wanted <= held.keys():
                break
            held[step.out.number] = _step(step, held).astype(np.float32)
    return {number: held[number] for number in wanted}


def _step(step: Step, held: dict[int, Rows]) -> NDArray[Any]:
    n = len(next(iter(held.values())))
    match step:
        case Elementwise():
            if step.operation not in _OPERATIONS:
                raise Unsupported(f"{step.operation} is not evaluated before rounding to int8", hint="keep the layers in float32")
            operands = [held[o.number] if isinstance(o, Buffer) else o for o in step.operands]
            return np.broadcast_to(_OPERATIONS[step.operation](*operands), (n, step.out.size))
        case Move():
            return np.concatenate([held[source.number][:, index] for source, index in step.pieces], axis=1)
        case Dense():
            found = held[step.given.number] @ step.weights.T + step.bias
            return np.maximum(found, 0) if step.relu else found
        case Reduce():
            return np.asarray(_REDUCTIONS[step.operation](held[step.given.number].reshape(n, step.out.size, -1)))
        case Softmax():
            runs = held[step.given.number].reshape(n, -1, step.width)
            powers = np.exp(runs - runs.max(axis=-1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=-1, keepdims=True)).reshape(n, -1)
        case Convolution():
            return _convolution(step, held[step.given.number])
        case Pool():
            return _pool(step, held[step.given.number])
    raise Unsupported(f"{type(step).__name__.lower()} before layers are not rounded to int8", hint="keep the layers in float32")


def _windows(window: Window, given: Rows, filler: float) -> NDArray[np.float32]:
    """Return what each window sees, shape (n, channels, height out, width out, height of the kernel, width of the kernel)."""
    channels, height, width = window.given
    planes = given.reshape(-1, channels, height, width)
    spans = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    ends = [(o - 1) * s + span - p for o, s, span, p in zip(window.out[1:], window.strides, spans, window.pads, strict=True)]
    after = [max(0, end - size) for end, size in zip(ends, (height, width), strict=True)]
    padded = np.pad(planes, ((0, 0), (0, 0), (window.pads[0], after[0]), (window.pads[1], after[1])), constant_values=filler)
    seen = np.lib.stride_tricks.sliding_window_view(padded, tuple(spans), axis=(2, 3))
    seen = seen[:, :, :: window.strides[0], :: window.strides[1]][:, :, : window.out[1], : window.out[2]]
    return np.asarray(seen[..., :: window.dilations[0], :: window.dilations[1]])


def _convolution(step: Convolution, given: Rows) -> NDArray[np.float32]:
    seen = _windows(step.window, given, 0.0)
    n, channels = seen.shape[:2]
    grouped = seen.reshape(n, step.groups, channels // step.groups, *seen.shape[2:])
    weights = step.weights.reshape(step.groups, -1, *step.weights.shape[1:])
    found = np.einsum("ngchwij,gocij->ngohw", grouped, weights, optimize=True).reshape(n, -1, *step.window.out[1:])
    found = found + step.bias[:, None, None]
    return np.asarray(np.maximum(found, 0) if step.relu else found).reshape(n, -1)


def _pool(step: Pool, given: Rows) -> NDArray[np.float32]:
    if step.operation == "max":
        return np.asarray(_windows(step.window, given, -np.inf).max(axis=(-1, -2))).reshape(len(given), -1)
    if step.counts_padding:
        return np.asarray(_windows(step.window, given, 0.0).mean(axis=(-1, -2))).reshape(len(given), -1)
    return np.asarray(np.nanmean(_windows(step.window, given, np.nan), axis=(-1, -2))).reshape(len(given), -1)


_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Div": np.divide,
    "Equal": lambda a, b: (a == b) * np.float32(1),
    "Exp": np.exp,
    "Greater": lambda a, b: (a > b) * np.float32(1),
    "Identity": lambda a: a,
    "IsNaN": lambda a: np.isnan(a) * np.float32(1),
    "LeakyRelu": lambda a, slope: np.where(a < 0, slope * a, a),
    "Less": lambda a, b: (a < b) * np.float32(1),
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": lambda a: (a == 0) * np.float32(1),
    "Relu": lambda a: np.maximum(a, 0),
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Where": lambda c, a, b: np.where(c != 0, a, b),
}
_REDUCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "max": lambda a: a.max(axis=-1),
    "mean": lambda a: a.mean(axis=-1),
    "min": lambda a: a.min(axis=-1),
    "norm1": lambda a: np.abs(a).sum(axis=-1),
    "norm2": lambda a: np.sqrt((a * a).sum(axis=-1)),
    "place": lambda a: a.argmax(axis=-1),
    "product": lambda a: a.prod(axis=-1),
    "sum": lambda a: a.sum(axis=-1),
}
