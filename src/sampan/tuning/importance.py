"""What mattered in a search: how much of the differences between trials each parameter explains, and where the good ones lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from sampan.tuning.optuna_study import frozen, quiet_optuna
from sampan.tuning.spaces import ParameterValue, Space
from sampan.tuning.trials import Trial

MIN_TRIALS: Final = 10
_GOOD: Final = 0.2  # share of the trials that count as good


class Mattered(msgspec.Struct, frozen=True):
    """One parameter's part in a search.

    `overall` is its share of the variance of the loss over the whole space (fANOVA); `near_best` how much it tells the good trials from all
    (PED-ANOVA); shares of all parameters searched together add up to 1. None where too few trials had it.
    """

    name: str
    overall: float | None
    near_best: float | None
    good: tuple[ParameterValue, ...]  # from and to of the good trials, or the values they had
    n_trials: int


def what_mattered(space: Mapping[str, Space], trials: Sequence[Trial], *, seed: int = 0) -> tuple[Mattered, ...]:
    """Measure what mattered, the most important first.

    A parameter under a condition is measured among the trials that had it, beside those that all of these had.

    References
    ----------
    F. Hutter, H. Hoos, K. Leyton-Brown (2014), "An Efficient Approach for Assessing Hyperparameter Importance", ICML 31.
    S. Watanabe, A. Bansal, F. Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces", IJCAI 32.
    """
    finished = [t for t in trials if t.is_finished]
    found = []
    for name, each in space.items():
        having = [t for t in finished if name in t.params]
        overall, near_best = _shares(space, having, name, seed=seed)
        found.append(Mattered(name, overall, near_best, _good(each, having, name), len(having)))
    return tuple(sorted(found, key=lambda m: -1.0 if m.overall is None else m.overall, reverse=True))


def _shares(space: Mapping[str, Space], trials: Sequence[Trial], name: str, *, seed: int) -> tuple[float | None, float | None]:
    if len(trials) < MIN_TRIALS or len({t.loss for t in trials}) < 2:
        return None, None
    common = [other for other in space if all(other in t.params for t in trials)]
    with quiet_optuna() as optuna:
        study = optuna.create_study()
        study.add_trials([frozen(optuna, space, msgspec.structs.replace(t, values=(t.loss,), notes={})) for t in trials])
        evaluators = (optuna.importance.FanovaImportanceEvaluator(seed=seed), optuna.importance.PedAnovaImportanceEvaluator())
        overall, near_best = (
            optuna.importance.get_param_importances(study, evaluator=evaluator, params=common)[name] for evaluator in evaluators
        )
    return _finite(overall), _finite(near_best)


def _finite(share: float) -> float | None:
    return float(share) if np.isfinite(share) else None


def _good(space: Space, trials: Sequence[Trial], name: str) -> tuple[ParameterValue, ...]:
    """Return between which values the best fifth of the trials lies, or which values it has."""
    ranked = sorted(trials, key=lambda t: (t.loss, t.number))
    values = [t.params[name] for t in ranked[: max(round(_GOOD * len(ranked)), 1)]]
    if not hasattr(space, "options"):
        return (min(values), max(values)) if values else ()
    return tuple(option for option in space.options if option in values)
