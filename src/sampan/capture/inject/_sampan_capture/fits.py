"""What a program trains: estimators of scikit-learn, LightGBM, XGBoost and torch, their parameters, their scores, the fitted models.

Only the outermost call is a fit: a search that fits a hundred pipelines is one.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from .records import Report, is_silent

_MAX_MODELS = 8
_MAX_TEXT = 250
_METRICS = (
    "accuracy_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "cohen_kappa_score",
    "d2_absolute_error_score",
    "explained_variance_score",
    "f1_score",
    "fbeta_score",
    "hamming_loss",
    "hinge_loss",
    "jaccard_score",
    "log_loss",
    "matthews_corrcoef",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_pinball_loss",
    "mean_squared_error",
    "mean_squared_log_error",
    "median_absolute_error",
    "precision_score",
    "r2_score",
    "recall_score",
    "roc_auc_score",
    "root_mean_squared_error",
    "silhouette_score",
    "top_k_accuracy_score",
    "zero_one_loss",
)
_CROSS_VALIDATION = ("cross_val_score", "cross_validate", "cross_val_predict")


class Fits:
    """The fits and scores of this program, and the models to keep at its end."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._inside = threading.local()
        self._counts: dict[str, int] = {}
        self._steps: dict[str, int] = {}
        self.models: dict[str, tuple[Any, Any]] = {}  # name -> the model, and a few rows it was fitted on

    # -- recording

    @contextmanager
    def quiet(self) -> Iterator[bool]:
        """Enter a call; yields whether it is the outermost."""
        depth = getattr(self._inside, "depth", 0)
        self._inside.depth = depth + 1
        try:
            yield depth == 0 and not is_silent()
        finally:
            self._inside.depth = depth

    def metric(self, key: str, value: Any, step: int | None = None) -> None:
        """Report a number; anything else is passed over."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            return
        if step is None:
            step = self._steps.get(key, 0)
            self._steps[key] = step + 1
        self._report.write("metric", key=key, value=number if math.isfinite(number) else str(number), step=step, at=_now_ms())

    def fitted(self, model: Any, *, params: Mapping[str, Any], rows: Any, started: float, library: str) -> str:
        """Report a fit and keep the model; return the name it goes by."""
        kind = type(model).__name__
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        name = kind if number == 1 else f"{kind}-{number}"
        self._report.write(
            "fit",
            name=name,
            library=library,
            type=f"{type(model).__module__}.{type(model).__qualname__}",
            params={key: _text(value) for key, value in params.items()},
            shape=list(getattr(rows, "shape", ()))[:2],
            seconds=time.monotonic() - started,
        )
        self.models[name] = (model, _few(rows))
        while len(self.models) > _MAX_MODELS:
            self.models.pop(next(iter(self.models)))
        return name

    # -- scikit-learn

    def watch_sklearn_base(self, base: Any) -> None:
        """Watch every `fit` of scikit-learn by the decorator they all carry, and `score`."""
        original = base._fit_context

        def fit_context(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
            decorate = original(*args, **kwargs)

            def outer(method: Any) -> Any:
                decorated = decorate(method)
                return self._watched_fit(decorated, "sklearn") if method.__name__ == "fit" else decorated

            return outer

        base._fit_context = fit_context
        for mixin in (base.ClassifierMixin, base.RegressorMixin):
            mixin.score = self._watched_score(mixin.score, "score")

    def watch_sklearn_metrics(self, metrics: ModuleType) -> None:
        """Watch the functions that score predictions."""
        for name in _METRICS:
            if hasattr(metrics, name):
                setattr(metrics, name, self._watched_score(getattr(metrics, name), name))

    def watch_sklearn_selection(self, selection: ModuleType) -> None:
        """Watch cross-validation: its fits are one, its mean is a score."""
        for name in _CROSS_VALIDATION:
            if hasattr(selection, name):
                setattr(selection, name, self._watched_score(getattr(selection, name), name))

    def _watched_fit(self, fit: Callable[..., Any], library: str) -> Callable[..., Any]:
        @functools.wraps(fit)
        def watched(model: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.monotonic()
            with self.quiet() as is_outermost:
                result = fit(model, *args, **kwargs)
            if is_outermost:
                rows = args[0] if args else kwargs.get("X")
                name = self.fitted(model, params=_params(model), rows=rows, started=started, library=library)
                if hasattr(model, "best_score_"):
                    self.metric(f"{name}.best_score", model.best_score_)
            return result

        return watched

    def _watched_score(self, function: Callable[..., Any], key: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.quiet() as is_outermost:
                result = function(*args, **kwargs)
            if is_outermost:
                for name, value in _scores(key, result):
                    self.metric(name, value)
            return result

        return watched

    # -- gradient boosting

    def watch_lightgbm_engine(self, engine: Any) -> None:
        """Watch `lightgbm.train` and its evaluations, round by round."""
        train = engine.train

        @functools.wraps(train)
        def watched(params: Any, train_set: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.monotonic()

            def tell(env: Any) -> None:
                for evaluated in env.evaluation_result_list or ():
                    self.metric(f"{evaluated[0]}.{evaluated[1]}", evaluated[2], env.iteration)

            kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), tell]
            with self.quiet() as is_outermost:
                booster = train(params, train_set, *args, **kwargs)
            if is_outermost:
                rounds = {"num_boost_round": kwargs.get("num_boost_round", args[0] if args else 100)}
                self.fitted(
                    booster, params={**rounds, **params}, rows=getattr(train_set, "data", None), started=started, library="lightgbm"
                )
            return booster

        engine.train = watched

    def watch_estimators(self, module: ModuleType, library: str) -> None:
        """Watch the estimators that a boosting library offers in scikit-learn's manner."""
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and kind.__module__ == module.__name__ and "fit" in vars(kind):
                kind.fit = self._watched_fit(kind.fit, library)  # type: ignore[attr-defined]  # it was just found there

    def watch_xgboost_training(self, training: Any) -> None:
        """Watch `xgboost.train` and its evaluations, round by round."""
        train = training.train

        @functools.wraps(train)
        def watched(params: Any, dtrain: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.monotonic()
            results = kwargs.get("evals_result")
            if results is None:
                results = kwargs["evals_result"] = {}
            with self.quiet() as is_outermost:
                booster = train(params, dtrain, *args, **kwargs)
            for data, curves in results.items():
                for metric, values in curves.items():
                    for step, value in enumerate(values):
                        self.metric(f"{data}.{metric}", value, step)
            if is_outermost:
                rounds = {"num_boost_round": kwargs.get("num_boost_round", args[0] if args else 10)}
                self.fitted(booster, params={**rounds, **params}, rows=None, started=started, library="xgboost")
            return booster

        training.train = watched


def _params(model: Any) -> dict[str, Any]:
    try:
        found = dict(model.get_params(deep=True))
    except Exception:  # noqa: BLE001  # an estimator of someone else's may raise anything
        return {}
    # A pipeline's steps are told by their own parameters.
    return {
        key: value for key, value in found.items() if not hasattr(value, "get_params") and key not in ("steps", "transformers", "memory")
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _scores(key: str, result: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(result, dict):
        yield from ((f"{key}.{name}", values.mean()) for name, values in result.items() if name.startswith(("test_", "train_")))
    elif key == "cross_val_predict":
        return
    elif getattr(result, "ndim", 0) == 1:
        yield f"{key}.mean", result.mean()
    else:
        yield key, result


def _few(rows: Any, n: int = 200) -> Any:
    """Keep a few rows to check a converted model on; a reference to all of them would keep them in memory."""
    try:
        return rows[:n].copy() if hasattr(rows, "copy") else rows[:n]
    except Exception:  # noqa: BLE001  # matrices of someone else's may raise anything
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
