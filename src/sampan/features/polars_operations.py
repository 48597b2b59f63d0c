"""Operations of the expression language for Polars: in its own words where their answer is exactly the kernel's, else by the kernel.

Polars is used where IEEE 754 leaves no choice (+ - * and comparisons). Division, sine and the like go through the numpy kernel in batch as
well: Polars multiplies by the reciprocal when it divides by a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np
import polars as pl

from sampan.features.operations import OPERATIONS, Constants, Operation


def to_polars(op: str, args: Sequence[pl.Expr | float | str], constants: Constants, *, text: bool) -> pl.Expr | float | str | None:
    """Compile one operation for Polars; `text` says whether its answer is text. Constant operands are folded."""
    operation = OPERATIONS[op]
    if not any(isinstance(a, pl.Expr) for a in args):
        return _fold(operation, args, constants)
    if (native := _NATIVE.get(op)) is not None:
        return native(*(a if isinstance(a, pl.Expr) else pl.lit(a) for a in args), *constants)
    columns = [a for a in args if isinstance(a, pl.Expr)]

    def call(series: Sequence[pl.Series]) -> pl.Series:
        given = iter(series)
        n = max(len(s) for s in series)
        operands = [_operand(next(given) if isinstance(a, pl.Expr) else a, n) for a in args]
        with np.errstate(all="ignore"):
            answer = operation.kernel(*operands, *constants)
        return pl.Series(answer, dtype=pl.String) if text else pl.Series(answer, dtype=pl.Float64, nan_to_null=True)

    return pl.map_batches(columns, call, pl.String if text else pl.Float64, is_elementwise=True)


def _operand(given: pl.Series | float | str, n: int) -> Any:
    if isinstance(given, pl.Series):
        given = given.new_from_index(0, n) if len(given) == 1 else given
        return given.to_list() if given.dtype == pl.String else given.cast(pl.Float64).to_numpy()
    return list(repeat(given, n)) if isinstance(given, str) else given


def _fold(operation: Operation, args: Sequence[pl.Expr | float | str], constants: Constants) -> float | str | None:
    operands = [[a] if isinstance(a, str) else np.array([a], np.float64) for a in args]
    with np.errstate(all="ignore"):
        answer = operation.kernel(*operands, *constants)[0]
    if isinstance(answer, str) or answer is None:
        return answer
    return None if np.isnan(answer) else float(answer)


def _finite(expr: pl.Expr) -> pl.Expr:
    return pl.when(expr.is_finite()).then(expr)


def _compare(method: str) -> Callable[[pl.Expr, pl.Expr], pl.Expr]:
    return lambda a, b: getattr(a, method)(b).cast(pl.Float64)


def _minimum(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    less = a <= b
    return pl.when(less).then(a).when(~less).then(b)


def _maximum(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    more = a >= b
    return pl.when(more).then(a).when(~more).then(b)


_NATIVE: Final[Mapping[str, Callable[..., pl.Expr]]] = {
    "add": lambda a, b: _finite(a + b),
    "sub": lambda a, b: _finite(a - b),
    "mul": lambda a, b: _finite(a * b),
    "neg": lambda a: -a,
    "abs": lambda a: a.abs(),
    "min": _minimum,
    "max": _maximum,
    **{name: _compare(f"__{name}__") for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "and": lambda a, b: a * b,
    "or": lambda a, b: a + b - a * b,
    "not": lambda a: 1.0 - a,
    "where": lambda c, a, b: pl.when(c == 1.0).then(a).when(c == 0.0).then(b),
    "is_missing": lambda a: a.is_null().cast(pl.Float64),
    "fill": lambda a, b: a.fill_null(b),
    "concat": lambda *parts: pl.concat_str(parts[:-1], separator=parts[-1], ignore_nulls=False),
}
