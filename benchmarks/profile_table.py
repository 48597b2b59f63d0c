"""Goals for profiles: of a bare scan's CPU at most 2.5x, in 600 MB; 8x less than DuckDB's SUMMARIZE, 50x less than whylogs.

    python benchmarks/profile_table.py --peer-python whylogs=/path/to/python

The first goals on 10.1 M flights in a file written with zstd-3, whylogs on the 336,776 as they are, in the file that a store keeps of them.
Then 1,000 partition profiles are merged: in at most 2 s, and bit for bit into the profile of the whole in any order. Each job is a process
of its own that reads the same Parquet file and says how much CPU that and the work took, imports apart (Arrow's are made before, for both
that read by it), and writing the profile down, which is told by itself; in turns, medians. Without an interpreter for whylogs (it needs
numpy < 2) that row is left out.
Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from grown_flights import N_COPIES, grown_flights
from side_by_side import machine, processes_side_by_side, versions

from sampan.stats.profile_building import profile_table
from sampan.stats.profiles import merge_profiles
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

OF_THE_SCAN, MOST_RSS_MB = 2.5, 600
LESS_THAN_DUCKDB, LESS_THAN_WHYLOGS = 8.0, 50.0
N_PARTITIONS, MERGE_S = 1_000, 2.0

CLOCK = """
import json, resource, sys, time
file, begun = sys.argv[1], time.perf_counter()
def told(start, **found):
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = {"cpu": time.process_time() - start - found.get("writing", 0), "wall": time.perf_counter() - begun}
    print(json.dumps({**spent, "rss_mb": used.ru_maxrss / 1024, **found}))
def written(write):
    start = time.process_time()
    return {"bytes": len(write()), "writing": time.process_time() - start}
"""
SCAN = (
    CLOCK
    + """
import polars as pl
start = time.process_time()
pl.scan_parquet(file).select(pl.all().exclude(pl.String).sum(), pl.col(pl.String).str.len_bytes().sum()).collect(engine="streaming")
told(start)
"""
)
SAMPAN = (
    CLOCK
    + """
from pathlib import Path
import polars as pl
import pyarrow.compute, pyarrow.parquet
from sampan.data.profiling import profile_parquet
start = time.process_time()
found = profile_parquet(Path(file), pl.Schema(pl.read_parquet_schema(file)))
told(start, n_rows=found.n_rows, **written(found.pack))
"""
)
DUCKDB = (
    CLOCK
    + """
import duckdb
start = time.process_time()
found = duckdb.sql(f"summarize select * from '{file}'").fetchall()
told(start, columns=len(found))
"""
)
WHYLOGS = (
    CLOCK
    + """
import pandas as pd
import pyarrow.compute, pyarrow.parquet
import whylogs
begin = time.process_time()
frame = pd.read_parquet(file)
start = time.process_time()
profile = whylogs.log(frame).profile()
told(begin, reading=start - begin, **written(profile.view().serialize))
"""
)


def measure(jobs: dict[str, tuple[Path, str]], file: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Run the jobs in turns, numpy's threads as patient as the command line makes them; return the medians."""
    commands: dict[str, list[str | Path]] = {name: [python, "-c", code, file] for name, (python, code) in jobs.items()}
    return processes_side_by_side(commands, rounds=rounds, env={"OPENBLAS_THREAD_TIMEOUT": "20"})


def stored(source: Path, folder: Path) -> Path:
    """Make a version of a table in a new store; return the file that it keeps of it."""
    tables = Tables(LocalBlobs(folder))
    (part,) = tables.parts(tables.create(pl.scan_parquet(source)).digest)
    return tables.blobs.path(part.base)


def show(found: dict[str, dict[str, float]]) -> None:
    """Print what each job took; ratios are to Sampan."""
    for name, one in found.items():
        ratio = one["cpu"] / found["sampan"]["cpu"]
        print(f"{name:18} {one['cpu']:>8.2f} s CPU {one['wall']:>8.2f} s wall {one['rss_mb']:>8,.0f} MB {ratio:>7.2f}x")


def merging() -> tuple[float, bool]:
    """Return how many CPU seconds merging 1,000 partitions takes, and whether two orders and the whole are one, bit for bit."""
    from grown_flights import flights

    whole = flights()
    size = -(-whole.height // N_PARTITIONS)
    parts = [profile_table(whole[k : k + size]) for k in range(0, whole.height, size)]
    start = time.process_time()
    merged = merge_profiles(*parts)
    took = time.process_time() - start
    random.Random(7).shuffle(parts)  # an order, not a secret
    return took, merged == merge_profiles(*parts) == profile_table(whole) and len(parts) == N_PARTITIONS


def main() -> None:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=N_COPIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PYTHON")
    given = parser.parse_args()
    peers = dict(one.split("=", 1) for one in given.peer_python)
    here = Path(sys.executable)
    print(machine(), versions("polars", "numpy", "pyarrow", "duckdb"))

    large = grown_flights(given.copies)
    n_rows = pl.scan_parquet(large).select(pl.len()).collect().item()
    print(f"{n_rows:,} rows x {len(pl.read_parquet_schema(large))}")
    found = measure({"sampan": (here, SAMPAN), "bare scan": (here, SCAN), "duckdb summarize": (here, DUCKDB)}, large, given.rounds)
    show(found)
    ours = found["sampan"]
    scan, duckdb = found["bare scan"]["cpu"], found["duckdb summarize"]["cpu"]
    goals = {
        f"{ours['cpu'] / scan:.2f}x the scan (at most {OF_THE_SCAN}x)": ours["cpu"] <= OF_THE_SCAN * scan,
        f"{ours['rss_mb']:.0f} MB (at most {MOST_RSS_MB})": ours["rss_mb"] <= MOST_RSS_MB,
        f"{duckdb / ours['cpu']:.1f}x less than DuckDB (at least {LESS_THAN_DUCKDB:g}x)": duckdb >= LESS_THAN_DUCKDB * ours["cpu"],
    }
    if python := peers.get("whylogs"):
        print("336,776 rows,", versions("whylogs", "numpy", python=Path(python)))
        with tempfile.TemporaryDirectory() as folder:
            small = stored(grown_flights(1), Path(folder))
            found = measure({"sampan": (here, SAMPAN), "whylogs": (Path(python), WHYLOGS)}, small, 3 * given.rounds)
        show(found)
        ratio = found["whylogs"]["cpu"] / found["sampan"]["cpu"]
        print(f"of whylogs' time {found['whylogs']['reading']:.2f} s went into reading the file with pandas")
        for name, one in found.items():
            print(f"writing it down takes {name} {one['writing'] * 1e3:.0f} ms more, {one['bytes'] / 1e3:,.0f} kB")
        goals[f"{ratio:.0f}x less than whylogs (at least {LESS_THAN_WHYLOGS:g}x)"] = ratio >= LESS_THAN_WHYLOGS
    took, alike = merging()
    goals[f"{N_PARTITIONS:,} partitions merge in {took:.2f} s CPU (at most {MERGE_S:g} s)"] = took <= MERGE_S
    goals["in any order, bit for bit the whole"] = alike
    for goal, met in goals.items():
        print("met   " if met else "MISSED", goal)
    sys.exit(0 if all(goals.values()) else 1)


if __name__ == "__main__":
    main()
