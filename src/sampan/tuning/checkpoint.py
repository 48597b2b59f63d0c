"""`sp.checkpoint`: show a model while it is being fitted, so that a search can stop a fit that will come to nothing.

    for epoch in range(epochs):
        ...
        sp.checkpoint.show(module)

    lightgbm.train(params, data, callbacks=[sp.checkpoint.lightgbm()])
    xgboost.train(params, data, callbacks=[sp.checkpoint.xgboost()])
    sp.checkpoint.stages(HistGradientBoostingClassifier(max_iter=300), X, y)
    sp.checkpoint.epochs(SGDClassifier(loss="log_loss"), X, y, n=50)

Outside of a search that prunes it does nothing. In one the model answers for the fold's validation rows, which the training function never
sees; what it comes to is a point of the trial's run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from sampan.errors import ParameterError
from sampan.plugins import require
from sampan.tuning.curves import rungs

Seen = Callable[[Any, int], bool]  # a model and its step; whether to stop
FIRST_ROUNDS: Final = 10  # of boosting: before that, fits with small steps look worse than they are

_ROUNDS: Final = frozenset(rungs(1_000_000, first=FIRST_ROUNDS))


class FitStopped(BaseException):
    """The search has seen enough of a fit. It is no error, so `except Exception` in a training function does not hold it up."""


@dataclass(slots=True)
class _Watch:
    seen: Seen
    step: int = 0


_WATCH: ContextVar[_Watch | None] = ContextVar("watched fit", default=None)


@contextmanager
def watched(seen: Seen) -> Iterator[None]:
    """Show `seen` every checkpoint of the fits in this block."""
    token = _WATCH.set(_Watch(seen))
    try:
        yield
    finally:
        _WATCH.reset(token)


def show(model: Any, step: int | None = None) -> None:
    """Show a model as it is now.

    Parameters
    ----------
    model : what the training function will return, or what it is made of: an estimator, a booster, a torch module
    step : epochs or rounds so far, rising; by default one more than before

    Raises
    ------
    ParameterError : the step is not above the one before.
    """
    watch = _WATCH.get()
    if watch is None:
        return
    number = watch.step + 1 if step is None else step
    if number <= watch.step:
        raise ParameterError(f"checkpoint {number} comes after checkpoint {watch.step}", hint="give rising steps, or none at all")
    watch.step = number
    if watch.seen(model, number):
        raise FitStopped


def lightgbm() -> Any:
    """Return a callback for `lightgbm.train` and LightGBM's estimators."""

    def look(env: Any) -> None:
        if env.iteration + 1 in _ROUNDS and env.iteration + 1 < env.end_iteration:
            show(env.model, env.iteration + 1)

    return look


def xgboost() -> Any:
    """Return a callback for `xgboost.train` and XGBoost's estimators."""
    callback = require("xgboost.callback", extra="xgboost")

    def look(_callback: Any, model: Any, epoch: int, _log: Any) -> bool:
        if epoch + 1 in _ROUNDS:
            show(model, epoch + 1)
        return False

    return type("Checkpoints", (callback.TrainingCallback,), {"after_iteration": look})()


def stages(estimator: Any, features: Any, labels: Any) -> Any:
    """Fit an estimator of trees in stages by its `warm_start`, and return it. Watched or not, it comes to the same.

    Raises
    ------
    ParameterError : it has no `warm_start`, or no number of trees.
    """
    known = estimator.get_params()
    size = "n_estimators" if "n_estimators" in known else "max_iter"
    if not {"warm_start", size} <= known.keys() or (size == "max_iter" and "max_leaf_nodes" not in known):  # a solver's steps are no trees
        raise ParameterError(
            f"{type(estimator).__name__} does not grow in stages", hint="sp.checkpoint.epochs(…), or a loop with sp.checkpoint.show(model)"
        )
    for n in rungs(known[size], first=FIRST_ROUNDS):
        estimator.set_params(**{size: n}, warm_start=True).fit(features, labels)
        if n < known[size]:
            show(estimator, n)
    return estimator


def epochs(estimator: Any, features: Any, labels: Any, *, n: int) -> Any:
    """Fit an estimator by `n` passes of its `partial_fit`, and return it.

    Raises
    ------
    ParameterError : it has no `partial_fit`, or there are no passes.
    """
    import numpy as np

    if n < 1 or not hasattr(estimator, "partial_fit"):
        what = f"{n} epochs fit nothing" if n < 1 else f"{type(estimator).__name__} has no partial_fit"
        raise ParameterError(what, hint="sp.checkpoint.stages(…) for trees, or a loop with sp.checkpoint.show(model)")
    first = {"classes": np.unique(labels)} if hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function") else {}
    looks = set(rungs(n, first=1))
    for epoch in range(1, n + 1):
        estimator.partial_fit(features, labels, **(first if epoch == 1 else {}))
        if epoch in looks and epoch < n:
            show(estimator, epoch)
    return estimator
