"""Columns of text whose source has no types for them (a workbook's mixed cells, a query's texts): typed as those of a text file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from sampan.table.bad_cells import BadCell, LeftOut
from sampan.table.csv_dialect import CsvForm
from sampan.table.types import ColumnForm, Habits, clear_nulls, convert, declared_form, find_form, reason_for, tolerated


@dataclass(frozen=True, slots=True)
class TypedTexts:
    """A table with its texts typed, the rows that were left out, and what a reader should know."""

    frame: pl.DataFrame
    left_out: LeftOut
    notes: tuple[str, ...] = ()


def type_texts(
    frame: pl.DataFrame,
    form: CsvForm,
    *,
    source: str,
    only: Collection[str] | None = None,
    line_of: Callable[[int], int | None] = lambda row: row + 2,
) -> TypedTexts:
    """Give each column of text its type: what is declared or expected, else what is found.

    Parameters
    ----------
    only : the columns whose type may be found; in the others text is meant, unless a type is declared or expected
    line_of : the place of a row in its source
    """
    habits = Habits(decimal=form.decimal, thousands=form.thousands)
    columns, notes, bad = [], [], []
    for column in frame.get_columns():
        is_meant = only is not None and column.name not in {*only, *form.types, *form.expected}
        if column.dtype != pl.String or is_meant:
            columns.append(column)
            continue
        text, spelled = clear_nulls(column, form.null_values)
        found, note = _form_of(text, form, habits)
        values = convert(text, found)
        columns.append(values)
        if note:
            notes.append(f"column {column.name!r} {note}")
        if spelled and found.kind == "text":
            words = ", ".join(f"{n:,} x {word!r}" for word, n in spelled.items())
            notes.append(f"column {column.name!r}: {words} read as missing (--nulls says which words mean missing)")
        is_bad = _bad_in(text, values, found)
        if is_bad.any():
            bad.append((column, found, is_bad))
    return _without_bad(frame, pl.DataFrame(columns), bad, tuple(notes), source, line_of)


def parse_rows(rows: pl.DataFrame, kinds: Mapping[str, str], *, source: str) -> TypedTexts:
    """Give rows of text the types of a dataset's columns; rows in which a cell still is not of its type are left out again."""
    return type_texts(rows, CsvForm(expected=kinds), source=source, line_of=_nowhere)


def _nowhere(_row: int) -> int | None:
    return None


def _form_of(text: pl.Series, form: CsvForm, habits: Habits) -> tuple[ColumnForm, str]:
    name = text.name
    if name in form.types:
        return declared_form(form.types[name], name, habits=habits), ""
    found = find_form(text, tolerance=tolerated(len(text) - text.null_count()), habits=habits)
    expected = form.expected.get(name)
    if expected is None:
        return found.form, found.note
    if found.form.kind == expected or (found.form.kind, expected) == ("integer", "number"):
        return replace(found.form, kind=expected), found.note  # type: ignore[arg-type]  # a kind of DTYPES
    return declared_form(expected, name), ""


def _bad_in(text: pl.Series, values: pl.Series, form: ColumnForm) -> pl.Series:
    if form.missing:
        text, _ = clear_nulls(text, form.missing)
    return values.is_null() & text.is_not_null()


def _without_bad(
    raw: pl.DataFrame,
    frame: pl.DataFrame,
    bad: list[tuple[pl.Series, ColumnForm, pl.Series]],
    notes: tuple[str, ...],
    source: str,
    line_of: Callable[[int], int | None],
) -> TypedTexts:
    left_out = LeftOut(raw.columns)
    if not bad:
        return TypedTexts(frame, left_out, notes)
    any_bad = np.logical_or.reduce([is_bad.to_numpy() for _, _, is_bad in bad])
    rows = np.flatnonzero(any_bad)
    cells = [
        BadCell(int(np.searchsorted(rows, row)), column.name, column[row], reason_for(form), source, line_of(row))
        for column, form, is_bad in bad
        for row in np.flatnonzero(is_bad.to_numpy()).tolist()
    ]
    left_out.add(raw[rows].select(pl.all().cast(pl.String)), cells)
    said = f"{len(rows):,} rows with cells that could not be read are left out"
    return TypedTexts(frame.filter(~pl.Series(any_bad)), left_out, (*notes, said))
