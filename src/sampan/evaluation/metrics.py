"""Every metric in one table: how it is computed on rows, and on each bootstrap draw of them, so that any figure has an interval.

A report, a group's figures, a gap between groups, a paired test, a search and an explanation all ask here, so a metric is defined once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.evaluation.costs import DecisionRule, class_costs, decided_classes, row_costs, unit_costs
from sampan.evaluation.losses import class_log_losses, class_squared_errors, log_losses, squared_errors
from sampan.evaluation.objective import METRICS, Objective, Value
from sampan.evaluation.task import BINARY, Kind, Task
from sampan.stats.bootstrap import Estimate, Resampling, reweighted_mean
from sampan.stats.ranking import auc

Floats = NDArray[np.float64]
Measured = tuple[float, Floats]  # the figure, NaN where it cannot be had, and its value on each draw

REPORTED: Final[dict[Kind, tuple[str, ...]]] = {
    "binary": ("auc", "log_loss", "brier", "positive_rate", "mean_score", "cost"),
    "multiclass": ("log_loss", "accuracy", "macro_f1", "macro_auc", "brier", "cost"),
    "regression": ("rmse", "mae", "r2", "bias", "mape", "pinball", "mean_label", "mean_score", "cost"),
}
PAIRED: Final[dict[Kind, tuple[str, ...]]] = {
    "binary": ("log_loss", "auc", "cost"),
    "multiclass": ("log_loss", "accuracy", "macro_auc", "cost"),
    "regression": ("rmse", "mae", "cost"),
}
NAIVE: Final = "_if_naive"  # suffix of what answering always the same would come to


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows with what happened and what a model said: labels shape (n,), scores (n,) or (n, k)."""

    labels: Floats
    scores: Floats
    task: Task = BINARY
    worth: Value | None = None
    threshold: float | None = None
    quantile: float | None = None

    @classmethod
    def under(cls, objective: Objective, labels: Floats, scores: Floats, task: Task, *, threshold: float | None = None) -> Answered:
        """Return rows that are judged by an objective."""
        return cls(labels, scores, task, objective.kpi, threshold, objective.quantile)

    def among(self, rows: NDArray[Any]) -> Answered:
        """Return some of the rows."""
        return replace(self, labels=self.labels[rows], scores=self.scores[rows])

    @property
    def rule(self) -> DecisionRule | None:
        """When to warn and what that is worth, where one of two outcomes is decided about."""
        if self.task.kind != "binary" or self.worth is None or self.threshold is None:
            return None
        return DecisionRule(self.threshold, self.worth)

    @property
    def decided(self) -> NDArray[np.intp]:
        """The class decided for each row: the likeliest, or the one worth most."""
        return decided_classes(self.scores, self.task, self.worth)

    def names(self, kind_names: dict[Kind, tuple[str, ...]]) -> tuple[str, ...]:
        """Return which of a task's metrics can be had: cost where decisions have a worth, the pinball loss where a quantile is stated."""
        left_out = set()
        if self.worth is None or (self.task.kind == "binary" and self.threshold is None):
            left_out.add("cost")
        if self.quantile is None:
            left_out.add("pinball")
        return tuple(name for name in kind_names[self.task.kind] if name not in left_out)


def measure(name: str, answered: Answered, resampling: Resampling) -> Measured:
    """Compute a metric on rows and on each draw.

    Raises
    ------
    ParameterError : it is no metric of this task, or lacks what it needs.
    """
    found = _MEASURES[answered.task.kind].get(name)
    if found is None:
        raise ParameterError(
            f"{name} is no metric of a {answered.task.kind} task", hint=f"one of {', '.join(_MEASURES[answered.task.kind])}"
        )
    return found(answered, resampling)


def figure(name: str, answered: Answered, resampling: Resampling) -> Estimate:
    """Compute a metric with its interval."""
    return resampling.estimate(*measure(name, answered, resampling))


def figures(answered: Answered, resampling: Resampling, *, without: tuple[str, ...] = ()) -> dict[str, Estimate]:
    """Compute all metrics of a task that can be had."""
    return {name: figure(name, answered, resampling) for name in answered.names(REPORTED) if name not in without}


def row_losses(name: str, answered: Answered) -> Floats | None:
    """Return each row's part of a metric that is a mean over rows; None for one that is not."""
    rows = _ROWS[answered.task.kind].get(name)
    return rows(answered) if rows is not None else None


def point(name: str, answered: Answered) -> float:
    """Compute a metric without an interval."""
    alone = Resampling(np.zeros(len(answered.labels), dtype=np.intp), np.ones((1, 1)))
    return measure(name, answered, alone)[0]


def paired_names(answered: Answered, loss: str) -> tuple[str, ...]:
    """Return what two models are compared in, the loss first."""
    return tuple(dict.fromkeys((loss, *answered.names(PAIRED))))


def is_higher_better(name: str) -> bool:
    """Say whether more of a metric is better."""
    return name in METRICS and METRICS[name].better == "higher"


# -- how each is computed ---------------------------------------------------------------------------------------------------------------


def _mean(rows: Callable[[Answered], Floats]) -> Callable[[Answered, Resampling], Measured]:
    def measured(answered: Answered, resampling: Resampling) -> Measured:
        values = rows(answered)
        return (float(values.mean()) if len(values) else float("nan")), resampling.drawn_mean(values)

    return measured


def _auc(answered: Answered, resampling: Resampling) -> Measured:
    return auc(answered.labels, answered.scores), resampling.drawn_auc(answered.labels, answered.scores)


