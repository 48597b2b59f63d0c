"""A data version with 1 % of its rows changed, taken up by a server's online features: by what differs, beside indexing the tables anew.

    .venv/bin/python benchmarks/renew_features.py --rows 1000000

A table of customers is looked up by key, one of orders is what past events are counted in, by shop; of each 1 % of the rows are changed:
customers get another limit, orders come at the end, as outcomes do. Every time is one run of each in turns, CPU of the process, and after
each the answers of 1,000 requests are compared, bit for bit.

Goal: the cost follows the change. Measured at 1,000,000 rows of each on a crowded machine of two cores: see the decision record 0024.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sampan.features import Columns, Label, OnlineView, lookup, moment, number, past, text, view, view_tables
from sampan.features.revising import TableChange
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

DAY_MS = 86_400_000
ROUNDS = 3
ORDERS = Columns(
    order=number(nullable=False),
    at=moment(nullable=False),
    shop=text(nullable=False),
    customer=text(nullable=False),
    late=number(later=True),
    done=moment(later=True),
)
LATE = Label(ORDERS.late > 0, known_at=ORDERS.done)
VIEW = view(
    "renewed",
    on="orders",
    columns=ORDERS,
    key=["order"],
    moment=ORDERS.at,
    label=LATE,
    features={
        "limit": lookup("customers", {"customer": ORDERS.customer}, "limit"),
        "age": lookup("customers", {"customer": ORDERS.customer}, "age"),
        "late_30d": past(LATE.value, by=[ORDERS.shop], known_at=LATE.known_at, window="30d", stat="rate"),
        "n": past(LATE.value, by=[ORDERS.shop], known_at=LATE.known_at, stat="count"),
    },
)


def main() -> None:
    """Measure in turns and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--shops", type=int, default=2_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(LocalBlobs(Path(folder) / "store"))
        told = measure(tables, given.rows, given.shops)
    say = sys.stdout.write
    say(f"{given.rows:,} customers, {given.rows:,} orders of {given.shops:,} shops; 1 % changed; medians of {ROUNDS}, CPU seconds\n")
    for what, seconds in told.items():
        say(f"{what:<44}{np.median(seconds):>8.3f}\n")
    say(f"{'anew / by what differs':<44}{np.median(told['anew']) / np.median(told['by what differs']):>8.1f}\n")


def measure(tables: Tables, n: int, n_shops: int) -> dict[str, list[float]]:
    """Return CPU seconds of each way, one a round; each round is a version more."""
    rng = np.random.default_rng(0)
    versions = {"customers": tables.create(customers(n, rng)).digest, "orders": tables.create(orders(n, 0, n_shops, rng)).digest}
    sample = {"customers": tables.scan(versions["customers"]), "orders": tables.scan(versions["orders"]).head(1000)}
    fitted = view_tables.fit(VIEW, view_tables.batch(VIEW, sample))
    online, anew = (
        OnlineView.of(fitted, view_tables.online_tables(VIEW, {**sample, "orders": sample["orders"].head(0)}, 0)) for _ in range(2)
    )
    for each in (online, anew):
        each.renewed(_open(tables, versions)).install()
    told: dict[str, list[float]] = {"anew": [], "by what differs": [], "of it, telling what differs": []}
    for turn in range(ROUNDS):
        before, versions = versions, edited(tables, versions, n, n_shops, n * (turn + 2), rng)
        begun = time.process_time()
        anew.renewed(_open(tables, versions)).install()
        told["anew"].append(time.process_time() - begun)
        gc.collect()  # what indexing anew left behind is not the other's to clear away
        begun = time.process_time()
        changes = differences(tables, online, before, versions, n)
        told["of it, telling what differs"].append(time.process_time() - begun)
        online.revised(changes, before=_open(tables, before), after=_open(tables, versions)).install()
        told["by what differs"].append(time.process_time() - begun)
        rows = [
            {"order": i, "at": 4_000 * DAY_MS, "shop": f"s{i % n_shops}", "customer": f"c{int(c)}"}
            for i, c in enumerate(rng.integers(0, n, 1000))
        ]
        np.testing.assert_array_equal(anew.matrix(rows), online.matrix(rows))
    return told


def customers(n: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw the table that is looked up by key."""
    return pl.DataFrame({"customer": [f"c{i}" for i in range(n)], "limit": rng.normal(size=n), "age": rng.integers(18, 90, n)})


def orders(n: int, first: int, n_shops: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw orders with their outcomes, in time."""
    at = (first + np.arange(n)) * 60_000
    shops = pl.Series([f"s{i}" for i in rng.integers(0, n_shops, n)])
    late = (rng.random(n) < 0.2).astype(np.float64)
    return pl.DataFrame(
        {"order": np.arange(first, first + n), "at": at, "shop": shops, "customer": "c0", "late": late, "done": at + DAY_MS}
    )


def edited(tables: Tables, versions: dict[str, str], n: int, n_shops: int, first: int, rng: np.random.Generator) -> dict[str, Any]:
    """Make versions with 1 % changed."""
    chosen = np.sort(rng.choice(n, n // 100, replace=False))
    new = pl.DataFrame(
        {"customer": [f"c{i}" for i in chosen], "limit": rng.normal(size=len(chosen)), "age": rng.integers(18, 90, len(chosen))}
    )
    return {
        "customers": tables.upsert(versions["customers"], new, key=["customer"]).digest,
        "orders": tables.append(versions["orders"], orders(n // 100, first, n_shops, rng)).digest,
    }


def differences(tables: Tables, online: OnlineView, before: dict[str, Any], after: dict[str, Any], n: int) -> dict[str, TableChange]:
    """Tell what differs."""
    found = {}
    for table, columns in online.columns_looked_up.items():
        rows = tables.row_changes(before[table], after[table], columns, most_rows=n // 2)
        assert rows is not None
        found[table] = TableChange(rows.gone, rows.come, rows.come_last)
    return found


def _open(tables: Tables, versions: dict[str, Any]) -> dict[str, pl.LazyFrame]:
    return {table: tables.scan(digest) for table, digest in versions.items()}


if __name__ == "__main__":
    main()
