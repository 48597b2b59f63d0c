"""Search spaces, written as the defaults of a training function's parameters: `def fit(X, y, *, depth=sp.ints(3, 10))`."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, isfinite, log
from typing import Any

import msgspec

from sampan.errors import ParameterError

ParameterValue = int | float | str | bool


class Ints(msgspec.Struct, frozen=True, tag="ints"):
    """Whole numbers from low to high, both included; with `log`, the same factor counts the same anywhere."""

    low: int
    high: int
    log: bool = False

    def middle(self) -> int:
        """Return the value tried first."""
        return round(exp((log(self.low) + log(self.high)) / 2)) if self.log else (self.low + self.high) // 2

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


class Floats(msgspec.Struct, frozen=True, tag="floats"):
    """Numbers from low to high; with `log`, the same factor counts the same anywhere."""

    low: float
    high: float
    log: bool = False

    def middle(self) -> float:
        """Return the value tried first."""
        return exp((log(self.low) + log(self.high)) / 2) if self.log else (self.low + self.high) / 2

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class Choice(msgspec.Struct, frozen=True, tag="choice"):
    """One of a few values, in no order."""

    options: tuple[ParameterValue, ...]

    def middle(self) -> ParameterValue:
        """Return the value tried first: the first one written."""
        return self.options[0]

    def holds(self, value: object) -> bool:
        """Say whether the space has this value."""
        return value in self.options


Space = Ints | Floats | Choice


def ints(low: int, high: int, *, log: bool = False) -> Any:
    """Search whole numbers from low to high.

    The return type is Any so that a training function can write it as the default of an `int` parameter.
    """
    _check_bounds("ints", low, high, log=log)
    return Ints(low, high, log)


def floats(low: float, high: float) -> Any:
    """Search numbers from low to high."""
    _check_bounds("floats", low, high, log=False)
    return Floats(low, high)


def logs(low: float, high: float) -> Any:
    """Search positive numbers from low to high by their logarithm."""
    _check_bounds("logs", low, high, log=True)
    return Floats(low, high, log=True)


def choice(*options: ParameterValue) -> Any:
    """Search a few values without order."""
    if len(set(options)) < 2:
        raise ParameterError(f"choice{options} leaves nothing to choose", hint="give two or more different values")
    return Choice(tuple(options))


def first_values(space: Mapping[str, Space]) -> dict[str, ParameterValue]:
    """Return the values tried first, one for each parameter."""
    return {name: each.middle() for name, each in space.items()}


def _check_bounds(name: str, low: float, high: float, *, log: bool) -> None:
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ParameterError(f"{name}({low}, {high}) is no range", hint="the first bound must be below the second")
    if log and low <= 0:
        raise ParameterError(f"{name}({low}, {high}) has no logarithm", hint="both bounds must be above 0")
