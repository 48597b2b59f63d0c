"""Search spaces, written as the defaults of a training function's parameters: `def fit(X, y, *, depth=sp.ints(3, 10))`.

A space may hold only `when` another parameter has a value, so that one function searches several algorithms at once:

    def fit(X, y, *, kind=sp.choice("forest", "line"), trees=sp.ints(50, 500, when={"kind": "forest"}),
            strength=sp.logs(0.01, 10, when={"kind": "line"})): ...

Where it does not hold, the function is given the value tried first, and the search learns nothing from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, isfinite, log
from typing import Any

import msgspec

from sampan.errors import ParameterError

ParameterValue = int | float | str | bool
Conditions = Mapping[str, ParameterValue | Sequence[ParameterValue]]


class Ints(msgspec.Struct, frozen=True, omit_defaults=True, tag="ints"):
    """Whole numbers from low to high, both included; with `log`, the same factor counts the same anywhere."""

    low: int
    high: int
    log: bool = False
    when: dict[str, tuple[ParameterValue, ...]] = {}

    def middle(self) -> int:
        """Return the value tried first."""
        return round(exp((log(self.low) + log(self.high)) / 2)) if self.log else (self.low + self.high) // 2

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


class Floats(msgspec.Struct, frozen=True, omit_defaults=True, tag="floats"):
    """Numbers from low to high; with `log`, the same factor counts the same anywhere."""

    low: float
    high: float
    log: bool = False
    when: dict[str, tuple[ParameterValue, ...]] = {}

    def middle(self) -> float:
        """Return the value tried first."""
        return exp((log(self.low) + log(self.high)) / 2) if self.log else (self.low + self.high) / 2

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class Choice(msgspec.Struct, frozen=True, omit_defaults=True, tag="choice"):
    """One of a few values, in no order."""

    options: tuple[ParameterValue, ...]
    when: dict[str, tuple[ParameterValue, ...]] = {}

    def middle(self) -> ParameterValue:
        """Return the value tried first: the first one written."""
        return self.options[0]

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return value in self.options


Space = Ints | Floats | Choice


def ints(low: int, high: int, *, log: bool = False, when: Conditions | None = None) -> Any:
    """Search whole numbers from low to high.

    The return type is Any so that a training function can write it as the default of an `int` parameter.
    """
    _check_bounds("ints", low, high, log=log)
    return Ints(low, high, log, _conditions(when))


def floats(low: float, high: float, *, when: Conditions | None = None) -> Any:
    """Search numbers from low to high."""
    _check_bounds("floats", low, high, log=False)
    return Floats(low, high, when=_conditions(when))


def logs(low: float, high: float, *, when: Conditions | None = None) -> Any:
    """Search positive numbers from low to high by their logarithm."""
    _check_bounds("logs", low, high, log=True)
    return Floats(low, high, log=True, when=_conditions(when))


def choice(*options: ParameterValue, when: Conditions | None = None) -> Any:
    """Search a few values without order."""
    if len(set(options)) < 2:
        raise ParameterError(f"choice{options} leaves nothing to choose", hint="give two or more different values")
    return Choice(tuple(options), _conditions(when))


def first_values(space: Mapping[str, Space]) -> dict[str, ParameterValue]:
    """Return the values tried first, one for each parameter."""
    return {name: each.middle() for name, each in space.items()}


def is_active(space: Space, params: Mapping[str, ParameterValue]) -> bool:
    """Say whether a parameter is searched where others have these values; one whose own condition does not hold has none."""
    return all(params.get(name) in options for name, options in space.when.items())


def active(space: Mapping[str, Space], params: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Return those of the given parameters that mean something beside the others, in the order of the space."""
    found: dict[str, ParameterValue] = {}
    for name, each in space.items():
        if name in params and is_active(each, found):
            found[name] = params[name]
    return found


def condition_faults(space: Mapping[str, Space]) -> list[str]:
    """Return what is wrong with conditions: they may name parameters written before, and values those can have."""
    faults, before = [], dict[str, Space]()
    for name, each in space.items():
        for other, options in each.when.items():
            if other not in before:
                faults.append(f"{name} is searched when {other} has a value, but no space {other!r} is written before it")
            elif strange := [option for option in options if not before[other].holds(option)]:
                faults.append(f"{name} is searched when {other} is {strange[0]!r}, which it never is")
        before[name] = each
    return faults


def _conditions(when: Conditions | None) -> dict[str, tuple[ParameterValue, ...]]:
    told = (when or {}).items()
    return {name: (value,) if isinstance(value, int | float | str) else tuple(value) for name, value in told}


def _check_bounds(name: str, low: float, high: float, *, log: bool) -> None:
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ParameterError(f"{name}({low}, {high}) is no range", hint="the first bound must be below the second")
    if log and low <= 0:
        raise ParameterError(f"{name}({low}, {high}) has no logarithm", hint="both bounds must be above 0")
