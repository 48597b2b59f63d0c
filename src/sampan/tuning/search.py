"""A search as a sequence of trials, each decided by the finished ones alone.

Trial k is drawn by a sampler seeded with `seed + k` that has been told trials 0 … k - 1 and nothing else. So a search that was killed and
is resumed with its finished trials goes on exactly as if nothing had happened, and it needs no storage of its own: the caller keeps trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sampan.plugins import require
from sampan.tuning.spaces import Choice, Ints, ParameterValue, Space, first_values


class Trial(msgspec.Struct, frozen=True):
    """One tried set of parameters and the loss it came to (lower is better)."""

    number: int
    params: dict[str, ParameterValue]
    loss: float


def search(
    space: Mapping[str, Space], attempt: Callable[[int, dict[str, ParameterValue]], float], *, trials: int, seed: int = 0
) -> Iterator[Trial]:
    """Yield `trials` trials in turn; `attempt(number, params)` returns a trial's loss, from memory if it has been run before."""
    finished: list[Trial] = []
    for number in range(trials):
        params = suggest(space, finished, seed=seed)
        finished.append(Trial(number, params, attempt(number, params)))
        yield finished[-1]


def suggest(space: Mapping[str, Space], finished: Sequence[Trial], *, seed: int = 0) -> dict[str, ParameterValue]:
    """Return the parameters to try after the finished trials: the middle of the space first, then by TPE.

    References
    ----------
    J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24.
    """
    if not finished:
        return first_values(space)
    optuna = require("optuna", extra="train")
    distributions = {name: _distribution(optuna, each) for name, each in space.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce every study on stderr
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed + len(finished), n_startup_trials=5))
        study.add_trials([optuna.trial.create_trial(params=t.params, distributions=distributions, value=t.loss) for t in finished])
        drawn = study.ask(distributions).params
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: drawn[name] for name in space}


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial of least loss; of equal ones the earliest."""
    return min(trials, key=lambda t: (t.loss, t.number))


def _distribution(optuna: Any, space: Space) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.options)
    if isinstance(space, Ints):
        return optuna.distributions.IntDistribution(space.low, space.high, log=space.log)
    return optuna.distributions.FloatDistribution(space.low, space.high, log=space.log)
