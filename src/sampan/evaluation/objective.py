"""What a model is for, in code: the metric to reach, the groups to treat alike, the time an answer may take, what each error costs.

One objective is read three times: by the search (what to tune for), by the gate (what to refuse) and by the monitor (what to watch).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from sampan.errors import ParameterError
from sampan.evaluation.task import KINDS, Kind, Task


class MetricSpec(NamedTuple):
    """What is known of a metric before anything is measured."""

    better: Literal["higher", "lower"]
    kinds: tuple[Kind, ...]  # the tasks it is for
    words: str


METRICS: Final[dict[str, MetricSpec]] = {
    "auc": MetricSpec("higher", ("binary",), "AUC"),
    "log_loss": MetricSpec("lower", ("binary", "multiclass"), "log loss"),
    "brier": MetricSpec("lower", ("binary", "multiclass"), "Brier score"),
    "accuracy": MetricSpec("higher", ("multiclass",), "accuracy"),
    "macro_f1": MetricSpec("higher", ("multiclass",), "mean F1 of the classes"),
    "macro_auc": MetricSpec("higher", ("multiclass",), "mean AUC of the classes"),
    "rmse": MetricSpec("lower", ("regression",), "root mean squared error"),
    "mae": MetricSpec("lower", ("regression",), "mean absolute error"),
    "mape": MetricSpec("lower", ("regression",), "mean error as a share of the truth"),
    "pinball": MetricSpec("lower", ("regression",), "pinball loss"),
    "r2": MetricSpec("higher", ("regression",), "share of variance explained"),
    "cost": MetricSpec("lower", KINDS, "cost"),
}
HIGHER_IS_BETTER: Final[dict[str, bool]] = {name: spec.better == "higher" for name, spec in METRICS.items()}
_FIRST: Final[dict[Kind, str]] = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}  # where only the task is stated
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "auc": (0.5, 1.0),
    "macro_auc": (0.5, 1.0),
    "accuracy": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "r2": (float("-inf"), 1.0),
}


class Value(msgspec.Struct, frozen=True):
    """What one decision is worth, in any one currency: costs are negative. fp = false alarm, fn = missed positive.

    Of classes: `by_class[actual][decided]`. Of numbers: `over` and `under` for each unit that the answer lies above or below the truth.
    """

    fp: float = 0.0
    fn: float = 0.0
    tp: float = 0.0
    tn: float = 0.0
    currency: str = ""
    over: float = 0.0
    under: float = 0.0
    by_class: dict[str, dict[str, float]] = {}

    @property
    def kind(self) -> Kind:
        """The task whose decisions it is about."""
        return "multiclass" if self.by_class else "regression" if self.over or self.under else "binary"


class Objective(msgspec.Struct, frozen=True):
    """The conditions a model must meet. Unset conditions (None, empty) are not checked."""

    metric: str = "auc"
    at_least: float | None = None
    at_most: float | None = None
    equal_across: tuple[str, ...] = ()
    max_gap: float | None = None
    p95_ms: float | None = None
    kpi: Value | None = None
    max_label_noise: float = 0.05
    min_rows: int = 1000
    task: Kind | Literal[""] = ""  # "": the labels tell
    quantile: float | None = None  # of the pinball loss

    def loss(self, task: Task) -> str:
        """Return the metric that a search makes small and a candidate must be shown better in."""
        if task.kind != "regression":
            return "log_loss"
        return self.metric if self.metric in ("mae", "mape", "pinball") else "rmse"


def value(
    *,
    fp: float | None = None,
    fn: float | None = None,
    tp: float = 0.0,
    tn: float = 0.0,
    over: float | None = None,
    under: float | None = None,
    by_class: Mapping[str, Mapping[str, float]] | None = None,
    currency: str = "",
) -> Value:
    """Say what a decision is worth: `value(fp=-5, fn=-40)` makes a missed positive eight times as bad as a false alarm.

    Parameters
    ----------
    fp, fn, tp, tn : of one of two outcomes: a false alarm, a miss, a hit, a right silence
    over, under : of a number: each unit that the answer lies above or below the truth
    by_class : of classes: actual class -> decided class -> worth; a right decision that is not named is worth 0
    currency : for people

    Raises
    ------
    ParameterError : being right would not be worth more than being wrong, so no decision could be best.
    """
    stated = [words for words, given in (("fp and fn", (fp, fn)), ("over and under", (over, under))) if given != (None, None)]
    stated += ["by_class"] if by_class is not None else []
    if len(stated) != 1:
        told = " and ".join(stated) + " together" if stated else "nothing"
        raise ParameterError(f"value says {told}", hint="value(fp=-5, fn=-40), value(over=-1, under=-3), or value(by_class={…})")
    table = {str(actual): {str(d): float(w) for d, w in row.items()} for actual, row in (by_class or {}).items()}
    table = {actual: {actual: 0.0, **row} for actual, row in table.items()}
    found = Value(fp or 0.0, fn or 0.0, tp, tn, currency, over or 0.0, under or 0.0, table)
    if faults := list(_worth_faults(found, stated[0])):
        raise ParameterError("; ".join(faults), hint="costs are negative numbers: value(fp=-5, fn=-40)")
    return found


def _worth_faults(found: Value, stated: str) -> Iterator[str]:
    if stated == "fp and fn":
        if found.tp <= found.fn:
            yield f"a hit (tp={found.tp:g}) must be worth more than a miss (fn={found.fn:g})"
        if found.tn <= found.fp:
            yield f"silence (tn={found.tn:g}) must be worth more than a false alarm (fp={found.fp:g})"
    if stated == "over and under":
        yield from (
            f"{word}={worth:g} must be a cost, below 0" for word, worth in (("over", found.over), ("under", found.under)) if worth >= 0
        )
    if stated == "by_class" and not found.by_class:
        yield "by_class names no class"
    for actual, row in found.by_class.items():
        for decided, worth in row.items():
            if decided != actual and worth >= row[actual]:
                yield f"{actual!r} taken for {decided!r} ({worth:g}) must be worth less than taken for what it is ({row[actual]:g})"


def check_worth(worth: Value | None, task: Task) -> None:
    """Raise ParameterError unless the worth of decisions is about this task and names all of its classes."""
    if worth is None:
        return
    if worth.kind != task.kind:
        raise ParameterError(
            f"the objective's kpi is about a {worth.kind} task, and the label makes it {task.kind}", hint=_WORTH[task.kind]
        )
    if task.kind != "multiclass":
        return
    faults = [f"no class {name!r}" for name in worth.by_class if name not in task.classes]
    for actual in task.classes:
        row = worth.by_class.get(actual, {})
        faults += [
            f"{actual!r} taken for {decided!r} is not valued" for decided in task.classes if decided != actual and decided not in row
        ]
        faults += [f"{actual!r} taken for {decided!r}: no such class" for decided in row if decided not in task.classes]
    if faults:
        shown = "; ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise ParameterError(f"the objective's kpi: {shown}", hint=f"the classes are {', '.join(task.classes)}")


_WORTH: Final[dict[Kind, str]] = {
    "binary": "kpi=sp.value(fp=…, fn=…)",
    "multiclass": "kpi=sp.value(by_class={actual: {decided: …}})",
    "regression": "kpi=sp.value(over=…, under=…)",
}


def objective(
    *,
    metric: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    equal_across: Sequence[str] = (),
    max_gap: float | None = None,
    p95_ms: float | None = None,
    kpi: Value | None = None,
    max_label_noise: float = 0.05,
    min_rows: int = 1000,
    task: Kind | Literal[""] = "",
    quantile: float | None = None,
) -> Objective:
    """State an objective.

    Parameters
    ----------
    metric : of two outcomes auc (where nothing is stated), log_loss or brier; of classes log_loss, accuracy, macro_f1, macro_auc or brier;
        of numbers rmse, mae, mape, r2 or pinball (needs `quantile`); of each cost (needs `kpi`), minus the value of a decision, per row
    at_least, at_most : the limit of the metric; `at_least` where higher is better, else `at_most`
    equal_across : columns whose groups must not differ in the metric by more than `max_gap`
    p95_ms : 95 of 100 single answers must come within this time
    max_label_noise : largest share of wrong labels tolerated in the newest training batch beyond the usual share
    min_rows : fewest evaluation rows a decision may rest on
    task : binary, multiclass or regression; by default what the metric is for, and where that is for several what the labels are
    quantile : which quantile of the label the model answers with, for the pinball loss

    Raises
    ------
    ParameterError : naming every condition that cannot be met or has no effect.
    """
    if isinstance(equal_across, str):
        equal_across = (equal_across,)
    if task and task not in KINDS:
        raise ParameterError(f"objective: no task {task!r}", hint=f"one of {', '.join(KINDS)}")
    metric = metric or (_FIRST[task] if task else "auc")
    if not task and metric in METRICS:
        kinds = METRICS[metric].kinds
        task = kpi.kind if metric == "cost" and kpi is not None else kinds[0] if len(kinds) == 1 else ""
    across = tuple(equal_across)
    stated = Objective(metric, at_least, at_most, across, max_gap, p95_ms, kpi, max_label_noise, min_rows, task, quantile)
    if faults := list(_faults(stated)):
        hint = "sp.objective(metric='auc', at_least=0.65, equal_across=['carrier'], max_gap=0.1)"
        raise ParameterError("objective: " + "; ".join(faults), hint=hint)
    return stated


def _faults(stated: Objective) -> Iterator[str]:
    if stated.metric not in METRICS:
        yield f"metric {stated.metric!r} is none of {', '.join(METRICS)}"
        return
    yield from _metric_faults(stated)
    yield from _task_faults(stated)
    if bool(stated.equal_across) != (stated.max_gap is not None):
        yield "equal_across and max_gap belong together"
    if stated.max_gap is not None and stated.max_gap < 0:
        yield f"max_gap {stated.max_gap:g} is negative"
    if stated.p95_ms is not None and stated.p95_ms <= 0:
        yield f"p95_ms {stated.p95_ms:g} is not a time"
    if not 0 < stated.max_label_noise < 0.5:
        yield f"max_label_noise {stated.max_label_noise:g} is outside 0 to 0.5"
    if stated.min_rows < 1:
        yield f"min_rows {stated.min_rows} is below 1"


def _metric_faults(stated: Objective) -> Iterator[str]:
    higher = HIGHER_IS_BETTER[stated.metric]
    if higher and stated.at_most is not None:
        yield f"higher {stated.metric} is better, so say at_least, not at_most"
    if not higher and stated.at_least is not None:
        yield f"lower {stated.metric} is better, so say at_most, not at_least"
    low, high = _BOUNDS.get(stated.metric, (float("-inf"), float("inf")))
    if stated.at_least is not None and not low <= stated.at_least < high:
        name = {"auc": "an AUC"}.get(stated.metric, f"{stated.metric}")
        yield f"{name} of at least {stated.at_least:g} is outside {low:g} to {high:g}"
    if stated.metric == "cost" and stated.kpi is None:
        yield "metric 'cost' needs kpi=sp.value(fp=…, fn=…)"
    if (stated.metric == "pinball") != (stated.quantile is not None):
        yield "metric 'pinball' and quantile belong together"
    if stated.quantile is not None and not 0 < stated.quantile < 1:
        yield f"quantile {stated.quantile:g} is outside 0 to 1"


def _task_faults(stated: Objective) -> Iterator[str]:
    if not stated.task:
        return
    if stated.task not in METRICS[stated.metric].kinds:
        fitting = ", ".join(name for name, spec in METRICS.items() if stated.task in spec.kinds)
        yield f"{stated.metric} is no metric of a {stated.task} task, which has {fitting}"
    if stated.kpi is not None and stated.kpi.kind != stated.task:
        yield f"the kpi is about a {stated.kpi.kind} task, not a {stated.task} one: {_WORTH[stated.task]}"
    if stated.task == "regression" and stated.max_label_noise != 0.05:
        yield "max_label_noise has no effect: labels that are numbers are not judged for noise"
