"""A small real training: orders with a known chance of being late, and a file that trains a model of them in about a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from small_package import WEIGHTS, draw_orders, true_chances

from sampan.workspace.workspace import Workspace

DAYS = 45
PER_DAY = 200
CUT = "2013-02-01"  # 31 days after the first order

HEAD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import lightgbm
import numpy as np
import sampan as sp
from small_package import orders_view

goal = sp.objective(
    metric="auc", at_least=0.6, equal_across=["shop"], max_gap=0.3, p95_ms=1000, kpi=sp.value(fp=-1, fn=-2), min_rows=200
)
"""
FIT = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, num_leaves=sp.ints(4, 16), learning_rate=sp.logs(0.05, 0.3), rounds=25, seed=0):
    params = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": num_leaves, "learning_rate": learning_rate,
              "deterministic": True, "force_row_wise": True, "seed": seed}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), rounds)
"""


def add_orders(
    ws: Workspace, *, seed: int = 0, name: str = "orders", sharp: float = 1.0, flip_from_day: int | None = None, late: float | None = None
) -> pl.DataFrame:
    """Add 45 days of orders as a dataset.

    `sharp` makes the outcome easier to tell; from a day on, a fifth of the labels may be flipped; or all labels may be set alike.
    """
    rng = np.random.default_rng(seed)
    frame = draw_orders(DAYS * PER_DAY, first=0, day=0, rng=rng)
    if sharp != 1:
        chances = true_chances(frame["x1"].to_numpy(), frame["x2"].to_numpy(), [sharp * w for w in WEIGHTS])
        frame = frame.with_columns(late=pl.Series((rng.random(frame.height) < chances).astype(np.float64)))
    if flip_from_day is not None:
        wrong = (np.arange(frame.height) >= flip_from_day * PER_DAY) & (rng.random(frame.height) < 0.2)
        frame = frame.with_columns(late=pl.when(pl.Series(wrong)).then(1 - pl.col("late")).otherwise("late"))
    if late is not None:
        frame = frame.with_columns(late=pl.lit(late))
    file = ws.root / f"{name}.parquet"
    frame.write_parquet(file)
    ws.data.add(file, name=name)
    return frame


def write_training(folder: Path, text: str = FIT, *, name: str = "train_orders.py") -> Path:
    """Write a training file."""
    file = folder / name
    file.write_text(HEAD + text, encoding="utf-8")
    return file


def lose_rows(ws: Workspace) -> None:
    """Take all stored bytes away: whoever reads a row now fails otherwise than by refusing."""
    files = [file for file in (ws.store_folder / "objects").rglob("*") if file.is_file()]
    assert files
    for file in files:
        file.unlink()
