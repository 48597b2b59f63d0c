"""Request rows in the two forms that cost least: one decoded from JSON straight into a type of the model's fields, many held as columns.

Both read like the plain mapping of field to value they stand for, so whoever takes rows takes these.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, ClassVar, cast, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.table.arrow_blocks import Ascii, Coded

COLUMNS_PAY = 12  # rows: fewer are read one by one quicker than as columns

Rows = Sequence[Mapping[str, Any]]

_TEXT = {str, type(None)}
_COMPACT = {np.ndarray, Coded}

# What JSON may hold for a field of each kind. Whether text is a moment is seen when it is read.
_TYPES: dict[str, Any] = {"number": int | float, "text": str, "moment": str | int | float, "flag": bool}


class Row(msgspec.Struct, frozen=True, gc=False, weakref=False):
    """A row with every field of a model and no other, each of its kind. A mapping of field names to values."""

    attributes: ClassVar[dict[str, str]] = {}  # field -> attribute of the struct
    numbers: ClassVar[frozenset[str]] = frozenset()  # the fields that hold numbers

    def __getitem__(self, name: str) -> Any:
        return getattr(self, self.attributes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.attributes)

    def __len__(self) -> int:
        return len(self.attributes)

    def __contains__(self, name: object) -> bool:
        return name in self.attributes

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value."""
        attribute = self.attributes.get(name)
        return default if attribute is None else getattr(self, attribute)

    def keys(self) -> Any:
        """Return the fields' names."""
        return self.attributes.keys()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over fields and their values."""
        return zip(self.attributes, msgspec.structs.astuple(self), strict=True)


Mapping.register(Row)


def row_type(fields: Mapping[str, tuple[str, bool]]) -> type[Row]:
    """Make the type of a model's rows.

    Parameters
    ----------
    fields : name -> kind (number, text, moment or flag) and whether it may be null
    """
    # Attributes get names of their own: a field may be called anything, also `get`.
    attributes = {name: f"field_{index}" for index, name in enumerate(fields)}
    types = [(attributes[name], _TYPES[kind] | None if nullable else _TYPES[kind]) for name, (kind, nullable) in fields.items()]
    numbers = frozenset(name for name, (kind, _) in fields.items() if kind == "number")
    made = msgspec.defstruct(
        "Row",
        types,
        bases=(Row,),
        namespace={"attributes": attributes, "numbers": numbers},
        rename={attribute: name for name, attribute in attributes.items()},
        frozen=True,
        gc=False,
        forbid_unknown_fields=True,
    )
    assert issubclass(made, Row)
    return made


class ColumnRows(Sequence[Mapping[str, Any]]):
    """Rows held as columns: sequences, or arrays in which NaN is a missing value. A row is made when it is asked for.

    `kind` is the type of row that the values were decoded as, if they were: who made that type need not look at them again.
    """

    __slots__ = ("_numbers", "_read", "columns", "kind", "n")

    def __init__(self, columns: Mapping[str, Any], n: int, *, kind: type[Row] | None = None) -> None:
        self.columns = columns
        self.n = n
        self.kind = kind
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._read: tuple[Sequence[str], NDArray[np.float64]] | None = None  # what was read at once, in one piece

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ColumnRows: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | ColumnRows:
        if isinstance(index, slice):
            columns = {name: values[index] for name, values in self.columns.items()}
            found = ColumnRows(columns, len(range(*index.indices(self.n))), kind=self.kind)
            if self._read is not None:
                found._read = self._read[0], self._read[1][:, index]
            return found
        if not -self.n <= index < self.n:
            raise IndexError(index)
        return {name: plain(values[index]) for name, values in self.columns.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        lists = [self.column(name) for name in self.columns]
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*lists, strict=True))

    def take(self, indices: Sequence[int]) -> ColumnRows:
        """Return some of the rows, in that order."""
        return ColumnRows({name: _picked(values, indices) for name, values in self.columns.items()}, len(indices), kind=self.kind)

    def hold(self, columns: Mapping[str, Any]) -> None:
        """Hold some of the columns in another form."""
        self.columns = {**self.columns, **columns}

    def compact(self, *, but: Collection[str] = ()) -> None:
        """Hold numbers that were read as arrays, and texts by their numbers: the log keeps many rows for a while.

        Columns named in `but` stay what they are: no array holds every integer.
        """
        known = self._numbers if self.kind is not None and self._numbers.keys() <= self.kind.numbers else {}  # nothing else was let in
        self.columns = {
            name: self.columns[name] if name in but else known[name] if name in known else self._compacted(name) for name in self.columns
        }

    def _compacted(self, name: str) -> Any:
        values = self.columns[name]
        form = type(values)
        if form in _COMPACT:
            return values
        if form is Ascii:
            return values.coded()
        kinds = set(map(type, values))
        if kinds <= _TEXT:
            return Coded.of(values)
        if kinds == {bool}:
            return np.array(values, np.bool_)
        return self._numbers[name] if name in self._numbers and bool not in kinds else values

    def column(self, name: str) -> Sequence[Any]:
        """Return one field's values, None where one is missing; all None where the rows lack the field."""
        values = self.columns.get(name)
        if values is None:
            return [None] * self.n
        if isinstance(values, np.ndarray):
            return [None if value != value else value for value in values.tolist()]
        found: Sequence[Any] = values
        return found

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a field of numbers or flags as float64, NaN where one is missing. Raises as `read_numbers`."""
        found = self._numbers.get(name)
        if found is None:
            (found,) = self.read_numbers([name])
        return found

    def read_numbers(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return fields of numbers or flags as float64, a row for each field. They are kept: features ask first, the log again.

        Raises TypeError, ValueError or OverflowError where a value is no number.
        """
        given = [self.columns.get(name, ()) for name in names]
        found = self._packed(given)
        self._keep(names, found)
        return found

    def _keep(self, names: Sequence[str], found: NDArray[np.float64]) -> None:
        self._numbers.update(zip(names, found, strict=True))
        if len(names) > 1:
            self._read = names, found

    def _packed(self, given: Sequence[Any]) -> NDArray[np.float64]:
        pack = struct.Struct(f"{self.n}d").pack
        parts: list[Any] = []
        for values in given:
            if isinstance(values, np.ndarray):
                parts.append(np.ascontiguousarray(values, np.float64))
                continue
            try:
                # A third of what an array from a list costs; where a value is missing or no number, it raises.
                parts.append(pack(*values))
            except (struct.error, OverflowError):
                parts.append(np.array(values or [None] * self.n, np.float64))  # None becomes NaN
        return np.frombuffer(b"".join(parts)).reshape(len(given), self.n)


