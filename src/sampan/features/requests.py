"""Raw rows as a request brings them: read into columns, or refused with every fault named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from numbers import Real
from typing import Any, cast

import numpy as np

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.features.expressions import FieldSpec
from sampan.features.moments import datetime_millis, parse_moment
from sampan.features.nodes import Kind
from sampan.table.arrow_blocks import Ascii, Coded
from sampan.table.rows import ColumnRows, JoinedRows, Row, columns_of

MOST_FAULTS = 10  # as many are told at once
_NONE = type(None)
_EXPECTED: dict[Kind, str] = {
    "number": "a number",
    "text": "text",
    "moment": "a moment: ISO 8601 text, or milliseconds since 1970 UTC",
    "flag": "true or false",
}


class Reader:
    """Reads rows with the given fields. `exact` refuses fields beyond these; rows of type `kind` were looked at when they were decoded."""

    def __init__(self, fields: Mapping[str, FieldSpec], *, needed: Sequence[str], exact: bool, kind: type[Row] | None = None) -> None:
        self.fields = dict(fields)
        self._exact = exact
        self._kind = kind
        self._needed = [(name, fields[name].type) for name in needed]
        self._types = [(name, _PLAIN[spec.type] if spec.nullable else _PLAIN[spec.type] - {_NONE}) for name, spec in self.fields.items()]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the needed fields as columns.

        Raises
        ------
        ParameterError : naming row, field, value and what was expected, for every fault up to ten.
        """
        kind: object = None if isinstance(rows, ColumnRows) or not len(rows) else type(rows[0])
        if kind is not None and kind is self._kind:
            rows = columns_of(cast(Sequence[Row], rows))
        if not self.fits(rows):
            self.check(rows)
        columns = rows
        if not isinstance(columns, ColumnRows):
            columns = ColumnRows({name: [row[name] for row in rows] for name, _ in self._needed}, len(rows))
        try:
            with np.errstate(all="ignore"):
                return {name: _READ[kind](columns, name) for name, kind in self._needed}
        except (ValueError, TypeError, OverflowError):
            self.check(rows)
            raise

    def fits(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Tell rows whose values all have the usual types, cheaply; of others, `check` says what is wrong, if anything is."""
        if isinstance(rows, JoinedRows):
            return all(map(self.fits, rows.parts))
        if isinstance(rows, ColumnRows):
            return (rows.kind is not None and rows.kind is self._kind) or self._columns_look_plain(rows.columns)
        n_fields = len(self.fields)
        try:
            if self._exact and any(len(row) != n_fields for row in rows):
                return False
            return all({type(row[name]) for row in rows} <= plain for name, plain in self._types)
        except (KeyError, TypeError):
            return False

    def _columns_look_plain(self, columns: Mapping[str, Any]) -> bool:
        if self._exact and len(columns) != len(self.fields):
            return False
        return all(name in columns and _is_plain_column(columns[name], plain, self.fields[name].type) for name, plain in self._types)

    def check(self, rows: Sequence[object]) -> None:
        """Look at every value of every row.

        Raises
        ------
        ParameterError : as `read`.
        """
        faults: list[str] = []
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping):
                faults.append(f"row {i} is {_shown(row)}, expected an object of fields")
                continue
            faults += [f"row {i}: {fault}" for fault in self._row_faults(row)]
            if len(faults) > MOST_FAULTS:
                break
        if faults:
            more = "" if len(faults) <= MOST_FAULTS else "; and more"
            raise ParameterError(
                "; ".join(faults[:MOST_FAULTS]) + more, hint=f"fields are: {', '.join(self.fields)}; null where there is no value"
            )

    def _row_faults(self, row: Mapping[str, Any]) -> list[str]:
        faults = []
        for name, spec in self.fields.items():
            if name not in row:
                faults.append(f"field {name!r} is missing, expected {_EXPECTED[spec.type]}")
            elif row[name] is None and not spec.nullable:
                faults.append(f"field {name!r} is null, expected {_EXPECTED[spec.type]}")
            elif not _fits(row[name], spec.type):
                faults.append(f"field {name!r} is {_shown(row[name])}, expected {_EXPECTED[spec.type]}")
        for name in row if self._exact else ():
            if name not in self.fields:
                close = nearest(str(name), self.fields, n=1)
                faults.append(f"unexpected field {str(name)!r}" + (f", did you mean {close[0]!r}?" if close else ""))
        return faults


def _is_plain_column(values: Any, plain: frozenset[type], kind: Kind) -> bool:
    if isinstance(values, np.ndarray):  # NaN is a missing value there
        if values.dtype.kind not in _ARRAYS[kind]:
            return False
        return _NONE in plain or values.dtype.kind != "f" or not np.isnan(values).any()
    if type(values) is Ascii:  # `isinstance` of a sequence asks its whole family
        return str in plain
    return set(map(type, values.texts if type(values) is Coded else values)) <= plain


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _fits(value: object, kind: Kind) -> bool:
    if value is None:
        return True
    if kind == "text":
        return isinstance(value, str)
    if kind == "flag":
        return isinstance(value, bool | np.bool_)
    if isinstance(value, bool | np.bool_):
        return False
    if kind == "number" or isinstance(value, Real):
        return isinstance(value, Real) and _is_float(value)
    if isinstance(value, datetime | date):
        return True
    return isinstance(value, str) and _is_moment(value)


def _is_float(value: Real) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_moment(value: str) -> bool:
    try:
        parse_moment(value)
    except ValueError:
        return False
    return True


def _numbers(rows: ColumnRows, name: str) -> Any:
    found = rows.numbers(name)
    return found + found * 0.0


def _moments(rows: ColumnRows, name: str) -> Any:
    values = rows.columns[name]
    if isinstance(values, np.ndarray):
        return _numbers(rows, name)
    if isinstance(values, Coded):
        return np.array([_known_moment(v) if v is not None else np.nan for v in values.texts], np.float64)[values.codes]
    known = {value: _known_moment(value) if type(value) is str else _moment(value) for value in set(values)}  # mostly few
    return np.fromiter(map(known.__getitem__, values), np.float64, rows.n)


def _texts(rows: ColumnRows, name: str) -> Any:
    return list(rows.columns[name])


# Requests of a while speak of the same few moments.
_known_moment = lru_cache(maxsize=4096)(parse_moment)


def _moment(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, datetime):
        return datetime_millis(value)
    if isinstance(value, date):
        return datetime_millis(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, str):
        return parse_moment(value)
    return float(value) + float(value) * 0.0


_PLAIN: dict[Kind, frozenset[type]] = {
    "number": frozenset({int, float, _NONE}),
    "text": frozenset({str, _NONE}),
    "moment": frozenset({str, int, float, datetime, _NONE}),
    "flag": frozenset({bool, _NONE}),
}
_ARRAYS: dict[Kind, str] = {"number": "iuf", "text": "", "moment": "iuf", "flag": "b"}  # kinds of numpy's that hold values of ours
_READ: dict[Kind, Callable[[ColumnRows, str], Any]] = {"number": _numbers, "text": _texts, "moment": _moments, "flag": _numbers}