def _binary_cost(answered: Answered) -> Floats:
    if answered.rule is None:
        raise ParameterError("a cost needs a threshold and what decisions are worth", hint="kpi=sp.value(fp=…, fn=…)")
    return row_costs(answered.labels, answered.scores, answered.rule)


def _class_cost(answered: Answered) -> Floats:
    if answered.worth is None:
        raise ParameterError("a cost needs what decisions are worth", hint="kpi=sp.value(by_class={…})")
    return class_costs(answered.labels, answered.decided, answered.task, answered.worth)


def _unit_cost(answered: Answered) -> Floats:
    if answered.worth is None:
        raise ParameterError("a cost needs what a unit off is worth", hint="kpi=sp.value(over=…, under=…)")
    return unit_costs(answered.labels, answered.scores, answered.worth)


def _pinball_rows(answered: Answered) -> Floats:
    if answered.quantile is None:
        raise ParameterError("a pinball loss needs its quantile", hint="sp.objective(metric='pinball', quantile=0.9)")
    off = answered.labels - answered.scores
    losses: Floats = np.maximum(answered.quantile * off, (answered.quantile - 1) * off)
    return losses


def _share_rows(answered: Answered) -> Floats:
    """Return errors as shares of the truth; NaN throughout where a truth is 0, of which there are no shares."""
    if not len(answered.labels) or (answered.labels == 0).any():
        return np.full(len(answered.labels), np.nan)
    shares: Floats = np.abs((answered.scores - answered.labels) / answered.labels)
    return shares


def _rmse(answered: Answered, resampling: Resampling) -> Measured:
    squares = squared_errors(answered.labels, answered.scores)
    return float(np.sqrt(squares.mean())), np.sqrt(resampling.drawn_mean(squares))


def _r2(answered: Answered, resampling: Resampling) -> Measured:
    """Return the share of the variance that is explained; on a draw, that of the draw's rows around their own mean."""
    centered = answered.labels - answered.labels.mean()
    squares, total = squared_errors(answered.labels, answered.scores), np.square(centered)
    around = resampling.drawn_mean(total) - np.square(resampling.drawn_mean(centered))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(around > 0, 1 - resampling.drawn_mean(squares) / around, np.nan)
        value = 1 - squares.mean() / total.mean() if total.mean() > 0 else float("nan")
    return float(value), drawn


def _macro_auc(answered: Answered, resampling: Resampling) -> Measured:
    """Return the mean over classes of the AUC of each against the rest; a class that did not come is left out."""
    values, drawn = [], []
    for code in range(len(answered.task.classes)):
        came = (answered.labels == code).astype(np.float64)
        if 0 < came.sum() < len(came):
            values.append(auc(came, answered.scores[:, code]))
            drawn.append(resampling.drawn_auc(came, answered.scores[:, code]))
    return _over_classes(values, drawn, resampling)


def _macro_f1(answered: Answered, resampling: Resampling) -> Measured:
    values, drawn = [], []
    for code in range(len(answered.task.classes)):
        came, said = answered.labels == code, answered.decided == code
        either = came.astype(np.float64) + said
        if either.any():
            both = 2.0 * (came & said)
            values.append(float(both.sum() / either.sum()))
            drawn.append(reweighted_mean(resampling.sums(both), resampling.sums(either), resampling.weights))
    return _over_classes(values, drawn, resampling)


def _over_classes(values: list[float], drawn: list[Floats], resampling: Resampling) -> Measured:
    if not values:
        return float("nan"), np.full(len(resampling.weights), np.nan)
    each = np.array(drawn)
    known = np.isfinite(each)
    # A class that a draw misses altogether has no figure there; the others' mean stands for it.
    sums = np.where(known, each, 0.0).sum(axis=0)
    means: Floats = np.divide(sums, known.sum(axis=0), out=np.full(each.shape[1], np.nan), where=known.any(axis=0))
    return float(np.mean(values)), means


_ROWS: Final[dict[Kind, dict[str, Callable[[Answered], Floats]]]] = {
    "binary": {
        "log_loss": lambda a: log_losses(a.labels, a.scores),
        "brier": lambda a: squared_errors(a.labels, a.scores),
        "positive_rate": lambda a: a.labels,
        "mean_score": lambda a: a.scores,
        "cost": _binary_cost,
    },
    "multiclass": {
        "log_loss": lambda a: class_log_losses(a.labels, a.scores),
        "accuracy": lambda a: (a.scores.argmax(axis=1) == a.labels).astype(np.float64),
        "brier": lambda a: class_squared_errors(a.labels, a.scores),
        "cost": _class_cost,
    },
    "regression": {
        "mae": lambda a: np.abs(a.labels - a.scores),
        "mape": _share_rows,
        "pinball": _pinball_rows,
        "bias": lambda a: a.scores - a.labels,
        "mean_label": lambda a: a.labels,
        "mean_score": lambda a: a.scores,
        "cost": _unit_cost,
    },
}
_MEASURES: Final[dict[Kind, dict[str, Callable[[Answered, Resampling], Measured]]]] = {
    "binary": {"auc": _auc, **{name: _mean(rows) for name, rows in _ROWS["binary"].items()}},
    "multiclass": {
        "macro_f1": _macro_f1,
        "macro_auc": _macro_auc,
        **{name: _mean(rows) for name, rows in _ROWS["multiclass"].items()},
    },
    "regression": {"rmse": _rmse, "r2": _r2, **{name: _mean(rows) for name, rows in _ROWS["regression"].items()}},
}
