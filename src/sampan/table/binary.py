"""Parquet and Arrow files piece by piece: formats that have types of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from sampan.errors import DataFormatError
from sampan.table.blocks import is_packed, open_unpacked
from sampan.table.csv import Take

IPC_FILE = b"ARROW1"
_PIECE_ROWS = 1 << 17
_COPIED_BYTES = 1 << 24
Taken = TypeVar("Taken")


def take_binary(path: Path, kind: str, take: Take[Taken]) -> Taken:
    """Give a Parquet (`parquet`) or Arrow (`ipc`) file's rows on in pieces; an archive is unpacked into a file that vanishes afterwards.

    Raises
    ------
    DataFormatError : it is damaged.
    """
    with _plain(path) as plain, _naming_damage("Parquet" if kind == "parquet" else "Arrow", path):
        if kind == "parquet":
            lazy = pl.scan_parquet(plain, glob=False)
            pieces = lazy.collect_batches(maintain_order=True, engine="streaming")
            return take(lazy.collect_schema(), _named(pieces, "Parquet", path))
        with pa.OSFile(str(plain)) as file:
            schema, batches = _open_ipc(file, is_file=_is_ipc_file(plain))
            return take(schema, _named(batches, "Arrow", path))


def _open_ipc(file: pa.NativeFile, *, is_file: bool) -> tuple[pl.Schema, Iterator[pl.DataFrame]]:
    """Open an Arrow file or stream; of one that is read batch by batch no more than a batch is in memory."""
    reader = ipc.open_file(file) if is_file else ipc.open_stream(file)
    batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
    return _frame(pa.Table.from_batches([], reader.schema)).schema, _pieces(batches)


def _pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    for batch in batches:
        for start in range(0, batch.num_rows, _PIECE_ROWS):
            yield _frame(pa.Table.from_batches([batch.slice(start, _PIECE_ROWS)]))


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _is_ipc_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(IPC_FILE)) == IPC_FILE


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    if not is_packed(path):
        yield path
        return
    with TemporaryDirectory(prefix="sampan-") as folder:
        unpacked = Path(folder, "unpacked")
        with open_unpacked(path) as (stream, _), unpacked.open("wb") as file:
            shutil.copyfileobj(stream, file, _COPIED_BYTES)
        yield unpacked


def _named(pieces: Iterator[pl.DataFrame], kind: str, path: Path) -> Iterator[pl.DataFrame]:
    """Iterate over pieces; damage is named as this file's, and that of whoever takes them is not."""
    pieces = iter(pieces)
    while True:
        with _naming_damage(kind, path):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


@contextmanager
def _naming_damage(kind: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as cause:
        first = (str(cause).splitlines() or ["it cannot be read"])[0]
        raise DataFormatError(f"{path} is a damaged {kind} file: {first}", source=str(path), hint="fetch or write it again") from cause
