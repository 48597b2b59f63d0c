"""What a function takes and says of itself, read off its code: `inspect` would bring the parser and the disassembler to every command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any, Final, Literal, NamedTuple

_TAKES_MORE: Final = 0x04  # *values
_TAKES_OPTIONS: Final = 0x08  # **options


class _Nothing:
    """The default of an argument that has none."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


class Argument(NamedTuple):
    """One argument of a function."""

    name: str
    kind: Literal["ordinary", "named", "only by place", "any number", "options"]
    default: Any = NOTHING


def arguments_of(function: Callable[..., Any]) -> Iterator[Argument]:
    """Iterate over a Python function's arguments as it declares them, `*values` and `**options` last.

    >>> def sample(rows, /, by, *, seed=0, **options): ...
    >>> [(one.name, one.kind) for one in arguments_of(sample)]
    [('rows', 'only by place'), ('by', 'ordinary'), ('seed', 'named'), ('options', 'options')]
    """
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    n_named = code.co_argcount + code.co_kwonlyargcount
    named, rest = code.co_varnames[:n_named], iter(code.co_varnames[n_named:])
    defaults = function.__defaults__ or ()
    known = dict(zip(named[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)) | (function.__kwdefaults__ or {})
    for place, name in enumerate(named):
        by_place: Literal["only by place", "ordinary"] = "only by place" if place < code.co_posonlyargcount else "ordinary"
        yield Argument(name, by_place if place < code.co_argcount else "named", known.get(name, NOTHING))
    if code.co_flags & _TAKES_MORE:
        yield Argument(next(rest), "any number")
    if code.co_flags & _TAKES_OPTIONS:
        yield Argument(next(rest), "options")


def docstring_of(documented: object) -> str:
    """Return a docstring without the indentation it has in its file; "" where there is none."""
    first, _, rest = (documented.__doc__ or "").expandtabs().partition("\n")
    return f"{first.strip()}\n{dedent(rest)}".strip()
