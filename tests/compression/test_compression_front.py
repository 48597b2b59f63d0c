"""Which variants are worth a look, and which one a budget picks; cases counted by hand."""

from __future__ import annotations

from sampan.compression.budget import read_limits
from sampan.compression.costs import Cost
from sampan.compression.front import Point, beats, front, pick, warnings
from sampan.stats.estimates import Estimate


def point(name: str, gain: float, size: int, ms: float = 1.0, many: float = 10.0, *, spread: float = 0.001) -> Point:
    cost = Cost(size_bytes=size, p50_ms=ms, p99_ms=2 * ms, p50_100_ms=many, p99_100_ms=2 * many, cpu_us=1000 * ms)
    return Point(name=name, gain=Estimate(gain, gain - spread, gain + spread), cost=cost)


PARENT = point("parent", 0.0, 1000, spread=0.0)
HALF = point("half", -0.002, 500, 0.6, 6)
QUARTER = point("quarter", -0.02, 250, 0.4, 4)
WORSE_HALF = point("worse half", -0.01, 500, 0.6, 6)
SLOW = point("slow", 0.0, 600, 1.5, 10)


def test_the_front_says_who_beats_whom() -> None:
    assert {"parent": "", "half": "", "quarter": "", "worse half": "half", "slow": ""} == front([PARENT, HALF, QUARTER, WORSE_HALF, SLOW])


def test_a_time_that_differs_by_less_than_the_noise_beats_nobody() -> None:
    again = point("again", 0.0, 1000, 0.97, spread=0.0)

    assert not beats(again, PARENT)
    assert not beats(PARENT, again)
    assert beats(point("fast", 0.0, 1000, 0.9), PARENT)


def test_a_gain_that_differs_by_a_fraction_of_chance_beats_nobody_but_by_its_size() -> None:
    small, large = point("small", 0.0100, 500, spread=0.01), point("large", 0.0102, 600, spread=0.01)

    assert beats(small, large)
    assert not beats(large, small)
    assert not beats(small, point("better", 0.0110, 600, spread=0.01))


def test_where_a_cost_is_limited_the_best_metric_within_is_picked() -> None:
    chosen, exceeded = pick([HALF, QUARTER, WORSE_HALF], PARENT, read_limits("size=600,loss=0.02"))

    assert "half" == chosen
    assert ("size 1,000 bytes > 600 bytes",) == exceeded["parent"]
    assert ("loss 0.021 > 0.02",) == exceeded["quarter"]


def test_where_only_the_loss_is_limited_the_cheapest_is_picked() -> None:
    assert "half" == pick([HALF, QUARTER], PARENT, read_limits("loss=0.01"))[0]
    assert "quarter" == pick([HALF, QUARTER], PARENT, read_limits("loss=0.05"))[0]
    assert "parent" == pick([HALF, QUARTER], PARENT, read_limits("loss=0.001"))[0]


def test_what_is_slower_is_picked_only_where_a_cost_is_limited() -> None:
    tiny = point("tiny", 0.0, 10, 1.2, 10)

    assert "half" == pick([tiny, HALF], PARENT, read_limits("loss=0.01"))[0]
    assert "tiny" == pick([tiny, HALF], PARENT, read_limits("loss=0.01,size=100"))[0]


def test_a_loss_counts_at_the_far_end_of_its_interval() -> None:
    doubtful = point("doubtful", 0.001, 100, spread=0.05)

    assert "parent" == pick([doubtful], PARENT, read_limits("loss=0.01"))[0]


def test_nothing_is_picked_where_nothing_fits() -> None:
    assert "" == pick([HALF, QUARTER], PARENT, read_limits("size=10"))[0]


def test_a_variant_says_in_what_it_is_worse() -> None:
    assert ("1.5x slower on one row", "1.5x more work a row") == warnings(SLOW, PARENT, "auc")
    assert ("auc shown worse",) == warnings(QUARTER, PARENT, "auc")
    assert () == warnings(point("fine", 0.0, 900), PARENT, "auc")
