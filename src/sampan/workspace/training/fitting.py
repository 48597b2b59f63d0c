"""Fitting by a training function: the matrices of a fold, the call with its faults told, the answers of what it returned.

A fold may lack some of the classes, and libraries then know only of those there are. So a training function is always given the codes
0 … m - 1 of the m classes present, and its answers are laid out over all k classes again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.core.times import iso
from sampan.engine.failures import own_lines
from sampan.errors import ParameterError, SampanError, StepFailed
from sampan.evaluation.report import misfits
from sampan.evaluation.task import Kind, Task
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.flavors.finding import find_flavor
from sampan.tuning.folds import Fold
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.training.feature_tables import LabeledRows
from sampan.workspace.training.orders import Order

MIN_ROWS: Final = 100
_NAMED: Final = 8
_AT_A_GLANCE: Final = 4_000  # rows


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fold with its matrices, made once for all trials. `train_labels` are as a training function is given them."""

    fitted: FittedView
    train: NDArray[np.float32]
    train_labels: NDArray[np.float64]
    judged: LabeledRows
    matrix: NDArray[np.float32]
    codes: NDArray[np.intp] | None = None  # the classes that came before the fold; None for all, and where there are no classes

    def glance(self) -> Prepared:
        """Return the fold with few of its validation rows, evenly spaced in time: enough to see on the way where a fit leads."""
        n = len(self.judged)
        if n <= _AT_A_GLANCE:
            return self
        chosen = np.linspace(0, n - 1, _AT_A_GLANCE).astype(np.intp)
        judged = self.judged.take(chosen)
        return replace(self, judged=judged, matrix=self.matrix[chosen]) if len(np.unique(judged.labels)) > 1 else self


def check_rows(order: Order, rows: LabeledRows) -> None:
    """Raise ParameterError unless there are enough rows, of both labels."""
    labels = rows.labels
    if len(labels) < MIN_ROWS:
        raise ParameterError(
            f"{len(labels):,} labeled rows are too few to train {order.trainer.name}",
            hint=f"give at least {MIN_ROWS:,}: widen --since and --until",
        )
    if len(present := np.unique(labels)) < 2:
        raise ParameterError(
            f"all {len(labels):,} rows have the label {_label(present[0], rows.task)}; there is nothing to learn",
            hint="look at the view's label rule, or widen --since and --until",
        )


def prepare(order: Order, fold: Fold, rows: LabeledRows) -> Prepared:
    """Lay out a fold's matrices.

    Raises
    ------
    ParameterError : on one side of the fold all labels are the same.
    """
    train, judged = rows.take(fold.train), rows.take(fold.validate)
    if len(train) < 2 or len(np.unique(train.labels)) < 2 or len(np.unique(judged.labels)) < 2:
        raise ParameterError(
            f"before {iso(fold.begins)} or after it, the rows have one label only, so nothing can be validated",
            hint="widen --since and --until",
        )
    fitted = view_tables.fit(order.trainer.view, train.frame)
    labels, codes = present_codes(train.labels, rows.task)
    return Prepared(fitted, fitted.matrix(train.frame), labels, judged, fitted.matrix(judged.frame), codes)


def present_codes(labels: NDArray[np.float64], task: Task) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
    """Number the classes that are there from 0 on; return the labels so numbered, and which class each number is."""
    if task.kind != "multiclass":
        return labels, None
    codes, places = np.unique(labels, return_inverse=True)
    if len(codes) == task.n_outputs:
        return labels, None
    return places.astype(np.float64), codes.astype(np.intp)


