"""Rows on their way from a source, a piece at a time: Polars frames for whoever computes with them, Arrow tables for who writes them down.

Arrow reads text and writes Parquet. Between the two a frame would cost a copy of every text in either direction, a sixth of what it takes
to bring a file of CSV in; so a piece stays what its reader made, until somebody wants it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """Arrow tables of the same columns, from which any number of rows is taken.

    Rows are copied only where two pieces meet: what is taken is in pieces, all but the last of a multiple of so many rows. A writer that
    takes as many rows at a time then gives the same bytes whatever the pieces were.

    Parameters
    ----------
    step : the number of rows
    """

    def __init__(self, tables: Iterator[pa.Table], *, step: int) -> None:
        self._batches = (batch for table in tables for batch in table.to_batches() if len(batch))
        self._waiting: list[pa.RecordBatch] = []
        self._step = step
        self.n_taken = 0

    def take(self, n_rows: int) -> pa.Table | None:
        """Return the next rows, fewer at the end; None where none is left, or asked for."""
        import pyarrow as pa

        ends, found = [0], []
        while ends[-1] < n_rows:
            batch = self._waiting.pop() if self._waiting else next(self._batches, None)
            if batch is None:
                break
            n_left = n_rows - ends[-1]
            if len(batch) > n_left:
                self._waiting.append(batch.slice(n_left))
            found.append(batch.slice(0, n_left))
            ends.append(ends[-1] + len(found[-1]))
        self.n_taken += ends[-1]
        return self._in_steps(pa.Table.from_batches(found), ends) if found else None

    def _in_steps(self, table: pa.Table, ends: Sequence[int]) -> pa.Table:
        import pyarrow as pa

        pieces, at = [], 0
        for end in ends:
            meeting = end // self._step * self._step
            if meeting >= at and end > meeting:
                pieces += [table.slice(at, meeting - at), table.slice(meeting, self._step).combine_chunks()]
                at = meeting + self._step
        return pa.concat_tables([piece for piece in (*pieces, table.slice(at)) if len(piece)])


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
