"""Smaller trainings: which parameters make a model smaller, found by trying, and the grid of their smaller values.

No parameter is known by its name but the learning rate. Each whole number of the recipe is halved once; where the graph got smaller by
`SHRINKS` or more it is a parameter of size. Fewer rounds of boosting want larger steps: where halving a parameter leaves half of the trees,
the learning rate grows as the number shrinks, up to `FASTEST`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Final

import msgspec

ParameterValue = int | float | str | bool

SHRINKS: Final = 0.1
FASTEST: Final = 0.3
FACTORS: Final = (1, 2, 4, 8)
_LEAST: Final = 4  # smaller numbers are not halved
_MOST_SIZES: Final = 2
_RATES: Final = ("learning_rate", "eta", "lr", "shrinkage", "shrinkage_rate", "rate")
_NO_SIZES: Final = ("seed", "random_state", "num_threads", "n_jobs", "nthread", "threads")


class Size(msgspec.Struct, frozen=True):
    """A parameter of size: what halving it left of the graph's bytes and of its trees, as shares. `trees` is None where there are none."""

    name: str
    bytes: float
    trees: float | None = None

    @property
    def is_rounds(self) -> bool:
        """Say whether it is the number of trees."""
        return self.trees is not None and self.trees < 1 - SHRINKS


def halvings(params: Mapping[str, ParameterValue]) -> dict[str, dict[str, ParameterValue]]:
    """Return the trainings that tell which parameters are of size: each whole number halved by itself, by its name.

    >>> halvings({"rounds": 80, "rate": 0.1, "seed": 3})
    {'rounds': {'rounds': 40}}
    """
    numbers = {
        name: value
        for name, value in params.items()
        if isinstance(value, int) and not isinstance(value, bool) and value >= _LEAST and name not in _NO_SIZES
    }
    return {name: {name: value // 2} for name, value in numbers.items()}


def sizes_among(found: Sequence[Size]) -> list[Size]:
    """Return the parameters of size, those that shrink the graph most first."""
    return sorted((each for each in found if each.bytes <= 1 - SHRINKS), key=lambda each: (each.bytes, each.name))[:_MOST_SIZES]


def grid(params: Mapping[str, ParameterValue], sizes: Sequence[Size]) -> list[dict[str, ParameterValue]]:
    """Return smaller trainings, the least shrunk first.

    >>> grid({"rounds": 80, "learning_rate": 0.1}, [Size("rounds", 0.5, 0.5)])
    [{'rounds': 40, 'learning_rate': 0.2}, {'rounds': 20, 'learning_rate': 0.3}, {'rounds': 10, 'learning_rate': 0.3}]
    """
    combinations = [each for each in product(FACTORS, repeat=len(sizes)) if prod(each) > 1]
    found: list[dict[str, ParameterValue]] = []
    for factors in sorted(combinations, key=lambda each: (prod(each), each)):
        smaller = {size.name: _divided(params[size.name], factor) for size, factor in zip(sizes, factors, strict=True) if factor > 1}
        rounds = prod(factor for size, factor in zip(sizes, factors, strict=True) if size.is_rounds)
        changed = {**smaller, **_faster(params, rounds)}
        if changed not in found and all(changed[name] != params[name] for name in smaller):
            found.append(changed)
    return found


def _divided(value: ParameterValue, factor: int) -> int:
    return max(2, int(value) // factor)


def _faster(params: Mapping[str, ParameterValue], factor: int) -> dict[str, ParameterValue]:
    name = next((each for each in _RATES if each in params), None)
    if name is None or factor == 1:
        return {}
    rate = float(params[name])
    return {name: round(max(rate, min(rate * factor, FASTEST)), 6)}
