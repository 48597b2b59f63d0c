"""Small real trainings of numbers and classes: visits to a hospital whose length, and where they end, follow from two measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from sampan.features import Codes, Columns, Expr, Label, Means, feature, features, moment, number, text
from sampan.features.view import FeatureOptions
from sampan.workspace.workspace import Workspace

DAY_MS = 86_400_000
START = 1_356_998_400_000  # 2013-01-01
DAYS, PER_DAY = 45, 60
CUT = "2013-02-01"
ENDS = ("home", "other ward", "transfer")

visits = Columns(
    visit=number(nullable=False),
    at=moment(nullable=False),
    ward=text(nullable=False),
    x1=number(),
    x2=number(),
    hours=number(later=True),
    end=text(later=True),
    done=moment(later=True),
)


@features(on="visits", columns=visits, key=["visit"], slices=["ward"], moment=visits.at, label=Label(visits.hours, known_at=visits.done))
def hours_view(row: Columns) -> dict[str, Expr | FeatureOptions]:
    """Two measurements and how long visits to this ward take."""
    return {"x1": row.x1, "x2": row.x2, "ward_hours": feature(row.ward, encode=Means())}


@features(on="visits", columns=visits, key=["visit"], slices=["ward"], moment=visits.at, label=Label(visits.end, known_at=visits.done))
def ends_view(row: Columns) -> dict[str, Expr | FeatureOptions]:
    """Two measurements and the ward."""
    return {"x1": row.x1, "x2": row.x2, "ward_code": feature(row.ward, encode=Codes())}


def draw_visits(n: int, *, rng: np.random.Generator, per_day: int = PER_DAY) -> pl.DataFrame:
    """Draw visits in time order; a tenth of the first measurement is missing."""
    x1, x2 = rng.normal(0, 1, n), rng.normal(0, 1, n)
    ward = rng.choice(["north", "south"], n)
    at = START + (np.arange(n) * DAY_MS) // per_day
    hours = 20 + 5 * x1 - 3 * x2 + np.where(ward == "north", 4, 0) + rng.normal(0, 3, n)
    sums = np.column_stack([np.zeros(n), 1.5 * x1, x2 * 1.5 - 0.5])
    chances = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    ends = np.array(ENDS)[(rng.random((n, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)]
    frame = pl.DataFrame(
        {"visit": np.arange(n), "at": at, "ward": ward, "x1": x1, "x2": x2, "hours": hours, "end": ends, "done": at + DAY_MS // 2}
    )
    return frame.with_columns(x1=pl.when(pl.Series(rng.random(n) >= 0.1)).then("x1"))


def add_visits(ws: Workspace, *, seed: int = 0, name: str = "visits") -> pl.DataFrame:
    """Add 45 days of visits as a dataset."""
    frame = draw_visits(DAYS * PER_DAY, rng=np.random.default_rng(seed))
    file = ws.root / f"{name}.parquet"
    frame.write_parquet(file)
    ws.data.add(file, name=name)
    return frame


HEAD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import lightgbm
import numpy as np
import sampan as sp
from small_tasks import ends_view, hours_view
settings = {{"verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}}
"""
HOURS = """
goal = sp.objective(
    metric="rmse", at_most=5, equal_across=["ward"], max_gap=3, p95_ms=1000, kpi=sp.value(over=-1, under=-2), min_rows=200
)

@sp.train(name="hours", features=hours_view, objective=goal)
def fit(features, labels, *, num_leaves=sp.ints(4, 16), rounds=30, seed=0):
    return lightgbm.train(
        {**settings, "objective": "regression", "num_leaves": num_leaves, "seed": seed}, lightgbm.Dataset(features, labels), rounds
    )
"""
ENDS_FILE = """
worth = sp.value(by_class={
    "home": {"other ward": -1, "transfer": -2}, "other ward": {"home": -4, "transfer": -1}, "transfer": {"home": -9, "other ward": -2}
})
goal = sp.objective(metric="macro_auc", at_least=0.6, equal_across=["ward"], max_gap=0.3, p95_ms=1000, kpi=worth, min_rows=200)

@sp.train(name="ends", features=ends_view, objective=goal)
def fit(features, labels, *, num_leaves=sp.ints(4, 8), rounds=20, seed=0):
    found = {**settings, "objective": "multiclass", "num_class": int(labels.max()) + 1, "num_leaves": num_leaves, "seed": seed}
    return lightgbm.train(found, lightgbm.Dataset(features, labels), rounds)
"""


def write_task(folder: Path, text: str, *, name: str = "train_visits.py") -> Path:
    """Write a training file."""
    file = folder / name
    file.write_text(HEAD + text, encoding="utf-8")
    return file
