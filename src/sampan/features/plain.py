"""Views whose features are columns of the request as they came, numbers or encoded texts: rows of the view's own type to the matrix.

The same values as `Program` gives, without its steps: for one row this is a tenth of the cost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from math import isfinite
from operator import attrgetter, getitem, itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.features.encoding import Encoder
from sampan.features.fitted import FittedView
from sampan.features.nodes import Column
from sampan.table.arrow_blocks import Ascii, Coded, packed_numbers
from sampan.table.rows import COLUMNS_PAY, ColumnRows, Row, columns_of

_MISSING = float("nan")
_ZERO = np.float32(0)
_UNSEEN, _MISSING_NUMBER = 0, 1  # the numbers of every category that training never showed, and of a missing one
_MOST_KINDS = 256  # of dicts that are known to fit, by the types of their values


class _Or(dict[str | None, Any]):
    """What is known of texts, and one answer for all others, which are not remembered."""

    def __init__(self, known: Iterable[tuple[str | None, Any]], other: Any) -> None:
        super().__init__(known)
        self._other = other

    def __missing__(self, text: str | None) -> Any:
        return self._other


class _Categories:
    """An encoder's categories: each by its number, and by what the encoder makes of it."""

    def __init__(self, encoder: Encoder) -> None:
        self.texts = ("", None, *encoder.values)  # the first stands for all that training never showed
        # Without None: a dict of nothing but texts is asked in half the time.
        self._numbers: dict[Any, int] = {text: number for number, text in enumerate(encoder.values, 2)}
        self._numbers_of_bytes: dict[Any, int] = {text.encode(): number for text, number in self._numbers.items()}
        values = (encoder.unseen, _MISSING, *encoder.values.values())
        self.array = np.array(values, np.float32)
        self.value = _Or(zip(self.texts[1:], values[1:], strict=True), encoder.unseen)

    def packed(self, texts: Any) -> bytes:
        """Return the number of each of some texts as int32, in whichever form they came."""
        form = type(texts)  # `isinstance` of a sequence asks its whole family
        if form is Coded:
            numbers: NDArray[np.int32] = np.frombuffer(self.packed(texts.texts), np.int32)
            return bytes(numbers[texts.codes])
        given, known = (texts.parts, self._numbers_of_bytes) if form is Ascii else (texts, self._numbers)
        try:
            return packed_numbers(given, known)
        except KeyError:
            each = [known.get(text, _UNSEEN) if text is not None else _MISSING_NUMBER for text in given]
            return struct.pack(f"{len(each)}i", *each)


