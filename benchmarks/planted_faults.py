"""Faults to plant in a batch of labeled rows, each with what it is called in the admission table, and two honest changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Trusted rows and a batch; `wrong` marks the batch's rows that a fault touched."""

    base: pl.DataFrame
    base_labels: Floats
    batch: pl.DataFrame
    labels: Floats
    chances: Floats  # of the batch's rows, by a model of the trusted rows
    important: tuple[str, ...]  # columns, most important for that model first
    wrong: Mask

    def relabeled(self, labels: Floats) -> Arrival:
        """Give the batch other labels; those that changed are wrong."""
        return replace(self, labels=labels, wrong=labels != self.labels)


def honest(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Leave the batch as it is."""
    del rng
    return arrival


def flip(share: float) -> Callable[[Arrival, np.random.Generator], Arrival]:
    """Flip a share of the labels."""

    def plant(arrival: Arrival, rng: np.random.Generator) -> Arrival:
        turned = rng.random(len(arrival.labels)) < share
        return arrival.relabeled(np.where(turned, 1 - arrival.labels, arrival.labels))

    return plant


def turn_slice(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Turn all labels of one value, or one range, that 5 to 20 % of the rows have."""
    masks: list[Mask] = []
    for name in arrival.batch.columns:
        column = arrival.batch[name]
        if column.dtype == pl.String or column.n_unique() <= 12:
            masks += [(column == value).fill_null(value=False).to_numpy() for value in column.drop_nulls().unique(maintain_order=True)]
        elif column.dtype.is_numeric():
            low = column.quantile(rng.uniform(0, 0.85))
            high = column.quantile(min(1.0, rng.uniform(0.1, 0.15) + float((column < low).mean() or 0)))
            masks.append(column.is_between(low, high).fill_null(value=False).to_numpy())
    fitting = [mask for mask in masks if 0.05 <= mask.mean() <= 0.2]
    mask = fitting[rng.integers(len(fitting))] if fitting else rng.random(len(arrival.labels)) < 0
    return arrival.relabeled(np.where(mask, 1 - arrival.labels, arrival.labels))


def shuffle(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Give the labels to other rows."""
    return arrival.relabeled(rng.permutation(arrival.labels))


def plant_value(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Give 2 % of the rows, whatever they are, one rare value and one label."""
    rows = rng.random(len(arrival.labels)) < 0.02
    return _planted(arrival, rows, float(arrival.base_labels.mean() < 0.5), rng)


def plant_agreeing_value(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Give one rare value to rows, 2 % of the batch, that have the label already and of which the model expects it."""
    label = float(arrival.base_labels.mean() < 0.5)
    sure = arrival.chances if label else 1 - arrival.chances
    fitting = np.flatnonzero((arrival.labels == label) & (sure > 0.5))
    n = min(int(0.02 * len(arrival.labels)), len(fitting))
    rows = np.zeros(len(arrival.labels), dtype=np.bool_)
    rows[rng.choice(fitting, n, replace=False)] = True
    return _planted(arrival, rows, label, rng)


def _planted(arrival: Arrival, rows: Mask, label: float, rng: np.random.Generator) -> Arrival:
    name = arrival.batch.columns[rng.integers(arrival.batch.width)]
    column = arrival.batch[name]
    if column.dtype.is_numeric():
        value = float(arrival.base[name].cast(pl.Float64).max() or 0) * 1.37 + 1.7
        planted = column.cast(pl.Float64).set(pl.Series(rows), value)
    else:
        planted = column.cast(pl.String).set(pl.Series(rows), "zq7")
    labels = np.where(rows, label, arrival.labels)
    return replace(arrival, batch=arrival.batch.with_columns(planted.alias(name)), labels=labels, wrong=rows)


def repeat(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Replace half of the batch by rows that are there already."""
    rows = rng.random(len(arrival.labels)) < 0.5
    drawn = rng.integers(0, arrival.base.height, int(rows.sum()))
    order = np.argsort(np.concatenate([np.flatnonzero(~rows), np.flatnonzero(rows)]), kind="stable")
    batch = pl.concat([arrival.batch.filter(pl.Series(~rows)), arrival.base[drawn]])[order]
    labels = np.concatenate([arrival.labels[~rows], arrival.base_labels[drawn]])[order]
    return replace(arrival, batch=batch, labels=labels, wrong=rows)


def corrupt(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Spoil one of the five most important columns in 30 % of the rows: another unit, one constant, or other rows' values."""
    name = arrival.important[rng.integers(min(5, len(arrival.important)))]
    column, rows = arrival.batch[name], rng.random(len(arrival.labels)) < 0.3
    how = rng.integers(3) if column.dtype.is_numeric() else 1 + rng.integers(2)
    other = column.cast(pl.Float64) * 100 if how == 0 else column.gather(rng.permutation(len(column)))
    if how == 1:
        other = pl.Series([arrival.base[name].drop_nulls().mode().sort()[0]] * len(column), dtype=column.dtype)
    both = pl.DataFrame({"rows": rows, "was": column, "other": other}).select(pl.when("rows").then("other").otherwise("was"))
    return replace(arrival, batch=arrival.batch.with_columns(both.to_series().alias(name)), wrong=rows)


def swap_source(arrival: Arrival, rng: np.random.Generator) -> Arrival:
    """Take every column from another row: each looks right by itself, no row is one of this world."""
    batch = arrival.batch.with_columns(column.gather(rng.permutation(len(column))) for column in arrival.batch)
    return replace(arrival, batch=batch, wrong=np.ones(len(arrival.labels), dtype=np.bool_))


FAULTS: dict[str, Callable[[Arrival, np.random.Generator], Arrival]] = {
    "flip 5 %": flip(0.05),
    "flip 10 %": flip(0.10),
    "flip 20 %": flip(0.20),
    "flip 40 %": flip(0.40),
    "slice turned": turn_slice,
    "planted value": plant_value,
    "planted value that agrees": plant_agreeing_value,
    "labels shuffled": shuffle,
    "half repeated": repeat,
    "column corrupted": corrupt,
    "source swapped": swap_source,
}
HONEST = ("clean", "drift", "new category")
