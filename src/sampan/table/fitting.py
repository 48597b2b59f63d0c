"""Values of one type made those of another, where each of them is one; a row with a value that is not is left out, with its reason.

What fits whatever the values are (`is_lossless`) is a matter of types; the rest is looked at value by value: 3.0 becomes 3 and 3.5 does
not, midnight becomes its day and 08:15 does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.bad_cells import HOPELESS, MANY, BadCell, LeftOut
from sampan.table.types import DTYPES, ColumnForm, convert

_KINDS: Final = {dtype: kind for kind, dtype in DTYPES.items()}
_FLOAT_DIGITS: Final[dict[pl.DataType, int]] = {pl.Float32(): 24, pl.Float64(): 53}  # whole numbers of so many bits are exact


def is_lossless(given: pl.DataType, kind: pl.DataType) -> bool:
    """Say whether any value of a type is one of another type, without loss. A time without a zone is one of UTC, as everywhere."""
    if given == kind or isinstance(given, pl.Null):
        return True
    if given.is_integer() and kind.is_integer():
        return _bits(given) <= _bits(kind) and (not given.is_signed_integer() or kind.is_signed_integer())
    if given.is_integer() and kind in _FLOAT_DIGITS:
        return _bits(given) <= _FLOAT_DIGITS[kind]
    if isinstance(given, pl.Datetime) and isinstance(kind, pl.Datetime):
        order = ("ms", "us", "ns")
        return order.index(given.time_unit) <= order.index(kind.time_unit)
    if isinstance(kind, pl.Datetime):
        return isinstance(given, pl.Date)
    return (given, kind) == (pl.Float32(), pl.Float64()) or (_is_text(given) and isinstance(kind, pl.String))


def is_natural(given: pl.DataType, kind: pl.DataType) -> bool:
    """Say whether nobody has to be asked: all values fit, or all but those of more digits than the other type has."""
    return is_lossless(given, kind) or (given.is_integer() and kind.is_float()) or (_is_time(given) and _is_time(kind))


def is_possible(given: pl.DataType, kind: pl.DataType) -> bool:
    """Say whether some values of a type are ones of another."""
    if not all(_is_text(dtype) or _is_day(dtype) or _is_number(dtype) for dtype in (given, kind)):
        return False
    return _is_text(given) or _is_text(kind) or _is_day(given) == _is_day(kind)


class Fitting:
    """Gives some columns of a table that comes in pieces other types.

    Parameters
    ----------
    kinds : the types by column
    source : where the table comes from
    """

    def __init__(self, schema: Mapping[str, pl.DataType], kinds: Mapping[str, pl.DataType], *, source: str) -> None:
        self._kinds = {name: kind for name, kind in kinds.items() if schema[name] != kind}
        self._source = source
        self._n_rows = 0
        self._n_bad = dict.fromkeys(self._kinds, 0)
        self.left_out = LeftOut(list(schema))
        self.schema = pl.Schema({name: self._kinds.get(name, dtype) for name, dtype in schema.items()})

    def pieces(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Iterate over the rows whose values all fit.

        Raises
        ------
        DataFormatError : most values of a column do not.
        """
        for frame in frames:
            yield self._fit(frame)
            if self.left_out.n_rows > MANY:
                self._refuse_hopeless()
        self._refuse_hopeless()

    def _fit(self, piece: pl.DataFrame) -> pl.DataFrame:
        self._n_rows += piece.height
        typed, bad = [], []
        for name, kind in self._kinds.items():
            column = _with_gaps(piece[name], kind)
            values = cast(column, kind)
            typed.append(values)
            is_bad = values.is_null() & column.is_not_null()
            if is_bad.any():
                self._n_bad[name] += int(is_bad.sum())
                bad.append((column, is_bad, f"not {_words(kind)}"))
        fitted = piece.with_columns(typed)
        return self._leave_bad(piece, fitted, bad) if bad else fitted

    def _leave_bad(self, piece: pl.DataFrame, fitted: pl.DataFrame, bad: list[tuple[pl.Series, pl.Series, str]]) -> pl.DataFrame:
        any_bad = np.logical_or.reduce([is_bad.to_numpy() for _, is_bad, _ in bad])
        rows = np.flatnonzero(any_bad)
        cells = [
            BadCell(int(np.searchsorted(rows, row)), column.name, as_text(column[row : row + 1])[0], reason, self._source)
            for column, is_bad, reason in bad
            for row in np.flatnonzero(is_bad.to_numpy()).tolist()
        ]
        self.left_out.add(pl.DataFrame([as_text(column) for column in piece[rows].get_columns()]), cells)
        return fitted.filter(~pl.Series(any_bad))

    def _refuse_hopeless(self) -> None:
        """Refuse a column most of which is of another type: its rows would all wait for a person."""
        for name, n_bad in self._n_bad.items():
            if n_bad > HOPELESS * self._n_rows:
                first = next(cell.value for cell in self.left_out.cells if cell.column == name)
                said = f"of {self._n_rows:,} rows, {n_bad:,} have no value of {type_words(self._kinds[name])} in column {name!r}"
                hint = "mend the source, leave the column out (--drop COLUMN), or add the rows as another dataset"
                raise DataFormatError(f"{said}; one is {first[:40]!r}", source=self._source, hint=hint)


