"""Budgets as a person writes them."""

from __future__ import annotations

import pytest

from sampan.core.budgets import hold_to, read_budget
from sampan.errors import BudgetExceeded, ParameterError


def test_sizes_count_in_powers_of_1024_and_other_units_stand_in_the_name() -> None:
    assert {"flash": 65536.0, "ram": 2097152.0, "ms": 0.5} == read_budget("flash=64k, ram=2M,ms=0.5,")
    assert {} == read_budget("")


def test_every_part_that_is_no_limit_is_named() -> None:
    with pytest.raises(ParameterError, match="'flash' is no limit; 'ram=many' is no limit; 'ms=-1' is no limit; ms has two limits"):
        read_budget("flash,ram=many,ms=-1,ms=5,ms=6")


def test_every_limit_that_is_exceeded_is_named_with_what_was_measured() -> None:
    measured = {"flash": 70_000.0, "ms": 4.0, "ram": 9_000.0}

    hold_to({"ms": 5.0}, measured)
    with pytest.raises(BudgetExceeded) as refused:
        hold_to({"flash": 65_536.0, "ms": 5.0, "ram": 8_192.0}, measured)

    assert ("flash is 70,000, at most 65,536", "ram is 9,000, at most 8,192") == refused.value.reasons
    assert measured == refused.value.measured


def test_a_limit_on_what_is_not_measured_is_refused() -> None:
    with pytest.raises(ParameterError, match="a limit on watts cannot be held"):
        hold_to({"watts": 1.0}, {"ms": 4.0})
