"""What a search is told and what it comes to."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sampan.tuning.spaces import ParameterValue

Sampler = Literal["tpe", "random", "nsga2"]
Pruner = Literal["none", "median", "percentile", "halving"]
Params = dict[str, ParameterValue]
Curve = tuple[tuple[int, float], ...]  # (step, loss) of one fit while it went on


class Trial(msgspec.Struct, frozen=True):
    """One tried set of parameters and what it came to; of each value, lower is better. A pruned trial has the values it had so far."""

    number: int
    params: Params
    values: tuple[float, ...]
    steps: tuple[float, ...] = ()  # the loss on each fold
    is_pruned: bool = False
    failure: str = ""  # what the training function raised; then there are no values
    notes: dict[str, Any] = {}  # what the sampler wants to know again
    curves: tuple[Curve, ...] = ()  # of the fit on each fold, where it was shown by `sp.checkpoint`; the last may have been stopped

    @property
    def is_finished(self) -> bool:
        """Say whether it came to its last fold."""
        return not self.is_pruned and not self.failure

    @property
    def so_far(self) -> tuple[float, ...]:
        """The loss on each fold, with that of a fit that was stopped as it was then."""
        return (*self.steps, self.curves[-1][-1][1]) if len(self.curves) > len(self.steps) else self.steps

    @property
    def loss(self) -> float:
        """The first value."""
        return self.values[0]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a search goes."""

    trials: int = 20
    seed: int = 0
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"
    n_values: int = 1
    workers: int = 1
    start: tuple[Params, ...] = ()  # tried first, such as the best of an earlier search

    @property
    def behind(self) -> int:
        """How many of the newest trials the next one is drawn without the results of: enough that no worker waits for a slow one."""
        return 0 if self.workers == 1 else 2 * self.workers - 1
