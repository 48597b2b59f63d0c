"""Arrays that write down what is done to them, as nodes of an ONNX graph.

The kernels of `operations.py` are numpy; called with a `Traced` instead of an array, they leave a graph behind that computes the same. So a
feature keeps its one definition, and batch, single requests and graph cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.features import moments
from sampan.table.graph_writer import BOOL, DOUBLE, Writer

_YEARS: Final = (1900, 2199)  # those that `moments.local` has local times for

_UFUNCS: Final = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.floor: "Floor",
    np.sqrt: "Sqrt",
    np.sin: "Sin",
    np.cos: "Cos",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.equal: "Equal",
    np.bitwise_and: "And",
    np.bitwise_or: "Or",
    np.isnan: "IsNaN",
}
_TESTS: Final = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or", "IsNaN")


class Traced:
    """A column of numbers in a graph, shape (n, 1): double, or bool where a comparison made it."""

    __slots__ = ("kind", "name", "writer")
    __hash__ = None  # type: ignore[assignment]  # equality is elementwise

    def __init__(self, writer: Writer, name: str, kind: int = DOUBLE) -> None:
        self.writer = writer
        self.name = name
        self.kind = kind

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Traced:
        if method != "__call__" or options:
            raise Unsupported(f"numpy's {ufunc.__name__}.{method} has no counterpart in ONNX")
        if ufunc in _TRACED_UFUNCS:
            return _TRACED_UFUNCS[ufunc](self.writer, *inputs)
        op = _UFUNCS.get(ufunc)
        if op is None:
            raise Unsupported(f"numpy's {ufunc.__name__} has no counterpart in ONNX")
        kind = BOOL if op in ("And", "Or") else DOUBLE
        names = [of(self.writer, each, kind).name for each in inputs]
        return Traced(self.writer, self.writer.node(op, *names), BOOL if op in _TESTS else DOUBLE)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: dict[str, Any]) -> Traced:
        if function not in _TRACED_FUNCTIONS:
            raise Unsupported(f"numpy's {function.__name__} has no counterpart in ONNX")
        return _TRACED_FUNCTIONS[function](self.writer, *args, **options)

    def local(self, zone: str) -> Traced:
        """Shift moments by the zone's offset then; see `moments.local`."""
        first, last = moments.FIRST, moments.LAST
        inside = (self >= first) & (self < last)
        kept = choose(self.writer, inside, self, np.nan)
        if zone == "UTC":
            return kept
        changes, shifts = moments.offsets(zone, *_YEARS)
        return kept + (float(shifts[0]) + _steps(self.writer, self, changes, np.diff(shifts)))

    # Operators go by way of numpy's ufuncs, so that there is one table of what is known.
    def __add__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.add, "__call__", self, other)

    def __radd__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.add, "__call__", other, self)

    def __sub__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.subtract, "__call__", self, other)

    def __rsub__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.subtract, "__call__", other, self)

    def __mul__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.multiply, "__call__", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.divide, "__call__", self, other)

    def __mod__(self, other: float) -> Traced:
        whole: Traced = np.floor(self / other)
        return self - whole * other

    def __neg__(self) -> Traced:
        return self.__array_ufunc__(np.negative, "__call__", self)

    def __lt__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.less, "__call__", self, other)

    def __le__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.less_equal, "__call__", self, other)

    def __gt__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.greater, "__call__", self, other)

    def __ge__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.greater_equal, "__call__", self, other)

    def __eq__(self, other: object) -> Traced:  # type: ignore[override]  # elementwise, as arrays have it
        return self.__array_ufunc__(np.equal, "__call__", self, other)

    def __ne__(self, other: object) -> Traced:  # type: ignore[override]
        return self.__array_ufunc__(np.not_equal, "__call__", self, other)

    def __and__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.bitwise_and, "__call__", self, other)

    def __or__(self, other: Any) -> Traced:
        return self.__array_ufunc__(np.bitwise_or, "__call__", self, other)


