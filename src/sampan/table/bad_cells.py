"""Cells that could not be read, and the rows they stand in: what a reader leaves out of a table, for a person to repair."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

HOPELESS = 0.5  # a given type that more of the values are not
MANY = 20_000  # bad cells after which their share is looked at before the end
_LONGEST_VALUE = 500


@dataclass(frozen=True, slots=True)
class BadCell:
    """One reason for which a row was left out. `column` is empty where the line as a whole is meant."""

    row: int  # of the rows left out, from 0
    column: str
    value: str  # as it stands in the source
    reason: str
    source: str
    line: int | None = None


@dataclass(slots=True)
class LeftOut:
    """The rows that a reader left out, as text, with their reasons."""

    columns: list[str]
    rows: list[pl.DataFrame] = field(default_factory=list)
    cells: list[BadCell] = field(default_factory=list)
    n_rows: int = 0

    def add(self, rows: pl.DataFrame, cells: list[BadCell]) -> None:
        """Add rows; the cells count them from 0 among these rows."""
        start = self.n_rows
        self.cells += [BadCell(c.row + start, c.column, c.value[:_LONGEST_VALUE], c.reason, c.source, c.line) for c in cells]
        self.rows.append(rows)
        self.n_rows += rows.height

    def note(self) -> str:
        """Say how many rows were left out."""
        return left_out_note(self.n_rows)

    def frame(self) -> pl.DataFrame:
        """Return all rows left out, of text."""
        return pl.concat(self.rows) if self.rows else pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))


def left_out_note(n_rows: int) -> str:
    """Say that so many rows were left out."""
    n = "1 row" if n_rows == 1 else f"{n_rows:,} rows"
    return f"{n} with cells that could not be read {'is' if n_rows == 1 else 'are'} left out"
