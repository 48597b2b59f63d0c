"""How a model does on rows whose labels are known: AUC, log loss and cost, with intervals over resampled days."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.monitoring.estimate import Costs, expected_metrics
from sampan.stats.bootstrap import Estimate, Resampling

Floats = NDArray[np.float64]

DRAWS = 1000


class Quality(msgspec.Struct, frozen=True):
    """Quality on labelled rows; cost is per row. Of classes and numbers what else is watched is in `others`, by its metric's name."""

    n: int
    auc: Estimate
    log_loss: Estimate
    cost: Estimate
    positive_share: float | None
    others: dict[str, Estimate] = {}


def measure_quality(
    labels: Floats, scores: Floats, moments: NDArray[np.int64], *, costs: Costs, rng: np.random.Generator
) -> Quality | None:
    """Measure quality; None without rows. With one class only, AUC has no value.

    Parameters
    ----------
    labels, scores, moments : shape (n,); labels 0 or 1, moments in milliseconds
    """
    if not len(labels):
        return None
    resampling = Resampling.by_time(moments, rng, draws=DRAWS)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    losses = -(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))
    warned = np.where(labels == 1, costs.hit, costs.false_alarm)
    silent = np.where(labels == 1, costs.missed, costs.silence)
    both_classes = 0 < labels.sum() < len(labels)
    return Quality(
        n=len(labels),
        auc=resampling.auc(labels, scores) if both_classes else Estimate(value=None),
        log_loss=resampling.mean(losses),
        cost=resampling.mean(np.where(scores >= costs.threshold, warned, silent)),
        positive_share=float(labels.mean()),
    )


def measure_point(labels: Floats, scores: Floats, *, costs: Costs) -> Quality | None:
    """Measure quality without intervals: for a reference that is compared with, not judged."""
    if not len(labels):
        return None
    auc, log_loss, cost, positive = expected_metrics(labels, scores, costs)
    both_classes = 0 < labels.sum() < len(labels)
    return Quality(
        n=len(labels),
        auc=Estimate(value=auc if both_classes else None),
        log_loss=Estimate(value=log_loss),
        cost=Estimate(value=cost),
        positive_share=positive,
    )
