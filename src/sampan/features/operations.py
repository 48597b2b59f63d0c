"""Every operation of the expression language, its types and its one meaning; batch and online are both compiled from this table.

Missing values. A number, moment or flag is a finite float64 or missing (NaN here, null in Polars); text is a string or missing (None). An
operation with a missing operand gives missing, comparisons and `& | ~` included, and `where` whose condition is missing. Only `fill` and
`is_missing` take missing and give an answer. A result that is no finite number (1/0, log1p(-2), overflow) is missing. A flag is 1 or 0.

Batch and online must agree to the last bit: batch computes with these kernels, or with what cannot differ from them, see
`polars_operations.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.features import moments
from sampan.features.nodes import Apply, AsOf, Column, Kind, Literal, Lookup, Moment, Node, Past, Planned, request_children

Floats = NDArray[np.float64]
Texts = list[str | None]
Constants = tuple[float | str, ...]
Kernel = Callable[..., Any]  # kernel(*operands, *constants): float arrays or lists of text in, one of them out
NUMERIC: tuple[Kind, ...] = ("number", "flag")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: which kinds it takes, which it gives, how it is computed."""

    kinds: Callable[[Sequence[Kind]], Kind | None]  # None: it cannot take these
    takes: str  # in words, for the error
    kernel: Kernel


def _numbers(n: int) -> Callable[[Sequence[Kind]], Kind | None]:
    return lambda kinds: "number" if len(kinds) == n and all(k in NUMERIC for k in kinds) else None


def _flags(n: int) -> Callable[[Sequence[Kind]], Kind | None]:
    return lambda kinds: "flag" if len(kinds) == n and all(k == "flag" for k in kinds) else None


def _is(kind: Kind, gives: Kind) -> Callable[[Sequence[Kind]], Kind | None]:
    return lambda kinds: gives if list(kinds) == [kind] else None


def _one_of_any(kinds: Sequence[Kind]) -> Kind | None:
    return "flag" if len(kinds) == 1 else None


def _texts(kinds: Sequence[Kind]) -> Kind | None:
    return "text" if kinds and all(k == "text" for k in kinds) else None


def same_kind(a: Kind, b: Kind) -> Kind | None:
    """Return what two kinds have in common; flags count as numbers beside numbers."""
    if a == b:
        return a
    return "number" if a in NUMERIC and b in NUMERIC else None


def _added(kinds: Sequence[Kind]) -> Kind | None:
    pair = tuple("number" if k in NUMERIC else k for k in kinds)
    return {("number", "number"): "number", ("moment", "number"): "moment", ("number", "moment"): "moment"}.get(pair)  # type: ignore[return-value,arg-type]  # pairs of kinds


def _subtracted(kinds: Sequence[Kind]) -> Kind | None:
    pair = tuple("number" if k in NUMERIC else k for k in kinds)
    return {("number", "number"): "number", ("moment", "number"): "moment", ("moment", "moment"): "number"}.get(pair)  # type: ignore[return-value,arg-type]  # pairs of kinds


def _ordered(kinds: Sequence[Kind]) -> Kind | None:
    return "flag" if len(kinds) == 2 and same_kind(*kinds) in ("number", "moment", "flag") else None


def _equal_kinds(kinds: Sequence[Kind]) -> Kind | None:
    return "flag" if len(kinds) == 2 and same_kind(*kinds) else None


def _either(kinds: Sequence[Kind]) -> Kind | None:
    return same_kind(*kinds) if len(kinds) == 2 else None


def _extreme(kinds: Sequence[Kind]) -> Kind | None:
    return None if "text" in kinds else _either(kinds)


def _chosen(kinds: Sequence[Kind]) -> Kind | None:
    return same_kind(kinds[1], kinds[2]) if len(kinds) == 3 and kinds[0] == "flag" else None


def finite(values: Floats) -> Floats:
    """Make what is not finite missing."""
    return values + values * 0.0  # inf * 0 is NaN; two passes, several times faster than isfinite and where


def _compare(test: Callable[[Floats, Floats], NDArray[np.bool_]]) -> Kernel:
    return lambda a, b: test(a, b) + 0.0 * a + 0.0 * b


def _compare_any(test: Callable[[Any, Any], Any]) -> Kernel:
    compare = _compare(test)

    def kernel(a: Any, b: Any) -> Floats:
        if isinstance(a, list):
            return np.array([np.nan if x is None or y is None else float(test(x, y)) for x, y in zip(a, b, strict=True)], np.float64)
        return cast(Floats, compare(a, b))

    return kernel


def _where(condition: Floats, a: Any, b: Any) -> Any:
    if isinstance(a, list):
        return [x if c == 1 else y if c == 0 else None for c, x, y in zip(np.broadcast_to(condition, len(a)), a, b, strict=True)]
    return np.where(condition == 1, a, b) + 0.0 * condition


def _is_missing(a: Any) -> Floats:
    if isinstance(a, list):
        return np.array([x is None for x in a], np.float64)
    return cast(Floats, np.isnan(a) * 1.0)


def _fill(a: Any, b: Any) -> Any:
    if isinstance(a, list):
        return [y if x is None else x for x, y in zip(a, b, strict=True)]
    return np.where(np.isnan(a), b, a)


def _mod(a: Floats, b: Floats) -> Floats:
    return finite(a - np.floor(np.divide(a, b)) * b)


def _cut(a: Floats, *edges: float) -> Floats:
    return np.searchsorted(np.array(edges), a, side="right") + 0.0 * a


