"""Shapley shares: how much each of several changes contributed to an outcome, where what one does depends on the others.

The share of a change is what it adds to the outcome, averaged over all orders in which the changes could have been made. The shares of all
changes add up to the whole difference. Values may be vectors (bootstrap draws): shares are linear in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError

Coalition = frozenset[str]
Floats = NDArray[np.float64]


def coalitions(players: Sequence[str]) -> Iterator[Coalition]:
    """Iterate over all subsets, the empty one first, the whole one last: 2^n of them."""
    for size in range(len(players) + 1):
        yield from map(frozenset, combinations(players, size))


def exact_shares(players: Sequence[str], values: Mapping[Coalition, Floats]) -> dict[str, Floats]:
    """Return each player's share from the values of all 2^n coalitions.

    Parameters
    ----------
    values : of every subset of the players, each a scalar array or one of shape (draws,)

    Raises
    ------
    ParameterError : a coalition has no value.

    References
    ----------
    L. S. Shapley (1953), "A Value for n-Person Games", Contributions to the Theory of Games II.
    """
    missing = [each for each in coalitions(players) if each not in values]
    if missing:
        raise ParameterError(f"{len(missing)} of {2 ** len(players)} combinations have no value", hint="compute them all, or take orders")
    n = len(players)
    weights = [factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)]
    found = {}
    for player in players:
        others = [each for each in players if each != player]
        terms = [weights[len(before)] * (values[before | {player}] - values[before]) for before in coalitions(others)]
        found[player] = np.asarray(sum(terms), dtype=np.float64)
    return found


def antithetic_orders(players: Sequence[str], n_pairs: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Draw orders in pairs, each with its reverse, which cancels much of the error of taking few.

    References
    ----------
    R. Mitchell, J. Cooper, E. Frank, G. Holmes (2022), "Sampling Permutations for Shapley Value Estimation", JMLR 23.
    """
    found = []
    for _ in range(n_pairs):
        order = tuple(str(each) for each in rng.permutation(np.asarray(players, dtype=object)))
        found += [order, order[::-1]]
    return found


def prefixes(order: Sequence[str]) -> list[Coalition]:
    """Return the coalitions an order passes through, the empty one first."""
    return [frozenset(order[:size]) for size in range(len(order) + 1)]


def shares_of_orders(orders: Sequence[Sequence[str]], value: Callable[[Coalition], Floats]) -> dict[str, Floats]:
    """Return each player's mean addition over some orders. The shares add up to the whole difference for any orders."""
    if not orders:
        raise ParameterError("no order was drawn", hint="draw at least one pair")
    totals: dict[str, Floats] = {}
    for order in orders:
        before = value(frozenset())
        for player, reached in zip(order, prefixes(order)[1:], strict=True):
            after = value(reached)
            totals[player] = totals.get(player, np.float64(0)) + (after - before)
            before = after
    return {player: np.asarray(total / len(orders), dtype=np.float64) for player, total in totals.items()}
