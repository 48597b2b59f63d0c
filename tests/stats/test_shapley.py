"""Shapley shares against games with known answers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.stats.shapley import Coalition, antithetic_orders, coalitions, exact_shares, shares_of_orders

PLAYERS = ("rows", "labels", "features")


def values_of(numbers: list[float], players: tuple[str, ...] = PLAYERS) -> dict[Coalition, np.ndarray]:
    return {each: np.float64(number) for each, number in zip(coalitions(players), numbers, strict=True)}


def test_the_glove_game_has_its_textbook_shares() -> None:
    # One left glove (a), two right ones (b, c); a pair is worth 1. Shapley: 2/3, 1/6, 1/6.
    worth = {each: np.float64("a" in each and bool(each & {"b", "c"})) for each in coalitions(("a", "b", "c"))}
    shares = exact_shares(("a", "b", "c"), worth)

    assert {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 6), "c": pytest.approx(1 / 6)} == {k: float(v) for k, v in shares.items()}


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=8))
def test_shares_add_up_and_equal_the_mean_over_all_orders(numbers: list[float]) -> None:
    values = values_of(numbers)
    shares = exact_shares(PLAYERS, values)
    by_orders = shares_of_orders(list(permutations(PLAYERS)), values.__getitem__)

    assert float(sum(shares.values())) == pytest.approx(numbers[-1] - numbers[0], abs=1e-9)
    for player in PLAYERS:
        assert float(by_orders[player]) == pytest.approx(float(shares[player]), abs=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=8), st.integers(1, 3))
def test_shares_of_few_orders_add_up_as_well(numbers: list[float], n_pairs: int) -> None:
    values = values_of(numbers)
    orders = antithetic_orders(PLAYERS, n_pairs, np.random.default_rng(0))
    shares = shares_of_orders(orders, values.__getitem__)

    assert float(sum(shares.values())) == pytest.approx(numbers[-1] - numbers[0], abs=1e-9)
    assert all(order[::-1] == reverse for order, reverse in zip(orders[::2], orders[1::2], strict=True))


def test_a_change_that_does_nothing_gets_nothing_and_draws_are_shared_out_one_by_one() -> None:
    draws = np.array([1.0, 2.0, 4.0])
    values = {each: draws * ("rows" in each) for each in coalitions(PLAYERS)}
    shares = exact_shares(PLAYERS, values)

    np.testing.assert_allclose(draws, shares["rows"])
    np.testing.assert_allclose(np.zeros(3), shares["labels"])


def test_a_missing_combination_is_an_error() -> None:
    with pytest.raises(ParameterError, match="7 of 8 combinations"):
        exact_shares(PLAYERS, {frozenset(): np.float64(0)})
