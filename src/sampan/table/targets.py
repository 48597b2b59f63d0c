"""What a label is: yes or no, one of several classes, or a number; read from a table by an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from sampan.core.refs import nearest
from sampan.errors import ParameterError

TWO: Final = ("0", "1")
MOST_CLASSES: Final = 50
_MOST_CODES: Final = 20  # whole numbers of more values are amounts, not codes

Kind = Literal["two classes", "classes", "number"]


@dataclass(frozen=True, slots=True)
class Target:
    """The label of each row: the code of its class, or a number; null = none."""

    values: pl.Series  # Float64
    classes: tuple[str, ...]  # by code; () for numbers

    @property
    def kind(self) -> Kind:
        """What sort of label it is."""
        return "number" if not self.classes else "two classes" if len(self.classes) == 2 else "classes"


def read_target(frame: pl.DataFrame, expression: pl.Expr) -> Target:
    """Read the label of each row.

    Yes or no, 0 or 1, and whatever has two values are two classes; texts, and whole numbers of up to 20 values, are classes; other numbers
    are numbers. What is no finite number is no label.

    Raises
    ------
    ParameterError : it cannot be computed, is neither, has more than 50 classes, or all rows have the same.
    """
    if missing := [name for name in expression.meta.root_names() if name not in frame.columns]:
        close = nearest(missing[0], frame.columns)
        hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join(frame.columns[:20])
        raise ParameterError(f"the target names the column {missing[0]!r}, which is not there", hint=hint)
    try:
        label = frame.select(expression.alias("label"))["label"]
    except pl.exceptions.PolarsError as cause:
        message = f"the target cannot be computed: {str(cause).splitlines()[0]}"
        raise ParameterError(message, hint="write e.g. 'arr_delay >= 15' with columns of the table") from cause
    return target_of(label)


def target_of(label: pl.Series) -> Target:
    """Read labels that are computed already, as `read_target` does."""
    if label.dtype.is_float() or label.dtype.is_decimal():
        label = label.cast(pl.Float64)
        label = label.set(~label.is_finite().fill_null(value=False), None)
    known = label.drop_nulls().unique().sort() if _is_comparable(label.dtype) else None
    if known is None:
        message = f"the target is {label.dtype}: neither yes or no, nor a class, nor a number"
        raise ParameterError(message, hint="write a comparison, e.g. \"status = 'lost'\"")
    if len(known) < 2:
        raise ParameterError("the target has one class only", hint="check the expression; rows of different labels are needed")
    if label.dtype == pl.Boolean or (label.dtype.is_numeric() and known.cast(pl.Float64).is_in([0.0, 1.0]).all()):
        return Target(label.cast(pl.Float64), TWO)
    if label.dtype.is_numeric() and (label.dtype.is_float() or len(known) > _MOST_CODES):
        return Target(label.cast(pl.Float64), ())
    names = known.cast(pl.String)
    if len(names) > MOST_CLASSES:
        raise ParameterError(
            f"the target has {len(names):,} classes, more than {MOST_CLASSES}",
            hint="group them, or write a comparison, e.g. \"status = 'lost'\"",
        )
    codes = label.cast(pl.String).replace_strict(names, pl.Series(range(len(names)), dtype=pl.Float64), default=None)
    return Target(codes.rename("label"), tuple(names))


def _is_comparable(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)
