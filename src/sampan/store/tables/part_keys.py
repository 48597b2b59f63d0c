"""The keys of a version's rows, read part by part: while they ascend, those of one part are in memory at a time, and of each its ends stay.

Ten million keys take 81 MB, and finding room for them costs as much as reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from sampan.store.tables import layout, parts
from sampan.store.tables.key_runs import MOST_RUNS, KeyRuns, Keys, Run, cut, numbers_of
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import Reader, exactly


class PartKeys:
    """The keys of the living rows of parts.

    Parameters
    ----------
    key : the columns that make the key; only a single one is looked at for runs
    """

    def __init__(self, listed: Sequence[Part], schema: pl.Schema, key: Sequence[str], blobs: Reader) -> None:
        self._parts, self._schema, self._key, self._blobs = listed, schema, list(key), blobs
        self._runs: list[Run] = []
        self._seen: set[int] = set()
        self._ascend = len(key) == 1

    def of_part(self, number: int) -> pl.Series | None:
        """Return the keys of a part's living rows, in their order; None once keys have too many runs."""
        if not self._ascend:
            return None
        keys = self._read(number)
        numbers = numbers_of(keys)
        slices = None if numbers is None else cut(numbers, MOST_RUNS - len(self._runs))
        if numbers is None or slices is None:
            self._ascend = False
            return None
        if number not in self._seen:
            self._seen.add(number)
            self._runs += [Run(int(numbers[at][0]), int(numbers[at][-1]), self._reader(number, at)) for at in slices]
        return keys

    def runs(self) -> KeyRuns | None:
        """Return all keys as runs; None if they are too many."""
        for number in range(len(self._parts)):
            if number not in self._seen and self.of_part(number) is None:
                return None
        return KeyRuns(self._runs) if self._ascend else None

    def all(self) -> pl.DataFrame:
        """Return the keys of all rows."""
        return parts.scan(self._parts, self._schema, self._blobs).select(exactly(self._key)).collect()

    def _reader(self, number: int, at: slice) -> Callable[[], Keys]:
        def read() -> Keys:
            numbers = numbers_of(self._read(number))
            assert numbers is not None  # as they were before
            return numbers[at]

        return read

    def _read(self, number: int) -> pl.Series:
        part, name = self._parts[number], self._key[0]
        if part.is_clean and part.n_rows >= layout.MIN_ROWS and self._schema[name].is_integer():
            column = _integers(part, name, self._blobs)
            if column is not None and column.dtype == self._schema[name]:
                return column
        return parts.scan([part], self._schema, self._blobs).select(exactly([name])).collect().to_series()


def _integers(part: Part, name: str, blobs: Reader) -> pl.Series | None:
    """Read a column of whole numbers by Arrow, which decodes differences twice as fast as Polars; None if some are missing."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(blobs.path(part.base)) as file:
        column = file.read(columns=[name], use_threads=False).column(name)
    if column.null_count:
        return None
    chunks = [np.frombuffer(chunk.buffers()[1], dtype=str(chunk.type))[chunk.offset : chunk.offset + len(chunk)] for chunk in column.chunks]
    return pl.Series(name, np.concatenate(chunks))
