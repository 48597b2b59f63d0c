"""Cached versions: a table as uncompressed Arrow in one local file, mapped into memory instead of read.

Decoding Parquet is most of what reading costs. A program that reads the same version again and again, or rows here and there, is served
from the mapped file: whole tables in milliseconds, and only the pages that are looked at come from the disk. A cache is made when it is
asked for, may be removed at any time, and is believed only while nothing touched its file since it was made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from sampan.core.decoding import read_json
from sampan.core.digests import Digest
from sampan.store.files import signature, store_errors
from sampan.store.tables.deletions import Positions

_BATCH_ROWS = 128 * 1024


class CachedTables:
    """The cached versions in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, version: Digest, rows: pl.LazyFrame) -> int:
        """Cache a version; return the size of its file in bytes."""
        file = self._file(version)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with store_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                rows.sink_ipc(draft, compression="uncompressed", compat_level=pl.CompatLevel.newest(), record_batch_size=_BATCH_ROWS)
                draft.replace(file)
            finally:
                with suppress(OSError):
                    draft.unlink()
            self._seal(file).write_bytes(msgspec.json.encode(signature(file)))
            return file.stat().st_size

    def read(self, version: Digest) -> pl.DataFrame | None:
        """Return a cached version, mapped; None if it is not cached."""
        found = self._open(version)
        if found is None:
            return None
        frame = pl.from_arrow(found.read_all(), rechunk=False)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def take(self, version: Digest, numbers: Positions) -> pl.DataFrame | None:
        """Return rows by number, ascending, from a cached version; None if it is not cached."""
        found = self._open(version)
        if found is None:
            return None
        pieces = [pl.DataFrame(pl.from_arrow(found.schema.empty_table()))]
        start = 0
        for number in range(found.num_record_batches):
            batch = found.get_batch(number)
            first, last = np.searchsorted(numbers, (start, start + batch.num_rows))
            if last > first:
                # Batch by batch: gathering from a column of many pieces would join them first.
                pieces.append(pl.DataFrame(pl.from_arrow(batch))[numbers[first:last] - start])
            start += batch.num_rows
        return pl.concat(pieces)

    def remove(self, versions: Sequence[Digest] | None = None) -> int:
        """Remove caches, all or of some versions; return the bytes freed."""
        freed = 0
        for file in list(self._files()) if versions is None else [self._file(version) for version in versions]:
            with suppress(FileNotFoundError):
                freed += file.stat().st_size
                file.unlink()
            self._seal(file).unlink(missing_ok=True)
        return freed

    def _open(self, version: Digest) -> pa.RecordBatchFileReader | None:
        file = self._file(version)
        try:
            sealed = read_json(self._seal(file).read_bytes(), tuple[int, ...])
            if sealed != tuple(signature(file)):
                return None
            return pa.ipc.open_file(pa.memory_map(str(file)))
        except (OSError, msgspec.MsgspecError, pa.ArrowInvalid):
            return None

    def _file(self, version: Digest) -> Path:
        return self.folder / f"{version.partition(':')[2]}.arrow"

    @staticmethod
    def _seal(file: Path) -> Path:
        return file.with_suffix(".json")

    def _files(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from self.folder.glob("*.arrow")
