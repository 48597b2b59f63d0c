from __future__ import annotations

from math import log

import pytest

from sampan.tuning.search import Trial, best, search
from sampan.tuning.spaces import ParameterValue, choice, floats, ints, logs

SPACE = {"depth": ints(1, 20), "rate": logs(0.001, 1.0), "share": floats(0.0, 1.0), "kind": choice("a", "b")}


def loss(_number: int, params: dict[str, ParameterValue]) -> float:
    return 0.1 * (params["depth"] - 7) ** 2 + abs(log(params["rate"] / 0.1)) + (params["kind"] == "a")


def test_a_search_finds_better_parameters_than_the_middle_of_the_space() -> None:
    trials = list(search(SPACE, loss, trials=20, seed=1))

    assert best(trials).loss < trials[0].loss
    assert list(range(20)) == [t.number for t in trials]


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    first, again, other = (list(search(SPACE, loss, trials=8, seed=seed)) for seed in (3, 3, 4))

    assert first == again
    assert first != other


@pytest.mark.parametrize("killed_after", [1, 4, 7])
def test_a_killed_search_goes_on_exactly_as_if_nothing_had_happened(killed_after: int) -> None:
    whole = list(search(SPACE, loss, trials=10, seed=2))
    remembered: dict[tuple[int, str], float] = {}

    class Killed(Exception):
        pass

    def attempt(number: int, params: dict[str, ParameterValue]) -> float:
        key = (number, repr(params))
        if key not in remembered:
            if len(remembered) == killed_after and not resumed:
                raise Killed
            remembered[key] = loss(number, params)
        return remembered[key]

    resumed = False
    with pytest.raises(Killed):
        list(search(SPACE, attempt, trials=10, seed=2))
    resumed = True
    run_before = set(remembered)

    assert whole == list(search(SPACE, attempt, trials=10, seed=2))
    assert run_before <= set(remembered)
    assert 10 == len(remembered)


def test_every_suggestion_is_within_its_space() -> None:
    for trial in search(SPACE, loss, trials=15, seed=5):
        assert all(SPACE[name].holds(value) for name, value in trial.params.items())


def test_of_equally_good_trials_the_earliest_is_best() -> None:
    assert 1 == best([Trial(0, {}, 2.0), Trial(1, {}, 1.0), Trial(2, {}, 1.0)]).number


def test_a_search_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    list(search(SPACE, loss, trials=3, seed=0))

    assert ("", "") == tuple(capfd.readouterr())