def of(writer: Writer, value: Any, kind: int = DOUBLE) -> Traced:
    """Return a value as a column of this kind: a number becomes a constant."""
    if not isinstance(value, Traced):
        return Traced(writer, writer.constant(np.asarray(value, np.float64).reshape(1, -1)))
    if value.kind == kind:
        return value
    return Traced(writer, writer.node("Cast", value.name, to=kind), kind)


def _steps(writer: Writer, value: Traced, edges: Any, heights: Any) -> Traced:
    """Return the sum of the heights of all edges that lie at or below each value; whole numbers, so the sum is exact."""
    if not len(edges):
        return value * 0.0
    above = writer.node("GreaterOrEqual", of(writer, value).name, writer.constant(np.asarray(edges, np.float64).reshape(1, -1)))
    marks = writer.node("Cast", above, to=DOUBLE)
    return Traced(writer, writer.node("MatMul", marks, writer.constant(np.asarray(heights, np.float64).reshape(-1, 1))))


def _pair(op: str) -> Callable[..., Traced]:
    """Min and Max: ONNX says nothing of missing values, numpy that they stay missing."""

    def write(writer: Writer, a: Any, b: Any) -> Traced:
        first, second = of(writer, a), of(writer, b)
        test = first <= second if op == "Min" else first >= second
        chosen = choose(writer, test, first, second)
        return chosen + (first * 0.0 + second * 0.0)

    return write


def _log1p(writer: Writer, a: Any) -> Traced:
    """Write log(1 + x) so that small x keep their digits: log(u) * x / (u - 1) for u = 1 + x (W. Kahan)."""
    value = of(writer, a)
    u = value + 1.0
    near = u - 1.0
    ratio = Traced(writer, writer.node("Log", u.name)) * value / choose(writer, near == 0.0, of(writer, 1.0), near)
    return choose(writer, near == 0.0, value, ratio)


def _not_equal(writer: Writer, a: Any, b: Any) -> Traced:
    same = writer.node("Equal", of(writer, a).name, of(writer, b).name)
    return Traced(writer, writer.node("Not", same), BOOL)


def choose(writer: Writer, test: Any, a: Any, b: Any) -> Traced:
    """Take `a` where the test holds, else `b`."""
    names = (of(writer, test, BOOL).name, of(writer, a).name, of(writer, b).name)
    return Traced(writer, writer.node("Where", *names))


def _isin(writer: Writer, value: Any, wanted: Sequence[float]) -> Traced:
    known = writer.constant(np.array(sorted(wanted), np.float64).reshape(1, -1))
    same = writer.node("Cast", writer.node("Equal", of(writer, value).name, known), to=DOUBLE)
    return Traced(writer, writer.node("ReduceMax", same, writer.constant([1], 7), keepdims=1))


def _searchsorted(writer: Writer, edges: Any, value: Any, *, side: str) -> Traced:
    if side != "right":
        raise Unsupported(f"searchsorted(side={side!r}) has no counterpart in ONNX")
    return _steps(writer, value, edges, np.ones(len(edges)))


def distance_to(value: Traced, known: Sequence[float]) -> Traced:
    """Return how far each value is from the nearest of `known`."""
    writer = value.writer
    apart = writer.node("Sub", value.name, writer.constant(np.array(known, np.float64).reshape(1, -1)))
    return Traced(writer, writer.node("ReduceMin", writer.node("Abs", apart), writer.constant([1], 7), keepdims=1)) + value * 0.0


_TRACED_UFUNCS: dict[np.ufunc, Callable[..., Traced]] = {
    np.not_equal: _not_equal,
    np.minimum: _pair("Min"),
    np.maximum: _pair("Max"),
    np.log1p: _log1p,
}
_TRACED_FUNCTIONS: dict[Callable[..., Any], Callable[..., Traced]] = {np.where: choose, np.isin: _isin, np.searchsorted: _searchsorted}
