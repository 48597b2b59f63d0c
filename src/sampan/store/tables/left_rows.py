"""Rows of one version of which the structure says nothing: where they stand, read only as far as it takes to compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from sampan.store.tables import edits, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import Reader, exactly

_MAX_ROWS_IN_MEMORY = 2_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a part: those at some positions of its file, ascending and at least one, or all living ones."""

    part: Part
    schema: pl.Schema
    blobs: Reader
    positions: Positions | None = None
    keys: pl.Series | None = None  # their key, where it was read already

    @property
    def n_rows(self) -> int:
        """How many rows they are."""
        return self.part.n_live if self.positions is None else len(self.positions)

    def read(self, names: Sequence[str]) -> pl.LazyFrame:
        """Read some columns."""
        known = self.keys if self.keys is not None and self.keys.name in names else None
        wanted = pl.Schema({name: self.schema[name] for name in names if known is None or name != known.name})
        if known is not None and not wanted:
            return known.to_frame().lazy()
        if self.positions is None:
            rows = parts.scan([self.part], wanted, self.blobs)
        else:
            rows = parts.rows_at(self.part, self.positions, wanted, self.blobs)
        return rows if known is None else pl.concat([known.to_frame().lazy(), rows], how="horizontal").select(exactly(names))

    def at(self, numbers: Positions) -> Piece:
        """Return the rows with some of their numbers, ascending and at least one."""
        if len(numbers) == self.n_rows:
            return self
        positions = edits.living_rows(self.part, parts.dead_rows(self.part, self.blobs)) if self.positions is None else self.positions
        return replace(self, positions=positions[numbers], keys=None if self.keys is None else self.keys.gather(pl.Series(numbers)))


@dataclass(frozen=True, slots=True)
class Left:
    """The rows of one side that are left over, numbered in the order of their pieces."""

    pieces: Sequence[Piece]
    schema: pl.Schema

    @property
    def n_rows(self) -> int:
        """How many rows they are."""
        return sum(piece.n_rows for piece in self.pieces)

    @property
    def is_small(self) -> bool:
        """Whether they may be held in memory."""
        return self.n_rows <= _MAX_ROWS_IN_MEMORY

    def read(self, names: Sequence[str]) -> pl.LazyFrame:
        """Read some columns of all rows."""
        frames = [piece.read(names) for piece in self.pieces if piece.n_rows]
        return pl.concat(frames) if frames else self._none(names)

    def rows(self, numbers: Positions, names: Sequence[str]) -> pl.DataFrame:
        """Read some columns of the rows with some numbers, ascending; of a piece without one of them nothing is read."""
        frames: list[pl.LazyFrame] = []
        start = 0
        for piece in self.pieces:
            first, last = np.searchsorted(numbers, (start, start + piece.n_rows))
            if first < last:
                frames.append(piece.at(numbers[first:last] - start).read(names))
            start += piece.n_rows
        return pl.concat(frames).collect(engine="streaming") if frames and names else self._none(names).collect()

    def _none(self, names: Sequence[str]) -> pl.LazyFrame:
        return pl.LazyFrame(schema={name: self.schema[name] for name in names})
