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


def judged(base: pl.DataFrame, base_labels: Floats, batch: pl.DataFrame, labels: Floats) -> tuple[Judgment, Table]:
    """Judge a batch."""
    table = read_table(base, batch, base_labels, labels)
    return judge(table, np.random.default_rng(0)), table
