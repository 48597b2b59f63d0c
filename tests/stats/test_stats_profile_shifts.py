import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from sampan.stats.profile_building import profile_table
from sampan.stats.profile_shifts import compare_profiles


def test_equal_tables_have_no_shifts() -> None:
    frame = pl.DataFrame({"a": [1, 2, None], "b": ["x", None, "y"]})

    assert () == compare_profiles(profile_table(frame), profile_table(frame.reverse()))


def test_the_distance_of_numbers_is_the_kolmogorov_smirnov_distance() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 500, 4000), rng.integers(40, 560, 3000)
    (shift,) = compare_profiles(profile_table(pl.DataFrame({"a": one})), profile_table(pl.DataFrame({"a": other})))

    # A code of a profile is up to 2 % wide, so that is how far apart they may be.
    assert ks_2samp(one, other).statistic == pytest.approx(shift.distance, abs=0.02)
    assert shift.median == pytest.approx((np.median(one), np.median(other)), rel=0.02)


def test_the_distance_of_texts_is_half_the_difference_of_shares() -> None:
    one, other = pl.DataFrame({"a": ["x"] * 6 + ["y"] * 4}), pl.DataFrame({"a": ["x"] * 3 + ["y"] * 5 + ["z"] * 2})
    (shift,) = compare_profiles(profile_table(one), profile_table(other))

    assert 0.3 == pytest.approx(shift.distance)
    assert ("x", "y") == shift.most_frequent


def test_missing_is_a_value_of_its_own_and_the_most_different_come_first() -> None:
    one = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1, 2, 3, 4], "gone": [1, 1, 1, 1]})
    other = pl.DataFrame({"a": [1.0, None, None, None], "b": [1, 2, 3, 5]})
    shifts = compare_profiles(profile_table(one), profile_table(other))

    assert ["a", "b"] == [shift.column for shift in shifts]
    assert (0.0, 0.75) == shifts[0].null_share
    assert shifts[0].distance >= 0.75


def test_empty_tables_compare_with_anything() -> None:
    full, empty = (
        pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pl.DataFrame({"a": [None, None], "b": ["", None]}, schema={"a": pl.Int64, "b": pl.String}),
    )

    assert {"a", "b"} == {shift.column for shift in compare_profiles(profile_table(full), profile_table(empty))}
