"""The report on a model: every figure a person, a page or a gate asks for, computed once from labels and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.evaluation.calibration import Calibration, calibration, number_calibration
from sampan.evaluation.costs import Confusion, CostPoint, DecisionRule, class_confusion, confusion, cost_curve, row_costs
from sampan.evaluation.metrics import NAIVE, Answered, figure, figures
from sampan.evaluation.objective import Objective
from sampan.evaluation.slices import Gap, Slice, slices, widest_gap
from sampan.evaluation.task import BINARY, Kind, Task
from sampan.stats.bootstrap import Estimate, Resampling, reweighted_mean

Floats = NDArray[np.float64]
RESIDUAL_SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_SUM_TOLERANCE: Final = 1e-3  # of a row's probabilities: libraries round them to float32


class ClassFigures(msgspec.Struct, frozen=True):
    """One class among several: how many of it were found, how many of those named so are of it, how well it is told from the rest."""

    name: str
    n_rows: int
    n_decided: int
    recall: Estimate
    precision: Estimate
    auc: Estimate
    calibration_error: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A model judged on rows it was not trained on. Moments are milliseconds since 1970."""

    n_rows: int
    n_positive: int | None  # None where the label is not one of two outcomes
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
    task: Kind = "binary"
    classes: tuple[ClassFigures, ...] = ()
    class_confusion: tuple[tuple[int, ...], ...] = ()  # rows by actual class (outer) and decided class (inner)
    residuals: dict[str, Estimate] = {}  # quantiles of truth minus answer, in percent: "5" … "95"
    n_unknown: int = 0  # rows of a class that training never saw: always wrong


def evaluate(
    labels: Floats,
    scores: Floats,
    moments: NDArray[np.int64],
    objective: Objective,
    rng: np.random.Generator,
    *,
    task: Task = BINARY,
    threshold: float | None = None,
    groups: Mapping[str, NDArray[np.object_]] | None = None,
    naive: Floats | None = None,
    draws: int = 2000,
) -> Report:
    """Judge scores against labels.

    Parameters
    ----------
    labels, scores, moments : shape (n,), scores (n, k) of k classes; no NaN
    threshold : chosen on other rows; needed for cost and confusion of two outcomes
    groups : column -> the group each row belongs to
    naive : the answer that is always the same, see `baseline.naive_answer`

    Raises
    ------
    ParameterError : no rows, rows of one class only, scores that are none of this task, or a column of the objective not in `groups`.
    """
    groups = groups or {}
    check_scored(labels, scores, task)
    if missing := [column for column in objective.equal_across if column not in groups]:
        raise ParameterError(
            f"the objective treats groups of {', '.join(missing)} alike, but the rows have no such column",
            hint="keep it as a slice column of the feature view",
        )
    resampling = Resampling.by_time(moments, rng, draws=draws)
    answered = Answered.under(objective, labels, scores, task, threshold=threshold)
    is_binary = task.kind == "binary"
    return Report(
        n_rows=len(labels),
        n_positive=int(labels.sum()) if is_binary else None,
        n_days=resampling.n_blocks,
        since=int(moments.min()),
        until=int(moments.max()),
        metrics={**figures(answered, resampling), **_alike(answered, objective, naive, resampling)},
        calibration=_calibration(answered, resampling),
        threshold=threshold,
        confusion=confusion(labels, scores, threshold) if is_binary and threshold is not None else None,
        cost_curve=cost_curve(labels, scores, objective.kpi) if is_binary and objective.kpi is not None else (),
        slices={name: slices(each, answered, resampling) for name, each in groups.items()},
        gaps=tuple(
            widest_gap(column, groups[column], answered, resampling, metric=objective.metric, limit=objective.max_gap or 0.0)
            for column in objective.equal_across
        ),
        task=task.kind,
        classes=_classes(answered, resampling) if task.kind == "multiclass" else (),
        class_confusion=class_confusion(labels, answered.decided, task.n_outputs) if task.kind == "multiclass" else (),
        residuals=_residuals(answered, resampling) if task.kind == "regression" else {},
        n_unknown=int((labels < 0).sum()) if task.kind == "multiclass" else 0,
    )


