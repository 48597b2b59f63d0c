"""A class that far too many or too few rows have is named, however rare it is; other rows are no fault."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from planted_batches import judged

from sampan.evaluation.admission.balance import find_odd_classes
from sampan.evaluation.admission.outlook import both
from sampan.evaluation.admission.table import numeric_table

Floats = np.ndarray


def rare(n: int, rng: np.random.Generator) -> tuple[pl.DataFrame, Floats, Floats]:
    """Draw rows of which about one in a hundred is of class 1, with its chance."""
    x = rng.normal(size=(n, 3))
    chances = 1 / (1 + np.exp(7 - 2.5 * x[:, 0]))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}), (rng.random(n) < chances).astype(np.float64), chances


def odd(labels: Floats, chances: Floats) -> tuple[list[tuple[str, int]], list[int]]:
    rng = np.random.default_rng(7)
    _, before, said = rare(5000, rng)
    table = numeric_table(np.zeros((5000 + len(labels), 1), np.float32), np.concatenate([before, labels]), ["x"], n_base=5000)
    spans = [(rows, both(said[rows])) for rows in np.array_split(np.arange(5000), 5)]
    found, rows = find_odd_classes(table, labels.astype(np.intp), both(chances), spans)
    return [(one.label, one.n_rows) for one in found], [int(one.sum()) for one in rows]


def test_a_class_is_named_where_it_is_gone_or_twice_as_frequent_and_not_where_other_rows_came() -> None:
    rng = np.random.default_rng(0)
    _, labels, chances = rare(4000, rng)
    likely = rng.random(4000) < np.minimum(chances * 40, 1) + 0.05

    gone, n_gone = odd(np.zeros(4000), chances)
    many, n_many = odd(np.maximum(labels, rng.random(4000) < 0.03), chances)
    other_rows, _ = odd(labels[likely], chances[likely])

    assert [("1", 0)] == gone
    assert n_gone == [round(chances.sum())]
    assert "1" == many[0][0]
    assert n_many[0] == pytest.approx(0.03 * 4000, rel=0.3)
    assert [] == odd(labels, chances)[0] == other_rows


@pytest.mark.slow
def test_few_wrong_labels_of_a_rare_class_are_caught() -> None:
    rng = np.random.default_rng(1)
    base, before, _ = rare(8000, rng)
    batch, now, _ = rare(3000, rng)
    wrong = rng.random(3000) < 0.015

    clean, _ = judged(base, before, batch, now)
    spoiled, _ = judged(base, before, batch, np.where(wrong, 1 - now, now))

    assert clean.verdict in ("helps", "neutral")
    assert spoiled.verdict in ("suspicious", "harmful")
    assert spoiled.suspicious[wrong].mean() > 0.8
