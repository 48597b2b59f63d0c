"""Optuna's samplers and pruners, each asked anew for every trial: a study is made of what is known, asked, and forgotten."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from sampan.plugins import require
from sampan.tuning.spaces import Choice, Ints, ParameterValue, Space
from sampan.tuning.trials import Plan, Pruner, Trial

_N_STARTUP: Final = 5
_QUIET = threading.Lock()  # Optuna's verbosity is one for the whole process


def make_sampler(optuna: Any, space: Mapping[str, Space], plan: Plan, *, seed: int) -> Any:
    """Make a sampler; under conditions, one that models parameters together."""
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if plan.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(10, min(50, plan.trials // 5)))
    has_conditions = any(each.when for each in space.values())
    more = {"multivariate": True, "group": True, "warn_independent_sampling": False} if has_conditions else {}
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_N_STARTUP, constant_liar=True, **more)


def should_prune(space: Mapping[str, Space], told: Sequence[Trial], steps: Sequence[float], pruner: Pruner) -> bool:
    """Ask a pruner whether to stop after these folds.

    A pruner compares the best of a trial's steps with others' values at this step. Folds are not equally hard, so it is given the mean loss
    up to each fold, and of the trial in question only the last.
    """
    with quiet_optuna() as optuna:
        share = 50.0 if pruner == "median" else 25.0
        asked = optuna.pruners.PercentilePruner(share, n_startup_trials=_N_STARTUP)
        study = optuna.create_study(pruner=asked, sampler=optuna.samplers.RandomSampler(seed=0))
        study.add_trials([frozen(optuna, space, trial) for trial in told])
        trial = study.ask()
        trial.report(float(np.mean(steps)), len(steps))
        return bool(trial.should_prune())


def frozen(optuna: Any, space: Mapping[str, Space], trial: Trial) -> Any:
    """Return a trial as Optuna keeps it."""
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state=states.PRUNED if trial.is_pruned else states.COMPLETE,
        params=trial.params,
        distributions=distributions(optuna, space, trial.params),
        values=None if trial.is_pruned else list(trial.values),
        intermediate_values={n: float(np.mean(trial.so_far[:n])) for n in range(1, len(trial.so_far) + 1)},
        system_attrs=dict(trial.notes),
    )


def distributions(optuna: Any, space: Mapping[str, Space], params: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """Return the spaces of these parameters as Optuna has them."""
    return {name: _distribution(optuna, space[name]) for name in params}


def _distribution(optuna: Any, space: Space) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.options)
    if isinstance(space, Ints):
        return optuna.distributions.IntDistribution(space.low, space.high, log=space.log)
    return optuna.distributions.FloatDistribution(space.low, space.high, log=space.log)


def draw(trial: Any, name: str, space: Space) -> ParameterValue:
    """Draw one parameter."""
    drawn: ParameterValue
    if isinstance(space, Choice):
        drawn = trial.suggest_categorical(name, space.options)
    elif isinstance(space, Ints):
        drawn = trial.suggest_int(name, space.low, space.high, log=space.log)
    else:
        drawn = trial.suggest_float(name, space.low, space.high, log=space.log)
    return drawn


@contextmanager
def quiet_optuna() -> Iterator[Any]:
    """Keep Optuna from announcing every study on stderr, and from warning of what has long been used so."""
    optuna = require("optuna", extra="train")
    with _QUIET:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield optuna
        finally:
            optuna.logging.set_verbosity(verbosity)
