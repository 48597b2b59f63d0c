"""Options that several operations share, declared once as a TypedDict.

    class Reading(TypedDict, total=False):
        '''How a source is read; a Parameters section says what each is for.'''

        sheet: str
        n_rows: Annotated[int, 100]

    @operation()
    def add(self, source: Path, *, name: str = "", **reading: Unpack[Reading]) -> Added: ...

Every surface shows them as options of the operation, and a Python caller writes `add(source, sheet="May")`, checked by the type checker.
One that is left out has the default that stands beside its type in `Annotated`; else it is empty: None where that is allowed, "", 0, False.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, Unpack, get_args, get_origin, get_type_hints

import msgspec

Options = TypeVar("Options", bound=Mapping[str, object])
_EMPTY: Mapping[object, object] = {str: "", int: 0, float: 0.0, bool: False}


class Option(msgspec.Struct, frozen=True):
    """One of the options: its name, type, and what it is where it is left out."""

    name: str
    hint: Any
    default: Any


def shared_by(hint: object) -> type | None:
    """Return the TypedDict of a `**options: Unpack[…]`; None for another type."""
    if get_origin(hint) is not Unpack:
        return None
    (kind,) = get_args(hint)
    return kind if typing.is_typeddict(kind) else None


@functools.cache
def options_of(kind: type) -> tuple[Option, ...]:
    """Return the options a TypedDict declares, in its order.

    Raises
    ------
    TypeError : one has no default and could not be empty.
    """
    return tuple(_option(kind, name, hint) for name, hint in get_type_hints(kind, include_extras=True).items())


def filled(kind: type[Options], given: Options) -> Options:
    """Return the options that were given with the defaults of the others.

    Raises
    ------
    TypeError : one of them is not declared.
    """
    defaults = {option.name: option.default for option in options_of(kind)}
    if unknown := given.keys() - defaults.keys():
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}; there are {', '.join(defaults)}")
    return typing.cast("Options", {**defaults, **given})


def _option(kind: type, name: str, hint: Any) -> Option:
    if get_origin(hint) is Annotated:
        inner, default = get_args(hint)
        return Option(name, inner, default)
    if get_origin(hint) in (Union, types.UnionType) and types.NoneType in get_args(hint):
        return Option(name, hint, None)
    if hint in _EMPTY:
        return Option(name, hint, _EMPTY[hint])
    raise TypeError(f"{kind.__qualname__}.{name}: {hint} has no empty value; write Annotated[…, DEFAULT] or … | None")
