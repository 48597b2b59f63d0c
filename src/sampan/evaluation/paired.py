"""Whether one model is better than another: both score the same rows, and the difference gets the interval, not each figure."""

from __future__ import annotations

from math import ceil
from statistics import NormalDist
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.costs import DecisionRule, row_costs
from sampan.evaluation.losses import log_losses
from sampan.evaluation.objective import HIGHER_IS_BETTER, Value
from sampan.stats.bootstrap import Estimate, Resampling

Floats = NDArray[np.float64]
Verdict = Literal["better", "not shown", "worse"]

# Rows needed so that a difference as large as this one would be shown in 4 of 5 repetitions.
_SHOWN_REACH: Final = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
_HOPELESS: Final = 100  # times the present rows: no promise is made beyond


class Scored(msgspec.Struct, frozen=True):
    """A model's scores on the rows of a test and the threshold it would warn at."""

    scores: Floats
    threshold: float | None = None


class Difference(msgspec.Struct, frozen=True):
    """Candidate minus champion in one metric. `rows_needed`: so many more rows would show a difference of this size; None = no telling."""

    metric: str
    candidate: float
    champion: float
    difference: Estimate
    verdict: Verdict
    rows_needed: int | None = None


class Paired(msgspec.Struct, frozen=True):
    """A paired test of two models on the same rows, resampled in days."""

    n_rows: int
    n_blocks: int
    differences: tuple[Difference, ...]

    def of(self, metric: str) -> Difference | None:
        """Return the difference in one metric, None if it was not tested."""
        return next((d for d in self.differences if d.metric == metric), None)


def compare(
    labels: Floats,
    candidate: Scored,
    champion: Scored,
    moments: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    worth: Value | None = None,
    draws: int = 2000,
) -> Paired:
    """Test candidate against champion on the same rows: log loss, AUC and, where decisions have a worth, cost.

    Parameters
    ----------
    labels : shape (n,), 0 or 1
    moments : shape (n,), milliseconds; rows of one day are resampled together
    """
    resampling = Resampling.by_time(moments, rng, draws=draws)
    found = [
        _mean_difference("log_loss", log_losses(labels, candidate.scores), log_losses(labels, champion.scores), resampling),
        _auc_difference(labels, candidate.scores, champion.scores, resampling),
    ]
    if worth is not None and candidate.threshold is not None and champion.threshold is not None:
        ours = row_costs(labels, candidate.scores, DecisionRule(candidate.threshold, worth))
        theirs = row_costs(labels, champion.scores, DecisionRule(champion.threshold, worth))
        found.append(_mean_difference("cost", ours, theirs, resampling))
    return Paired(len(labels), resampling.n_blocks, tuple(found))


def _mean_difference(metric: str, candidate: Floats, champion: Floats, resampling: Resampling) -> Difference:
    change = candidate - champion
    drawn = resampling.drawn_mean(change)
    return _judge(metric, float(candidate.mean()), float(champion.mean()), float(change.mean()), drawn, resampling, len(change))


def _auc_difference(labels: Floats, candidate: Floats, champion: Floats, resampling: Resampling) -> Difference:
    ours, theirs = resampling.auc(labels, candidate).value, resampling.auc(labels, champion).value
    if ours is None or theirs is None:
        return Difference("auc", float("nan"), float("nan"), Estimate(None), "not shown")
    drawn = resampling.drawn_auc(labels, candidate) - resampling.drawn_auc(labels, champion)
    return _judge("auc", ours, theirs, ours - theirs, drawn, resampling, len(labels))


def _judge(metric: str, candidate: float, champion: float, change: float, drawn: Floats, resampling: Resampling, n_rows: int) -> Difference:
    difference = resampling.estimate(change, drawn)
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    verdict: Verdict = "not shown"
    if difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high:
        verdict = "better" if sign * change > 0 else "worse"
    needed = _rows_needed(change, float(np.nanstd(drawn)), n_rows) if verdict == "not shown" else None
    return Difference(metric, candidate, champion, difference, verdict, needed)


def _rows_needed(change: float, error: float, n_rows: int) -> int | None:
    if change == 0 or error == 0:
        return None
    times = (_SHOWN_REACH * error / abs(change)) ** 2
    return ceil(n_rows * (times - 1)) if 1 < times <= _HOPELESS else None
