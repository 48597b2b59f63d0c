"""A search as a sequence of trials, each decided by earlier ones alone.

Trial k is drawn by a sampler seeded with `seed + k` that has been told the results of the trials before `k - behind`, and the parameters of
those after them, which may be under way. `behind` follows from the number of workers and is 0 for one. So a search that was killed and is
resumed with its finished trials goes on exactly as if nothing had happened, whichever worker was faster. It needs no storage of its own:
the caller keeps trials.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, get_args

import msgspec

from sampan.errors import ParameterError
from sampan.tuning.curves import is_behind
from sampan.tuning.halving import is_behind_half
from sampan.tuning.optuna_study import distributions, draw, frozen, make_sampler, quiet_optuna, should_prune
from sampan.tuning.spaces import Space, active, first_values, is_active
from sampan.tuning.trials import Curve, Params, Plan, Pruner, Sampler, Trial


class Asked(msgspec.Struct, frozen=True):
    """A trial to carry out, and whether to stop it after some of its folds, or within the fit on one."""

    number: int
    params: Params
    notes: dict[str, Any]
    is_hopeless: Callable[[Sequence[float]], bool]
    is_behind: Callable[[int, Curve], bool]  # the fold, and the losses of its fit so far


class Result(msgspec.Struct, frozen=True):
    """What an attempt came to."""

    values: tuple[float, ...]
    steps: tuple[float, ...] = ()
    is_pruned: bool = False
    failure: str = ""
    curves: tuple[Curve, ...] = ()


Attempt = Callable[[Asked], Result]


def search(space: Mapping[str, Space], attempt: Attempt, plan: Plan, *, is_over: Callable[[], bool] = lambda: False) -> Generator[Trial]:
    """Yield trials as they end; `attempt` carries one out, from memory if it has been before.

    With several workers it is called in several threads at once. When `is_over` says so, nothing more is begun.

    Raises
    ------
    ParameterError : the plan does not fit together, or no space is left to search.
    """
    check(plan)
    done: dict[int, Trial] = {}
    if plan.workers == 1:
        while len(done) < plan.trials and not is_over():
            asked = ask(space, done, {}, plan)
            done[asked.number] = _trial(asked, attempt(asked))
            yield done[asked.number]
        return
    running: dict[Future[Result], Asked] = {}
    with ThreadPoolExecutor(plan.workers) as pool:
        while True:
            while _may_begin(done, running, plan) and not is_over():
                asked = ask(space, done, {each.number: each.params for each in running.values()}, plan)
                running[pool.submit(attempt, asked)] = asked
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                asked = running.pop(future)
                done[asked.number] = _trial(asked, future.result())
                yield done[asked.number]


def ask(space: Mapping[str, Space], done: Mapping[int, Trial], running: Mapping[int, Params], plan: Plan) -> Asked:
    """Draw the next trial: what is to be tried first, then by the sampler.

    References
    ----------
    J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24.
    S. Watanabe (2023), "Tree-Structured Parzen Estimator", arXiv:2304.11127.
    K. Deb et al. (2002), "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Trans. Evol. Comput. 6(2).
    """
    number = len(done) + len(running)
    told = [done[each] for each in range(number - plan.behind) if each in done and not done[each].failure]
    others = {**{each: trial.params for each, trial in done.items()}, **running}
    pending = [others[each] for each in range(max(number - plan.behind, 0), number)]
    first = plan.start or (first_values(space),)
    if number < len(first):
        return Asked(number, active(space, {**first_values(space), **first[number]}), {}, _judge(space, told, plan), _watch(told, plan))
    with quiet_optuna() as optuna:
        study = optuna.create_study(
            directions=["minimize"] * plan.n_values, sampler=make_sampler(optuna, space, plan, seed=plan.seed + number)
        )
        study.add_trials([frozen(optuna, space, trial) for trial in told])
        state = optuna.trial.TrialState.RUNNING
        study.add_trials([optuna.trial.create_trial(state=state, params=p, distributions=distributions(optuna, space, p)) for p in pending])
        trial = study.ask()
        chosen: Params = {}
        for name, each in space.items():
            if is_active(each, chosen):
                chosen[name] = draw(trial, name, each)
        notes = {name: value for name, value in study.trials[-1].system_attrs.items() if isinstance(value, int | float | str)}
    return Asked(number, chosen, notes, _judge(space, told, plan), _watch(told, plan))


def best(trials: Sequence[Trial]) -> Trial:
    """Return the finished trial of least loss; of equal ones that of the least other values, then the earliest."""
    return min((t for t in trials if t.is_finished), key=lambda t: (t.values, t.number))


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the finished trials that none other beats in one value without losing in another, by their first value."""
    finished = [t for t in trials if t.is_finished]
    left = [t for t in finished if not any(_dominates(other, t) for other in finished)]
    return sorted(left, key=lambda t: (t.values, t.number))


def check(plan: Plan) -> None:
    """Raise ParameterError naming everything in a plan that does not fit together."""
    faults = []
    if plan.trials < 1:
        faults.append(f"{plan.trials} trials find nothing")
    if plan.workers < 1:
        faults.append(f"{plan.workers} workers do nothing")
    if plan.sampler not in get_args(Sampler):
        faults.append(f"no sampler {plan.sampler!r}: {', '.join(get_args(Sampler))}")
    if plan.pruner not in get_args(Pruner):
        faults.append(f"no pruner {plan.pruner!r}: {', '.join(get_args(Pruner))}")
    if plan.pruner != "none" and plan.n_values > 1:
        faults.append("trials are pruned by their loss, so one objective only")
    if faults:
        raise ParameterError("; ".join(faults), hint="sampan model tune --help")


def _may_begin(done: Mapping[int, Trial], running: Mapping[Any, Asked], plan: Plan) -> bool:
    number = len(done) + len(running)
    told = range(max(number - plan.behind, 0))
    return number < plan.trials and len(running) < plan.workers and all(each in done for each in told)


def _trial(asked: Asked, result: Result) -> Trial:
    return Trial(asked.number, asked.params, result.values, result.steps, result.is_pruned, result.failure, asked.notes, result.curves)


def _judge(space: Mapping[str, Space], told: Sequence[Trial], plan: Plan) -> Callable[[Sequence[float]], bool]:
    """Return what says after each fold whether to go on; it knows the same trials as the sampler, so a resumed search prunes the same."""

    def is_hopeless(steps: Sequence[float]) -> bool:
        if plan.pruner == "none":
            return False
        return is_behind_half(told, steps) if plan.pruner == "halving" else should_prune(space, told, steps, plan.pruner)

    return is_hopeless


def _watch(told: Sequence[Trial], plan: Plan) -> Callable[[int, Curve], bool]:
    """Return what says within a fit whether to go on, by the same trials."""

    def is_late(fold: int, mine: Curve) -> bool:
        return is_behind([trial.curves[fold] for trial in told if len(trial.curves) > fold], mine, plan.pruner)

    return is_late


def _dominates(a: Trial, b: Trial) -> bool:
    return all(x <= y for x, y in zip(a.values, b.values, strict=True)) and a.values != b.values
