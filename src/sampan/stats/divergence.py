"""How far two samples of one column are apart, and how far two samples of one source would be by chance.

Missing values are left out throughout; their rate is a question of its own. Not here: what counts as drift, see `monitoring.drift`.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

Codes = NDArray[np.intp]

N_BINS = 10
MIN_BLOCKS = 5
SMOOTHING = 0.5


def kolmogorov_smirnov(reference: Floats, current: Floats) -> float:
    """Return the largest distance between two empirical distribution functions, 0–1; both samples non-empty, without NaN.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    before, now = np.sort(reference), np.sort(current)
    at = np.concatenate([before, now])
    gaps = np.searchsorted(before, at, side="right") / len(before) - np.searchsorted(now, at, side="right") / len(now)
    return float(np.abs(gaps).max())


def total_variation(reference: Counts, current: Counts) -> float:
    """Return half the summed differences of two categorical distributions, 0–1; counts of the same categories, in order.

    It is the share of rows that would have to change category.
    """
    return float(np.abs(reference / reference.sum() - current / current.sum()).sum() / 2)


def total_variation_noise(reference: Counts, current: Counts) -> tuple[float, float]:
    """Return mean and spread (one standard deviation) of the total variation between two samples of one source.

    Each category's difference is nearly normal with variance p(1-p)/n', n' = nm/(n+m), p pooled. The mean of its absolute value is
    sqrt(2/pi) of its deviation; the spread treats categories as independent, which overstates it a little.
    """
    n, m = reference.sum(), current.sum()
    share = (reference + current) / (n + m)
    variances = share * (1 - share) * (1 / n + 1 / m)
    mean = np.sqrt(2 / pi) * np.sqrt(variances).sum() / 2
    spread = np.sqrt((1 - 2 / pi) * variances.sum()) / 2
    return float(mean), float(spread)


def clustered_spread(codes: tuple[Codes, Codes], blocks: tuple[Codes, Codes], n_codes: int, *, cumulated: bool) -> NDArray[np.float64]:
    """Return how much each share of two samples of one source would differ when whole blocks of rows (days) come together.

    Rows of one day are not independent: a slow column (weather, a moving average) has nearly one value a day, and a month of it says as
    much as 30 rows. The spread of the daily shares about their mean gives the spread of the difference of two means of days.

    Parameters
    ----------
    codes : each row's bin or category, of both samples; shape (n,), (m,), 0 to n_codes - 1
    blocks : each row's block, of both samples, from 0
    cumulated : of the distribution function at each bin instead of each category's share

    Returns
    -------
    one standard deviation per code, shape (n_codes,); zeros where a sample has fewer than `MIN_BLOCKS` blocks
    """
    squares, n_blocks, factor = np.zeros(n_codes), 0, 0.0
    for its_codes, its_blocks in zip(codes, blocks, strict=True):
        n = int(its_blocks.max(initial=-1)) + 1
        if n < MIN_BLOCKS:
            return np.zeros(n_codes)
        counts = np.bincount(its_blocks * n_codes + its_codes, minlength=n * n_codes).reshape(n, n_codes).astype(np.float64)
        rows = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
        shares = shares.cumsum(axis=1) if cumulated else shares
        weights = rows / rows.sum()
        squares += n * (weights * (shares - (weights * shares).sum(axis=0)) ** 2).sum(axis=0)
        n_blocks += n - 1
        factor += float((weights**2).sum())  # 1/n for blocks of one size
    return np.asarray(np.sqrt(squares / n_blocks * factor))


def quantile_edges(reference: Floats, *, n_bins: int = N_BINS) -> Floats:
    """Return the inner edges of bins that hold equal shares of the reference; fewer where values repeat. The outer bins are open."""
    inner = np.quantile(reference, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.unique(inner)


def binned(values: Floats, edges: Floats) -> Counts:
    """Count values per bin; a value on an edge belongs to the bin above it."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).astype(np.int64)


def population_stability_index(reference: Counts, current: Counts) -> float:
    """Return the population stability index of two binned samples, natural logarithm, half a row added to each bin.

    0 = same; over 0.2 is the customary alarm, yet chance alone gives about (bins - 1)(1/n + 1/m): read it beside a test of noise.

    References
    ----------
    B. Yurdakul (2018), "Statistical Properties of Population Stability Index", Western Michigan University.
    """
    p, q = _smoothed(reference), _smoothed(current)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon_distance(reference: Counts, current: Counts) -> float:
    """Return the Jensen-Shannon distance of two binned samples: the root of the divergence in bits, 0–1, half a row added to each bin."""
    p, q = _smoothed(reference), _smoothed(current)
    middle = (p + q) / 2
    divergence = ((p * np.log2(p / middle)).sum() + (q * np.log2(q / middle)).sum()) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _smoothed(counts: Counts) -> NDArray[np.float64]:
    raised = counts + SMOOTHING
    return np.asarray(raised / raised.sum(), dtype=np.float64)
