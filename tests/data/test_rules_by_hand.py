"""Whatever the table, the one pass counts what looking at each row by hand does."""

import math
import re
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.data.checking import check_batch, check_table
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Condition,
    Contract,
    Length,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    Unique,
)
from sampan.data.contract_yaml import read_contract, write_contract

COLUMNS = (Column(name="i", type="integer"), Column(name="x", type="number"), Column(name="s", type="string"))
SCHEMA = {"i": pl.Int64, "x": pl.Float64, "s": pl.String}
numbers = st.sampled_from([None, 0.0, -0.0, 1.5, 2.0, -3.0, math.nan, math.inf, -math.inf])
rows = st.tuples(st.one_of(st.none(), st.integers(-3, 3)), numbers, st.sampled_from([None, "", "a", "ab", "é", "b1"]))
bounds = st.one_of(st.none(), st.integers(-3, 3))
sides = st.sampled_from([(), ("minimum",), ("maximum",), ("minimum", "maximum")])
levels = st.sampled_from(["block", "warn"])
tolerances = st.sampled_from([0.0, 0.25])
rules = st.one_of(
    st.builds(Range, column=st.sampled_from(["i", "x"]), minimum=bounds, maximum=bounds, beyond=sides, tolerance=tolerances, level=levels),
    st.builds(Length, column=st.just("s"), minimum=bounds.filter(lambda b: b is None or b >= 0), maximum=bounds, level=levels),
    st.builds(AllowedValues, column=st.just("s"), values=st.sampled_from([("a",), ("", "ab")]), forbidden=st.booleans(), level=levels),
    st.builds(AllowedValues, column=st.just("i"), values=st.sampled_from([(1,), (-1, 2)]), forbidden=st.booleans(), tolerance=tolerances),
    st.builds(Pattern, column=st.just("s"), pattern=st.sampled_from(["^a", "b$", "^[a-z]+$"]), level=levels),
    st.builds(NullShare, column=st.sampled_from(["i", "s"]), max_share=st.sampled_from([0.0, 0.5]), level=levels),
    st.just(NullTogether(columns=("i", "s"))),
    st.just(Unique(columns=("i", "s"), level="block")),
    st.just(Condition(sql="i >= x", level="block")),
)


def breaks(rule: AnyRule, row: dict[str, Any], table: list[dict[str, Any]]) -> bool:
    """Judge one row, as a person would."""
    if isinstance(rule, NullShare):
        return row[rule.column] is None
    if isinstance(rule, NullTogether):
        return len({row[column] is None for column in rule.columns}) > 1
    if isinstance(rule, Unique):
        keys = Counter(tuple(one[column] for column in rule.columns) for one in table)
        key = tuple(row[column] for column in rule.columns)
        return None not in key and keys[key] > 1
    if isinstance(rule, Condition):
        # NaN is the greatest number, as everywhere in a table.
        return None not in (row["i"], row["x"]) and not (row["i"] >= row["x"])
    value = row[rule.column]  # type: ignore[union-attr]
    if value is None:
        return False
    if isinstance(rule, AllowedValues):
        return (value in rule.values) == rule.forbidden
    if isinstance(rule, Pattern):
        return re.search(rule.pattern, value) is None
    assert isinstance(rule, Range | Length)
    number = len(value) if isinstance(rule, Length) else value
    low, high, beyond = rule.minimum, rule.maximum, getattr(rule, "beyond", ())
    if isinstance(number, float) and math.isnan(number):
        return low is not None or high is not None
    assert not isinstance(low, str)
    assert not isinstance(high, str)
    below = low is not None and (number < low or (number == low and "minimum" in beyond))
    return below or (high is not None and (number > high or (number == high and "maximum" in beyond)))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=12), rules)
def test_one_pass_counts_what_is_counted_by_hand(table: list[tuple[Any, ...]], rule: AnyRule) -> None:
    frame = pl.DataFrame(table, schema=SCHEMA, orient="row")
    contract = Contract(name="t", columns=COLUMNS, rules=(rule,))
    by_hand = [breaks(rule, row, frame.to_dicts()) for row in frame.to_dicts()]
    tolerated = rule.max_share if isinstance(rule, NullShare) else rule.tolerance  # type: ignore[union-attr]
    broken = sum(by_hand) > tolerated * len(by_hand)
    result = check_table(contract, frame.lazy())

    assert [sum(by_hand)] * broken == [finding.count for finding in result.findings]
    expected = tuple(i for i, mark in enumerate(by_hand) if mark) if broken and rule.level == "block" else ()
    assert expected == check_batch(contract, frame).rows


def can_be_kept_and_broken(rule: AnyRule) -> bool:
    """Say whether a rule's bounds are some: the file refuses others."""
    if not isinstance(rule, Range | Length):
        return True
    known = [bound for bound in (rule.minimum, rule.maximum) if isinstance(bound, int)]
    return bool(known) and known == sorted(known)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(rules.filter(can_be_kept_and_broken), max_size=6))
def test_any_rules_survive_the_file(found: list[AnyRule]) -> None:
    contract = Contract(name="t", columns=COLUMNS, rules=tuple(found))
    again = read_contract(write_contract(contract), file="t.yaml")

    assert sorted(map(repr, contract.rules)) == sorted(map(repr, again.rules))
    assert write_contract(again) == write_contract(contract)
