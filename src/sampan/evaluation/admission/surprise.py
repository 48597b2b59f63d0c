"""How many labels of the arriving rows are wrong, over all and value by value, as far as a model of trusted rows can tell.

Where a model gives a row the chance p, a label that is wrong in a share e of the rows moves the mean of y - p by e (1 - 2p). So
e = sum((1 - 2p)(y - p)) / sum((1 - 2p)^2): a row the model is sure of tells much, one at a half nothing. Rows are weighed by what they are,
so a batch of other rows (covariate shift) has no other e.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats, Rows, Table
from sampan.stats.bootstrap import Estimate

_MIN_ROWS: Final = 25
_MIN_KNOWLEDGE: Final = 3.0  # sum of (1 - 2p)^2: so many rows' worth of certainty
_N_BINS: Final = 8
_SUREST: Final = 0.02  # among few rows of one value, no model is surer than this
_TURNED: Final = 0.3  # a value's labels are called wrong where at least this share is, beyond the batch's own
_ALPHA: Final = 0.001


class WrongSlice(msgspec.Struct, frozen=True):
    """A value, or a range of numbers, whose labels contradict what trusted rows say of it."""

    column: str
    value: str
    n_rows: int
    share: Estimate  # of wrong labels


@dataclass(frozen=True, slots=True)
class _Sums:
    """The two sums behind a share of wrong labels, and the variance of the first, for each group of rows."""

    said: Floats
    known: Floats
    variance: Floats
    n: Floats

    @classmethod
    def of(cls, labels: Floats, chances: Floats, groups: Rows, n_groups: int) -> _Sums:
        lean = 1 - 2 * chances

        def total(values: Floats) -> Floats:
            return np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)

        known = lean**2
        return cls(total(lean * (labels - chances)), total(known), total(known * chances * (1 - chances)), total(np.ones_like(labels)))

    @property
    def share(self) -> Floats:
        return self.said / np.maximum(self.known, 1e-9)

    @property
    def error(self) -> Floats:
        return np.sqrt(self.variance) / np.maximum(self.known, 1e-9)


def wrong_share(labels: Floats, chances: Floats) -> Estimate:
    """Estimate the share of wrong labels among rows whose chances are calibrated; negative where labels agree more than expected."""
    sums = _Sums.of(labels, chances, np.zeros(len(labels), dtype=np.intp), 1)
    if sums.known[0] < _MIN_KNOWLEDGE:
        return Estimate(None)
    share, error = float(sums.share[0]), float(sums.error[0])
    return Estimate(share, share - 1.96 * error, share + 1.96 * error)


def wrong_slices(table: Table, base_chances: Floats, batch_chances: Floats, known: NDArray[np.bool_]) -> tuple[WrongSlice, ...]:
    """Find values whose labels are wrong far more often than in the whole batch and than among trusted rows; worst first.

    All values of all columns are tested at once (Bonferroni). Numbers are cut at quantiles of the trusted rows.

    Parameters
    ----------
    known : the arriving rows to look at, shape (n_batch,)
    """
    arriving, chances = table.batch[known], np.clip(batch_chances[known], _SUREST, 1 - _SUREST)
    overall = max(wrong_share(table.labels[arriving], chances).value or 0.0, 0.0)
    found: list[tuple[float, WrongSlice]] = []
    groupings = [_groups(table, column) for column in range(len(table.names))]
    n_tests = sum(len(names) for _, names in groupings)
    critical = NormalDist().inv_cdf(1 - _ALPHA / max(n_tests, 1))
    for column, (groups, names) in enumerate(groupings):
        now = _Sums.of(table.labels[arriving], chances, groups[arriving], len(names))
        before = _Sums.of(table.labels[: table.n_base], base_chances, groups[: table.n_base], len(names))
        usual = np.where(before.known >= _MIN_KNOWLEDGE, np.maximum(before.share, 0.0), 0.0)
        excess = now.share - np.maximum(usual, overall)
        enough = (now.n >= _MIN_ROWS) & (now.known >= _MIN_KNOWLEDGE)
        for group in np.flatnonzero(enough & (excess > _TURNED) & (excess > critical * now.error)):
            if table.n_distinct(arriving[groups[arriving] == group], besides=column) < _MIN_ROWS:
                continue
            share, error = float(now.share[group]), float(now.error[group])
            estimate = Estimate(share, share - 1.96 * error, min(share + 1.96 * error, 1.0))
            found.append((excess[group] / error, WrongSlice(table.names[column], names[group], int(now.n[group]), estimate)))
    return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))


def slice_rows(table: Table, found: WrongSlice) -> NDArray[np.bool_]:
    """Mark the arriving rows of a slice, shape (n_batch,)."""
    groups, names = _groups(table, table.names.index(found.column))
    return np.asarray(groups[table.n_base :] == names.index(found.value))


def _groups(table: Table, column: int) -> tuple[Rows, list[str]]:
    """Number each row's group in a column, and name the groups; the last one is of missing cells."""
    values = table.matrix[:, column]
    missing = np.isnan(values)
    if column in table.categories:
        names = list(table.categories[column])
        codes = np.where(missing, len(names), np.nan_to_num(values)).astype(np.intp)
        return codes, [*names, "(missing)"]
    known = values[: table.n_base][~missing[: table.n_base]]
    distinct = np.unique(known) if len(known) else np.zeros(1, np.float32)
    if len(distinct) <= _N_BINS:
        edges = distinct[1:]
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_BINS + 1)[1:-1]).astype(np.float32))
    codes = np.where(missing, len(edges) + 1, np.searchsorted(edges, values, side="right")).astype(np.intp)
    bounds = [f"{edge:g}" for edge in edges]
    if not bounds:
        return codes, ["any", "(missing)"]
    ranges = [f"below {bounds[0]}", *(f"{low} to {high}" for low, high in pairwise(bounds)), f"{bounds[-1]} or more"]
    return codes, [*ranges, "(missing)"]
