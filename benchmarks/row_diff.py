"""Goal: the row diff of two versions of 10.1 million rows, 2 % of them changed, takes at least 30x less CPU than a full-scan join.

    python benchmarks/row_diff.py [--copies 30]

The second version is made from the first by replacing 1 % of the rows by key, appending 1 % and deleting one subject. The full-scan join is
Polars on the two versions' rows, written whole in the same layout: a full outer join by key in the streaming engine that counts rows added,
removed and changed; it takes 7 GB. Both must count the same. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from grown_flights import grown_flights
from side_by_side import machine, side_by_side, table, versions

from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

LESS_CPU = 30.0
SUBJECT = 777
Counts = tuple[int, int, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    source = grown_flights(asked.copies)
    counted: dict[str, Counts] = {}
    with tempfile.TemporaryDirectory() as name:
        tables = Tables(LocalBlobs(Path(name, "store")))
        first = tables.create(pl.scan_parquet(source))
        last = edited(tables, source, first.digest, first.n_rows)
        whole = [tables.scan(first.digest), tables.scan(tables.create(tables.scan(last)).digest)]

        def diff() -> None:
            found = tables.diff(first.digest, last, key=["id"])
            counted["diff"] = found.n_added, found.n_removed, found.n_changed

        def join() -> None:
            counted["full-scan join"] = joined(*whole)

        timings = side_by_side({"diff": diff, "full-scan join": join}, rounds=asked.rounds, warm_up=0 if asked.rounds == 1 else 1)
    print(machine(), f"{first.n_rows:,} rows", "added {:,}, removed {:,}, changed {:,}".format(*counted["diff"]), sep=", ")
    print(versions("sampan", "polars"))
    print(table(list(timings.values())))
    less = timings["full-scan join"].cpu_s / timings["diff"].cpu_s
    goals = {
        f"{less:.0f}x less CPU than the full-scan join, goal: at least {LESS_CPU:g}x": less >= LESS_CPU,
        f"the same answer ({counted['diff']} and {counted['full-scan join']})": counted["diff"] == counted["full-scan join"],
    }
    for told, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if all(goals.values()) else 1


def edited(tables: Tables, source: Path, version: str, n_rows: int) -> str:
    """Change 1 % of the rows, add 1 %, delete one subject's; return the last version."""
    rng = np.random.default_rng(7)
    ids = pl.Series("id", np.sort(rng.choice(n_rows, n_rows // 100, replace=False)))
    changed = pl.scan_parquet(source).filter(pl.col("id").is_in(ids.implode())).with_columns(pl.col("fare") + 1).collect()
    version = tables.upsert(version, changed, key=["id"]).digest
    version = tables.append(version, changed.with_columns(pl.col("id") + 10**9)).digest
    return tables.delete(version, pl.col("subject") == SUBJECT).digest


def joined(old: pl.LazyFrame, new: pl.LazyFrame) -> Counts:
    """Count rows added, removed and changed by joining both tables whole."""
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


if __name__ == "__main__":
    sys.exit(main())
