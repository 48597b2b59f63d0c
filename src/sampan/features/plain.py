"""Views whose features are columns of the request as they came, numbers or encoded texts: rows of the view's own type to the matrix.

The same values as `Program` gives, without its steps: for one row this is a tenth of the cost.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.rows import Row
from sampan.features.encoding import Encoder
from sampan.features.fitted import FittedView
from sampan.features.nodes import Column

_MISSING = float("nan")
_ZERO = np.float32(0)
_FEW = 8  # rows up to which each is laid out by itself


class PlainRows:
    """Lays typed rows out as the model's matrix."""

    def __init__(self, fitted: FittedView, kind_of_row: type[Row]) -> None:
        attributes = kind_of_row.attributes
        places = {name: index for index, name in enumerate(attributes)}
        features = [(item.value.name, fitted.encoders.get(item.name)) for item in fitted.view.features if isinstance(item.value, Column)]
        self._numbers = [(i, name) for i, (name, encoder) in enumerate(features) if encoder is None]
        self._texts = [(i, name, encoder) for i, (name, encoder) in enumerate(features) if encoder is not None]
        self._tables: list[dict[str | None, float]] = [dict([*encoder.values.items(), (None, _MISSING)]) for _, _, encoder in self._texts]
        self._unseen = [encoder.unseen for _, _, encoder in self._texts]
        self._read_numbers = _getter([attributes[name] for _, name in self._numbers])
        self._read_texts = _getter([attributes[name] for _, name, _ in self._texts])
        behind = [i for i, _ in self._numbers] + [i for i, _, _ in self._texts]
        self._in_order = _picker([behind.index(i) for i in range(len(features))])
        self._columns = [(i, places[name]) for i, name in self._numbers]
        self._coded = [
            (i, places[name], table, encoder.unseen) for (i, name, encoder), table in zip(self._texts, self._tables, strict=True)
        ]
        self._width = len(features)
        self._pack = struct.Struct(f"={self._width}f").pack

    def matrix(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """Return shape (n, k), NaN where a value is missing."""
        if len(rows) == 1:
            try:
                # A fifth of what an array from a list costs; where a value is missing or too large, it raises.
                return np.ndarray((1, self._width), np.float32, self._pack(*self._row(rows[0])))
            except (struct.error, OverflowError):
                pass
        with np.errstate(all="ignore"):
            found = np.array([self._row(row) for row in rows], np.float32) if len(rows) <= _FEW else self._many(rows)
            found += found * _ZERO  # as `finite32`: what is too large for float32 is missing
        return found

    def flags(self, rows: Sequence[Row]) -> dict[int, tuple[str, ...]]:
        """Say of which rows training never showed a category, and which; mostly it is of none."""
        found: dict[int, tuple[str, ...]] = {}
        if len(rows) == 1:
            if None in map(dict.get, self._tables, self._read_texts(rows[0])):
                found[0] = self._notes(rows[0])
            return found
        columns = zip(*map(self._read_texts, rows), strict=True)
        if any(set(column) - table.keys() for column, table in zip(columns, self._tables, strict=True)):
            notes = ((index, self._notes(row)) for index, row in enumerate(rows))
            found = {index: note for index, note in notes if note}
        return found

    def _notes(self, row: Row) -> tuple[str, ...]:
        texts = zip(self._texts, self._tables, self._read_texts(row), strict=True)
        return tuple(f"{name}: category {text!r} was not seen in training" for (_, name, _), table, text in texts if text not in table)

    def of_columns(self, columns: Mapping[str, Any], n: int) -> NDArray[np.float32]:
        """Return the same for n rows held as columns, whose values were looked at before."""
        found = np.empty((n, self._width), np.float32)
        with np.errstate(all="ignore"):
            for index, name in self._numbers:
                values = columns[name]
                found[:, index] = np.array(values, np.float64) if isinstance(values, list) else values
            found += found * _ZERO
        for (index, name, _), table, unseen in zip(self._texts, self._tables, self._unseen, strict=True):
            found[:, index] = [table.get(text, unseen) for text in columns[name]]
        return found

    def _row(self, row: Row) -> Any:
        texts = self._read_texts(row)
        codes = tuple(map(dict.get, self._tables, texts))
        if None in codes:
            codes = tuple(unseen if code is None else code for code, unseen in zip(codes, self._unseen, strict=True))
        return self._in_order(self._read_numbers(row) + codes)

    def _many(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        columns = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        found = np.empty((len(rows), self._width), np.float32)
        for index, place in self._columns:
            found[:, index] = columns[place]
        for index, place, table, unseen in self._coded:
            found[:, index] = [table.get(text, unseen) for text in columns[place]]
        return found


def plain_rows(fitted: FittedView, kind_of_row: type[Row]) -> PlainRows | None:
    """Return what lays a view's rows out, or None where a feature is more than a number, a flag or an encoded text of the row."""
    return PlainRows(fitted, kind_of_row) if all(_is_plain(f.value, fitted.encoders.get(f.name)) for f in fitted.view.features) else None


def _is_plain(value: object, encoder: Encoder | None) -> bool:
    if not isinstance(value, Column):
        return False
    return value.kind == "text" if encoder is not None else value.kind in ("number", "flag")


def _getter(attributes: Sequence[str]) -> Any:
    """Return what reads these attributes as a tuple, however few they are."""
    if len(attributes) > 1:
        return attrgetter(*attributes)
    return lambda row: tuple(getattr(row, attribute) for attribute in attributes)


def _picker(places: Sequence[int]) -> Any:
    return itemgetter(*places) if len(places) > 1 else tuple
