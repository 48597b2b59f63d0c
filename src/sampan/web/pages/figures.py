"""Charts of what rooms answer: live quality by window, a model's report, a run's curves. Each carries its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sampan.web import charts
from sampan.web.charts import Bar, Figure, Frame, Mark, Series, number
from sampan.web.page import month

if TYPE_CHECKING:
    from sampan.workspace.services.monitors import Figure as Value
    from sampan.workspace.services.monitors import Window

# (title, name in a window, digits)
QUALITY = (("AUC", "auc", 3), ("Log loss", "log_loss", 3), ("Cost a row", "cost", 2))
LABELLED = (("with a label", "c1 block"), ("all rows", "c1 block soft"))
MOST_GROUPS = 14  # in a chart; the table has all
SPARSE = 40  # rows of a chart's table; of longer curves every so-manieth is listed


def quality(windows: Sequence[Window]) -> list[Figure]:
    """Chart live quality with its interval beside what was estimated without labels, with a mark where another model went live."""
    labels, marks = [month(window) for window in windows], promotions(windows)
    if names := list(dict.fromkeys(name for window in windows if window.others for name in window.quality)):
        return [_by_metric(name, windows, labels, marks) for name in names]
    found = []
    for title, name, digits in QUALITY:
        live, estimated, shadow = ([getattr(w, prefix + name) for w in windows] for prefix in ("", "estimated_", "shadow_"))
        shown = [("live, 95 % interval", live, "c1"), ("estimate", estimated, "c2 dashed")]
        if any(value.value is not None for value in shadow):
            shown.append(("shadow", shadow, "c3 dots"))
        series = [_series(label, values, style) for label, values, style in shown]
        rows = [
            (f"{label} · {window.model}", *(_value(values[i], digits) for _, values, _ in shown))
            for i, (label, window) in enumerate(zip(labels, windows, strict=True))
        ]
        found.append(
            Figure(
                title,
                partial(charts.lines, labels=moments(windows), series=series, marks=marks),
                ("Window", *(label for label, _, _ in shown)),
                rows if any(one.value is not None for one in (*live, *estimated)) else (),
                tuple((label, style) for label, _, style in shown),
            )
        )
    return found


def _by_metric(name: str, windows: Sequence[Window], labels: list[str], marks: list[Mark]) -> Figure:
    """Chart a metric of a model of classes or numbers; it is not estimated without labels."""
    from sampan.workspace.services.monitors import Figure as Value

    live, shadow = [w.quality.get(name, Value()) for w in windows], [w.shadow_quality.get(name, Value()) for w in windows]
    shown = [("live, 95 % interval", live, "c1")]
    if any(value.value is not None for value in shadow):
        shown.append(("shadow", shadow, "c3 dots"))
    series = [_series(label, values, style) for label, values, style in shown]
    rows = [
        (f"{label} · {window.model}", *(_value(values[i], 3) for _, values, _ in shown))
        for i, (label, window) in enumerate(zip(labels, windows, strict=True))
    ]
    return Figure(
        METRIC_WORDS.get(name, name),
        partial(charts.lines, labels=moments(windows), series=series, marks=marks),
        ("Window", *(label for label, _, _ in shown)),
        rows if any(one.value is not None for one in live) else (),
        tuple((label, style) for label, _, style in shown),
    )


def traffic(windows: Sequence[Window]) -> Figure:
    """Chart the rows of each window, and those whose label is known."""
    labels = [month(window) for window in windows]
    totals, known = [float(w.n_rows) for w in windows], [float(w.n_labelled) for w in windows]
    rows = [(label, number(total), number(part)) for label, total, part in zip(labels, totals, known, strict=True)]
    head = ("Window", "Rows", "With a label")
    return Figure("Rows by window", partial(charts.columns, labels=moments(windows), totals=totals, parts=known), head, rows, LABELLED)


def moments(windows: Sequence[Window]) -> list[str]:
    """Name each window under a chart: its month, or where it is another span the moment it begins, which leaves room for all."""
    names = [month(window) for window in windows]
    return [name.partition(" – ")[0] for name in names]


def promotions(windows: Sequence[Window]) -> list[Mark]:
    """Mark the windows that another model answered than the one before."""
    return [Mark(i, now.model.rpartition("@")[2]) for i, (before, now) in enumerate(pairwise(windows), 1) if before.model != now.model]


def calibration(report: Mapping[str, Any]) -> Figure:
    """Chart what happened against what the model said."""
    bins = report["calibration"]["bins"]
    happened = [Bar("", one["happened"]["value"], one["happened"]["low"], one["happened"]["high"]) for one in bins]
    rows = [
        (f"{number(one['low'])} – {number(one['high'])}", number(one["n_rows"]), number(one["said"]), estimate(one["happened"]))
        for one in bins
    ]
    draw = partial(charts.calibration, said=[one["said"] for one in bins], happened=happened)
    head = ("Score", "Rows", "Said", "Happened")
    return Figure("Calibration", draw, head, rows, note=CALIBRATION_NOTES[report.get("task", "binary")])


def _of_group(group: Mapping[str, Any], name: str) -> str:
    return estimate(group["metrics"].get(name)) if group["enough"] else "–"


CALIBRATION_NOTES = {
    "binary": (
        "Across: the probability the model said. Up: the share that happened, with its interval. On the dashed line both are the same."
    ),
    "multiclass": "Across: how sure the model was of the likeliest class. Up: the share in which it came, with its interval.",
    "regression": "Across: what the model said. Up: what it was on average, with its interval. On the dashed line both are the same.",
}


def cost_curve(report: Mapping[str, Any]) -> Figure:
    """Chart the cost of each threshold, the chosen one marked."""
    points, chosen = report.get("cost_curve") or (), report.get("threshold")
    labels = [number(point["threshold"], 2) for point in points]
    marks = []
    if chosen is not None and points:
        nearest = min(range(len(points)), key=lambda i: abs(points[i]["threshold"] - chosen))
        marks = [Mark(nearest, number(chosen, 3))]
    rows = [(label, number(p["cost"], 2), f"{p['warned']:.0%}") for label, p in zip(labels, points, strict=True)]
    axis = [f"{p['threshold']:.1f}" if round(100 * p["threshold"]) % 20 == 0 else "" for p in points]
    draw = partial(charts.lines, labels=axis, series=[Series("cost", [p["cost"] for p in points])], marks=marks, frame=Frame(height=250))
    note = "Mean cost a row at each threshold; the dashed line is the threshold in use."
    return Figure("Cost by threshold", draw, ("Threshold", "Cost a row", "Warned"), rows, note=note)


def slices(column: str, groups: Sequence[Mapping[str, Any]], metric: str, *, overall: float | None) -> Figure:
    """Chart a metric by group with intervals; the dashed line is all rows together."""
    judged = [group for group in groups if group["enough"] and group["metrics"].get(metric)]
    judged = sorted(judged, key=lambda group: -int(group["n_rows"]))[:MOST_GROUPS]
    judged.sort(key=lambda group: -(group["metrics"][metric]["value"] or 0.0))
    bars = [Bar(str(g["group"]), g["metrics"][metric]["value"], g["metrics"][metric]["low"], g["metrics"][metric]["high"]) for g in judged]
    names = [name for name in SLICE_METRICS if any(name in group["metrics"] for group in groups)]
    rows = [
        (str(g["group"]), number(g["n_rows"]), *(estimate(g["metrics"].get(name)) if g["enough"] else "–" for name in names))
        for g in groups
    ]
    draw = partial(charts.intervals, bars=bars, reference=overall)
    head = (column, "Rows", *(METRIC_WORDS[name] for name in names))
    note = "Smaller groups are in the table only." if len(judged) < len(groups) else ""
    return Figure(f"{METRIC_WORDS.get(metric, metric)}: {column}", draw, head, rows, note=note)


SLICE_METRICS = ("auc", "log_loss", "accuracy", "rmse", "mae", "bias", "cost")
METRIC_WORDS = {
    "auc": "AUC",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "accuracy": "Accuracy",
    "macro_f1": "Mean F1 of the classes",
    "macro_auc": "Mean AUC of the classes",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
    "mape": "Mean error as a share of the truth",
    "pinball": "Pinball loss",
    "r2": "Share of variance explained",
    "bias": "Mean of answer minus truth",
    "cost": "Cost a row",
    "log_loss_if_naive": "Log loss, always the same answer",
    "rmse_if_naive": "Root mean squared error, always the same answer",
    "mae_if_naive": "Mean absolute error, always the same answer",
    "mape_if_naive": "Mean error as a share of the truth, always the same answer",
    "pinball_if_naive": "Pinball loss, always the same answer",
    "cost_if_naive": "Cost a row, always the same answer",
    "cost_if_silent": "Cost a row, never warning",
    "cost_if_always": "Cost a row, always warning",
    "positive_rate": "Share of positives",
    "mean_label": "Mean of the truth",
    "mean_score": "Mean score",
}


def curve(key: str, steps: Sequence[int], values: Sequence[float]) -> Figure:
    """Chart a run's metric over its steps."""
    kept = charts.thin(values)
    every = max(1, len(values) // SPARSE)
    rows = [(str(steps[i]), number(values[i], 4)) for i in range(0, len(values), every)]
    draw = partial(charts.lines, labels=[str(steps[i]) for i in kept], series=[Series(key, [values[i] for i in kept])])
    return Figure(key, draw, ("Step", key), rows)


def trials(losses: Mapping[int, float], best: Mapping[int, float], metric: str = "log_loss") -> Figure:
    """Chart a search: what each trial came to in the metric that led it, and the best so far."""
    steps = sorted(losses)
    series = [
        Series("best so far", [best.get(step) for step in steps]),
        Series("trial", [losses[step] for step in steps], joined=False),
    ]
    rows = [(str(step), number(losses[step], 4), number(best.get(step), 4)) for step in steps]
    draw = partial(charts.lines, labels=[str(step) for step in steps], series=series)
    words = METRIC_WORDS.get(metric, metric)
    title = "Search: log loss by trial" if metric == "log_loss" else f"{words}: search"
    return Figure(title, draw, ("Trial", words, "Best so far"), rows, (("best so far", "c1"), ("each trial", "c2 dots")))


def estimate(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Write a figure with its interval, as stored in a report."""
    if not found or found["value"] is None:
        return "–"
    interval = f" ({number(found['low'], digits)} – {number(found['high'], digits)})" if found["low"] is not None else ""
    return number(found["value"], digits) + interval


def _series(name: str, values: Sequence[Value], style: str) -> Series:
    """Return a line: live quality with its interval, the estimate dashed; shadows as points, since each may be another model."""
    low, high = ([v.low for v in values], [v.high for v in values]) if style == "c1" else ((), ())
    return Series(name, [v.value for v in values], low, high, dashed="dashed" in style, joined="dots" not in style)


def _value(found: Value, digits: int) -> str:
    return estimate({"value": found.value, "low": found.low, "high": found.high}, digits)
