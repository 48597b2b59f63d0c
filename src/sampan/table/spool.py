"""Frames that wait until all of a table has been seen and its columns' types are known: in memory while they are few, then in files.

A source whose types only its end shows (JSON lines, a query) is read once: its pieces keep the types they have until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

_IN_MEMORY = 64 << 20


class Spool:
    """The pieces of one table. As a context, it leaves no file behind."""

    def __init__(self) -> None:
        self._pieces: list[pl.DataFrame | Path] = []
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._n_bytes = 0
        self._kinds: dict[str, set[pl.DataType]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def add(self, piece: pl.DataFrame) -> None:
        """Let a piece wait."""
        for name, dtype in piece.schema.items():
            self._kinds.setdefault(name, set()).add(dtype)
        self._n_bytes += int(piece.estimated_size())
        if self._n_bytes <= _IN_MEMORY:
            self._pieces.append(piece)
            return
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="sampan-")))
        path = self._folder / f"{len(self._pieces)}.arrow"
        piece.write_ipc(path, compression="lz4")
        self._pieces.append(path)

    def kinds(self, name: str) -> set[pl.DataType]:
        """Return the types a column has in the pieces that hold a value of it."""
        return self._kinds[name] - {pl.Null()}

    @property
    def schema(self) -> pl.Schema:
        """The columns in the order they came up; one whose pieces are of several types, or without a value, is text."""
        return pl.Schema({name: _joint(self.kinds(name)) for name in self._kinds})

    def frames(self, names: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Iterate over the pieces, all with the columns and types of `schema`, or with some of the columns."""
        schema = self.schema
        wanted = {name: schema[name] for name in names} if names is not None else dict(schema)
        for piece in self._pieces:
            frame = piece if isinstance(piece, pl.DataFrame) else pl.read_ipc(piece)
            there = [
                pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name) for name, dtype in wanted.items()
            ]
            yield frame.select(there)

    def column(self, name: str) -> pl.Series:
        """Return a column whole."""
        pieces = [frame[name] for frame in self.frames([name])]
        return pl.concat(pieces) if pieces else pl.Series(name, [], dtype=self.schema[name])


def _joint(kinds: set[pl.DataType]) -> pl.DataType:
    if kinds == {pl.Int64(), pl.Float64()}:
        return pl.Float64()
    return next(iter(kinds)) if len(kinds) == 1 else pl.String()
