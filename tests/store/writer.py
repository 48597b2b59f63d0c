"""A process that commits versions and logs points to a store until it has done its share or is killed.

    writer.py ROOT DATABASE RUN N_ROUNDS ACKNOWLEDGED [fold]

Each round commits a version of the dataset `shared`, named by its round, and logs 50 points. What was acknowledged is counted in a mapped
file, which outlives the process: versions, points.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

from sampan.core.events import VersionCommitted, new_id
from sampan.ledger import Ledger
from sampan.store import Store

POINTS_A_ROUND = 50
COUNTS_BYTES = 16


def write(root: str, database: str, run: str, n_rounds: int, acknowledged: str, *, fold: bool) -> None:
    with (
        Path(acknowledged).open("r+b") as file,
        mmap.mmap(file.fileno(), COUNTS_BYTES) as mapped,
        memoryview(mapped) as raw,
        raw.cast("Q") as counts,  # a count is set in one store; struct's pack_into would clear it first, and die in between
        Store.open(Path(root), database=database) as store,
    ):
        ledger = Ledger(store, actor=run)
        n_points = 0
        with store.journals.open(run) as journal:
            for number in range(n_rounds):
                ledger.append(VersionCommitted(node=new_id(), kind="dataset", name="shared", digest="", facts={"by": run, "round": number}))
                counts[0] = number + 1
                for _ in range(POINTS_A_ROUND):
                    journal.log("count", float(n_points), step=n_points, at=n_points)
                    n_points += 1
                    counts[1] = n_points
                if fold:
                    ledger.fold(run)


if __name__ == "__main__":
    _, root, database, run, n_rounds, acknowledged, *rest = sys.argv
    write(root, database, run, int(n_rounds), acknowledged, fold=bool(rest))
