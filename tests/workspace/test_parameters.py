from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.answers import to_json
from sampan.errors import ParameterError
from sampan.workspace.parameters import Count, Parameter, bind, from_json, from_text, read_form


def parameter(hint: Any, *, positional: bool = False, **more: Any) -> Parameter:
    return Parameter("size", read_form(hint), positional=positional, **more)


@pytest.mark.parametrize(
    ("hint", "texts", "value"),
    [
        (str, ["a,b"], "a,b"),
        (int, ["-3"], -3),
        (float, ["1e-3"], 0.001),
        (float, ["5"], 5.0),
        (bool, ["true"], True),
        (bool, ["No"], False),
        (Path, ["a/b"], Path("a/b")),
        (Literal["day", "week"], ["week"], "week"),
        (int | None, ["4"], 4),
        (list[str], ["a,b", "c"], ["a", "b", "c"]),
        (list[str], ['["a,b"]', "c"], ["a,b", "c"]),
        (tuple[int, ...], ["1,2"], (1, 2)),
        (list[float], ["[1, 2.5]"], [1.0, 2.5]),
        (list[str] | None, ["a"], ["a"]),
        (dict[str, str], ["a=1", "b=x=y"], {"a": "1", "b": "x=y"}),
    ],
)
def test_text_is_read_as_the_parameters_type(hint: Any, texts: list[str], value: Any) -> None:
    assert from_text(parameter(hint), texts) == value


def test_positional_values_are_never_split() -> None:
    assert from_text(parameter(list[str], positional=True), ["a,b", "c"]) == ["a,b", "c"]


@pytest.mark.parametrize(
    ("hint", "given_value", "value"),
    [
        (str, "x", "x"),
        (int, 3, 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (bool, False, False),
        (Path, "a", Path("a")),
        (str | None, None, None),
        (list[int], [1, 2], [1, 2]),
        (dict[str, str], {"a": "1"}, {"a": "1"}),
    ],
)
def test_json_is_read_as_the_parameters_type(hint: Any, given_value: Any, value: Any) -> None:
    assert from_json(parameter(hint), given_value) == value


@pytest.mark.parametrize(
    ("hint", "texts", "message", "hint_text"),
    [
        (int, ["1.5"], "size: '1.5' is not a whole number", "expected a whole number"),
        (int, [""], "size: '' is not a whole number", "expected a whole number"),
        (int, [str(2**53)], "size: 9007199254740992… is beyond ±(2⁵³ - 1)", "expected a whole number"),
        (Count, ["0"], "size: 0 is less than 1", "expected a whole number of at least 1"),
        (Count | None, ["-7"], "size: -7 is less than 1", "expected a whole number of at least 1"),
        (float, ["ten"], "size: 'ten' is not a number", "expected a number"),
        (bool, ["maybe"], "size: 'maybe' is not true or false", "expected true or false"),
        (Literal["day", "week"], ["wek"], "size: 'wek' is not a choice", "expected one of day, week; did you mean week?"),
        (dict[str, str], ["novalue"], "size: 'novalue' has no key", "expected key=value"),
        (list[str], ["[a"], "size: '[a' starts like a JSON list but is none", "expected text"),
        (str, ["a", "b"], "size: is given 2 times", "expected one value"),
        (str, ["a\0b"], "size: 'a\\x00b' holds a null character", "expected text"),
    ],
)
def test_text_that_does_not_fit_is_refused_by_name_value_and_expectation(hint: Any, texts: list[str], message: str, hint_text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        from_text(parameter(hint), texts)

    assert (caught.value.message, caught.value.hint, caught.value.parameter) == (message, hint_text, "size")


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, "3", "size: is text (3)"),
        (int, True, "size: is true or false (True)"),
        (int, 1.5, "size: is a number (1.5)"),
        (int, -(2**70), "size: -1180591620717411303… is beyond ±(2⁵³ - 1)"),
        (int, 10**400, "size: 10000000000000000000… is beyond ±(2⁵³ - 1)"),
        (int, 1e300, "size: 10000000000000000525… is beyond ±(2⁵³ - 1)"),
        (float, None, "size: is null"),
        (bool, 1, "size: is a number (1)"),
        (str, 5, "size: is a number (5)"),
        (list[str], "a", "size: is text (a)"),
        (list[str], [1], "size: is a number (1)"),
        (dict[str, str], {"a": 1}, "size: is an object"),
    ],
)
def test_json_that_does_not_fit_is_refused(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        from_json(parameter(hint), value)

    assert caught.value.message == message


@pytest.mark.parametrize("hint", [bytes, int | str, list[list[int]], dict[str, int], Literal[1, 2], "no type", Any])
def test_a_type_no_surface_can_read_is_refused_when_it_is_declared(hint: Any) -> None:
    with pytest.raises(TypeError, match="is not one of str, int"):
        read_form(hint)


def test_all_faults_of_a_call_come_in_one_error() -> None:
    wanted = [parameter(int), Parameter("name", read_form(str), help="what to call it")]

    with pytest.raises(ParameterError) as caught:
        bind(wanted, {"size": ["x"], "nam": ["y"]}, from_text)

    assert "there is no parameter 'nam'" in caught.value.message
    assert "size: 'x' is not a whole number" in caught.value.message
    assert "name is missing: what to call it" in caught.value.message
    assert "did you mean name?" in caught.value.hint


def test_what_is_left_out_takes_its_default() -> None:
    assert bind([parameter(int, default=5)], {}, from_text) == {}


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_a_list_written_as_json_text_reads_back_as_it_was(values: list[str]) -> None:
    assert from_text(parameter(list[str]), [to_json(values).decode()]) == values
