"""Formats with types of their own, in pieces."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import ipc

from sampan.errors import DataFormatError
from sampan.table.sources import read_source, stream_source

ROWS = pl.DataFrame({"id": range(300_000), "word": [f"w{i % 9}" for i in range(300_000)], "day": [date(2013, 1, 1)] * 300_000})


def write(folder: Path, kind: str) -> Path:
    path = folder / f"t.{kind}"
    if kind == "parquet":
        ROWS.write_parquet(path, row_group_size=50_000)
    elif kind == "arrow":
        ROWS.write_ipc(path)
    else:
        with pa.OSFile(str(path), "wb") as file, ipc.new_stream(file, ROWS.to_arrow().schema) as writer:
            writer.write_table(ROWS.to_arrow(), max_chunksize=70_000)
    return path


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrows"])
def test_a_file_comes_in_pieces_and_packed_too(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))

    pieces, account = stream_source(path, take=lambda schema, frames: (schema, list(frames)))

    assert account.format == ("parquet" if kind == "parquet" else "ipc")
    assert pieces[0] == ROWS.schema
    assert len(pieces[1]) > 1
    assert pl.concat(pieces[1]).equals(ROWS)
    assert read_source(packed).frame.equals(ROWS)


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    ROWS.head(0).write_ipc(tmp_path / "t.arrow")

    assert read_source(tmp_path / "t.arrow").frame.equals(ROWS.head(0))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrows"])
def test_a_file_cut_short_is_damaged(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DataFormatError, match="is a damaged"):
        read_source(path)
