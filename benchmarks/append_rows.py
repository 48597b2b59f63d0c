"""Goals: appending 1 % to 10 million rows takes at most 2x writing those rows, flushed; the store grows by at most 1.2x of what they take.

    python benchmarks/append_rows.py

Writing the rows: Polars to one Parquet file with the same settings, then fsync of file and folder. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import polars as pl
from grown_flights import grown_flights
from side_by_side import machine, side_by_side, table, versions

from sampan.store.blobs import LocalBlobs
from sampan.store.files import sync_folder
from sampan.store.tables import Tables

TIMES_WRITING = 2.0
GROWTH = 1.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    asked = parser.parse_args()
    source = grown_flights()
    with tempfile.TemporaryDirectory() as name:
        bare, store = Path(name, "bare"), Path(name, "store")
        bare.mkdir()
        tables = Tables(LocalBlobs(store))
        base = tables.adopt(source)
        pieces = pieces_of(source, base.n_rows // 100, asked.rounds + 1)
        to_write, to_append = iter(enumerate(pieces)), iter(pieces)
        before = bytes_of(store)

        def append() -> None:
            nonlocal base
            base = tables.append(base.digest, next(to_append))

        jobs = {"writing the rows": lambda: write(bare, *next(to_write)), "append": append}
        timings = side_by_side(jobs, rounds=asked.rounds)
        growth = (bytes_of(store) - before) / bytes_of(bare)
        assert tables.info(base.digest).n_rows == base.n_rows
    times = timings["append"].wall_s / timings["writing the rows"].wall_s

    print(machine(), f"{pieces[0].height:,} rows to {base.n_rows:,}", sep=", ")
    print(versions("sampan", "polars"))
    print(table(list(timings.values())))
    goals = {
        f"{times:.2f}x writing and flushing the rows, goal: at most {TIMES_WRITING:g}x": times <= TIMES_WRITING,
        f"store grows by {growth:.3f}x of their files, goal: at most {GROWTH:g}x": growth <= GROWTH,
    }
    for told, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if all(goals.values()) else 1


def pieces_of(source: Path, n_rows: int, n_pieces: int) -> list[pl.DataFrame]:
    """Cut distinct rows of the table, with new keys."""
    frame = pl.scan_parquet(source).head(n_rows * n_pieces).with_columns(pl.col("id") + 10**9).collect()
    return [frame.slice(i * n_rows, n_rows).rechunk() for i in range(n_pieces)]


def write(folder: Path, number: int, rows: pl.DataFrame) -> None:
    """Write rows so that they survive a power failure."""
    with (folder / f"{number}.parquet").open("wb") as file:
        rows.write_parquet(file, compression="zstd", compression_level=1, row_group_size=131_072)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def bytes_of(folder: Path) -> int:
    """Return what the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