def over_classes(answers: NDArray[np.float64], task: Task, codes: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """Lay answers about the classes that were there out over all classes; of two a flavor answers with the chance of the second."""
    if codes is None:
        return answers
    given = np.column_stack([1 - answers, answers]) if answers.ndim == 1 else answers
    if given.shape[1] != len(codes):
        return answers
    found = np.zeros((len(given), task.n_outputs))
    found[:, codes] = given
    return found


def fold_scores(order: Order, folds: Sequence[Prepared], params: Mapping[str, ParameterValue]) -> list[NDArray[np.float64]]:
    """Fit and score folds side by side, a thread each: training libraries work outside of Python's lock."""
    with ThreadPoolExecutor(max_workers=min(len(folds), os.cpu_count() or 1)) as pool:
        return list(
            pool.map(lambda fold: score(order, fit(order, fold.train, fold.train_labels, params), fold.matrix, codes=fold.codes), folds)
        )


def fit(order: Order, matrix: NDArray[np.float32], labels: NDArray[np.float64], params: Mapping[str, ParameterValue]) -> Any:
    """Call the training function.

    Raises
    ------
    StepFailed : it raised, or returned nothing.
    """
    trainer = order.trainer
    filled = trainer.fill({**order.fixed, **params}, seed=order.seed)
    try:
        model = trainer.function(matrix, labels, **filled)
    except SampanError:
        raise
    except Exception as cause:
        place, trace = own_lines(cause)
        what = str(cause).partition("\n")[0].rstrip(".")
        raise StepFailed(
            f"{trainer.function.__name__} raised {type(cause).__name__}: {what}{place}",
            step=trainer.function.__name__,
            trace=trace,
            hint=_missing_hint(order, matrix),
        ) from cause
    if model is None:
        raise StepFailed(
            f"{trainer.function.__name__} returned nothing", step=trainer.function.__name__, hint="return the fitted estimator"
        )
    return model


def score(order: Order, model: Any, matrix: NDArray[np.float32], *, codes: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    """Return a model's answers.

    Raises
    ------
    StepFailed : they are none of the task.
    """
    answers = find_flavor(model).predict(model, matrix)
    hint = "" if np.isfinite(answers).all() else _missing_hint(order, matrix)
    return check_scores(order, answers, n_rows=len(matrix), codes=codes, hint=hint)


def check_scores(
    order: Order, answers: NDArray[np.float64], *, n_rows: int, codes: NDArray[np.intp] | None = None, hint: str = ""
) -> NDArray[np.float64]:
    """Return answers as the task has them: a probability, one for each class, or a number for each row. Raises StepFailed."""
    task = order.task
    found = over_classes(answers, task, codes)
    if found.shape != task.shape(n_rows) or misfits(found, task).any():
        what, usual = _ASKED[task.kind]
        of_shape = f"; its answers have the shape {answers.shape}" if found.shape != task.shape(n_rows) else ""
        raise StepFailed(
            f"the model from {order.trainer.function.__name__} does not answer with {what} per row{of_shape}",
            step=order.trainer.function.__name__,
            hint=hint or usual,
        )
    return found


_ASKED: Final[dict[Kind, tuple[str, str]]] = {
    "binary": ("one probability", "train a classifier of two classes; end a torch module with Sigmoid or Softmax"),
    "multiclass": (
        "one probability for each class, adding up to 1,",
        "train a classifier of all classes (LightGBM: objective 'multiclass'; XGBoost: 'multi:softprob'); end a torch module with Softmax",
    ),
    "regression": ("one finite number", "train a regressor; let a torch module end with one output"),
}


def _label(label: float, task: Task) -> str:
    return task.classes[int(label)] if task.kind == "multiclass" and label >= 0 else f"{label:g}"


def _missing_hint(order: Order, matrix: NDArray[np.float32]) -> str:
    """Name the features with gaps, where a function that raised was given some: most estimators take none."""
    gaps = np.asarray(np.isnan(matrix).any(axis=0))
    if not gaps.any():
        return ""
    features = order.trainer.view.features
    names = [each.name for each, gap in zip(features, gaps, strict=False) if gap] if len(features) == len(gaps) else []
    named = ": " + ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "") if names else ""
    return f"{int(gaps.sum())} of {len(gaps)} features have missing values{named}; the estimator must take NaN, or impute"
