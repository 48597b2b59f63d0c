from __future__ import annotations

import random
import threading
import time
from math import log
from typing import Any

import pytest

from sampan.errors import ParameterError
from sampan.tuning.importance import what_mattered
from sampan.tuning.search import Asked, Result, best, front, search
from sampan.tuning.spaces import ParameterValue, choice, floats, ints, logs
from sampan.tuning.trials import Plan, Trial

SPACE = {"depth": ints(1, 20), "rate": logs(0.001, 1.0), "share": floats(0.0, 1.0), "kind": choice("a", "b")}


def loss(params: dict[str, ParameterValue]) -> float:
    return 0.1 * (params["depth"] - 7) ** 2 + abs(log(params["rate"] / 0.1)) + (params["kind"] == "a")


def attempt(asked: Asked) -> Result:
    return Result((loss(asked.params),))


def run(space: dict[str, Any] = SPACE, carry_out: Any = attempt, **plan: Any) -> list[Trial]:
    return sorted(search(space, carry_out, Plan(**plan)), key=lambda trial: trial.number)


def test_a_search_finds_better_parameters_than_the_middle_of_the_space() -> None:
    trials = run(trials=20, seed=1)

    assert best(trials).loss < trials[0].loss
    assert list(range(20)) == [t.number for t in trials]


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    first, again, other = (run(trials=8, seed=seed) for seed in (3, 3, 4))

    assert first == again
    assert first != other


@pytest.mark.parametrize("killed_after", [1, 4, 7])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_killed_search_goes_on_exactly_as_if_nothing_had_happened(killed_after: int, workers: int) -> None:
    plan = {"trials": 12, "seed": 2, "workers": workers}
    whole = run(**plan)
    remembered: dict[tuple[int, str], float] = {}

    class Killed(Exception):
        pass

    def remembering(asked: Asked) -> Result:
        key = (asked.number, repr(asked.params))
        if key not in remembered:
            if len(remembered) >= killed_after and not resumed:
                raise Killed
            time.sleep(random.random() / 200)  # workers overtake each other
            remembered[key] = loss(asked.params)
        return Result((remembered[key],))

    resumed = False
    with pytest.raises(Killed):
        run(carry_out=remembering, **plan)
    resumed = True
    run_before = set(remembered)

    assert whole == run(carry_out=remembering, **plan)
    assert run_before <= set(remembered)
    assert 12 == len(remembered)


def test_no_more_trials_run_at_once_than_there_are_workers() -> None:
    together, most = 0, 0
    lock = threading.Lock()

    def counting(asked: Asked) -> Result:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.005)
        with lock:
            together -= 1
        return attempt(asked)

    run(carry_out=counting, trials=12, workers=3)

    assert 3 == most


def test_a_search_whose_time_is_up_begins_nothing_more() -> None:
    begun: list[int] = []

    def noting(asked: Asked) -> Result:
        begun.append(asked.number)
        return attempt(asked)

    found = list(search(SPACE, noting, Plan(trials=50), is_over=lambda: len(begun) >= 4))

    assert [0, 1, 2, 3] == begun == [each.number for each in found]


BRANCHES = {
    "kind": choice("line", "forest"),
    "strength": logs(0.01, 10.0, when={"kind": "line"}),
    "trees": ints(10, 100, when={"kind": "forest"}),
    "depth": ints(2, 12, when={"kind": "forest", "trees": (20, 30, 40)}),
}


def branched(asked: Asked) -> Result:
    params = asked.params
    return Result((abs(log(params["strength"])) if params["kind"] == "line" else 1 + params["trees"] / 100,))


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_a_parameter_under_a_condition_is_drawn_only_where_it_holds(sampler: str) -> None:
    trials = run(BRANCHES, branched, trials=25, seed=1, sampler=sampler)

    for trial in trials:
        assert ("strength" in trial.params) == (trial.params["kind"] == "line")
        assert ("trees" in trial.params) == (trial.params["kind"] == "forest")
        assert ("depth" in trial.params) == (trial.params.get("trees") in (20, 30, 40))
    assert {"line", "forest"} == {trial.params["kind"] for trial in trials}
    assert "line" == best(trials).params["kind"]


