"""Budgets as people write them."""

from __future__ import annotations

import pytest

from sampan.compression.budget import Budget, over, read_limits
from sampan.errors import ParameterError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Budget()),
        ("p99=2ms,size=1MB,loss=0.005", Budget(p99=2.0, size=1e6, loss=0.005)),
        (" p50 = 150us , p99_100=1s", Budget(p50=0.15, p99_100=1000.0)),
        ("size=64KiB", Budget(size=65536.0)),
        ("loss=0", Budget(loss=0.0)),
    ],
)
def test_a_budget_is_read_with_its_units(text: str, expected: Budget) -> None:
    assert expected == read_limits(text)


def test_every_part_that_is_no_limit_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        read_limits("p99=fast,flash=64k,size=0,loss=0.1,loss=0.2,size=3ms")

    assert "'p99=fast' is no limit; 'flash=64k' is no limit; 'size=0' is no limit; loss is limited twice; 'size=3ms' is no limit" == (
        caught.value.message
    )


def test_what_is_over_a_limit_is_said_with_both_figures() -> None:
    found = {"p50": 0.1, "p99": 3.0, "size": 2e6}

    assert ["p99 3 ms > 2 ms", "size 2,000,000 bytes > 1,000,000 bytes", "loss 0.01 > 0.005"] == list(
        over(read_limits("p99=2ms,size=1MB,loss=0.005"), found, 0.01)
    )


def test_a_loss_alone_limits_no_cost() -> None:
    assert (False, True) == (read_limits("loss=0.01").limits_cost, read_limits("size=1kB").limits_cost)
    assert (False, True) == (bool(read_limits("")), bool(read_limits("loss=0")))
