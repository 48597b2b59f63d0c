"""Whether one model is better than another: both score the same rows, and the difference gets the interval, not each figure."""

from __future__ import annotations

from math import ceil
from statistics import NormalDist
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.metrics import Answered, is_higher_better, measure, paired_names, row_losses
from sampan.evaluation.objective import Objective
from sampan.evaluation.task import BINARY, Task
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
    objective: Objective | None = None,
    task: Task = BINARY,
    draws: int = 2000,
) -> Paired:
    """Test candidate against champion on the same rows: the loss first, then what else matters of the task, such as AUC and cost.

    Parameters
    ----------
    labels : shape (n,), as the task has them
    moments : shape (n,), milliseconds; rows of one day are resampled together
    """
    objective = objective or Objective()
    resampling = Resampling.by_time(moments, rng, draws=draws)
    ours, theirs = (Answered.under(objective, labels, each.scores, task, threshold=each.threshold) for each in (candidate, champion))
    both = [name for name in paired_names(ours, objective.loss(task)) if name in paired_names(theirs, objective.loss(task))]
    return Paired(len(labels), resampling.n_blocks, tuple(_difference(name, ours, theirs, resampling) for name in both))


def _difference(metric: str, ours: Answered, theirs: Answered, resampling: Resampling) -> Difference:
    our_rows, their_rows = row_losses(metric, ours), row_losses(metric, theirs)
    if our_rows is not None and their_rows is not None:
        # Of a mean the difference is taken row by row: what the two have in common is gone before it can round.
        change = our_rows - their_rows
        drawn = resampling.drawn_mean(change)
        return _judge(metric, float(our_rows.mean()), float(their_rows.mean()), float(change.mean()), drawn, resampling, len(change))
    (our_value, our_drawn), (their_value, their_drawn) = measure(metric, ours, resampling), measure(metric, theirs, resampling)
    if not np.isfinite(our_value) or not np.isfinite(their_value):
        return Difference(metric, float("nan"), float("nan"), Estimate(None), "not shown")
    drawn = our_drawn - their_drawn
    return _judge(metric, our_value, their_value, our_value - their_value, drawn, resampling, len(ours.labels))


def _judge(metric: str, candidate: float, champion: float, change: float, drawn: Floats, resampling: Resampling, n_rows: int) -> Difference:
    difference = resampling.estimate(change, drawn)
    sign = 1 if is_higher_better(metric) else -1
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
