"""Keys in ascending runs answer what hashing all of them would."""

from __future__ import annotations

from datetime import date
from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import asarray

from sampan.store.tables.key_runs import KeyRuns, Run, cut, numbers_of

small = st.integers(-128, 127)


def runs_of(keys: pl.Series, most: int = 256) -> KeyRuns | None:
    """Cut keys into runs, as they lie in memory."""
    numbers = numbers_of(keys)
    found = None if numbers is None else cut(numbers, most)
    if numbers is None or found is None:
        return None
    pieces = [numbers[at] for at in found]
    return KeyRuns(Run(int(piece[0]), int(piece[-1]), partial(asarray, piece)) for piece in pieces)


@given(st.lists(small, max_size=60), st.lists(st.one_of(st.none(), small), max_size=20))
def test_runs_say_what_a_set_says(numbers: list[int], others: list[int | None]) -> None:
    keys = pl.Series(numbers, dtype=pl.Int8)
    told = runs_of(keys)

    assert told is not None
    assert told.are_unique() == (keys.n_unique() == len(keys))
    assert told.holds(pl.Series(others, dtype=pl.Int8)).to_list() == [other in set(keys) for other in others]


def test_moments_and_days_are_keys_as_well() -> None:
    days = pl.date_range(date(2013, 1, 1), date(2013, 3, 1), eager=True).alias("^a$")
    told = runs_of(days)

    assert told is not None
    assert told.holds(pl.Series("^a$", [date(2013, 2, 1), None, date(2014, 1, 1)])).to_list() == [True, False, False]


def test_a_run_is_read_only_where_its_ends_do_not_tell() -> None:
    read: list[int] = []

    def run(first: int, last: int) -> Run:
        def keys() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
            read.append(first)
            return np.arange(first, last + 1)

        return Run(first, last, keys)

    told = KeyRuns([run(100, 199), run(0, 99), run(150, 300)])

    assert not told.are_unique()
    assert sorted(read) == [100, 150]
    read.clear()
    assert told.holds(pl.Series([-1, 5, 1_000])).to_list() == [False, True, False]
    assert read == [0]


@pytest.mark.parametrize(
    "keys",
    [pl.Series([3, 2, 1]), pl.Series([1, 1, 1]), pl.Series([1, None]), pl.Series(["a", "b"]), pl.Series([1.0, 2.0])],
    ids=["descending", "thrice", "missing", "text", "fractions"],
)
def test_other_keys_have_no_runs(keys: pl.Series) -> None:
    assert runs_of(keys, most=2) is None
