"""Trusted rows and a batch of one world: the label depends on three numbers and a shop, so that right and wrong are known."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.evaluation.admission.judge import Judgment, judge
from sampan.evaluation.admission.table import Table, read_table

Floats = NDArray[np.float64]
N_BASE, N_BATCH = 4000, 1000


def draw(n: int, rng: np.random.Generator) -> tuple[pl.DataFrame, Floats]:
    """Draw rows and their labels."""
    x, shop = rng.normal(size=(n, 3)), rng.integers(0, 5, n)
    logit = 2.5 * x[:, 0] - 2 * x[:, 1] * (shop > 1) + np.array([-1, 1, 0, 0.5, -0.5])[shop]
    frame = pl.DataFrame({"x0": x[:, 0], "x1": x[:, 1], "x2": x[:, 2], "shop": [f"shop {s}" for s in shop]})
    return frame, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def world(seed: int = 0) -> tuple[pl.DataFrame, Floats, pl.DataFrame, Floats, np.random.Generator]:
    """Draw trusted rows, a clean batch, and a generator to spoil it with."""
    rng = np.random.default_rng(seed)
    return *draw(N_BASE, rng), *draw(N_BATCH, rng), rng


def judged(
    base: pl.DataFrame, base_labels: Floats, batch: pl.DataFrame, labels: Floats, *, classes: tuple[str, ...] = ("0", "1")
) -> tuple[Judgment, Table]:
    """Judge a batch."""
    table = read_table(base, batch, base_labels, labels, classes=classes)
    return judge(table, np.random.default_rng(0)), table


def many(n: int, rng: np.random.Generator) -> tuple[pl.DataFrame, Floats, Floats]:
    """Draw rows with a class of four and a skewed number, both told by the columns; weight hangs together with price."""
    x, shop = rng.normal(size=(n, 4)), rng.integers(0, 6, n)
    said = np.column_stack([2 * x[:, 0], 2 * x[:, 1] + shop % 3, 2 * x[:, 2] - shop % 2, x[:, 3] - 2 * x[:, 0]])
    classes = (said + rng.gumbel(size=(n, 4))).argmax(axis=1).astype(np.float64)
    number = np.exp((3 * x[:, 0] + 2 * x[:, 1] + shop + rng.standard_t(4, size=n)) / 4)
    price = np.exp(3 + 0.5 * x[:, 0])
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"shop": [f"shop {s}" for s in shop], "price": price})
    return frame.with_columns(weight=pl.Series(price * 0.4 + 0.3 * rng.normal(size=n))), classes, number
