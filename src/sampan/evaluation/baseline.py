"""The models a candidate must justify itself against: a line on the same features, fitted in a second, and always the same answer.

The line is ridge logistic regression for outcomes and classes (each class against the rest), ridge regression for numbers. Missing values
become the column's median, with a column of its own that says so. A candidate that is not shown better than this is not worth its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.losses import probabilities
from sampan.evaluation.objective import Objective
from sampan.evaluation.task import BINARY, Task

Floats = NDArray[np.float64]
_MOST_CODES = 12  # a column of few whole numbers is taken as categories


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted line with its imputation, scaling and categories; `weights` has a column for each class."""

    task: Task
    medians: Floats
    marked: NDArray[np.intp]  # columns with missing values in training
    categories: dict[int, Floats]
    center: Floats
    scale: Floats
    weights: Floats

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """Return the answers of the task's shape."""
        design = (_design(features, self.medians, self.marked, self.categories) - self.center) / self.scale
        sums: Floats = self.weights[0] + design @ self.weights[1:]
        if self.task.kind == "regression":
            return sums
        chances = probabilities(sums)
        if self.task.kind == "binary":
            return chances
        chances = np.maximum(chances, 1e-12)
        shares: Floats = chances / chances.sum(axis=1, keepdims=True)
        return shares


def fit_baseline(features: NDArray[np.float32], labels: Floats, *, task: Task = BINARY, ridge: float = 1.0) -> Baseline:
    """Fit; a column without any value is left out by its zero spread.

    Parameters
    ----------
    features : shape (n, k), NaN where missing
    labels : shape (n,), as the task has them
    """
    missing = np.isnan(features)
    empty = missing.all(axis=0)
    medians = np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, features), axis=0)).astype(np.float64)
    marked = np.flatnonzero(missing.any(axis=0) & ~empty)
    categories = _categories(features)
    design = _design(features, medians, marked, categories)
    center, scale = design.mean(axis=0), design.std(axis=0)
    scale[scale < 1e-9] = np.inf
    design = np.column_stack([np.ones(len(design)), (design - center) / scale])
    penalty = ridge * np.eye(design.shape[1])
    penalty[0, 0] = 1e-6
    if task.kind == "regression":
        weights: Floats = np.asarray(np.linalg.solve(design.T @ design + penalty, design.T @ labels), dtype=np.float64)
    elif task.kind == "multiclass":
        weights = np.column_stack([_logistic(design, (labels == code).astype(np.float64), penalty) for code in range(task.n_outputs)])
    else:
        weights = _logistic(design, labels, penalty)
    return Baseline(task, medians, marked, categories, center, scale, weights)


def naive_answer(labels: Floats, objective: Objective, task: Task) -> Floats | None:
    """Return the best answer that is always the same, shape (k,): the mean, median or quantile of a number, the shares of the classes.

    None for one of two outcomes: there the costs of always warning and of never warning say it.
    """
    if task.kind == "binary":
        return None
    if task.kind == "multiclass":
        return np.bincount(labels[labels >= 0].astype(np.intp), minlength=task.n_outputs) / len(labels)
    loss = objective.loss(task)
    if loss == "pinball" and objective.quantile is not None:
        return np.array([np.quantile(labels, objective.quantile)])
    if objective.metric == "cost" and objective.kpi is not None:
        return np.array([np.quantile(labels, objective.kpi.under / (objective.kpi.under + objective.kpi.over))])
    return np.array([np.median(labels) if loss in ("mae", "mape") else labels.mean()])


def _logistic(design: Floats, labels: Floats, penalty: Floats) -> Floats:
    """Fit by Newton's method."""
    weights = np.zeros(design.shape[1])
    for _ in range(20):
        fitted = probabilities(design @ weights)
        curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, design.T @ (labels - fitted) - penalty @ weights)
        weights = weights + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _categories(features: NDArray[np.float32]) -> dict[int, Floats]:
    found = {}
    for column in range(features.shape[1]):
        values = np.unique(features[:, column][~np.isnan(features[:, column])])
        if 2 < len(values) <= _MOST_CODES and (values == np.round(values)).all():
            found[column] = values[1:].astype(np.float64)
    return found


def _design(features: NDArray[np.float32], medians: Floats, marked: NDArray[np.intp], categories: dict[int, Floats]) -> Floats:
    missing = np.isnan(features)
    filled = np.where(missing, medians, features).astype(np.float64)
    one_hot = [(filled[:, column, None] == values).astype(np.float64) for column, values in categories.items()]
    return np.column_stack([filled, missing[:, marked].astype(np.float64), *one_hot])
