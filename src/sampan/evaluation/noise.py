"""How many labels of a batch are wrong, as far as a model's out-of-fold scores can tell.

A model that is sure of a row is still contradicted when that row's label was flipped: however the world drifts, wrong labels put a floor
under the rate of positives among the surest negatives, and a ceiling over that among the surest positives. So the observed rate is fitted
as `e + (1 - 2e) * sigmoid(a + b * logit(score))`: a and b take up drift of the base rate and of the model's strength, e is the share of
wrong labels. Scores must come from folds that leave the row itself out, and their models should have seen other rows of the same batch: a
model of earlier batches alone confuses a weaker relation with wrong labels.

Only flips independent of the features, alike for both classes, are estimated; labels wrong in one direction or in one group are not. And
contradiction needs confidence: a hardly fitted model or a batch of few rows gives a wide interval, and then no alarm.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.losses import logits, probabilities
from sampan.stats.bootstrap import Estimate

Floats = NDArray[np.float64]

_SHARES: Final = np.arange(0.0, 0.9501, 0.0025)
_COARSE: Final = 10
_N_BINS: Final = 200
_HALF_CHI2: Final = 1.9207  # half the 95 % quantile of chi-square with one degree of freedom


class BatchNoise(msgspec.Struct, frozen=True):
    """The estimated share of wrong labels in one batch."""

    batch: str
    n_rows: int
    share: Estimate


class LabelHealth(msgspec.Struct, frozen=True):
    """The newest batch's labels beside those before. `usual` is the mean share of the earlier batches: the model's own floor.

    `ok` is false only when even the low end of the newest batch's interval lies more than `limit` above the usual share.
    """

    newest: BatchNoise
    earlier: tuple[BatchNoise, ...]
    usual: float
    limit: float
    ok: bool


def label_health(
    labels: Floats, out_of_fold: Floats, batches: NDArray[np.object_], *, limit: float, min_rows: int = 100
) -> LabelHealth | None:
    """Estimate the share of wrong labels per batch and judge the newest; None where it has too few rows or one class.

    Parameters
    ----------
    labels, out_of_fold, batches : shape (n,); batch names sort in time order, such as 2013-04
    """
    found = []
    names = np.unique(batches.astype(str))
    for name in names:
        rows = batches == name
        if rows.sum() >= min_rows and 0 < labels[rows].mean() < 1:
            found.append(BatchNoise(str(name), int(rows.sum()), wrong_label_share(labels[rows], out_of_fold[rows])))
    if not found or found[-1].batch != names[-1]:
        return None
    *earlier, newest = found
    usual = sum((b.share.value or 0.0) * b.n_rows for b in earlier) / max(sum(b.n_rows for b in earlier), 1)
    return LabelHealth(newest, tuple(earlier), usual, limit, ok=(newest.share.low or 0.0) - usual <= limit)


def wrong_label_share(labels: Floats, out_of_fold: Floats) -> Estimate:
    """Estimate the share of flipped labels by maximum likelihood, with its profile-likelihood interval.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021), "Confident Learning", JAIR 70: the same reading of confident scores, by counting.
    """
    said = logits(out_of_fold)
    edges = np.unique(np.quantile(said, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, said, side="right")
    kept, bins = np.unique(bins, return_inverse=True)
    n: Floats = np.bincount(bins, minlength=len(kept)).astype(np.float64)
    positives: Floats = np.bincount(bins, weights=labels).astype(np.float64)
    center = np.bincount(bins, weights=said) / n
    coarse = _profile(_SHARES[::_COARSE], center, positives, n)
    # The likelihood is smooth: only where a coarse step comes near the best can a fine one reach it.
    near = np.flatnonzero(coarse > coarse.max() - 10) * _COARSE
    shares = _SHARES[max(near[0] - _COARSE, 0) : near[-1] + _COARSE + 1]
    likelihoods = _profile(shares, center, positives, n)
    likely = shares[likelihoods > likelihoods.max() - _HALF_CHI2]
    return Estimate(float(shares[likelihoods.argmax()]), float(likely.min()), float(likely.max()))


def _profile(shares: Floats, said: Floats, positives: Floats, n: Floats) -> Floats:
    """Return the log likelihood of each share of wrong labels, a and b being the best for it."""
    line, likelihoods = (0.0, 1.0), np.empty(len(shares))
    for at, share in enumerate(shares):
        line, likelihoods[at] = _fit_line(share, line, said, positives, n)
    return likelihoods


def _fit_line(share: float, start: tuple[float, float], said: Floats, positives: Floats, n: Floats) -> tuple[tuple[float, float], float]:
    """Fit a and b at a given share of wrong labels by Fisher scoring; b stays positive, or inverted labels would look right."""
    a, b = start
    for _ in range(25):
        clean = probabilities(a + b * said)
        rate = np.clip(share + (1 - 2 * share) * clean, 1e-9, 1 - 1e-9)
        slope = (1 - 2 * share) * clean * (1 - clean)
        design = np.column_stack([slope, slope * said])
        weight = n / (rate * (1 - rate))
        step = np.linalg.solve((design * weight[:, None]).T @ design + 1e-4 * np.eye(2), design.T @ (weight * (positives / n - rate)))
        a, b = a + float(np.clip(step[0], -1, 1)), max(b + float(np.clip(step[1], -0.5, 0.5)), 0.05)
        if np.abs(step).max() < 1e-4:
            break
    rate = np.clip(share + (1 - 2 * share) * probabilities(a + b * said), 1e-9, 1 - 1e-9)
    return (a, b), float((positives * np.log(rate) + (n - positives) * np.log1p(-rate)).sum())