def cast(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Make values those of another type; null where one is none of it, or would lose something."""
    given = values.dtype
    if given == kind:
        return values
    if isinstance(kind, pl.Datetime) and _is_day(given):
        return _to_times(values, kind)  # what is finer than its unit is left out, as of the times in a text file
    if isinstance(kind, pl.Date) and isinstance(given, pl.Datetime):
        return _checked(values, values.dt.date())
    if _is_text(given) and not _is_text(kind):
        return _from_text(values.cast(pl.String), kind)
    if isinstance(kind, pl.String):
        return as_text(values)
    made = values.cast(kind, strict=False)
    return made if given.is_float() and kind.is_float() else _checked(values, made)


def as_text(values: pl.Series) -> pl.Series:
    """Write values as a text file would."""
    if isinstance(values.dtype, pl.Datetime):
        return _to_times(values, pl.Datetime(values.dtype.time_unit, "UTC")).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    return values.cast(pl.String, strict=False)


def type_words(dtype: pl.DataType) -> str:
    """Name a type shortly.

    >>> type_words(pl.Datetime("us", "UTC")), type_words(pl.Int64())
    ('Datetime(us, UTC)', 'Int64')
    """
    return str(dtype).replace("time_unit=", "").replace("time_zone=", "").replace("'", "")


def _from_text(text: pl.Series, kind: pl.DataType) -> pl.Series:
    if kind in _KINDS:
        return convert(text, ColumnForm(_KINDS[kind]))  # type: ignore[arg-type]  # a kind of DTYPES
    if isinstance(kind, pl.Datetime):
        return _to_times(convert(text, ColumnForm("timestamp")), kind)
    plain = convert(text, ColumnForm("integer" if kind.is_integer() else "number")) if kind.is_numeric() else text
    return plain.cast(kind, strict=False)


def _with_gaps(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Make NaN missing where the other type has none: pandas writes it so."""
    return values.fill_nan(None) if values.dtype.is_float() and not kind.is_float() else values


def _to_times(values: pl.Series, kind: pl.Datetime) -> pl.Series:
    times = values.cast(pl.Datetime(kind.time_unit)) if isinstance(values.dtype, pl.Date) else values.dt.cast_time_unit(kind.time_unit)
    assert isinstance(times.dtype, pl.Datetime)
    zoned = times if times.dtype.time_zone else times.dt.replace_time_zone("UTC")
    return zoned.dt.convert_time_zone(kind.time_zone) if kind.time_zone else zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _checked(values: pl.Series, made: pl.Series) -> pl.Series:
    """Return what was made of values, without those that are another when they are made back."""
    back = _to_times(made, values.dtype) if isinstance(values.dtype, pl.Datetime) else made.cast(values.dtype, strict=False)
    is_other = (back != values).fill_null(value=False)
    return made.set(is_other, None) if is_other.any() else made


def _words(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "a whole number" if kind == pl.Int64() else f"a whole number of {type_words(kind)}"
    known = {"number": "a number", "boolean": "true or false", "date": "a date", "timestamp": "a timestamp"}
    return known.get(_KINDS.get(kind, ""), f"a value of {type_words(kind)}")


def _bits(kind: pl.DataType) -> int:
    """Return how many bits the largest whole number of a type has."""
    return int(kind.max().pipe(lambda most: pl.select(most).item())).bit_length()  # type: ignore[attr-defined]  # of Polars' integers


def _is_text(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.String | pl.Categorical | pl.Enum)


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or isinstance(kind, pl.Boolean | pl.Null)


def _is_day(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Date | pl.Datetime)


def _is_time(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Datetime)
