"""How many labels of the arriving rows are wrong, over all and value by value, as far as a model of trusted rows can tell.

Where a model gives a row of two classes the chance p, labels that are wrong in a share e of the rows move the mean of y - p by e (1 - 2p).
So e = sum((1 - 2p)(y - p)) / sum((1 - 2p)^2): a row the model is sure of tells much, one at a half nothing. With K classes, or ranges of a
number, a wrong label is any other alike, and each chance p_k moves by e ((1 - p_k) / (K - 1) - p_k). Rows are weighed by what they are, so
a batch of other rows (covariate shift) has no other e.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.outlook import Outlook
from sampan.evaluation.admission.table import Floats, Rows, Table
from sampan.stats.bootstrap import Estimate

_MIN_ROWS: Final = 25
_MIN_KNOWLEDGE: Final = 3.0  # sum of (1 - 2p)^2: so many rows' worth of certainty
_N_BINS: Final = 8
_SUREST: Final = 0.02  # among few rows of one value, no model is surer than this
_TURNED: Final = 0.3  # a value's labels are called wrong where at least this share is, beyond the batch's own
_MORE: Final = 1.25
_ALPHA: Final = 0.001


class WrongSlice(msgspec.Struct, frozen=True):
    """A value, or a range of numbers, whose labels contradict what trusted rows say of it."""

    column: str
    value: str
    n_rows: int
    share: Estimate  # of wrong labels
    excess: float = 0.0  # beyond the usual share, and the whole batch's


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What each row says of the share of wrong labels: `said` / `known` estimates it, `variance` is that of `said`; shape (n,)."""

    said: Floats
    known: Floats
    variance: Floats

    @classmethod
    def of(cls, codes: Rows, chances: Floats) -> Contradiction:
        """Hold labels against their chances, shape (n,), (n, n_codes); of several models, (n_models, n, n_codes), the mean is taken."""
        if chances.ndim == 3:
            each = [cls.of(codes, one) for one in chances]
            said, known, variance = (np.mean([getattr(one, name) for one in each], axis=0) for name in ("said", "known", "variance"))
            return cls(said, known, variance)
        n_codes = chances.shape[1]
        # Where a label is wrong, another code has come: so much more or less probable becomes each.
        lean = (1 - chances) / (n_codes - 1) - chances
        expected = (lean * chances).sum(axis=1)
        scale = (n_codes - 1) / n_codes  # a row the model is sure of counts 1
        said = (lean[np.arange(len(codes)), codes] - expected) * scale
        variance = ((lean**2 * chances).sum(axis=1) - expected**2) * scale**2
        return cls(said, (lean**2).sum(axis=1) * scale, variance)

    def grouped(self, groups: Rows, n_groups: int) -> _Sums:
        """Sum over groups of rows."""
        said, known, variance, n = (
            np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)
            for values in (self.said, self.known, self.variance, np.ones(len(groups)))
        )
        return _Sums(said, known, variance, n)


@dataclass(frozen=True, slots=True)
class _Sums:
    said: Floats
    known: Floats
    variance: Floats
    n: Floats

    @property
    def share(self) -> Floats:
        return self.said / np.maximum(self.known, 1e-9)

    @property
    def error(self) -> Floats:
        return np.sqrt(self.variance) / np.maximum(self.known, 1e-9)


def wrong_share(codes: Rows, chances: Floats) -> Estimate:
    """Estimate the share of wrong labels among rows whose chances are calibrated; negative where labels agree more than expected.

    Parameters
    ----------
    codes, chances : shape (n,), (n, n_codes) or, of several models, (n_models, n, n_codes)
    """
    sums = Contradiction.of(codes, chances).grouped(np.zeros(len(codes), dtype=np.intp), 1)
    if sums.known[0] < _MIN_KNOWLEDGE:
        return Estimate(None)
    share, error = float(sums.share[0]), float(sums.error[0])
    return Estimate(share, share - 1.96 * error, share + 1.96 * error)


@dataclass(frozen=True, slots=True)
class Slices:
    """All values of all columns, tested at once (Bonferroni); numbers are cut at quantiles of the trusted rows."""

    table: Table
    codes: Rows
    groupings: tuple[tuple[Rows, list[str]], ...]
    usual: tuple[Floats, ...]  # by column and value: the share of wrong labels among trusted rows
    critical: float

    @classmethod
    def of(cls, table: Table, outlook: Outlook) -> Slices:
        """Group the rows, and learn how often labels of trusted ones are wrong."""
        groupings = tuple(group_rows(table, column) for column in range(len(table.names)))
        said = Contradiction.of(outlook.codes[: table.n_base], outlook.base)
        before = [said.grouped(groups[: table.n_base], len(names)) for groups, names in groupings]
        usual = tuple(np.where(one.known >= _MIN_KNOWLEDGE, np.maximum(one.share, 0.0), 0.0) for one in before)
        n_tests = sum(len(names) for _, names in groupings)
        return cls(table, outlook.codes, groupings, usual, NormalDist().inv_cdf(1 - _ALPHA / max(n_tests, 1)))

    def wrong(self, rows: Rows, chances: Floats) -> tuple[WrongSlice, ...]:
        """Find values whose labels are surely wrong more often than in all of these rows and than among trusted ones; surest first.

        Parameters
        ----------
        chances : of each code, shape (n, n_codes), or of several models, (n_models, n, n_codes)
        """
        chances = _less_sure(chances)
        overall = max(wrong_share(self.codes[rows], chances).value or 0.0, 0.0)
        said = Contradiction.of(self.codes[rows], chances)
        found: list[tuple[float, WrongSlice]] = []
        for column, (groups, names) in enumerate(self.groupings):
            now = said.grouped(groups[rows], len(names))
            excess = now.share - np.maximum(self.usual[column], overall)
            enough = (now.n >= _MIN_ROWS) & (now.known >= _MIN_KNOWLEDGE)
            for group in np.flatnonzero(enough & (excess > 0) & (excess > self.critical * now.error)):
                if self.table.n_distinct(rows[groups[rows] == group], besides=column) < _MIN_ROWS:
                    continue
                share, error = float(now.share[group]), float(now.error[group])
                estimate = Estimate(share, share - 1.96 * error, min(share + 1.96 * error, 1.0))
                one = WrongSlice(self.table.names[column], names[group], int(now.n[group]), estimate, float(excess[group]))
                found.append((excess[group] / error, one))
        return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))


def worst(slices: Sequence[WrongSlice]) -> float:
    """Return how much more often than usual labels of the worst value are wrong; 0 where there is none."""
    return max((one.excess for one in slices), default=0.0)


def slice_limit(earlier: Sequence[float]) -> float:
    """Return how much more often labels of one value may be wrong: a little more than in two earlier spans, of the worst value of each.

    Where meanings move with time, some value's labels always contradict the rows before. One span alone may have been spoiled.
    """
    second = sorted(earlier)[-2] if len(earlier) > 1 else 0.0
    return max(_TURNED, _MORE * second)


def _less_sure(chances: Floats) -> Floats:
    """Bound chances away from 0 and 1."""
    bounded = np.clip(chances, _SUREST / (chances.shape[-1] - 1), 1 - _SUREST)
    return np.asarray(bounded / bounded.sum(axis=-1, keepdims=True))


def slice_rows(table: Table, found: WrongSlice) -> NDArray[np.bool_]:
    """Mark the arriving rows of a slice, shape (n_batch,)."""
    groups, names = group_rows(table, table.names.index(found.column))
    return np.asarray(groups[table.n_base :] == names.index(found.value))


def group_rows(table: Table, column: int) -> tuple[Rows, list[str]]:
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
