from __future__ import annotations

import pickle
from functools import partial

import polars as pl
import pytest

from sampan.engine.step import Step, step
from sampan.errors import NotFound, ParameterError


@step
def clean(flights: pl.LazyFrame, airports, *, min_rows: int = 10) -> int:
    """Clean them."""
    return flights + airports + min_rows


@step(cpu=2, effects=True, cache=False)
def deploy(model):
    return model


def test_a_step_is_still_called_like_the_function_it_is() -> None:
    assert clean(1, 2, min_rows=3) == 6
    assert (clean.__name__, clean.__doc__) == ("clean", "Clean them.")


def test_parameters_without_default_are_inputs_and_the_others_parameters() -> None:
    assert clean.declared.inputs == {"flights": "LazyFrame", "airports": ""}
    assert clean.declared.defaults == {"min_rows": 10}


def test_options_are_kept() -> None:
    assert (deploy.declared.cpu, deploy.declared.effects, deploy.declared.cache) == (2, True, False)
    assert (clean.declared.cpu, clean.declared.effects, clean.declared.cache) == (1, False, True)


def test_a_pickled_step_finds_its_function_again() -> None:
    back = pickle.loads(pickle.dumps(clean))

    assert isinstance(back, Step)
    assert back(1, 2) == 13


def test_a_step_whose_function_is_gone_says_so(project) -> None:
    module = project("from sampan.engine.step import step\n@step\ndef a(): return 1\n")
    sent = pickle.dumps(module.a)
    project("A = 1\n")

    with pytest.raises(NotFound, match=r"pipeline\.py has no step a any more"):
        pickle.loads(sent)()


def _generator(x):
    yield x


async def _coroutine(x):
    return x


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, "'?<lambda>'? cannot be a step"),
        (partial(_generator), "cannot be a step"),
        (_generator, "generator or coroutine"),
        (_coroutine, "generator or coroutine"),
        (lambda *a: a, "cannot be a step"),
    ],
)
def test_what_cannot_be_a_step_is_refused(function, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        step(function)


def test_inputs_without_a_name_are_refused() -> None:
    def anything(*tables):
        return tables

    def keyed(**tables):
        return tables

    def unnamed(table, /):
        return table

    for function in (anything, keyed, unnamed):
        with pytest.raises(ParameterError, match="has no name to be given by"):
            step(function)


def test_a_default_that_is_not_plain_is_refused() -> None:
    def train(x, model=object()):  # noqa: B008  # the case
        return x

    with pytest.raises(ParameterError, match="parameter model of step train is a object"):
        step(train)


def test_less_than_one_cpu_is_refused() -> None:
    with pytest.raises(ParameterError, match="cpu=0"):
        step(cpu=0)
