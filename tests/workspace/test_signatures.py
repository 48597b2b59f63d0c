"""What a function takes and says, read off its code: the same as `inspect` says, for every operation there is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from sampan import plugins
from sampan.workspace.operation import ROOMS, nouns, operations
from sampan.workspace.signatures import NOTHING, arguments_of, docstring_of

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "only by place",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "ordinary",
    inspect.Parameter.VAR_POSITIONAL: "any number",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_KEYWORD: "options",
}


def nothing() -> None: ...


def every_kind(one: int, two: int = 2, /, three: int = 3, *four: int, five: int, six: int = 6, **seven: int) -> None:
    """Take everything.

    More of it,
        indented.
    """


@wraps(every_kind)
def wrapped(*_values: Any, **_options: Any) -> None: ...


def methods() -> list[Callable[..., Any]]:
    return [getattr(plugins.find(ROOMS, noun), operation.method) for noun in nouns() for operation in operations(noun).values()]


@pytest.mark.parametrize("function", [nothing, every_kind, wrapped, lambda a, b=1: (a, b)])
def test_every_kind_of_argument_is_read_as_inspect_reads_it(function: Callable[..., Any]) -> None:
    assert as_inspect_says(function) == list(arguments_of(function))


def test_every_operation_is_read_as_inspect_reads_it() -> None:
    found = methods()

    assert len(found) > 100
    assert [as_inspect_says(method) for method in found] == [list(arguments_of(method)) for method in found]
    assert [inspect.getdoc(method) for method in found] == [docstring_of(method) for method in found]


def test_a_docstring_loses_its_indentation_and_none_is_empty() -> None:
    assert docstring_of(every_kind) == "Take everything.\n\nMore of it,\n    indented."
    assert docstring_of(nothing) == ""


def as_inspect_says(function: Callable[..., Any]) -> list[tuple[str, str, Any]]:
    found = sorted(inspect.signature(function).parameters.values(), key=lambda one: one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD))
    return [(one.name, KINDS[one.kind], NOTHING if one.default is one.empty else one.default) for one in found]
