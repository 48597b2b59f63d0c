"""Fitting by a training function: the matrices of a fold, the call with its faults told, the scores of what it returned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.core.times import iso
from sampan.engine.failures import own_lines
from sampan.errors import ParameterError, SampanError, StepFailed
from sampan.features.fitted import FittedView
from sampan.flavors.finding import find_flavor
from sampan.tuning.folds import Fold
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.feature_tables import LabeledRows
from sampan.workspace.orders import Order

MIN_ROWS: Final = 500
_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fold with its matrices, made once for all trials."""

    fitted: FittedView
    train: NDArray[np.float32]
    train_labels: NDArray[np.float64]
    judged: LabeledRows
    matrix: NDArray[np.float32]


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
            f"all {len(labels):,} rows have the label {present[0]:g}; there is nothing to learn",
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
    fitted = order.trainer.view.fit(train.frame)
    return Prepared(fitted, fitted.matrix(train.frame), train.labels, judged, fitted.matrix(judged.frame))


def fold_scores(order: Order, folds: Sequence[Prepared], params: Mapping[str, ParameterValue]) -> list[NDArray[np.float64]]:
    """Fit and score folds side by side, a thread each: training libraries work outside of Python's lock."""
    with ThreadPoolExecutor(max_workers=min(len(folds), os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda fold: score(order, fit(order, fold.train, fold.train_labels, params), fold.matrix), folds))


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


def score(order: Order, model: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a model's probabilities.

    Raises
    ------
    StepFailed : it does not answer with one probability per row.
    """
    return check_scores(order, find_flavor(model).predict(model, matrix), n_rows=len(matrix))


def check_scores(order: Order, scores: NDArray[np.float64], *, n_rows: int) -> NDArray[np.float64]:
    """Return scores that are one probability per row. Raises StepFailed."""
    if scores.shape != (n_rows,) or not ((scores >= 0) & (scores <= 1)).all():
        raise StepFailed(
            f"the model from {order.trainer.function.__name__} does not answer with one probability per row",
            step=order.trainer.function.__name__,
            hint="train a classifier of two classes; end a torch module with Sigmoid or Softmax",
        )
    return scores


def _missing_hint(order: Order, matrix: NDArray[np.float32]) -> str:
    """Name the features with gaps, where a function that raised was given some: most estimators take none."""
    gaps = np.asarray(np.isnan(matrix).any(axis=0))
    if not gaps.any():
        return ""
    features = order.trainer.view.features
    names = [each.name for each, gap in zip(features, gaps, strict=False) if gap] if len(features) == len(gaps) else []
    named = ": " + ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "") if names else ""
    return f"{int(gaps.sum())} of {len(gaps)} features have missing values{named}; the estimator must take NaN, or impute"