def _picked(values: Any, indices: Sequence[int]) -> Any:
    if isinstance(values, np.ndarray):
        return values[indices]
    if isinstance(values, Coded):
        return Coded(values.codes[indices], values.texts)
    return [values[index] for index in indices]


class JoinedRows(ColumnRows):
    """The rows of several requests under one another; a column is laid out when it is asked for."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[ColumnRows]) -> None:
        kinds = {rows.kind for rows in parts}
        super().__init__(_Under(parts), sum(rows.n for rows in parts), kind=kinds.pop() if len(kinds) == 1 else None)
        self.parts = parts

    def hold(self, columns: Mapping[str, Any]) -> None:
        """Hold some of the columns in another form; the others are still laid out when they are asked for."""
        self.columns = _Under(self.parts, held=columns)

    def read_numbers(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the numbers of all parts side by side."""
        if (once := self._read_once()) is not None and names[0] in once[0]:
            # Each part has them in one piece: of all fields at once they cost what those of one field cost.
            self._keep(once[0], np.concatenate([part._read[1] for part in self.parts if part._read is not None], axis=1))
        if not all(name in self._numbers for name in names):
            self._keep(names, np.concatenate([part.read_numbers(names) for part in self.parts], axis=1))
        if self._read is not None and self._read[0] is names:
            return self._read[1]
        return np.array([self._numbers[name] for name in names])

    def _read_once(self) -> tuple[Sequence[str], NDArray[np.float64]] | None:
        """Return what the first part read at once, if all others read the same."""
        first = self.parts[0]._read
        return first if first is not None and all(part._read is not None and part._read[0] == first[0] for part in self.parts) else None


class _Under(Mapping[str, Any]):
    """The columns of several rows under one another."""

    def __init__(self, parts: Sequence[ColumnRows], *, held: Mapping[str, Any] | None = None) -> None:
        self._parts = parts
        self._held = held or {}
        self._names = dict.fromkeys(chain.from_iterable(rows.columns for rows in parts))

    def __getitem__(self, name: str) -> Any:
        if name in self._held:
            return self._held[name]
        if name not in self._names:
            raise KeyError(name)
        columns = [rows.columns.get(name) for rows in self._parts]
        forms = set(map(type, columns))
        if forms == {np.ndarray}:
            return np.concatenate(columns)  # type: ignore[arg-type]  # arrays, all of them
        if forms == {Coded}:
            return Coded.joined(cast("list[Coded[Any]]", columns))
        if forms == {Ascii}:
            return Ascii(list(chain.from_iterable(each.parts for each in cast("list[Ascii]", columns))))
        return list(chain.from_iterable(rows.column(name) for rows in self._parts))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def columns_of(rows: Sequence[Row]) -> ColumnRows:
    """Hold typed rows of one kind as columns; there has to be one at least."""
    kind = type(rows[0])
    return ColumnRows(dict(zip(kind.attributes, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True)), len(rows), kind=kind)


def joined(requests: Sequence[Rows], names: Sequence[str]) -> ColumnRows:
    """Hold the rows of several requests, in whichever form each came, as columns of these names."""
    parts: list[ColumnRows] = []
    for kind, alike in groupby(requests, key=_form):
        if kind is ColumnRows:
            parts += cast("Iterator[ColumnRows]", alike)
            continue
        rows: list[Any] = [row for request in alike for row in request]
        if rows:
            parts.append(columns_of(rows) if issubclass(kind, Row) else _of_mappings(rows, names))
    if len(parts) == 1:
        return parts[0]
    return JoinedRows(parts) if parts else ColumnRows({name: [] for name in names}, 0)


def _form(rows: Rows) -> type:
    if type(rows) in _BY_COLUMN:  # `isinstance` of a sequence asks its whole family
        return ColumnRows
    kind: type = type(rows[0]) if rows else dict
    return kind if issubclass(kind, Row) else dict


_BY_COLUMN = {ColumnRows, JoinedRows}


def _of_mappings(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> ColumnRows:
    return ColumnRows({name: [row.get(name) for row in rows] for name in names}, len(rows))


def plain(value: Any) -> Any:
    """Return what JSON would hold for a value of an array."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value
