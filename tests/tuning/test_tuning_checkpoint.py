"""`sp.checkpoint` shows real models of each library while they are fitted, and stops a fit when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPRegressor

from sampan.errors import ParameterError
from sampan.flavors.finding import find_flavor
from sampan.tuning import checkpoint
from sampan.tuning.checkpoint import FitStopped, watched
from sampan.tuning.curves import is_behind, rungs
from sampan.tuning.search import best, search
from sampan.tuning.spaces import floats
from sampan.tuning.trials import Plan, Pruner

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4)).astype(np.float32)
Y = (X[:, 0] + 0.3 * RNG.normal(size=200) > 0).astype(np.float64)
LGB = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 4}
XGB = {"objective": "binary:logistic", "nthread": 1, "max_depth": 2}


def by_lightgbm() -> Any:
    return lightgbm.train(LGB, lightgbm.Dataset(X, Y), 40, callbacks=[checkpoint.lightgbm()])


def by_lightgbm_estimator() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=40, num_leaves=4, n_jobs=1, verbose=-1).fit(X, Y, callbacks=[checkpoint.lightgbm()])


def by_xgboost() -> Any:
    return xgboost.train(XGB, xgboost.DMatrix(X, Y), 40, callbacks=[checkpoint.xgboost()])


def by_stages() -> Any:
    return checkpoint.stages(HistGradientBoostingClassifier(max_iter=24, random_state=0), X, Y)


def by_epochs() -> Any:
    return checkpoint.epochs(SGDClassifier(loss="log_loss", random_state=0), X, Y, n=30)


def by_own_loop() -> Any:
    model = SGDClassifier(loss="log_loss", random_state=0)
    for _ in range(6):
        model.partial_fit(X, Y, classes=[0.0, 1.0])
        checkpoint.show(model)
    return model


FITS = [by_lightgbm, by_lightgbm_estimator, by_xgboost, by_stages, by_epochs, by_own_loop]


def answers(model: Any) -> Any:
    return find_flavor(model).predict(model, X)


@pytest.mark.parametrize("fit", FITS)
def test_a_watched_fit_shows_models_that_answer_and_comes_to_the_same_as_an_unwatched_one(fit: Callable[[], Any]) -> None:
    shown: list[tuple[int, Any]] = []

    def seen(model: Any, step: int) -> bool:
        shown.append((step, answers(model)))
        return False

    with watched(seen):
        model = fit()

    steps = [step for step, _ in shown]
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert all(found.shape == (200,) and np.isfinite(found).all() for _, found in shown)
    assert not np.array_equal(shown[0][1], shown[-1][1])
    assert np.array_equal(answers(fit()), answers(model))


@pytest.mark.parametrize("fit", FITS)
def test_a_fit_is_stopped_at_a_checkpoint_even_where_errors_are_caught(fit: Callable[[], Any]) -> None:
    shown: list[int] = []

    def seen(_model: Any, step: int) -> bool:
        shown.append(step)
        return len(shown) == 2

    def fit_and_catch() -> Any:
        try:
            return fit()
        except Exception:  # noqa: BLE001  # as training functions do
            return None

    with watched(seen), pytest.raises(FitStopped):
        fit_and_catch()

    assert 2 == len(shown)


@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingClassifier(n_estimators=30, random_state=0),
        HistGradientBoostingClassifier(max_iter=16, random_state=0),
        RandomForestClassifier(n_estimators=30, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
def test_growing_in_stages_comes_to_what_one_fit_comes_to(estimator: Any) -> None:
    from sklearn.base import clone

    whole = clone(estimator).fit(X, Y)

    staged = checkpoint.stages(estimator, X, Y)

    assert np.allclose(whole.predict_proba(X), staged.predict_proba(X), atol=1e-12)


def test_epochs_fit_estimators_of_numbers_too() -> None:
    model = checkpoint.epochs(MLPRegressor(hidden_layer_sizes=(4,), random_state=0), X, X[:, 1], n=60)

    assert model.score(X, X[:, 1]) > 0.3


def test_what_cannot_be_grown_is_told_with_what_could_be_done() -> None:
    with pytest.raises(ParameterError, match="LogisticRegression does not grow in stages") as fault:
        checkpoint.stages(LogisticRegression(), X, Y)
    assert "sp.checkpoint" in fault.value.hint
    with pytest.raises(ParameterError, match="LogisticRegression has no partial_fit"):
        checkpoint.epochs(LogisticRegression(), X, Y, n=3)
    with pytest.raises(ParameterError, match="0 epochs"):
        checkpoint.epochs(SGDClassifier(), X, Y, n=0)
    with watched(lambda _model, _step: False):
        checkpoint.show(None, 5)
        with pytest.raises(ParameterError, match="checkpoint 3 comes after checkpoint 5"):
            checkpoint.show(None, 3)


def test_rungs_grow_by_half_and_end_at_the_total() -> None:
    assert [10, 15, 23, 35, 50] == list(rungs(50, first=10))
    assert [7] == list(rungs(7, first=10))
    assert [1, 2, 3, 5, 8, 12, 18, 20] == list(rungs(20, first=1))


def curve(*losses: float) -> tuple[tuple[int, float], ...]:
    return tuple(enumerate(losses, 1))


@pytest.mark.parametrize(("pruner", "stopped"), [("none", []), ("median", [3, 4, 5]), ("percentile", [2, 3, 4, 5]), ("halving", [3, 4, 5])])
def test_each_rule_keeps_its_share_of_those_that_came_as_far(pruner: Pruner, stopped: list[int]) -> None:
    others = [curve(9, 9, n + 5.0, float(n)) for n in range(6)] + [curve(-1.0)]  # the last was stopped before and counts no more

    assert stopped == [n for n in range(6) if is_behind(others, curve(9, 9, 9, float(n)), pruner)]


def test_a_fit_is_held_against_the_best_it_has_seen_and_only_where_enough_came_as_far() -> None:
    others = [curve(1.0, 2.0, 2.0, 2.0, 2.0)] * 5

    assert is_behind(others, curve(9.0, 9.0, 9.0, 9.0), "median")
    assert not is_behind(others, curve(0.5, 9.0, 9.0, 9.0), "median")
    assert not is_behind(others[:4], curve(9.0, 9.0, 9.0, 9.0), "median")
    assert not is_behind(others, curve(9.0, 9.0, 9.0), "median"), "small steps look worse at first"
    assert not is_behind(others, curve(9.0, 9.0, 9.0, 9.0, 9.0), "halving")


def test_trials_stopped_within_a_fit_are_told_to_the_sampler_and_never_best() -> None:
    from sampan.tuning.search import Asked, Result

    def attempt(asked: Asked) -> Result:
        level = float(asked.params["x"])
        curve: list[tuple[int, float]] = []
        for step in (1, 2, 3, 4, 5):
            curve.append((step, level + 1 / step))
            if asked.is_behind(0, tuple(curve)):
                return Result((curve[-1][1],), (), is_pruned=True, curves=(tuple(curve),))
        return Result((level,), (level,), curves=(tuple(curve),))

    plan = Plan(trials=30, seed=3, pruner="median")
    trials = list(search({"x": floats(0.0, 1.0)}, attempt, plan))

    pruned = [each for each in trials if each.is_pruned]
    assert len(pruned) > 5
    assert all(each.so_far == (each.curves[0][-1][1],) for each in pruned)
    assert best(trials).is_finished
    assert best(trials).loss == min(each.loss for each in trials if each.is_finished)
    assert trials == list(search({"x": floats(0.0, 1.0)}, attempt, plan))
