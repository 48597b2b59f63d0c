"""Request rows in the two forms that cost least: decoded from JSON straight into a type of the model's fields, or held as columns.

Both read like the plain mapping of field to value they stand for, so whoever takes rows takes these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, overload

import msgspec

# What JSON may hold for a field of each kind. Whether text is a moment is seen when it is read.
_TYPES: dict[str, Any] = {"number": int | float, "text": str, "moment": str | int | float, "flag": bool}
_ABSENT = object()


class Row(msgspec.Struct, frozen=True, gc=False, weakref=False):
    """A row with every field of a model and no other, each of its kind. A mapping of field names to values."""

    attributes: ClassVar[dict[str, str]] = {}  # field -> attribute of the struct

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
    made = msgspec.defstruct(
        "Row",
        types,
        bases=(Row,),
        namespace={"attributes": attributes},
        rename={attribute: name for name, attribute in attributes.items()},
        frozen=True,
        gc=False,
        forbid_unknown_fields=True,
    )
    assert issubclass(made, Row)
    return made


class ColumnRows(Sequence[Mapping[str, Any]]):
    """Rows held as columns: lists, or arrays in which NaN is a missing value. A row is made when it is asked for."""

    __slots__ = ("columns", "n")

    def __init__(self, columns: Mapping[str, Any], n: int) -> None:
        self.columns = columns
        self.n = n

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ColumnRows: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | ColumnRows:
        if isinstance(index, slice):
            return ColumnRows({name: values[index] for name, values in self.columns.items()}, len(range(*index.indices(self.n))))
        if not -self.n <= index < self.n:
            raise IndexError(index)
        return {name: plain(values[index]) for name, values in self.columns.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        lists = [self.column(name) for name in self.columns]
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*lists, strict=True))

    def column(self, name: str) -> list[Any]:
        """Return one field's values, None where one is missing; all None where the rows lack the field."""
        values = self.columns.get(name, _ABSENT)
        if values is _ABSENT:
            return [None] * self.n
        if isinstance(values, list):
            return values
        return [None if value != value else value for value in values.tolist()]


def plain(value: Any) -> Any:
    """Return what JSON would hold for a value of an array."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value
