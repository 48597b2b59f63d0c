"""Goal: 10 million rows come in, by every way there is, in at most 2 GB of memory.

    python benchmarks/intake_memory.py [--copies 30] [--only "csv" "json lines" …]

Each way is a whole process; its memory is the kernel's figure for the most that was resident at once (`ru_maxrss`), pages of files that it
maps included. A workbook has at most 1,048,576 rows a sheet, and its reader needs all of it: it is shown with as many rows as --excel-rows
says and has no goal. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from grown_flights import N_COPIES, grown_flights
from ingest_csv import grown_csv, spend
from side_by_side import machine, versions

MOST_MB = 2_000
_KEY = 'key=["id"]'
_WITHOUT = """
import sys
from pathlib import Path
from sampan.workspace.workspace import Workspace
source = Path(sys.argv[1])
with Workspace.open(Path(sys.argv[2]), actor="benchmark") as ws:
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in: what makes its input, what has to be there before, and the program that is measured."""

    name: str
    source: Callable[[int], Path]
    program: str
    before: str = ""
    has_goal: bool = True


def json_lines(copies: int) -> Path:
    """Return the flights as JSON lines."""
    return made(f"flights-{copies}.jsonl", lambda path: pl.scan_parquet(grown_flights(copies)).sink_ndjson(path))


def arrow(copies: int) -> Path:
    """Return the flights as an Arrow file."""
    return made(f"flights-{copies}.arrow", lambda path: pl.scan_parquet(grown_flights(copies)).sink_ipc(path))


def database(copies: int) -> Path:
    """Return the flights as a table of an SQLite file."""

    def fill(path: Path) -> None:
        lazy = pl.scan_parquet(grown_flights(copies))
        names = lazy.collect_schema().names()
        connection = sqlite3.connect(path)
        connection.execute(f"create table flights ({', '.join(names)})")
        for frame in lazy.collect_batches(maintain_order=True):
            connection.executemany(f"insert into flights values ({', '.join('?' * len(names))})", frame.iter_rows())
        connection.commit()
        connection.close()

    return made(f"flights-{copies}.db", fill)


def changed_csv(copies: int) -> Path:
    """Return the flights as CSV, with another fare in every hundredth row."""
    fare = pl.when(pl.col("id") % 100 == 0).then(pl.col("fare") + 1).otherwise(pl.col("fare"))
    return made(f"flights-{copies}-changed.csv", lambda path: pl.scan_parquet(grown_flights(copies)).with_columns(fare=fare).sink_csv(path))


def moved_csv(copies: int) -> Path:
    """Return the flights as CSV, with keys that come after theirs."""
    later = pl.col("id") + 1_000_000_000
    return made(f"flights-{copies}-moved.csv", lambda path: pl.scan_parquet(grown_flights(copies)).with_columns(id=later).sink_csv(path))


def workbook(n_rows: int) -> Path:
    """Return some flights as a workbook."""
    rows = pl.scan_parquet(grown_flights(N_COPIES)).head(n_rows)
    return made(f"flights-{n_rows}-rows.xlsx", lambda path: rows.collect().write_excel(path))


def made(name: str, make: Callable[[Path], object]) -> Path:
    """Return a file of the benchmark's folder, made on first use."""
    path = Path(tempfile.gettempdir()) / "sampan-benchmarks" / name
    if not path.exists():
        draft = path.with_name(f"draft-{name}")
        make(draft)
        draft.rename(path)
    return path


ADDED = f"ws.data.add(Path({{csv!r}}), name='flights', {_KEY})"
JUDGED = f"{ADDED}; ws.data.label('flights', target='arr_delay > 15'); ws.data.infer('flights')"
WAYS = (
    Way("csv", grown_csv, f"ws.data.add(source, name='flights', {_KEY})"),
    Way("json lines", json_lines, "ws.data.add(source, name='flights')"),
    Way("parquet", grown_flights, "ws.data.add(source, name='flights')"),
    Way("arrow", arrow, "ws.data.add(source, name='flights')"),
    Way("query", database, "ws.data.add(Path(f'sqlite:///{source}'), name='flights', query='select * from flights')"),
    Way("append", moved_csv, "ws.data.append('flights', source)", before=ADDED),
    Way("upsert of the same keys", changed_csv, "ws.data.append('flights', source)", before=ADDED),
    Way("add of a grown file", grown_csv, f"ws.data.add(source, name='flights', {_KEY})", before=ADDED.replace("csv", "half")),
    Way("infer a contract", grown_csv, "ws.data.infer('flights')", before=ADDED),
    Way("append, contract and verdict", moved_csv, "ws.data.append('flights', source)", before=JUDGED),
)


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=N_COPIES, help="of the 336,776 flights")
    parser.add_argument("--excel-rows", type=int, default=200_000)
    parser.add_argument("--only", nargs="*", default=[way.name for way in WAYS] + ["excel"])
    asked = parser.parse_args()
    excel = Way("excel", lambda _: workbook(asked.excel_rows), "ws.data.add(source, name='flights')", has_goal=False)
    print(machine(), versions("sampan", "polars", "pyarrow"), f"{asked.copies * 336_776:,} rows", sep=", ", flush=True)
    missed = 0
    for way in (*WAYS, excel):
        if way.name in asked.only:
            missed += measure(way, asked.copies) and way.has_goal
    return 1 if missed else 0


def measure(way: Way, copies: int) -> bool:
    """Measure one way in; say whether it took more than the goal."""
    source = way.source(copies)
    with tempfile.TemporaryDirectory() as folder:
        if way.before:
            program = way.before.format(csv=str(grown_csv(copies)), half=str(grown_csv(max(1, copies // 2))))
            spend([sys.executable, "-c", f"{_WITHOUT}    {program}", str(source), folder])
        took = spend([sys.executable, "-c", f"{_WITHOUT}    {way.program}", str(source), folder])
        shutil.rmtree(Path(folder, ".sampan"), ignore_errors=True)
    is_over = took.peak_mb > MOST_MB
    verdict = "MISSED " if is_over and way.has_goal else "reached" if way.has_goal else "       "
    size = f"{source.stat().st_size / 1e6:6,.0f} MB"
    print(f"{verdict} {way.name:30} {size}  wall {took.wall_s:6.1f} s  cpu {took.cpu_s:6.1f} s  peak {took.peak_mb:6,.0f} MB", flush=True)
    return is_over


if __name__ == "__main__":
    sys.exit(main())
