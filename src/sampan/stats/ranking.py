"""How well scores rank positives above negatives: AUC, its DeLong variance, and the pair counts a block bootstrap needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(labels: Floats, scores: Floats) -> float:
    """Return the area under the ROC curve; a tied pair counts one half.

    NaN where a class is absent: no pair can be formed.

    Parameters
    ----------
    labels : shape (n,), 0 or 1
    scores : shape (n,), no NaN

    >>> auc(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.1, 0.2]))
    0.625
    """
    positive = labels == 1
    n_positive = int(positive.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(mid_ranks(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def mid_ranks(values: Floats) -> Floats:
    """Return ranks from 1; tied values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - (counts - 1) / 2
    return middle[inverse]


def delong_covariance(labels: Floats, *scores: Floats) -> NDArray[np.float64]:
    """Estimate the covariance matrix of the AUCs of several score vectors on the same, independent rows.

    References
    ----------
    E. DeLong, D. DeLong, D. Clarke-Pearson (1988), "Comparing the Areas under Two or More Correlated ROC Curves", Biometrics 44.
    X. Sun, W. Xu (2014), "Fast Implementation of DeLong's Algorithm", IEEE Signal Processing Letters 21.
    """
    positive = labels == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    over_positives, over_negatives = [], []
    for each in scores:
        ranks = mid_ranks(each)
        over_positives.append((ranks[positive] - mid_ranks(each[positive])) / n_negative)
        over_negatives.append(1 - (ranks[~positive] - mid_ranks(each[~positive])) / n_positive)
    spread = np.atleast_2d(np.cov(over_positives)) / n_positive + np.atleast_2d(np.cov(over_negatives)) / n_negative
    return np.asarray(spread, dtype=np.float64)


def pair_counts(labels: Floats, scores: Floats, blocks: NDArray[np.intp], n_blocks: int) -> NDArray[np.float64]:
    """Count, for each pair of blocks, the pairs ranked right: positive in the row's block, negative in the column's; ties count half.

    The AUC of any reweighting `w` of the blocks is then `w @ U @ w / (w @ positives * w @ negatives)`: a bootstrap over blocks needs no
    more sorting, whatever the number of draws.

    Returns
    -------
    shape (n_blocks, n_blocks)
    """
    positive = labels == 1
    order = np.argsort(scores[positive], kind="stable")
    wanted = scores[positive][order]  # sorted needles walk each haystack once, in cache
    of_block = blocks[positive][order]
    counts = np.zeros((n_blocks, n_blocks))
    negative_scores, negative_blocks = scores[~positive], blocks[~positive]
    by_block = np.argsort(negative_blocks, kind="stable")
    bounds = np.searchsorted(negative_blocks[by_block], np.arange(n_blocks + 1))
    for block in range(n_blocks):
        haystack = np.sort(negative_scores[by_block[bounds[block] : bounds[block + 1]]])
        if len(haystack):
            below = np.searchsorted(haystack, wanted, "left") + np.searchsorted(haystack, wanted, "right")
            counts[:, block] = np.bincount(of_block, weights=below, minlength=n_blocks) / 2
    return counts


def reweighted_auc(counts: NDArray[np.float64], positives: Floats, negatives: Floats, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the AUC under each row of block weights, from `pair_counts` and the positives and negatives of each block.

    NaN for a draw in which a class is absent.
    """
    pairs = (weights @ positives) * (weights @ negatives)
    right = np.einsum("db,db->d", weights @ counts, weights)
    drawn: Floats = np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return drawn
