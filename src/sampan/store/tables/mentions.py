"""Cells of a table that name a subject in a row of somebody else: which they are, and what they become without it.

A cell names the subject where one of its texts stands in it as a word of its own. A cell that is one code, like P-000777-2, names what it
says and nothing else, so the codes of others that begin like the subject's are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sampan.store.erasure.subjects import ERASED, Subject
from sampan.store.tables.parts import exactly

_CODE = r"^[\w-]+$"


class Mentions:
    """Finds a subject's texts in cells, and takes them out."""

    def __init__(self, subject: Subject) -> None:
        """Take the subject. Columns that are its keys are not looked at: those are compared as a whole."""
        self._besides = subject.keys.keys()
        self._word = rf"\b{{start-half}}(?:{subject.words})\b{{end-half}}" if subject.texts else ""
        self._whole = rf"^(?:{subject.words})$"

    def conditions(self, schema: pl.Schema) -> dict[str, pl.Expr]:
        """Return for each column that can hold a text which of its cells name the subject."""
        return {name: self._names(exactly([name]), dtype).fill_null(value=False) for name, dtype in self._columns(schema)}

    def count(self, frame: pl.LazyFrame) -> dict[str, int]:
        """Count the cells that name the subject, by column; only columns that have any."""
        found = self.conditions(frame.collect_schema())
        if not found:
            return {}
        sums = [condition.sum().alias(f"{number}") for number, condition in enumerate(found.values())]
        counts = dict(zip(found, frame.select(sums).collect(engine="streaming").row(0), strict=True))
        return {name: n for name, n in counts.items() if n}

    def without(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a table with the subject's texts replaced; types and all other cells are as they were."""
        return frame.with_columns(self._redacted(exactly([name]), dtype).alias(name) for name, dtype in self._columns(frame.schema))

    def _columns(self, schema: pl.Schema) -> Iterator[tuple[str, pl.DataType]]:
        if self._word:
            yield from ((name, dtype) for name, dtype in schema.items() if name not in self._besides and _holds_text(dtype))

    def _names(self, cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        if isinstance(dtype, pl.Struct):
            return pl.any_horizontal(self._names(cell.struct.field(name), inner) for name, inner in _fields(dtype) if _holds_text(inner))
        if isinstance(dtype, pl.List | pl.Array):
            return _as_list(cell, dtype).list.eval(self._names(pl.element(), _inner(dtype)).fill_null(value=False)).list.any()
        text = cell.cast(pl.String)
        return text.str.contains(self._word) & (text.str.contains(self._whole) | ~text.str.contains(_CODE))

    def _redacted(self, cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        if isinstance(dtype, pl.Struct):
            fields = [
                (self._redacted(cell.struct.field(name), inner) if _holds_text(inner) else cell.struct.field(name)).alias(name)
                for name, inner in _fields(dtype)
            ]
            return pl.when(cell.is_not_null()).then(pl.struct(fields))
        if isinstance(dtype, pl.List | pl.Array):
            return _as_list(cell, dtype).list.eval(self._redacted(pl.element(), _inner(dtype))).cast(dtype)
        if isinstance(dtype, pl.Enum):  # it has no word for what was erased
            return pl.when(~self._names(cell, dtype)).then(cell)
        text = cell.cast(pl.String)
        return pl.when(self._names(cell, dtype)).then(text.str.replace_all(self._word, ERASED)).otherwise(text).cast(dtype)


def _holds_text(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_text(_inner(dtype))
    if isinstance(dtype, pl.Struct):
        return any(_holds_text(inner) for _, inner in _fields(dtype))
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _fields(dtype: pl.Struct) -> Iterator[tuple[str, pl.DataType]]:
    for field in dtype.fields:
        yield field.name, _instance(field.dtype)


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    # Of an array of several dimensions, the first.
    return _instance(dtype.inner)


def _instance(dtype: object) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


def _as_list(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return cell.cast(pl.List(_inner(dtype))) if isinstance(dtype, pl.Array) else cell
