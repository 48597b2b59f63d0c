"""Goals: 1,000 small commits take at most 2x the least a durable commit can; their manifests at most 3 MB; opening stays at most 5 ms.

    python benchmarks/many_commits.py [--commits 1000]

A commit appends 10 rows to a dataset of 10,000 and records the version (`Workspace`'s store and ledger). The least a durable commit can
take is the rows' file, written, flushed, renamed and its folder flushed, and one SQLite transaction that is flushed (synchronous=FULL):
both in turns with ours. Opening is finding the newest version and its columns in a store that is open, after 10 and after all commits, with
the digest of what is read checked; the store is opened anew for each reading, so that nothing remembered helps. Exits with 1 if a goal
is missed.
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from side_by_side import Spent, Timing, machine, measure, summary, table, versions

from sampan.core.digests import PREFIX
from sampan.store import Store
from sampan.store.files import sync_folder
from sampan.workspace.data.dataset_edits import edited
from sampan.workspace.workspace import Workspace

TIMES_THE_FLOOR = 2.0
MANIFEST_BYTES = 3e6
OPEN_S = 0.005
NAME = "events"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=1000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        floor = least(Path(name, "least"))
        Path(name, "project").mkdir()
        with Workspace.open(Path(name, "project")) as ws:
            ws.data.add_table(rows_of(0, 10_000), name=NAME, key=["id"])
            store = ws.store.root
            manifests = 0
            spent: dict[str, list[Spent]] = {"least": [], "commit": []}
            opened: dict[int, float] = {}
            for number in range(1, asked.commits + 1):
                frame = rows_of(10_000 + 10 * number, 10)
                spent["least"].append(measure(lambda frame=frame: floor(frame)))
                spent["commit"].append(measure(lambda frame=frame: commit(ws, frame)))
                manifests += written_by_outline(ws)
                if number in (10, asked.commits):
                    opened[number] = opening(store)
    timings = {job: summary(job, runs) for job, runs in spent.items()}
    totals = {job: sum(run.wall_s for run in runs) for job, runs in spent.items()}
    return report(asked.commits, timings, totals, manifests, opened)


def rows_of(start: int, n: int) -> pl.DataFrame:
    """Make some rows."""
    ids = range(start, start + n)
    return pl.DataFrame({"id": ids, "name": [f"event {i % 7}" for i in ids], "value": [i * 0.5 for i in ids]})


def least(folder: Path) -> Callable[[pl.DataFrame], None]:
    """Return a commit that does nothing but what durability asks for."""
    folder.mkdir()
    database = sqlite3.connect(folder / "least.db", isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    database.execute("create table version (name text)")

    def write(frame: pl.DataFrame) -> None:
        target = folder / f"{frame['id'][0]}.parquet"
        draft = target.with_suffix(".tmp")
        file = io.BytesIO()
        frame.write_parquet(file, compression="zstd", compression_level=1)
        with draft.open("wb") as out:
            out.write(file.getvalue())
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
        sync_folder(folder)
        database.execute("insert into version values (?)", (target.name,))

    return write


def commit(ws: Workspace, frame: pl.DataFrame) -> None:
    """Append rows and record the version, as the data room does with edits."""
    head = ws.catalog.resolve(NAME, kind="dataset")
    ws.ledger.append(edited(head, ws.store.tables.append(head.digest, frame), verb="append"))


def written_by_outline(ws: Workspace) -> int:
    """Return the bytes of the newest version's manifest and of the lists that it is the first to have."""
    found = [ws.catalog.resolve(NAME, kind="dataset")]
    before = ws.catalog.resolve(f"{NAME}@v{(found[0].version or 2) - 1}", kind="dataset")
    tables = ws.store.tables
    new = set(tables.outline(found[0].digest)) - set(tables.outline(before.digest))
    assert all(digest.startswith(PREFIX) for digest in new)
    return sum(ws.store.blobs.size(digest) for digest in new)


def opening(root: Path) -> float:
    """Return the median time to find the newest version and its columns."""
    walls = []
    for _ in range(21):
        with Store.open(root) as store:
            store.tables.schema(store.catalog.resolve(f"{NAME}@v1", kind="dataset").digest)  # connects, imports
            start = time.perf_counter()
            store.tables.schema(store.catalog.resolve(NAME, kind="dataset").digest)
            walls.append(time.perf_counter() - start)
    return statistics.median(walls)


def report(n: int, timings: dict[str, Timing], totals: dict[str, float], manifests: int, opened: dict[int, float]) -> int:
    """Print what was measured and what was reached."""
    print(machine(), f"{n:,} commits of 10 rows", sep=", ")
    print(versions("sampan", "polars"))
    print(table(list(timings.values())))
    print(f"in all: least {totals['least']:.1f} s, ours {totals['commit']:.1f} s")
    times = timings["commit"].wall_s / timings["least"].wall_s
    goals = {
        f"a commit takes {times:.2f}x the least, goal: at most {TIMES_THE_FLOOR:g}x": times <= TIMES_THE_FLOOR,
        f"manifests and lists: {manifests / 1e6:.2f} MB, goal: at most {MANIFEST_BYTES / 1e6:g} MB": manifests <= MANIFEST_BYTES,
    }
    for number, wall in opened.items():
        goals[f"open + columns after {number:,} commits: {wall * 1e3:.2f} ms, goal: at most {OPEN_S * 1e3:g} ms"] = wall <= OPEN_S
    for told, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
