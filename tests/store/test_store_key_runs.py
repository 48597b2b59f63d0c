"""Keys in ascending runs answer what hashing all of them would."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.store.tables.key_runs import MOST_RUNS, KeyRuns

small = st.integers(-128, 127)


@given(st.lists(st.sets(small, max_size=12).map(sorted), max_size=6), st.lists(st.one_of(st.none(), small), max_size=20))
def test_runs_say_what_a_set_says(runs: list[list[int]], others: list[int | None]) -> None:
    keys = pl.concat([pl.Series(run, dtype=pl.Int8) for run in [[], *runs]], rechunk=False)
    told = KeyRuns.of(keys)

    assert told is not None
    assert told.are_unique() == (keys.n_unique() == len(keys))
    assert told.holds(pl.Series(others, dtype=pl.Int8)).to_list() == [other in set(keys) for other in others]


def test_moments_and_days_are_keys_as_well() -> None:
    days = pl.date_range(date(2013, 1, 1), date(2013, 3, 1), eager=True).alias("^a$")
    told = KeyRuns.of(days)

    assert told is not None
    assert told.holds(pl.Series("^a$", [date(2013, 2, 1), None, date(2014, 1, 1)])).to_list() == [True, False, False]


@pytest.mark.parametrize(
    "keys",
    [
        pl.Series([2, 1]),
        pl.Series([1, 1]),
        pl.Series([1, None]),
        pl.Series(["a", "b"]),
        pl.Series([1.0, 2.0]),
        pl.concat([pl.Series([number]) for number in range(MOST_RUNS + 1)], rechunk=False),
    ],
    ids=["descending", "twice", "missing", "text", "fractions", "too many runs"],
)
def test_other_keys_have_no_runs(keys: pl.Series) -> None:
    assert KeyRuns.of(keys) is None
