"""Rows on their way from a source, a piece at a time: Polars frames for whoever computes with them, Arrow tables for who writes them down.

Arrow reads text and writes Parquet. Between the two a frame would cost a copy of every text in either direction, a sixth of what it takes
to bring a file of CSV in; so a piece stays what its reader made, until somebody wants it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeAlias

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

    Piece: TypeAlias = pl.DataFrame | pa.Table


class Frames:
    """The pieces of a table, each once: as frames by iterating, or as Arrow tables. All of them have the same columns."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pl.DataFrame:
        return as_frame(next(self._pieces))

    def tables(self) -> Iterator[pa.Table]:
        """Iterate over the pieces as Arrow tables."""
        return (as_table(piece) for piece in self._pieces)

    def seen(self, see: Callable[[int], object]) -> Frames:
        """Return the same pieces; `see` is told the rows of each as it passes."""
        return Frames(_telling(self._pieces, see))


class RowQueue:
    """Arrow tables of the same columns, from which any number of rows is taken."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._waiting: list[pa.Table] = []
        self.n_taken = 0

    def take(self, n_rows: int) -> pa.Table | None:
        """Return the next rows in one piece, fewer at the end; None where none is left, or asked for."""
        import pyarrow as pa

        found, n_found = [], 0
        while n_found < n_rows:
            table = self._waiting.pop() if self._waiting else next(self._tables, None)
            if table is None:
                break
            if len(table) > n_rows - n_found:
                self._waiting.append(table.slice(n_rows - n_found))
                table = table.slice(0, n_rows - n_found)
            found.append(table)
            n_found += len(table)
        self.n_taken += n_found
        return pa.concat_tables(found).combine_chunks() if found else None


def as_frame(piece: Piece) -> pl.DataFrame:
    """Return a piece as a Polars frame."""
    if isinstance(piece, pl.DataFrame):
        return piece
    frame = pl.from_arrow(piece, rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    frame.columns = piece.column_names  # it gives names to columns that have the empty one
    return frame


def as_table(piece: Piece) -> pa.Table:
    """Return a piece as an Arrow table of the types that any reader of Arrow knows."""
    return piece.to_arrow(compat_level=pl.CompatLevel.oldest()) if isinstance(piece, pl.DataFrame) else piece


def _telling(pieces: Iterator[Piece], see: Callable[[int], object]) -> Iterator[Piece]:
    for piece in pieces:
        see(len(piece))
        yield piece
