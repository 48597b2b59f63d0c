"""The report on a model: every figure a person, a page or a gate asks for, computed once from labels and scores."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.evaluation.calibration import Calibration, calibration
from sampan.evaluation.costs import Confusion, CostPoint, DecisionRule, confusion, cost_curve, row_costs
from sampan.evaluation.losses import log_losses, squared_errors
from sampan.evaluation.objective import Objective
from sampan.evaluation.slices import Gap, Slice, slices, widest_gap
from sampan.stats.bootstrap import Estimate, Resampling

Floats = NDArray[np.float64]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A model judged on rows it was not trained on. Moments are milliseconds since 1970."""

    n_rows: int
    n_positive: int
    n_days: int
    since: int
    until: int
    metrics: dict[str, Estimate]
    calibration: Calibration
    threshold: float | None = None
    confusion: Confusion | None = None
    cost_curve: tuple[CostPoint, ...] = ()
    slices: dict[str, tuple[Slice, ...]] = {}
    gaps: tuple[Gap, ...] = ()


def evaluate(
    labels: Floats,
    scores: Floats,
    moments: NDArray[np.int64],
    objective: Objective,
    rng: np.random.Generator,
    *,
    threshold: float | None = None,
    groups: Mapping[str, NDArray[np.object_]] | None = None,
    draws: int = 2000,
) -> Report:
    """Judge scores against labels.

    Parameters
    ----------
    labels, scores, moments : shape (n,); labels 0 or 1, scores within 0 to 1, no NaN
    threshold : chosen on other rows; needed for cost and confusion
    groups : column -> the group each row belongs to

    Raises
    ------
    ParameterError : no rows, rows of one class only, scores that are no probabilities, or a column of the objective not in `groups`.
    """
    groups = groups or {}
    check_scored(labels, scores)
    if missing := [column for column in objective.equal_across if column not in groups]:
        raise ParameterError(
            f"the objective treats groups of {', '.join(missing)} alike, but the rows have no such column",
            hint="keep it as a slice column of the feature view",
        )
    resampling = Resampling.by_time(moments, rng, draws=draws)
    rule = DecisionRule(threshold, objective.kpi) if threshold is not None and objective.kpi is not None else None
    metrics = {
        "auc": resampling.auc(labels, scores),
        "log_loss": resampling.mean(log_losses(labels, scores)),
        "brier": resampling.mean(squared_errors(labels, scores)),
        "positive_rate": resampling.mean(labels),
        "mean_score": resampling.mean(scores),
    }
    if rule is not None:
        metrics["cost"] = resampling.mean(row_costs(labels, scores, rule))
        metrics["cost_if_silent"] = resampling.mean(row_costs(labels, scores, DecisionRule(np.inf, rule.worth)))
        metrics["cost_if_always"] = resampling.mean(row_costs(labels, scores, DecisionRule(-np.inf, rule.worth)))
    return Report(
        n_rows=len(labels),
        n_positive=int(labels.sum()),
        n_days=resampling.n_blocks,
        since=int(moments.min()),
        until=int(moments.max()),
        metrics=metrics,
        calibration=calibration(labels, scores, resampling),
        threshold=threshold,
        confusion=confusion(labels, scores, threshold) if threshold is not None else None,
        cost_curve=cost_curve(labels, scores, objective.kpi) if objective.kpi is not None else (),
        slices={name: slices(each, labels, scores, resampling, rule=rule) for name, each in groups.items()},
        gaps=tuple(
            widest_gap(
                column, groups[column], labels, scores, resampling, metric=objective.metric, limit=objective.max_gap or 0.0, rule=rule
            )
            for column in objective.equal_across
        ),
    )


def check_scored(labels: Floats, scores: Floats) -> None:
    """Raise ParameterError unless there are rows of both classes and every score is a probability."""
    if not len(labels):
        raise ParameterError("there are no labeled rows to evaluate on", hint="widen --since and --until, or wait for labels")
    if len(present := np.unique(labels)) < 2:
        raise ParameterError(
            f"all {len(labels):,} rows have the label {present[0]:g}; nothing can be told apart", hint="evaluate on rows with both outcomes"
        )
    wrong = ~((scores >= 0) & (scores <= 1))  # also true for NaN
    if wrong.any():
        raise ParameterError(
            f"{int(wrong.sum()):,} of {len(scores):,} scores are no probabilities, first: {scores[wrong][0]}",
            hint="the estimator must return P(label = 1)",
        )