def _isin(a: Any, *values: float | str) -> Floats:
    wanted = frozenset(values)
    if isinstance(a, list):
        return np.array([np.nan if x is None else float(x in wanted) for x in a], np.float64)
    return cast(Floats, np.isin(a, list(wanted)) + 0.0 * a)


def _distance_to(a: Floats, *values: float) -> Floats:
    known = np.array(values)  # sorted by the builder
    place = np.searchsorted(known, a)
    below, above = known[np.maximum(place - 1, 0)], known[np.minimum(place, len(known) - 1)]
    return finite(np.minimum(np.abs(a - below), np.abs(a - above)))


def _concat(*parts: Any) -> Texts:
    *texts, separator = parts
    return [None if None in row else separator.join(row) for row in zip(*texts, strict=True)]


def _days(moment: Floats, zone: str) -> Any:
    return np.floor(moments.local(moment, zone) / moments.DAY)


def _time_of_day(moment: Floats, zone: str) -> Any:
    there = moments.local(moment, zone)
    return there - np.floor(there / moments.DAY) * moments.DAY


def _weekday(moment: Floats, zone: str) -> Any:
    days = _days(moment, zone) + 3  # 1970-01-01 was a Thursday; Monday is 0
    return days - np.floor(days / 7) * 7


OPERATIONS: dict[str, Operation] = {
    "add": Operation(_added, "two numbers, or a moment and a number of milliseconds", lambda a, b: finite(a + b)),
    "sub": Operation(_subtracted, "two numbers, two moments, or a moment and a number of milliseconds", lambda a, b: finite(a - b)),
    "mul": Operation(_numbers(2), "two numbers", lambda a, b: finite(a * b)),
    "div": Operation(_numbers(2), "two numbers", lambda a, b: finite(np.divide(a, b))),
    "mod": Operation(_numbers(2), "two numbers", _mod),
    "neg": Operation(_numbers(1), "a number", lambda a: -a),
    "abs": Operation(_numbers(1), "a number", np.abs),
    "floor": Operation(_numbers(1), "a number", np.floor),
    "sqrt": Operation(_numbers(1), "a number", np.sqrt),
    "log1p": Operation(_numbers(1), "a number", lambda a: finite(np.log1p(a))),
    "sin": Operation(_numbers(1), "a number", np.sin),
    "cos": Operation(_numbers(1), "a number", np.cos),
    "min": Operation(_extreme, "two numbers or two moments", np.minimum),
    "max": Operation(_extreme, "two numbers or two moments", np.maximum),
    "lt": Operation(_ordered, "two numbers or two moments", _compare(np.less)),
    "le": Operation(_ordered, "two numbers or two moments", _compare(np.less_equal)),
    "gt": Operation(_ordered, "two numbers or two moments", _compare(np.greater)),
    "ge": Operation(_ordered, "two numbers or two moments", _compare(np.greater_equal)),
    "eq": Operation(_equal_kinds, "two of one kind", _compare_any(lambda a, b: a == b)),
    "ne": Operation(_equal_kinds, "two of one kind", _compare_any(lambda a, b: a != b)),
    "and": Operation(_flags(2), "two flags", lambda a, b: a * b),
    "or": Operation(_flags(2), "two flags", lambda a, b: a + b - a * b),
    "not": Operation(_flags(1), "a flag", lambda a: 1.0 - a),
    "where": Operation(_chosen, "a flag and two of one kind", _where),
    "is_missing": Operation(_one_of_any, "one value of any kind", _is_missing),
    "fill": Operation(_either, "two of one kind", _fill),
    "cut": Operation(_numbers(1), "a number", _cut),
    "isin": Operation(_one_of_any, "a number, a text or a moment", _isin),
    "distance_to": Operation(_numbers(1), "a number", _distance_to),
    "concat": Operation(_texts, "texts", _concat),
    "hour": Operation(_is("moment", "number"), "a moment", lambda m, zone: np.floor(_time_of_day(m, zone) / moments.HOUR)),
    "minute_of_day": Operation(_is("moment", "number"), "a moment", lambda m, zone: np.floor(_time_of_day(m, zone) / moments.MINUTE)),
    "weekday": Operation(_is("moment", "number"), "a moment", _weekday),
    "month": Operation(_is("moment", "number"), "a moment", lambda m, zone: moments.month_and_year_day(_days(m, zone))[0]),
    "day_of_year": Operation(_is("moment", "number"), "a moment", lambda m, zone: moments.month_and_year_day(_days(m, zone))[1]),
    "local_day": Operation(_is("moment", "number"), "a moment", _days),
    "seconds": Operation(_is("moment", "number"), "a moment", lambda m: finite(m / moments.SECOND)),
}


def kind_of(node: Node) -> Kind:
    """Work out a tree's kind, checking it on the way: a tree from a file may be anything.

    Raises
    ------
    ParameterError : an unknown operation, or operands it cannot take.
    """
    match node:
        case Column() | Literal() | Lookup() | AsOf():
            found: Kind = node.kind
        case Moment():
            found = "moment"
        case Apply():
            return _applied_kind(node)
        case Past() | Planned():
            found = "number"
    for child in request_children(node):
        kind_of(child)
    return found


def _applied_kind(node: Apply) -> Kind:
    if node.op not in OPERATIONS:
        close = nearest(node.op, OPERATIONS)
        raise ParameterError(
            f"unknown operation {node.op!r}", hint=f"did you mean {' or '.join(close)}?" if close else "made by a newer program?"
        )
    kinds = [kind_of(a) for a in node.args]
    found = OPERATIONS[node.op].kinds(kinds)
    if found is None:
        raise ParameterError(f"{node.op} cannot be applied to {', '.join(kinds)}", hint=f"it takes {OPERATIONS[node.op].takes}")
    return found
