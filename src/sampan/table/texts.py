"""Columns of text whose source has no types for them (a workbook's mixed cells, a query's texts): typed as those of a text file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from sampan.errors import DataFormatError
from sampan.table.bad_cells import HOPELESS, MANY, BadCell, LeftOut
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
    typing = TextTyping(frame.schema, frame.get_column, form, source=source, only=only, line_of=line_of)
    typed = typing.apply(frame)
    return TypedTexts(typed, typing.left_out, typing.notes())


def parse_rows(rows: pl.DataFrame, kinds: Mapping[str, str], *, source: str) -> TypedTexts:
    """Give rows of text the types of a dataset's columns; rows in which a cell still is not of its type are left out again."""
    return type_texts(rows, CsvForm(expected=kinds), source=source, line_of=_nowhere)


class TextTyping:
    """Types the columns of text of a table that comes in pieces.

    The form of a column is found by all of it, so `column_of` has to give it whole; it is asked for one column at a time, and not for those
    whose type is declared. For `only` and `line_of` see `type_texts`.
    """

    def __init__(
        self,
        schema: pl.Schema,
        column_of: Callable[[str], pl.Series],
        form: CsvForm,
        *,
        source: str,
        only: Collection[str] | None,
        line_of: Callable[[int], int | None],
    ) -> None:
        self._form, self._source, self._line_of = form, source, line_of
        self._forms: dict[str, ColumnForm] = {}
        self._notes: dict[str, str] = {}
        self._spelled: dict[str, Counter[str]] = {}
        self._bad: dict[str, tuple[int, int]] = {}  # bad cells and values so far
        self._n_rows = 0
        habits = Habits(decimal=form.decimal, thousands=form.thousands)
        for name, dtype in schema.items():
            if dtype == pl.String and (only is None or name in {*only, *form.types, *form.expected}):
                self._forms[name], self._notes[name] = _form_of(name, column_of, form, habits)
                self._spelled[name] = Counter()
        self.left_out = LeftOut(schema.names())
        kinds = {name: found.dtype for name, found in self._forms.items()}
        self.schema = pl.Schema({name: kinds.get(name, dtype) for name, dtype in schema.items()})

    def apply(self, piece: pl.DataFrame) -> pl.DataFrame:
        """Type a piece's texts and leave out the rows in which that fails."""
        columns, bad = [], []
        for column in piece.get_columns():
            found = self._forms.get(column.name)
            if found is None:
                columns.append(column)
                continue
            text, spelled = clear_nulls(column, self._form.null_values)
            self._spelled[column.name].update(spelled)
            values = convert(text, found)
            columns.append(values)
            is_bad = _bad_in(text, values, found)
            if is_bad.any():
                bad.append((column, found, is_bad))
                self._count_bad(column, found, is_bad)
        typed = pl.DataFrame(columns)
        kept = self._leave_bad(piece, typed, bad) if bad else typed
        self._n_rows += piece.height
        return kept

    def notes(self) -> tuple[str, ...]:
        """Say what a reader should know of how texts were read."""
        said = [f"column {name!r} {note}" for name, note in self._notes.items() if note]
        for name, counts in self._spelled.items():
            if counts and self._forms[name].kind == "text":
                words = ", ".join(f"{n:,} x {word!r}" for word, n in counts.items())
                said.append(f"column {name!r}: {words} read as missing (--nulls says which words mean missing)")
        if self.left_out.n_rows:
            said.append(self.left_out.note())
        return tuple(said)

    def _count_bad(self, column: pl.Series, form: ColumnForm, is_bad: pl.Series) -> None:
        """Refuse a column most of which is of another type: its rows would all wait for a person."""
        n_bad, n_values = self._bad.get(column.name, (0, 0))
        n_bad, n_values = n_bad + int(is_bad.sum()), n_values + len(column) - column.null_count()
        self._bad[column.name] = n_bad, n_values
        if n_bad > MANY and n_bad > HOPELESS * n_values:
            first = column.filter(is_bad)[0]
            raise DataFormatError(
                f"of {n_values:,} values of column {column.name!r}, {n_bad:,} are {reason_for(form)}; one is {first[:40]!r}",
                source=self._source,
                hint=f"mend them, or say how they are written: --types {column.name}=TYPE",
            )

    def _leave_bad(self, raw: pl.DataFrame, frame: pl.DataFrame, bad: list[tuple[pl.Series, ColumnForm, pl.Series]]) -> pl.DataFrame:
        any_bad = np.logical_or.reduce([is_bad.to_numpy() for _, _, is_bad in bad])
        rows = np.flatnonzero(any_bad)
        cells = [
            BadCell(
                int(np.searchsorted(rows, row)), column.name, column[row], reason_for(form), self._source, self._line_of(row + self._n_rows)
            )
            for column, form, is_bad in bad
            for row in np.flatnonzero(is_bad.to_numpy()).tolist()
        ]
        self.left_out.add(raw[rows].select(pl.all().cast(pl.String)), cells)
        return frame.filter(~pl.Series(any_bad))


def _nowhere(_row: int) -> int | None:
    return None


def _form_of(name: str, column_of: Callable[[str], pl.Series], form: CsvForm, habits: Habits) -> tuple[ColumnForm, str]:
    if name in form.types:
        return declared_form(form.types[name], name, habits=habits), ""
    expected = form.expected.get(name)
    if expected == "text":
        return declared_form(expected, name), ""
    text, _ = clear_nulls(column_of(name), form.null_values)
    found = find_form(text, tolerance=tolerated(len(text) - text.null_count()), habits=habits)
    if expected is None:
        return found.form, found.note
    if found.form.kind == expected or (found.form.kind, expected) == ("integer", "number"):
        return replace(found.form, kind=expected), found.note  # type: ignore[arg-type]  # a kind of DTYPES
    return declared_form(expected, name), ""


def _bad_in(text: pl.Series, values: pl.Series, form: ColumnForm) -> pl.Series:
    if form.missing:
        text, _ = clear_nulls(text, form.missing)
    return values.is_null() & text.is_not_null()
