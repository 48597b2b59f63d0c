"""Planted values: a value that trusted rows hardly have, that many arriving rows share, and that nearly all have one label with.

A backdoor teaches the model that a value means a label. It need not contradict the model: rows may be chosen that already have the label.
So what counts is not surprise row by row but that so many rows of one value all agree, where the other columns would have them differ now
and then. An honest new category is enriched as well, yet its labels vary as its rows do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.outlook import Outlook
from sampan.evaluation.admission.table import Floats, Rows, Table

_MIN_ROWS: Final = 12
_MIN_SHARE: Final = 0.002
_ENRICHED: Final = 4.0
_PURE: Final = 0.98
_ALPHA: Final = 0.01
_DRAWS: Final = 5
_MIN_SEEN: Final = 10


class Trigger(msgspec.Struct, frozen=True):
    """A value that looks planted. `chance` bounds how probable it is that its labels agree so by chance."""

    column: str
    value: str
    n_rows: int
    usual_share: float  # of trusted rows with this value
    label: str
    purity: float
    expected: float  # the purity to expect from the other columns
    chance: float


def find_triggers(table: Table, outlook: Outlook, rng: np.random.Generator, *, spans: Sequence[Rows], timed: bool) -> tuple[Trigger, ...]:
    """Find planted values among the arriving rows, surest first.

    Parameters
    ----------
    spans : parts of the trusted rows; a column that brought frequent new values in two of them does so by nature
    timed : whether trusted rows are in order of time
    """
    labels = outlook.codes[table.n_base :]
    candidates = []
    for column in range(len(table.names)):
        if table.runs(column) or _renews(table.matrix[: table.n_base, column], spans, timed=timed):
            continue  # each new day is a value that no row before has
        # Rows of an honest new category bring other values with them: these are looked at in that category's column.
        arriving = np.flatnonzero(~table.unseen(besides=column))
        enriched = _enriched(table.matrix[: table.n_base, column], table.matrix[table.n_base :, column][arriving])
        candidates += [(column, value, arriving[rows], usual) for value, rows, usual in enriched]
    base = table.matrix[: table.n_base]
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduce(base, axis=0), np.fmax.reduce(base, axis=0)
    found = []
    for column, value, rows, usual in candidates:
        counts = np.bincount(labels[rows], minlength=outlook.n_codes)
        label = int(len(counts) - 1 - counts[::-1].argmax())
        purity = float(counts[label] / len(rows))
        if purity < _PURE:
            continue
        expected = max(_without(table, column, rows, outlook, rng)[label], _seen(table, outlook, column, value, label))
        beyond = column not in table.categories and not low[column] <= value <= high[column]
        # Out of every number's range the same number again and again: which label was to be expected does not matter.
        chance = _chance(
            table.n_distinct(table.batch[rows], besides=column), purity, float(np.mean(labels == label)) if beyond else expected
        )
        if chance * len(candidates) < _ALPHA:
            shown = table.value(column, value)
            found.append(Trigger(table.names[column], shown, len(rows), usual, _named(table, rows, label), purity, expected, chance))
    return tuple(sorted(found, key=lambda one: one.chance))


def trigger_rows(table: Table, trigger: Trigger) -> NDArray[np.bool_]:
    """Mark the arriving rows with a trigger's value, shape (n_batch,)."""
    column = table.names.index(trigger.column)
    values = table.matrix[table.n_base :, column]
    return np.array([table.value(column, float(v)) == trigger.value for v in values])


def _enriched(base: NDArray[np.float32], batch: NDArray[np.float32]) -> list[tuple[float, NDArray[np.intp], float]]:
    """Return the values that are far more frequent among arriving rows, with these rows and the usual share."""
    values, inverse, counts = np.unique(batch, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero((counts >= max(_MIN_ROWS, _MIN_SHARE * len(batch))) & ~np.isnan(values))
    ordered = np.sort(base)
    before = np.searchsorted(ordered, values[frequent], side="right") - np.searchsorted(ordered, values[frequent], side="left")
    usual = before / max(len(base), 1)
    share = counts[frequent] / len(batch)
    enriched = share >= _ENRICHED * np.maximum(usual, 0.5 / max(len(base), 1))
    return [(float(values[frequent[i]]), np.flatnonzero(inverse == frequent[i]), float(usual[i])) for i in np.flatnonzero(enriched)]


def _renews(trusted: NDArray[np.float32], spans: Sequence[Rows], *, timed: bool) -> bool:
    """Say whether spans bring values of their own, as last month's average in each row does."""
    return sum(bool(_enriched(trusted[: span[0]] if timed else np.delete(trusted, span), trusted[span])) for span in spans) > 1


def _without(table: Table, column: int, rows: NDArray[np.intp], outlook: Outlook, rng: np.random.Generator) -> Floats:
    """Return the mean chance of each label, had these rows usual values in the column: a new one means nothing to a model."""
    matrix = np.repeat(table.matrix[table.n_base :][rows], _DRAWS, axis=0)
    matrix[:, column] = rng.choice(table.matrix[: table.n_base, column], len(matrix))
    return np.asarray(outlook.chances(matrix).mean(axis=0))


def _named(table: Table, rows: NDArray[np.intp], code: int) -> str:
    """Write the label that the rows agree on: of numbers, the range they lie in."""
    if table.classes:
        return table.label(code)
    said = table.labels[table.batch[rows]]
    low, high = np.quantile(said, [0.05, 0.95])
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _seen(table: Table, outlook: Outlook, column: int, value: float, label: int) -> float:
    """Return the share of a label among trusted rows with the value; 0 where these are too few to tell."""
    same = table.matrix[: table.n_base, column] == np.float32(value)
    return float((outlook.codes[: table.n_base][same] == label).mean()) if same.sum() >= _MIN_SEEN else 0.0


def _chance(n: int, purity: float, expected: float) -> float:
    """Bound the chance that so many of n rows agree.

    References
    ----------
    H. Chernoff (1952), "A Measure of Asymptotic Efficiency for Tests of a Hypothesis Based on the Sum of Observations".
    """
    if purity <= expected:
        return 1.0
    p, q = min(max(expected, 1e-6), 1 - 1e-6), min(purity, 1 - 1e-12)
    divergence = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    return float(np.exp(-n * divergence))
