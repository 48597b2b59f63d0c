"""Goals: CSV of 10 million rows to a version: at most 1.2x the CPU of the Polars sink, less than delta-rs and Lance, at most 2 GB.

    python benchmarks/ingest_csv.py --peer-python lance=/envs/lance/bin/python

All are whole processes, in turns, each into a fresh folder. Sampan finds delimiter, encoding and types, checks the length of every line and
every value, digests the source and flushes to disk; times become times. The sink guesses types from the first 100 rows and leaves times as
text. delta-rs and Lance are given the CSV reader of Arrow, which is told nothing either. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl
from grown_flights import N_COPIES, grown_flights
from side_by_side import environment, machine, versions

OF_THE_SINK = 1.2
MOST_MB = 2_000
OURS = """
import sys
from pathlib import Path
from sampan.store import Store
from sampan.store.tables.parts import Pieces
from sampan.table.sources import stream_source
with Store.open(Path(sys.argv[2])) as store:
    version, account = stream_source(Path(sys.argv[1]), take=lambda schema, frames: store.tables.create(Pieces(schema, frames)))
    print(version.n_rows)
"""
SINK = """
import sys, polars as pl
from pathlib import Path
Path(sys.argv[2]).mkdir()
pl.scan_csv(sys.argv[1]).sink_parquet(sys.argv[2] + "/t.parquet", compression="zstd", compression_level=1)
"""
DELTA = """
import sys
from pyarrow import csv
from deltalake import write_deltalake
write_deltalake(sys.argv[2], csv.open_csv(sys.argv[1]))
"""
LANCE = """
import sys, lance
from pyarrow import csv
lance.write_dataset(csv.open_csv(sys.argv[1]), sys.argv[2])
"""
# What Arrow's reader and writer need for the same bytes in blocks, told the types, one thread each, nothing looked at or digested.
FLOOR = """
import os, sys
import pyarrow as pa
from pyarrow import csv, parquet as pq
file, made = open(sys.argv[1], "rb"), open(sys.argv[2], "wb")
names, types, writer, carried = file.readline().decode().strip().split(","), None, None, b""
while block := file.read(8 << 20):
    end = block.rfind(b"\\n") + 1
    text, carried = carried + block[:end], block[end:]
    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=2 << 20),
        convert_options=csv.ConvertOptions(column_types=types),
    )
    types = types or {field.name: pa.timestamp("us", "UTC") if pa.types.is_timestamp(field.type) else field.type for field in table.schema}
    writer = writer or pq.ParquetWriter(made, pa.schema(types.items()), compression="zstd", compression_level=1)
    writer.write_table(table.cast(writer.schema))
writer.close()
os.fsync(made.fileno())
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=N_COPIES, help="of the 336,776 flights")
    parser.add_argument("--peer-python", default="", metavar="lance=PYTHON")
    asked = parser.parse_args()
    source = grown_csv(asked.copies)
    lance = asked.peer_python.partition("=")[2]
    jobs = {"polars sink": [sys.executable, "-c", SINK], "sampan": [sys.executable, "-c", OURS], "delta-rs": [sys.executable, "-c", DELTA]}
    jobs["floor"] = [sys.executable, "-c", FLOOR]
    if lance:
        jobs["lance"] = [lance, "-c", LANCE]
    spent: dict[str, list[Spent]] = {name: [] for name in jobs}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(asked.rounds):
            for name, command in jobs.items():
                target = Path(folder, "made")
                spent[name].append(spend([*command, str(source), str(target)]))
                shutil.rmtree(target) if target.is_dir() else target.unlink()

    print(machine(), f"{source.stat().st_size / 1e6:,.0f} MB of CSV, {asked.rounds} rounds, medians", sep=", ")
    print(versions("sampan", "polars", "pyarrow", "deltalake"), *([versions("pylance", python=lance)] if lance else []), sep=", ")
    sink = typical(spent["polars sink"])
    for name, runs in spent.items():
        took = typical(runs)
        ratio = took.cpu_s / sink.cpu_s
        print(f"{name:12}  wall {took.wall_s:6.1f} s  cpu {took.cpu_s:6.1f} s ({ratio:.2f}x the sink)  peak {took.peak_mb:7,.0f} MB")
    return judge({name: typical(runs) for name, runs in spent.items()})


def judge(took: dict[str, Spent]) -> int:
    """Hold the figures against the goals."""
    ours, sink = took["sampan"], took["polars sink"]
    goals = {f"{ours.cpu_s / sink.cpu_s:.2f}x the sink's CPU, goal: at most {OF_THE_SINK:g}x": ours.cpu_s <= OF_THE_SINK * sink.cpu_s}
    for name in ("delta-rs", "lance"):
        if name in took:
            goals[f"{ours.cpu_s / took[name].cpu_s:.2f}x the CPU of {name}, goal: less than 1x"] = ours.cpu_s < took[name].cpu_s
    goals[f"{ours.peak_mb:,.0f} MB at most, goal: {MOST_MB:,} MB"] = ours.peak_mb <= MOST_MB
    for told, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if all(goals.values()) else 1


def grown_csv(n_copies: int) -> Path:
    """Return the grown flights as CSV, written on first use and kept in the temporary folder."""
    path = Path(tempfile.gettempdir()) / "sampan-benchmarks" / f"flights-{n_copies}.csv"
    if not path.exists():
        draft = path.with_suffix(".part")
        pl.scan_parquet(grown_flights(n_copies)).sink_csv(draft)
        draft.rename(path)
    return path


def spend(command: Sequence[str]) -> Spent:
    """Run a process to its end; its memory at the peak is the kernel's figure."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
    _, status, used = os.wait4(process.pid, 0)
    assert process.stdout is not None
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[2][:60]} failed with {process.returncode}")
    return Spent(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def typical(runs: Sequence[Spent]) -> Spent:
    """Return the medians of several runs."""
    return Spent(median(r.wall_s for r in runs), median(r.cpu_s for r in runs), max(r.peak_mb for r in runs))


if __name__ == "__main__":
    sys.exit(main())