@pytest.mark.parametrize("pruner", ["median", "percentile", "halving"])
def test_a_pruner_stops_what_lags_behind_and_keeps_the_best(pruner: str) -> None:
    hard = (0.0, 3.0, 1.0, 2.0)  # folds are not equally hard

    def fold_by_fold(asked: Asked) -> Result:
        steps: list[float] = []
        for fold in hard:
            steps.append(loss(asked.params) + fold)
            if len(steps) < len(hard) and asked.is_hopeless(steps):
                return Result((sum(steps) / len(steps),), tuple(steps), is_pruned=True)
        return Result((sum(steps) / len(steps),), tuple(steps))

    whole = run(trials=30, seed=3, sampler="random")
    pruned = run(carry_out=fold_by_fold, trials=30, seed=3, sampler="random", pruner=pruner)

    assert [t.params for t in whole] == [t.params for t in pruned]
    assert best(whole).number == best(pruned).number
    assert 5 <= sum(t.is_pruned for t in pruned) <= 25
    assert pruned == run(carry_out=fold_by_fold, trials=30, seed=3, sampler="random", pruner=pruner)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_two_objectives_end_in_a_front(sampler: str) -> None:
    space = {"x": floats(0.0, 2.0), "y": floats(0.0, 1.0)}

    def both(asked: Asked) -> Result:
        x, y = asked.params["x"], asked.params["y"]
        return Result((x**2, (x - 1) ** 2 + y))

    trials = run(space, both, trials=60, seed=1, sampler=sampler, n_values=2)
    found = front(trials)

    assert len(found) > 3
    assert sorted(t.values[0] for t in found) == [t.values[0] for t in found]
    assert sorted((t.values[1] for t in found), reverse=True) == [t.values[1] for t in found]
    assert best(trials) in found
    assert trials == run(space, both, trials=60, seed=1, sampler=sampler, n_values=2)


def test_what_is_known_is_tried_first() -> None:
    start = ({"depth": 9, "rate": 0.1}, {"depth": 3})

    trials = run(trials=4, start=start)

    assert (9, 0.1, 3) == (trials[0].params["depth"], trials[0].params["rate"], trials[1].params["depth"])
    assert set(SPACE) == set(trials[0].params)


def test_what_mattered_is_found_and_where_the_good_trials_lie() -> None:
    space = {"depth": ints(1, 20), "idle": floats(0.0, 1.0)}

    first, second = what_mattered(space, run(space, lambda a: Result(((a.params["depth"] - 7) ** 2,)), trials=40, seed=1))
    few = what_mattered(space, run(space, lambda a: Result(((a.params["depth"] - 7) ** 2,)), trials=4))

    assert ("depth", "idle") == (first.name, second.name)
    assert first.overall is not None
    assert second.overall is not None
    assert first.overall > 0.9 > 0.1 > second.overall
    assert 3 <= first.good[0] <= 7 <= first.good[1] <= 11
    assert {None} == {each.overall for each in few}


def test_what_mattered_under_a_condition_is_measured_where_it_holds() -> None:
    found = {each.name: each for each in what_mattered(BRANCHES, run(BRANCHES, branched, trials=50, seed=2, sampler="random"))}

    assert found["strength"].n_trials + found["trees"].n_trials == 50
    assert found["strength"].overall is not None
    assert found["strength"].overall > 0.9
    assert found["depth"].overall is None


def test_everything_in_a_plan_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(ParameterError, match=r"0 trials.*0 workers.*no sampler 'x'.*no pruner 'y'.*one objective only"):
        run(trials=0, workers=0, sampler="x", pruner="y", n_values=2)


def test_every_suggestion_is_within_its_space() -> None:
    for trial in run(trials=15, seed=5):
        assert all(SPACE[name].holds(value) for name, value in trial.params.items())


def test_of_equally_good_trials_the_earliest_is_best() -> None:
    assert 1 == best([Trial(0, {}, (2.0,)), Trial(1, {}, (1.0,)), Trial(2, {}, (1.0,)), Trial(3, {}, (0.5,), is_pruned=True)]).number


def test_a_search_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(trials=8, workers=2, pruner="median")

    assert ("", "") == tuple(capfd.readouterr())
