"""Goal: counting the rows in which two versions of 10.1 million rows differ, 2 % changed, takes 30x less CPU than a full-scan join.

    python benchmarks/row_diff.py [--copies 30]

The second version is made from the first by replacing 1 % of the rows by key, appending 1 % and deleting one subject. The full-scan join is
Polars on the two versions: a full outer join by key in the streaming engine that counts rows added, removed and changed; it takes 7 GB. All
must count the same. Beside them stands the whole diff, which also says in which columns how many rows differ, and shows examples. Each is
measured in a process of its own, once it ran there before. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from grown_flights import grown_flights
from side_by_side import machine, processes_side_by_side, versions

from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

LESS_CPU = 30.0
SUBJECT = 777
Counts = tuple[int, int, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        print(json.dumps(measured(*asked.job)))
        return 0
    source = grown_flights(asked.copies)
    with tempfile.TemporaryDirectory() as name:
        store = Path(name, "store")
        tables = Tables(LocalBlobs(store))
        first = tables.create(pl.scan_parquet(source))
        last = edited(tables, source, first.digest, first.n_rows)
        jobs: dict[str, list[str | Path]] = {job: [sys.executable, __file__, "--job", job, store, first.digest, last] for job in JOBS}
        found = processes_side_by_side(jobs, rounds=asked.rounds)
    print(machine(), f"{first.n_rows:,} rows", versions("sampan", "polars"), sep=", ")
    join = found["full-scan join"]
    for job, took in found.items():
        print(f"{job:16} {took['cpu']:>7.2f} s CPU {took['wall']:>7.2f} s wall   1/{join['cpu'] / took['cpu']:.1f} of the join's CPU")
    answers = {job: tuple(int(took[what]) for what in ("added", "removed", "changed")) for job, took in found.items()}
    less = join["cpu"] / found["counts"]["cpu"]
    goals = {
        f"rows are counted for {less:.0f}x less CPU than by the full-scan join, goal: at least {LESS_CPU:g}x": less >= LESS_CPU,
        f"the same answer (added, removed, changed: {answers})": len(set(answers.values())) == 1,
    }
    for goal, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", goal)
    return 0 if all(goals.values()) else 1


def edited(tables: Tables, source: Path, version: str, n_rows: int) -> str:
    """Change 1 % of the rows, add 1 %, delete one subject's; return the last version."""
    rng = np.random.default_rng(7)
    ids = pl.Series("id", np.sort(rng.choice(n_rows, n_rows // 100, replace=False)))
    changed = pl.scan_parquet(source).filter(pl.col("id").is_in(ids.implode())).with_columns(pl.col("fare") + 1).collect()
    version = tables.upsert(version, changed, key=["id"]).digest
    version = tables.append(version, changed.with_columns(pl.col("id") + 10**9)).digest
    return tables.delete(version, pl.col("subject") == SUBJECT).digest


# -- what is measured


def counted(tables: Tables, first: str, last: str) -> Counts:
    """Count the rows."""
    found = tables.count_rows(first, last, key=["id"])
    return found.n_added, found.n_removed, found.n_changed


def told_all(tables: Tables, first: str, last: str) -> Counts:
    """Count them, find the columns and examples, too."""
    found = tables.diff(first, last, key=["id"])
    return found.n_added, found.n_removed, found.n_changed


def joined(tables: Tables, first: str, last: str) -> Counts:
    """Count rows added, removed and changed by joining both tables whole."""
    old, new = tables.scan(first), tables.scan(last)
    values = [name for name in old.collect_schema().names() if name != "id"]
    theirs = {name: f"{name} after" for name in values}
    pairs = old.with_columns(before=pl.lit(value=True)).join(
        new.rename(theirs).with_columns(after=pl.lit(value=True)), on="id", how="full", coalesce=True
    )
    both = pl.col("before").is_not_null() & pl.col("after").is_not_null()
    changed = both & pl.any_horizontal(pl.col(name).ne_missing(pl.col(after)) for name, after in theirs.items())
    found = pairs.select(pl.col("before").is_null().sum(), pl.col("after").is_null().sum(), changed.sum().alias("changed"))
    added, removed, n_changed = found.collect(engine="streaming").row(0)
    return int(added), int(removed), int(n_changed)


JOBS: dict[str, Callable[[Tables, str, str], Counts]] = {"counts": counted, "whole diff": told_all, "full-scan join": joined}


def measured(job: str, store: str, first: str, last: str) -> dict[str, float]:
    """Do a job twice; say what the second time took, and what was found."""
    tables = Tables(LocalBlobs(Path(store)))
    JOBS[job](tables, first, last)
    wall, cpu = time.perf_counter(), time.process_time()
    found = JOBS[job](tables, first, last)
    took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return took | dict(zip(("added", "removed", "changed"), found, strict=True))


if __name__ == "__main__":
    sys.exit(main())
