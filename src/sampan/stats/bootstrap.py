"""The block bootstrap: intervals for figures whose rows are not independent, such as the flights of one stormy day.

Rows are grouped into blocks (days); a draw takes whole blocks with replacement. As a figure is a ratio of sums over rows, a draw needs only
each block's sums, so thousands of draws are one matrix product. Not here: intervals of plain shares, see `stats.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sampan.stats.estimates import Estimate
from sampan.stats.ranking import auc, pair_counts, reweighted_auc

__all__ = [
    "DAY_MS",
    "Estimate",
    "Resampling",
    "block_sums",
    "draw_weights",
    "estimate",
    "expanded_tail",
    "reweighted_mean",
    "student_quantile",
    "time_blocks",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

DAY_MS = 86_400_000
MOST_BLOCKS = 400
_QUANTILE_DRAWS, _MOST_ROWS = 300, 200_000


def time_blocks(moments: NDArray[np.int64], *, length_ms: int = DAY_MS, at_most: int = MOST_BLOCKS) -> Codes:
    """Number each row's block of time: days, or spans of several days where there would be more than `at_most`.

    Parameters
    ----------
    moments : shape (n,), milliseconds since 1970

    Returns
    -------
    shape (n,), codes from 0; blocks without rows get no code
    """
    spans = moments // length_ms
    found, codes = np.unique(spans, return_inverse=True)
    if len(found) <= at_most:
        return np.asarray(codes, dtype=np.intp)
    return np.asarray(codes * at_most // len(found), dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Blocks of rows and how often each draw takes each: all figures computed with it see the same draws, so differences are paired."""

    blocks: Codes  # shape (n,)
    weights: Floats  # shape (draws, n_blocks)

    @classmethod
    def by_time(cls, moments: NDArray[np.int64], rng: np.random.Generator, *, draws: int = 2000) -> Resampling:
        """Resample whole days of rows."""
        blocks = time_blocks(moments)
        return cls(blocks, draw_weights(int(blocks.max(initial=-1)) + 1, draws, rng))

    @property
    def n_blocks(self) -> int:
        """How many blocks there are."""
        return int(self.weights.shape[1])

    def sums(self, values: Floats) -> Floats:
        """Sum values within each block."""
        return block_sums(values, self.blocks, self.n_blocks)

    def drawn_mean(self, values: Floats) -> Floats:
        """Return the mean of values over the rows of each draw, shape (draws,)."""
        return reweighted_mean(self.sums(values), self.sums(np.ones(len(values))), self.weights)

    def drawn_auc(self, labels: Floats, scores: Floats) -> Floats:
        """Return the AUC over the rows of each draw, shape (draws,)."""
        counts = pair_counts(labels, scores, self.blocks, self.n_blocks)
        return reweighted_auc(counts, self.sums(labels), self.sums(1 - labels), self.weights)

    def drawn_quantiles(self, values: Floats, shares: Sequence[float]) -> Floats:
        """Return quantiles of values over the rows of the first draws, shape (len(shares), up to 300): each draw walks all rows.

        Of more than 200,000 rows evenly spaced ones are read.
        """
        rows = np.linspace(0, len(values) - 1, min(len(values), _MOST_ROWS)).astype(np.intp)
        order = rows[np.argsort(values[rows], kind="stable")]
        blocks, ordered = self.blocks[order], values[order]
        found = np.full((len(shares), min(len(self.weights), _QUANTILE_DRAWS)), np.nan)
        for draw in range(found.shape[1]):
            reached = np.cumsum(self.weights[draw][blocks])
            if reached[-1] > 0:
                found[:, draw] = ordered[np.searchsorted(reached, np.asarray(shares) * reached[-1])]
        return found

    def mean(self, values: Floats) -> Estimate:
        """Estimate a mean."""
        return self.estimate(float(values.mean()), self.drawn_mean(values))

    def auc(self, labels: Floats, scores: Floats) -> Estimate:
        """Estimate an AUC."""
        return self.estimate(auc(labels, scores), self.drawn_auc(labels, scores))

    def estimate(self, value: float, drawn: Floats) -> Estimate:
        """Give a figure the interval of its draws."""
        return estimate(value, drawn, self.n_blocks)

    def fewer(self, draws: int) -> Resampling:
        """Return the first draws only: enough for an interval's ends, where many figures are wanted."""
        return Resampling(self.blocks, self.weights[:draws])

    def among(self, rows: NDArray[np.bool_]) -> Resampling:
        """Return the same draws for a part of the rows."""
        return Resampling(self.blocks[rows], self.weights)


def draw_weights(n_blocks: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw how often each block is taken, shape (draws, n_blocks); each row sums to n_blocks."""
    return rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=draws).astype(np.float64)


def block_sums(values: Floats, blocks: Codes, n_blocks: int) -> Floats:
    """Sum values within each block, shape (n_blocks,)."""
    return np.bincount(blocks, weights=values, minlength=n_blocks).astype(np.float64)


def reweighted_mean(totals: Floats, sizes: Floats, weights: Floats) -> Floats:
    """Return the mean over rows under each draw of block weights; NaN for a draw without rows."""
    rows = weights @ sizes
    means: Floats = np.divide(weights @ totals, rows, out=np.full(len(weights), np.nan), where=rows > 0)
    return means


def estimate(value: float, drawn: Floats, n_blocks: int, *, level: float = 0.95) -> Estimate:
    """Give a figure the interval its bootstrap draws say.

    The percentiles are widened as for Student's t with n_blocks - 1 degrees of freedom: plain ones are too narrow when blocks are few.
    Below 5 blocks, or with draws that have no value, no interval is given.

    References
    ----------
    T. Hesterberg (2015), "What Teachers Should Know About the Bootstrap", The American Statistician 69: expanded percentile interval.
    """
    if not np.isfinite(value):
        return Estimate(None)
    kept = drawn[np.isfinite(drawn)]
    if n_blocks < 5 or len(kept) < 0.9 * len(drawn):
        return Estimate(float(value))
    tail = expanded_tail(n_blocks, level=level)
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


def expanded_tail(n_blocks: int, *, level: float = 0.95) -> float:
    """Return the share of draws to leave out at each end, so that few blocks give an honestly wide interval."""
    t = student_quantile(1 - (1 - level) / 2, n_blocks - 1)
    return 1 - NormalDist().cdf(t * sqrt(n_blocks / (n_blocks - 1)))


def student_quantile(p: float, degrees: float) -> float:
    """Return a quantile of Student's t, right to 0.001 for p up to 0.975 and 4 or more degrees of freedom.

    References
    ----------
    M. Abramowitz, I. Stegun (1964), "Handbook of Mathematical Functions", 26.7.5.
    """
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (k + 1) for k, term in enumerate(terms))
