"""Budgets as a person writes them."""

from __future__ import annotations

import pytest

from sampan.core.budgets import read_budget
from sampan.errors import ParameterError


def test_sizes_count_in_powers_of_1024_and_other_units_stand_in_the_name() -> None:
    assert {"flash": 65536.0, "ram": 2097152.0, "ms": 0.5} == read_budget("flash=64k, ram=2M,ms=0.5,")
    assert {} == read_budget("")


def test_every_part_that_is_no_limit_is_named() -> None:
    with pytest.raises(ParameterError, match="'flash' is no limit; 'ram=many' is no limit; 'ms=-1' is no limit; ms has two limits"):
        read_budget("flash,ram=many,ms=-1,ms=5,ms=6")
