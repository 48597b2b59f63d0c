from __future__ import annotations

import pytest

from sampan.engine.plan import KeyParts, Plan, differences
from sampan.engine.step import step
from sampan.errors import NotFound, ParameterError


@step
def clean(flights, *, min_rows: int = 10):
    return flights


@step
def features(clean, weather, *, lag: int = 1):
    return clean


@step
def train(features, *, depth: int = 3, lag: int = 2):
    return features


@step
def profile(clean):
    return clean


STEPS = (train, profile, features, clean)
GIVEN = ("flights", "weather")


def names(steps) -> list[str]:
    return [one.name for one in steps]


def test_each_step_comes_after_what_it_needs() -> None:
    assert names(Plan(STEPS, given=GIVEN).order()) == ["clean", "features", "train", "profile"]


def test_targets_bring_what_they_need_and_nothing_else() -> None:
    plan = Plan(STEPS, given=GIVEN)

    assert names(plan.order(["profile"])) == ["clean", "profile"]
    assert names(plan.order(["features"])) == ["clean", "features"]


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(NotFound, match="no step makes 'trian'") as error:
        Plan(STEPS, given=GIVEN).order(["trian"])

    assert error.value.did_you_mean == ("train",)


def test_all_faults_of_a_plan_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as error:
        Plan(STEPS, given=("flihgts", "weather", "planes"))

    assert "step clean needs 'flights', which is neither given nor made (did you mean flihgts?)" in error.value.message
    assert "no step needs the given 'flihgts' (did you mean flights?)" in error.value.message
    assert "no step needs the given 'planes'" in error.value.message


def test_a_circle_is_told_by_its_path() -> None:
    @step
    def a(start, c):
        return c

    @step
    def b(a):
        return a

    @step
    def c(b):
        return b

    with pytest.raises(ParameterError, match="a needs c needs b needs a"):
        Plan([a, b, c], given=["start"])


def test_a_step_that_needs_itself_is_a_circle() -> None:
    @step
    def a(a):
        return a

    with pytest.raises(ParameterError, match="in a circle: a needs a"):
        Plan([a])


def test_two_makers_of_one_thing_are_refused() -> None:
    def clean(flights):
        return flights

    with pytest.raises(ParameterError, match="two steps are called clean"):
        Plan([*STEPS, step(clean)], given=GIVEN)
    with pytest.raises(ParameterError, match="clean is both given and made by a step"):
        Plan(STEPS, given=[*GIVEN, "clean"])


def test_a_plain_function_among_the_steps_is_refused() -> None:
    with pytest.raises(ParameterError, match="'names' is not marked @step"):
        Plan([names])


def test_a_chain_of_thousands_of_steps_is_sorted() -> None:
    def maker(n: int):
        namespace: dict = {}
        exec(f"def s{n}({f's{n - 1}' if n else ''}): return {n}", {"__name__": "many"}, namespace)
        return step(namespace[f"s{n}"])

    plan = Plan([maker(n) for n in reversed(range(3000))])

    assert names(plan.order()) == [f"s{n}" for n in range(3000)]


def test_a_parameter_goes_to_every_step_that_has_it_and_a_dotted_one_to_one() -> None:
    plan = Plan(STEPS, given=GIVEN)

    found = plan.params_of({"train.lag": 9, "lag": 7})

    assert found == {"clean": {"min_rows": 10}, "features": {"lag": 7}, "train": {"depth": 3, "lag": 9}, "profile": {}}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("dept", "did you mean depth?"),
        ("train.dept", "did you mean train.depth"),
        ("features", "features is an input of train"),
        ("zzz", "there are depth"),
    ],
)
def test_a_parameter_that_no_step_has_is_an_error_with_what_was_meant(key: str, hint: str) -> None:
    with pytest.raises(ParameterError, match=f"no step has a parameter '{key}'") as error:
        Plan(STEPS, given=GIVEN).params_of({key: 1})

    assert hint in error.value.hint


def test_differences_name_code_parameters_inputs_and_versions() -> None:
    before = KeyParts(
        step="train",
        code={"m:train": "1", "m:old": "2"},
        params={"depth": 3},
        inputs={"features": "aa"},
        python="3.11",
        libraries={"numpy": "2.1"},
    )
    now = KeyParts(
        step="train",
        code={"m:train": "9", "m:new": "3"},
        params={"depth": 4, "lag": 1},
        inputs={"features": "bb"},
        python="3.12",
        libraries={"numpy": "2.2"},
    )

    assert differences(before, now) == (
        "code of m:new is new",
        "code of m:old is no longer used",
        "code of m:train changed",
        "parameter depth: 3 → 4",
        "parameter lag: none → 1",
        "input features changed",
        "Python 3.11 → 3.12",
        "numpy 2.1 → 2.2",
    )
    assert differences(now, now) == ()