class PlainRows:
    """Lays rows of a type, or columns of such rows, out as the model's matrix."""

    def __init__(self, fitted: FittedView, kind_of_row: type[Row]) -> None:
        attributes = kind_of_row.attributes
        features = [(item.value.name, fitted.encoders.get(item.name)) for item in fitted.view.features if isinstance(item.value, Column)]
        numbers = [(i, name) for i, (name, encoder) in enumerate(features) if encoder is None]
        self._texts = [(i, name, encoder) for i, (name, encoder) in enumerate(features) if encoder is not None]
        self._tables = [_Categories(encoder) for _, _, encoder in self._texts]
        self._text_places = [i for i, _, _ in self._texts]
        sizes = [len(table.texts) for table in self._tables]
        self._firsts = (np.cumsum(sizes) - sizes).astype(np.int32)[:, np.newaxis]  # of each table among all of them
        self._all_values = np.concatenate([table.array for table in self._tables]) if sizes else np.empty(0, np.float32)
        self._values = [table.value for table in self._tables]
        self._number_places = [i for i, _ in numbers]
        self._number_names = [name for _, name in numbers]
        self._read_numbers = _getter([attributes[name] for name in self._number_names])
        self._read_texts = _getter([attributes[name] for _, name, _ in self._texts])
        behind = self._number_places + [i for i, _, _ in self._texts]
        self._in_order = _picker([behind.index(i) for i in range(len(features))])
        self._width = len(features)
        self._pack = struct.Struct(f"={self._width}f").pack
        asked = [*self._number_names, *(name for _, name, _ in self._texts)]
        self._read_dict = _picker([*asked, *(name for name in attributes if name not in asked)])
        self._n_fields = len(attributes)
        self._fitting: dict[tuple[type, ...], bool] = {}  # types of values -> whether a number is missing

    def matrix(self, rows: Sequence[Row] | ColumnRows) -> NDArray[np.float32]:
        """Return shape (n, k), NaN where a value is missing. Values of columns were looked at before."""
        if isinstance(rows, ColumnRows):
            return self._of_columns(rows)
        if len(rows) >= COLUMNS_PAY:
            return self._of_columns(columns_of(rows))
        each = [self._laid_out(self._read_numbers(row), self._read_texts(row)) for row in rows]
        return each[0] if len(each) == 1 else np.concatenate(each)

    def of_dict(self, row: dict[str, Any]) -> NDArray[np.float32] | None:
        """Return the matrix of one row whose values have types that `remember` was told of; None for any other row."""
        try:
            values = self._read_dict(row)
            has_gaps = self._fitting.get(tuple(map(type, values)))
            if has_gaps is None or len(row) != self._n_fields:
                return None
            n = len(self._number_names)
            return self._laid_out(values[:n], values[n : self._width], has_gaps=has_gaps)
        except (KeyError, OverflowError):
            return None

    def remember(self, row: dict[str, Any]) -> None:
        """Take rows of the same types as this one, which was found to fit, without another look."""
        if len(self._fitting) < _MOST_KINDS:
            values = self._read_dict(row)
            self._fitting[tuple(map(type, values))] = None in values[: len(self._number_names)]

    def _of_columns(self, rows: ColumnRows) -> NDArray[np.float32]:
        found = np.empty((self._width, rows.n), np.float32)  # a feature in one piece, as it is written
        with np.errstate(all="ignore"):
            found[self._number_places] = rows.read_numbers(self._number_names)
            if self._texts:
                found[self._text_places] = self._all_values.take(self._code(rows) + self._firsts)
            return _finite(np.ascontiguousarray(found.T))

    def _code(self, rows: ColumnRows) -> NDArray[np.int32]:
        """Return the numbers of the texts, shape (texts, n), and hold columns by them: then the texts themselves are of no more use."""
        names = [name for _, name, _ in self._texts]
        packed = b"".join([table.packed(rows.columns[name]) for name, table in zip(names, self._tables, strict=True)])
        numbers = np.frombuffer(packed, np.int32).reshape(len(names), rows.n)
        whole = numbers.all()
        known = zip(names, self._tables, numbers, strict=True)
        rows.hold({name: Coded(each, table.texts) for name, table, each in known if whole or each.all()})  # an unseen text has no number
        return numbers

    def _laid_out(self, numbers: tuple[Any, ...], texts: tuple[Any, ...], *, has_gaps: bool = False) -> NDArray[np.float32]:
        coded = tuple(map(getitem, self._values, texts))
        try:
            # A fifth of what an array from a list costs; where a value is missing or too large, it raises.
            given = _filled(numbers) if has_gaps else numbers
            packed = self._pack(*self._in_order(given + coded))
        except (struct.error, OverflowError):
            if not has_gaps:
                return self._laid_out(numbers, texts, has_gaps=True)
            packed = b""
        if packed and isfinite(sum(numbers) if not has_gaps else sum(filter(None, numbers))):
            return np.ndarray((1, self._width), np.float32, packed)
        with np.errstate(all="ignore"):
            return _finite(np.array([self._in_order(_filled(numbers) + coded)], np.float32))


def _filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([_MISSING if value is None else value for value in values])


def _finite(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrix with NaN where a value is too large for float32, as `finite32` in batch."""
    found += found * _ZERO
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


def _picker(places: Sequence[Any]) -> Any:
    return itemgetter(*places) if len(places) > 1 else tuple
