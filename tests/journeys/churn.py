"""A small real project that trains in a second: customers who leave, and a file that declares the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

TRAIN = """
from sklearn.linear_model import LogisticRegression

from sampan import objective, train, value, view
from sampan.features import DAY, Columns, Label, flag, moment, number, text

customers = Columns(
    customer=number(nullable=False),
    asked=moment(nullable=False),
    months=number(nullable=False),
    late_bills=number(nullable=False),
    region=text(nullable=False),
    left=flag(later=True),
)
churn = view(
    "churn",
    on="customers",
    columns=customers,
    key=["customer"],
    slices=["region"],
    moment=customers.asked,
    label=Label(customers.left, known_at=customers.asked + DAY, missing="not known yet"),
    features={"months": customers.months, "late_bills": customers.late_bills, "rate": customers.late_bills / (customers.months + 1)},
)


@train(name="churn", features=churn, objective=objective(metric="auc", at_least=0.6, kpi=value(fp=-5, fn=-40), min_rows=100))
def fit(X, y, *, strength=1.0):
    return LogisticRegression(C=strength, max_iter=500).fit(X, y)
"""


def customers(n_rows: int = 2000, *, seed: int = 0) -> pl.DataFrame:
    """Draw customers over a hundred days; who pays late leaves more often."""
    rng = np.random.default_rng(seed)
    months = rng.integers(1, 60, n_rows)
    late = rng.poisson(1.5, n_rows)
    chance = 1 / (1 + np.exp(1.5 - 0.9 * late + 0.03 * months))
    start = 1_700_000_000_000
    return pl.DataFrame(
        {
            "customer": np.arange(n_rows),
            "asked": start + np.sort(rng.integers(0, 100 * 86_400_000, n_rows)),
            "months": months,
            "late_bills": late,
            "region": rng.choice(["north", "south", "west"], n_rows),
            "left": rng.random(n_rows) < chance,
        }
    ).with_columns(pl.col("asked").cast(pl.Datetime("ms", "UTC")))


def write_project(folder: Path, *, n_rows: int = 2000) -> Path:
    """Write customers.csv and train.py; return train.py."""
    folder.mkdir(parents=True, exist_ok=True)
    customers(n_rows).write_csv(folder / "customers.csv")
    file = folder / "train.py"
    file.write_text(TRAIN)
    return file
