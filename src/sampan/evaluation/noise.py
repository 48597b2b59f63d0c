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
_MOST_STEPS: Final = 40
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
    labels, out_of_fold, batches : shape (n,); batch names sort in time order, such as 2013-04; of k classes `out_of_fold` is (n, k)
    """
    found = []
    names = np.unique(batches.astype(str))
    for name in names:
        rows = batches == name
        if rows.sum() >= min_rows and len(np.unique(labels[rows])) > 1:
            found.append(BatchNoise(str(name), int(rows.sum()), _wrong_share(labels[rows], out_of_fold[rows])))
    if not found or found[-1].batch != names[-1]:
        return None
    *earlier, newest = found
    usual = sum((b.share.value or 0.0) * b.n_rows for b in earlier) / max(sum(b.n_rows for b in earlier), 1)
    return LabelHealth(newest, tuple(earlier), usual, limit, ok=(newest.share.low or 0.0) - usual <= limit)


def _wrong_share(labels: Floats, out_of_fold: Floats) -> Estimate:
    if out_of_fold.ndim == 1:
        return wrong_label_share(labels, out_of_fold)
    return wrong_class_share(labels.astype(np.intp), out_of_fold)


def wrong_class_share(codes: NDArray[np.intp], out_of_fold: Floats) -> Estimate:
    """Estimate the share of labels that were exchanged for any other class, as `wrong_label_share` does for two.

    Each row asks of each class whether it came; as the classes of a row exclude one another, each question counts half.

    Parameters
    ----------
    codes, out_of_fold : shape (n,), (n, n_classes)
    """
    n_classes = out_of_fold.shape[1]
    if n_classes == 2:
        return wrong_label_share(codes.astype(np.float64), out_of_fold[:, 1])
    came = np.zeros(out_of_fold.shape)
    came[np.arange(len(codes)), codes] = 1
    return _estimate(came.ravel(), out_of_fold.ravel(), n_classes, weight=0.5)


def wrong_label_share(labels: Floats, out_of_fold: Floats) -> Estimate:
    """Estimate the share of flipped labels by maximum likelihood, with its profile-likelihood interval.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021), "Confident Learning", JAIR 70: the same reading of confident scores, by counting.
    """
    return _estimate(labels, out_of_fold, 2, weight=1.0)


def _estimate(labels: Floats, out_of_fold: Floats, n_classes: int, *, weight: float) -> Estimate:
    said = logits(out_of_fold)
    edges = np.unique(np.quantile(said, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, said, side="right")
    kept, bins = np.unique(bins, return_inverse=True)
    n: Floats = np.bincount(bins, minlength=len(kept)).astype(np.float64)
    center = np.bincount(bins, weights=said) / n
    positives: Floats = np.bincount(bins, weights=labels).astype(np.float64) * weight
    n *= weight
    possible = _SHARES if n_classes == 2 else _SHARES[: np.searchsorted(_SHARES, (n_classes - 1) / n_classes - 0.01)]
    coarse = _profile(possible[::_COARSE], center, positives, n, n_classes)
    # The likelihood is smooth: only where a coarse step comes near the best can a fine one reach it.
    near = np.flatnonzero(coarse > coarse.max() - 10) * _COARSE
    shares = possible[max(near[0] - _COARSE, 0) : near[-1] + _COARSE + 1]
    likelihoods = _profile(shares, center, positives, n, n_classes)
    likely = shares[likelihoods > likelihoods.max() - _HALF_CHI2]
    return Estimate(float(shares[likelihoods.argmax()]), float(likely.min()), float(likely.max()))


def _profile(shares: Floats, said: Floats, positives: Floats, n: Floats, n_classes: int) -> Floats:
    """Return the log likelihood of each share of wrong labels, a and b being the best for it.

    All shares are fitted at once by Fisher scoring, two parameters each; b stays positive, or inverted labels would look right.
    """
    floor = shares[:, None] / (n_classes - 1)
    span = 1 - shares[:, None] - floor
    a, b = np.zeros((len(shares), 1)), np.ones((len(shares), 1))
    for _ in range(_MOST_STEPS):
        clean = probabilities(a + b * said)
        rate = np.clip(floor + span * clean, 1e-9, 1 - 1e-9)
        slope = span * clean * (1 - clean)
        weight = slope * n / (rate * (1 - rate))
        gap = weight * (positives / n - rate)
        of_a, of_b = gap.sum(axis=1, keepdims=True), gap @ said[:, None]
        weight *= slope
        aa, ab, bb = weight.sum(axis=1, keepdims=True) + 1e-4, weight @ said[:, None], weight @ said[:, None] ** 2 + 1e-4
        determinant = aa * bb - ab**2
        to_a, to_b = (bb * of_a - ab * of_b) / determinant, (aa * of_b - ab * of_a) / determinant
        a, b = a + np.clip(to_a, -1, 1), np.maximum(b + np.clip(to_b, -0.5, 0.5), 0.05)
        if max(np.abs(to_a).max(), np.abs(to_b).max()) < 1e-4:
            break
    rate = np.clip(floor + span * probabilities(a + b * said), 1e-9, 1 - 1e-9)
    return np.asarray((positives * np.log(rate) + (n - positives) * np.log1p(-rate)).sum(axis=1))
