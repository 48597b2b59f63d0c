"""A table read a column at a time: what looks at each column by itself then takes the memory of one, not of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import polars.selectors as cs

Frame = pl.DataFrame | pl.LazyFrame


class Columnwise:
    """A table in memory or, lazily, in files. The column asked for last is kept."""

    def __init__(self, frame: Frame) -> None:
        self.lazy = frame.lazy()
        self._frame = frame if isinstance(frame, pl.DataFrame) else None
        self._last: pl.Series | None = None
        self.schema = self.lazy.collect_schema()
        self.height = int(self.lazy.select(pl.len()).collect(engine="streaming").item())

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return self.schema.names()

    def __getitem__(self, name: str) -> pl.Series:
        if self._frame is not None:
            return self._frame[name]
        if self._last is None or self._last.name != name:
            self._last = self.lazy.select(cs.by_name(name)).collect(engine="streaming")[name]
        return self._last

    def select(self, *cells: pl.Expr) -> pl.DataFrame:
        """Compute some cells in one pass."""
        return self.lazy.select(*cells).collect(engine="streaming")

    def slices(self, names: Sequence[str], n_rows: int) -> Iterator[pl.DataFrame]:
        """Iterate over the rows of some columns, so many at a time, in order."""
        some = self.lazy.select(cs.by_name(*names) if names else cs.empty())
        for start in range(0, self.height, n_rows):
            yield some.slice(start, n_rows).collect(engine="streaming")


def columnwise(table: Frame | Columnwise) -> Columnwise:
    """Return a table as one that is read by columns."""
    return table if isinstance(table, Columnwise) else Columnwise(table)
