"""What decisions cost: confusion counts, cost at a threshold, of classes, of a number's units off; the curve and the best threshold.

A threshold is chosen on validation rows and then kept: choosing it on the rows that are reported would flatter the report.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.objective import Value
from sampan.evaluation.task import Task

Floats = NDArray[np.float64]


class Confusion(msgspec.Struct, frozen=True):
    """How many rows of each kind a threshold makes."""

    tp: int
    fp: int
    fn: int
    tn: int


class CostPoint(msgspec.Struct, frozen=True):
    """One threshold of the cost curve: mean cost per row, and the share of rows it warns about."""

    threshold: float
    cost: float
    warned: float


class DecisionRule(msgspec.Struct, frozen=True):
    """Warn where the score reaches the threshold; each decision is worth something."""

    threshold: float
    worth: Value


def confusion(labels: Floats, scores: Floats, threshold: float) -> Confusion:
    """Count hits, false alarms, misses and right silences; a score equal to the threshold is a warning."""
    warned, positive = scores >= threshold, labels == 1
    hits = int((warned & positive).sum())
    alarms = int(warned.sum()) - hits
    misses = int(positive.sum()) - hits
    return Confusion(tp=hits, fp=alarms, fn=misses, tn=len(labels) - hits - alarms - misses)


def row_costs(labels: Floats, scores: Floats, rule: DecisionRule) -> Floats:
    """Return each row's cost (minus its value), shape (n,)."""
    warned, worth = scores >= rule.threshold, rule.worth
    gained: Floats = np.where(warned, np.where(labels == 1, worth.tp, worth.fp), np.where(labels == 1, worth.fn, worth.tn))
    return -gained


def best_threshold(labels: Floats, scores: Floats, worth: Value) -> float:
    """Return the threshold of least cost on these rows, midway between two scores; above every score if silence is best."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], labels[order] == 1
    # Cost of warning about the first i rows, i = 0 … n, up to a constant.
    change = np.where(hits, worth.fn - worth.tp, worth.tn - worth.fp)
    totals = np.concatenate([[0.0], np.cumsum(change)])
    possible = np.concatenate([[True], np.append(ordered[1:] != ordered[:-1], True)])  # tied rows are warned together
    first = int(np.argmin(np.where(possible, totals, np.inf)))
    if first == 0:
        return float(np.nextafter(ordered[0], np.inf))
    if first == len(ordered):
        return 0.0
    return float((ordered[first - 1] + ordered[first]) / 2)


def cost_curve(labels: Floats, scores: Floats, worth: Value, *, n_points: int = 101) -> tuple[CostPoint, ...]:
    """Return the mean cost per row at thresholds evenly spaced from 0 to 1."""
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], labels[order] == 1
    thresholds = np.linspace(0, 1, n_points)
    silent = np.searchsorted(ordered, thresholds, "left")
    positives_below = np.concatenate([[0], np.cumsum(positive)])
    n, n_positive = len(labels), int(positive.sum())
    misses = positives_below[silent]
    right_silences = silent - misses
    hits, alarms = n_positive - misses, n - n_positive - right_silences
    costs = -(hits * worth.tp + alarms * worth.fp + misses * worth.fn + right_silences * worth.tn) / n
    return tuple(CostPoint(round(float(t), 4), float(c), float(1 - s / n)) for t, c, s in zip(thresholds, costs, silent, strict=True))


def worth_table(task: Task, worth: Value) -> Floats:
    """Return what each decision is worth, shape (k actual classes, k decided ones); about a class nobody valued, the worst."""
    worst = min(each for row in worth.by_class.values() for each in row.values())
    return np.array([[worth.by_class.get(actual, {}).get(decided, worst) for decided in task.classes] for actual in task.classes])


def decided_classes(scores: Floats, task: Task, worth: Value | None) -> NDArray[np.intp]:
    """Return the class to decide for: the likeliest, or the one expected to be worth most where decisions have a worth; shape (n,)."""
    return np.asarray((scores if worth is None else scores @ worth_table(task, worth)).argmax(axis=1), dtype=np.intp)


def class_costs(labels: Floats, decided: NDArray[np.intp], task: Task, worth: Value) -> Floats:
    """Return each row's cost (minus its value); a class that training never saw costs what the worst mistake does, shape (n,)."""
    table, codes = worth_table(task, worth), labels.astype(np.intp)
    costs: Floats = -np.where(codes >= 0, table[np.maximum(codes, 0), decided], table.min())
    return costs


def class_confusion(labels: Floats, decided: NDArray[np.intp], n_classes: int) -> tuple[tuple[int, ...], ...]:
    """Count rows by actual class (outer) and decided class (inner); classes that training never saw are left out."""
    known = labels >= 0
    pairs = labels[known].astype(np.intp) * n_classes + decided[known]
    counts = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    return tuple(tuple(int(n) for n in row) for row in counts)


def unit_costs(labels: Floats, scores: Floats, worth: Value) -> Floats:
    """Return what each row's distance from the truth costs, above it or below it, shape (n,)."""
    off = scores - labels
    costs: Floats = -np.where(off >= 0, worth.over * off, -worth.under * off)
    return costs
