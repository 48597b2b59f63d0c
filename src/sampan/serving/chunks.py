"""Rows of many requests as columns, whatever form each request's rows have: plain mappings, a model's own row type, columns already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from sampan.core.rows import ColumnRows, Row

Rows = Sequence[Mapping[str, Any]]


class Chunk:
    """Rows of one form, field by field."""

    def __init__(self, columns: Mapping[str, Any], n: int) -> None:
        self._columns = columns
        self._n = n

    def __len__(self) -> int:
        return self._n

    def column(self, name: str) -> Any:
        """Return a field as it is held: a list, or an array in which NaN is a missing value."""
        return self._columns.get(name, [None] * self._n)

    def values(self, name: str) -> list[Any]:
        """Return a field's values, None where one is missing."""
        return ColumnRows(self._columns, self._n).column(name)


class _Plain(Chunk):
    """Mappings, each with fields of its own."""

    def __init__(self, rows: Rows) -> None:
        super().__init__({}, len(rows))
        self._rows = rows

    def column(self, name: str) -> Any:
        return self.values(name)

    def values(self, name: str) -> list[Any]:
        try:
            return list(map(itemgetter(name), self._rows))
        except KeyError:
            return [row.get(name) for row in self._rows]


def chunks_of(requests: Sequence[Rows]) -> Iterator[Chunk]:
    """Iterate over the rows of requests in their order; neighbors of one form together, so that single rows cost little."""
    for kind, alike in groupby(requests, key=_form):
        if kind is ColumnRows:
            yield from (Chunk(rows.columns, rows.n) for rows in alike if isinstance(rows, ColumnRows))
            continue
        rows = [row for request in alike for row in request]
        if issubclass(kind, Row):
            columns = [list(values) for values in zip(*map(msgspec.structs.astuple, rows), strict=True)]  # type: ignore[arg-type]  # a Row is a Struct
            yield Chunk(dict(zip(kind.attributes, columns, strict=True)), len(rows))
        else:
            yield _Plain(rows)


def _form(rows: Rows) -> type:
    if isinstance(rows, ColumnRows):
        return ColumnRows
    kind: type = type(rows[0]) if rows else dict
    return kind if issubclass(kind, Row) else dict
