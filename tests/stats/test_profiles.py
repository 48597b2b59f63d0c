"""A profile of the whole is the merge of its parts' profiles."""

from datetime import UTC, date, datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.stats.profiles import ColumnProfile, Profile, merge_profiles, profile_table

EXACT = ("n", "n_null", "n_nan", "minimum", "maximum", "codes", "counts", "values", "hashes")


def exact(profile: Profile) -> list[dict[str, object]]:
    return [{field: getattr(column, field) for field in EXACT} for column in profile.columns]


ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(width=64),
        st.none() | st.integers(-(2**40), 2**40),
        st.none() | st.text(max_size=3),
        st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001  # Hypothesis takes naive bounds
        st.none() | st.booleans(),
    ),
    max_size=30,
)
SCHEMA = {"f": pl.Float64, "i": pl.Int64, "s": pl.String, "t": pl.Datetime("us"), "b": pl.Boolean}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 30))
def test_parts_merge_to_the_whole_in_any_order(rows: list[tuple[object, ...]], cut: int) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    first, second = profile_table(frame[:cut]), profile_table(frame[cut:])
    whole = profile_table(frame)

    assert exact(merge_profiles(first, second)) == exact(whole)
    assert exact(merge_profiles(second, first)) == exact(whole)


def test_many_distinct_texts_and_numbers_merge_exactly_too() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 20_000, 40_000)
    frame = pl.DataFrame({"s": [f"value {n}" for n in numbers], "n": numbers})
    merged = merge_profiles(
        merge_profiles(profile_table(frame[:10_000]), profile_table(frame[10_000:15_000])), profile_table(frame[15_000:])
    )

    assert exact(merged) == exact(profile_table(frame))
    for column in merged.columns:
        assert column.is_sampled
        assert column.n_distinct == pytest.approx(frame[column.name].n_unique(), rel=0.1)
    kept = merged.columns[0].values
    counts = dict(frame["s"].value_counts().iter_rows())
    assert all(counts[text] == n for text, n in kept.items())


def profiled(values: list[object] | np.ndarray, dtype: pl.DataType | None = None) -> ColumnProfile:  # type: ignore[type-arg]
    return profile_table(pl.DataFrame({"x": pl.Series(values, dtype=dtype)})).columns[0]


def test_small_whole_numbers_are_exact() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(-1_000, 1_000, 5_001)
    shares = [0.01, 0.25, 0.5, 0.75, 0.99]

    assert profiled(values).quantiles(shares) == list(np.quantile(values, shares, method="inverted_cdf"))


def test_quantiles_of_floats_are_within_a_code() -> None:
    values = np.random.default_rng(3).lognormal(3, 2, 20_000)
    found = profiled(values).quantiles([0.05, 0.5, 0.95])

    assert found == pytest.approx(np.quantile(values, [0.05, 0.5, 0.95], method="inverted_cdf"), rel=2**-9)


def test_a_histogram_counts_every_finite_value_once() -> None:
    column = profiled([1.0, 2.0, 2.5, None, float("nan"), float("inf"), -3.0])
    edges, counts = column.histogram(4)

    assert (column.n_null, column.n_nan, column.n_present) == (1, 2, 4)
    assert (edges[0], edges[-1], sum(counts)) == (-3.0, 2.5, 4)
    assert profiled([7, 7]).histogram() == ([7.0, 7.0], [2])
    assert profiled([], pl.Int64()).histogram() == ([], [])


def test_the_largest_numbers_there_are_have_a_histogram_and_quantiles() -> None:
    most = float(np.finfo(np.float64).max)
    column = profiled([-most, -most, most, most / 1.5, most / 1.5, 0.0])
    edges, counts = column.histogram(4)

    assert edges == pytest.approx([-most, -most / 2, 0.0, most / 2, most])
    assert counts == [2, 0, 1, 3]
    assert column.quantiles([0, 0.5, 1]) == pytest.approx([-most, 0.0, most], rel=2**-9)


def test_times_and_dates_have_ranges() -> None:
    times = profiled([datetime(2013, 1, 1, 5, 30, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC)])
    dates = profiled([date(2013, 1, 1), date(2013, 1, 3)])

    assert times.maximum == datetime(2013, 1, 2, tzinfo=UTC).timestamp() * 1e6
    assert dates.quantiles([0, 1]) == [15706.0, 15708.0]


def test_texts_have_a_most_frequent_value_and_nested_columns_only_counts() -> None:
    assert profiled(["b", "a", "b", None]).top(1) == [("b", 2)]
    assert profiled([[1], None]).kind == "other"


def test_a_profile_survives_json() -> None:
    profile = profile_table(pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [1.5, float("nan")]}))

    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_profiles_of_different_tables_are_not_merged() -> None:
    a, b = profile_table(pl.DataFrame({"a": [1]})), profile_table(pl.DataFrame({"a": ["x"]}))

    with pytest.raises(ParameterError, match="different tables"):
        merge_profiles(a, b)
    with pytest.raises(ParameterError, match="hashed as"):
        merge_profiles(a, msgspec.structs.replace(a, hash_name="other/1"))