def check_scored(labels: Floats, scores: Floats, task: Task = BINARY) -> None:
    """Raise ParameterError unless there are rows that differ and every score is an answer of this task."""
    if not len(labels):
        raise ParameterError("there are no labeled rows to evaluate on", hint="widen --since and --until, or wait for labels")
    if len(present := np.unique(labels)) < 2:
        label = task.classes[int(present[0])] if task.kind == "multiclass" and present[0] >= 0 else f"{present[0]:g}"
        raise ParameterError(
            f"all {len(labels):,} rows have the label {label}; nothing can be told apart", hint="evaluate on rows with both outcomes"
        )
    wrong = misfits(scores, task)
    if wrong.any():
        what, hint = _EXPECTED[task.kind]
        raise ParameterError(f"{int(wrong.sum()):,} of {len(scores):,} scores are no {what}, first: {scores[wrong][0]}", hint=hint)


def misfits(scores: Floats, task: Task) -> NDArray[np.bool_]:
    """Mark the rows whose answer is none of this task: no probability, probabilities that do not add up to 1, no finite number."""
    if task.kind == "regression":
        return ~np.isfinite(scores)
    within = (scores >= 0) & (scores <= 1)  # false for NaN too
    if task.kind == "binary":
        return ~within
    fits: NDArray[np.bool_] = within.all(axis=1) & (np.abs(scores.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    return ~fits


_EXPECTED: Final[dict[Kind, tuple[str, str]]] = {
    "binary": ("probabilities", "the estimator must return P(label = 1)"),
    "multiclass": ("probabilities that add up to 1", "the estimator must return one probability for each class"),
    "regression": ("finite numbers", "look at the rows it answers so"),
}


def _alike(answered: Answered, objective: Objective, naive: Floats | None, resampling: Resampling) -> dict[str, Estimate]:
    """Return what answering always alike would come to."""
    labels, rule = answered.labels, answered.rule
    if rule is not None:
        silent, always = (row_costs(labels, answered.scores, DecisionRule(at, rule.worth)) for at in (np.inf, -np.inf))
        return {"cost_if_silent": resampling.mean(silent), "cost_if_always": resampling.mean(always)}
    if naive is None:
        return {}
    same = naive[0] if answered.task.kind == "regression" else naive
    constant = replace(answered, scores=np.broadcast_to(same, answered.scores.shape))
    names = [objective.loss(answered.task), *(["cost"] if answered.worth is not None else [])]
    return {name + NAIVE: figure(name, constant, resampling) for name in names}


def _calibration(answered: Answered, resampling: Resampling) -> Calibration:
    if answered.task.kind == "binary":
        return calibration(answered.labels, answered.scores, resampling)
    if answered.task.kind == "regression":
        return number_calibration(answered.labels, answered.scores, resampling)
    right = (answered.scores.argmax(axis=1) == answered.labels).astype(np.float64)
    return calibration(right, answered.scores.max(axis=1), resampling)


def _classes(answered: Answered, resampling: Resampling) -> tuple[ClassFigures, ...]:
    found = []
    for code, name in enumerate(answered.task.classes):
        came, said = (answered.labels == code).astype(np.float64), (answered.decided == code).astype(np.float64)
        chance = answered.scores[:, code]
        one = Answered(came, chance)
        found.append(
            ClassFigures(
                name=name,
                n_rows=int(came.sum()),
                n_decided=int(said.sum()),
                recall=_share(came * said, came, resampling),
                precision=_share(came * said, said, resampling),
                auc=figure("auc", one, resampling),
                calibration_error=calibration(came, chance, resampling.fewer(2)).error.value or 0.0,
            )
        )
    return tuple(found)


def _share(part: Floats, whole: Floats, resampling: Resampling) -> Estimate:
    if not whole.any():
        return Estimate(None)
    drawn = reweighted_mean(resampling.sums(part), resampling.sums(whole), resampling.weights)
    return resampling.estimate(float(part.sum() / whole.sum()), drawn)


def _residuals(answered: Answered, resampling: Resampling) -> dict[str, Estimate]:
    off = answered.labels - answered.scores
    values, drawn = np.quantile(off, RESIDUAL_SHARES), resampling.drawn_quantiles(off, RESIDUAL_SHARES)
    names = [f"{100 * share:g}" for share in RESIDUAL_SHARES]
    return {name: resampling.estimate(float(value), each) for name, value, each in zip(names, values, drawn, strict=True)}
