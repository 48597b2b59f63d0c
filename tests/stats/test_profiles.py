"""A profile of the whole is the merge of its parts' profiles."""

import random
import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.data.profiling import profile_lazily, profile_parquet
from sampan.errors import ParameterError
from sampan.stats import comoments
from sampan.stats.profile_building import profile_table
from sampan.stats.profiles import ColumnProfile, Profile, merge_profiles

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

    assert merge_profiles(first, second) == whole
    assert merge_profiles(second, first) == whole


def test_many_distinct_texts_and_numbers_merge_exactly_too() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 20_000, 40_000)
    frame = pl.DataFrame({"s": [f"value {n}" for n in numbers], "n": numbers})
    merged = merge_profiles(
        merge_profiles(profile_table(frame[:10_000]), profile_table(frame[10_000:15_000])), profile_table(frame[15_000:])
    )

    assert merged == profile_table(frame)
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


def test_a_profile_survives_json_and_packing() -> None:
    profile = profile_table(pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [1.5, float("nan")]}))

    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
    assert Profile.unpack(profile.pack()) == profile


def test_profiles_of_different_tables_are_not_merged() -> None:
    a, b = profile_table(pl.DataFrame({"a": [1]})), profile_table(pl.DataFrame({"a": ["x"]}))

    with pytest.raises(ParameterError, match="different tables"):
        merge_profiles(a, b)
    with pytest.raises(ParameterError, match="hashed as"):
        merge_profiles(a, msgspec.structs.replace(a, hash_name="other/1"))


def wide_table(n: int) -> pl.DataFrame:
    """Numbers of every size, texts, times and dates, with gaps and repeated rows."""
    rng = np.random.default_rng(n)
    frame = pl.DataFrame(
        {
            "small": rng.integers(0, 30, n),
            "wide": rng.integers(-(2**62), 2**62, n),
            "price": np.round(rng.gamma(3.0, 20.0, n), 2),
            "tiny": rng.lognormal(-20, 8, n),
            "huge": rng.lognormal(20, 20, n),
            "whole": rng.integers(0, 2400, n).astype(np.float64),
            "word": pl.Series(rng.integers(0, 9_000, n)).cast(pl.String),
            "yes": rng.random(n) < 0.3,
            "at": pl.Series(rng.integers(0, 2**48, n)).cast(pl.Datetime("us", "UTC")),
            "day": pl.Series(rng.integers(0, 20_000, n).astype(np.int32)).cast(pl.Date),
        }
    )
    gaps = [
        pl.when(pl.Series(rng.random(n) > share)).then(pl.col(name)).alias(name)
        for name, share in (("price", 0.1), ("word", 0.02), ("small", 0.5))
    ]
    return pl.concat([frame.with_columns(gaps), frame[: n // 50]])


@pytest.mark.slow
@settings(max_examples=8)
@given(st.lists(st.integers(0, 61_200), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_large_table_cut_anywhere_merges_bit_for_bit_in_any_order(cuts: list[int], order: random.Random) -> None:
    frame = wide_table(60_000)
    edges = [0, *sorted(cuts), frame.height]
    parts = [profile_table(frame[a:b]) for a, b in pairwise(edges)]
    order.shuffle(parts)

    assert merge_profiles(*parts).pack() == WHOLE.pack()


WHOLE = profile_table(wide_table(60_000))


def test_a_lazy_frame_a_file_and_the_frame_itself_have_one_profile(tmp_path: Path) -> None:
    frame = wide_table(60_000)
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=7_000)

    assert profile_table(frame.lazy()) == WHOLE
    assert profile_table(frame[::-1]) == WHOLE
    assert profile_parquet(tmp_path / "t.parquet", frame.schema) == WHOLE
    assert profile_lazily(frame.lazy()) == WHOLE


def test_correlations_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(100, 3, 3_000)
    frame = pl.DataFrame({"x": x, "y": 2 * x + rng.normal(0, 4, 3_000), "n": rng.integers(0, 50, 3_000), "c": 1.5})
    gaps = frame.with_columns(y=pl.when(pl.col("n") < 40).then("y"))
    found = profile_table(gaps).comoments.correlations()
    there = gaps.drop_nulls()

    assert found[0, 1] == pytest.approx(np.corrcoef(there["x"], there["y"])[0, 1], abs=2e-3)
    assert found[0, 2] == pytest.approx(np.corrcoef(frame["x"], frame["n"])[0, 1], abs=2e-3)
    assert np.isnan(found[0, 3])
    assert found[1, 1] == pytest.approx(1.0)


def test_rows_that_repeat_count_as_often_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    few = pl.DataFrame({"x": rng.integers(-5, 90, 700), "y": rng.normal(3, 9, 700), "z": rng.choice([1.5, np.nan, 7.25], 700)})
    frame = few.fill_nan(None)[rng.choice(700, 9_000, p=rng.dirichlet(np.full(700, 0.3)))]
    roomy = profile_table(frame)
    monkeypatch.setattr(comoments, "_N_WAITING", 64)
    correlations = profile_table(frame).comoments.correlations()

    assert merge_profiles(*(profile_table(part) for part in frame.iter_slices(700))) == profile_table(frame) == roomy
    assert correlations[0, 1] == pytest.approx(np.corrcoef(frame["x"], frame["y"])[0, 1], abs=2e-3)


def test_whole_numbers_correlate_exactly_however_large_the_table_a_sample_of_it_is_near() -> None:
    rng = np.random.default_rng(6)
    small, large = (pl.DataFrame({"x": rng.integers(0, 999, n)}).with_columns(y=pl.col("x") ** 2) for n in (500, 200_000))

    exact = profile_table(small).comoments.correlations()[0, 1]
    sampled = profile_table(large).comoments

    assert exact == pytest.approx(np.corrcoef(small["x"], small["y"])[0, 1], abs=1e-12)
    assert sampled.correlations()[0, 1] == pytest.approx(np.corrcoef(large["x"], large["y"])[0, 1], abs=0.01)


def test_what_is_missing_together_and_what_repeats_is_counted() -> None:
    frame = pl.DataFrame({"a": [1, None, None, 4, 4], "b": ["x", None, None, None, None], "c": [1.0, 2.0, 2.0, 3.0, 3.0]})
    profile = profile_table(frame)

    assert {pattern.columns: pattern.n for pattern in profile.missing} == {(): 1, ("a", "b"): 2, ("b",): 2}
    assert sorted(profile.row_counts.tolist()) == [1, 2, 2]
    assert profile.repeated_share == 0.4


def test_texts_have_shapes_and_lengths() -> None:
    column = profiled(["N12345", "N54321", "N1AB", None])

    assert column.shapes() == [("A9+", 2), ("A9AA", 1)]
    assert column.lengths() == [(4, 1), (6, 2)]


def test_identifiers_beyond_what_a_float_holds_are_told_apart() -> None:
    assert profiled(np.arange(2**60, 2**60 + 500)).n_distinct == 500


def test_moments_are_within_a_code() -> None:
    values = np.random.default_rng(7).normal(50, 9, 20_000)

    assert profiled(values).moments() == pytest.approx((values.mean(), values.std()), rel=1e-3)


def test_odd_types_odd_names_and_very_many_patterns_are_profiled(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    frame = pl.DataFrame(
        {
            "^a.*$": pl.Series([2**64 - 1, 2**63, 5], dtype=pl.UInt64),
            "a.b": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "c": pl.Series(["1.50", "2.25", None]).cast(pl.Decimal(10, 2)),
            "d": pl.Series([1, 2, None], dtype=pl.Int128),
            "e": pl.Series([1, 2, 3]).cast(pl.Duration("ms")),
            "f": pl.Series([1, 2, 3]).cast(pl.Datetime("ns")),
        }
    )
    frame.drop("d").write_parquet(tmp_path / "odd_names.parquet")
    profile = profile_table(frame)
    gaps = pl.DataFrame({f"c{k}": np.where(rng.random(3_000) < 0.5, 1.0, np.nan) for k in range(20)}).fill_nan(None)

    assert [(c.kind, c.n_distinct) for c in profile.columns] == [
        ("number", 3),
        ("text", 2),
        ("number", 2),
        ("number", 2),
        ("other", 0),
        ("timestamp", 1),
    ]
    assert profile_parquet(tmp_path / "odd_names.parquet", frame.drop("d").schema) == profile_table(frame.drop("d"))
    assert len(profile_table(gaps).missing) == 1_024
    assert merge_profiles(profile_table(gaps[1_000:]), profile_table(gaps[:1_000])) == profile_table(gaps)


def test_profiling_a_file_imports_neither_pandas_nor_arrow_s_functions(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1.5, None, 2.0], "b": ["x", "y", None]}).write_parquet(tmp_path / "t.parquet")
    script = (
        "import sys, polars as pl; from pathlib import Path; from sampan.data.profiling import profile_parquet;"
        f"file = Path({str(tmp_path / 't.parquet')!r}); found = profile_parquet(file, pl.scan_parquet(file).collect_schema());"
        "print(found.n_rows, [name for name in ('pandas', 'pyarrow.compute', 'numpy.ma') if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "3 []" == printed.strip()


@pytest.mark.filterwarnings("error")
def test_numbers_from_one_end_of_their_type_to_the_other_are_counted_without_a_warning() -> None:
    small, wide = [-128, 127, 0], [-(2**63), 2**63 - 1, 0]
    frame = pl.DataFrame(
        {
            "small": pl.Series(small * 200, dtype=pl.Int8),
            "wide": pl.Series(wide * 200, dtype=pl.Int64),
            "unsigned": pl.Series([0, 2**64 - 1, None] * 200, dtype=pl.UInt64),
            "float": [-1e308, 1e308, float("nan")] * 200,
        }
    )

    profile = profile_table(frame)

    assert [(c.minimum, c.maximum) for c in profile.columns] == [(-128, 127), (-(2**63), 2**63 - 1), (0, 2**64 - 1), (-1e308, 1e308)]
    assert [c.n_distinct for c in profile.columns] == [3, 3, 2, 2]
    assert [c.n_nan for c in profile.columns] == [0, 0, 0, 200]


def test_a_column_without_any_value_in_some_batches_has_the_profile_of_its_parts() -> None:
    frame = pl.DataFrame({"a": pl.Series([None] * 1_000 + [5.0, 2.5], dtype=pl.Float64), "b": pl.Series([None] * 1_000 + [7, 7])})

    assert profile_table(frame[:1_000]).merge(profile_table(frame[1_000:])) == profile_table(frame)


def test_zero_has_one_sign() -> None:
    assert str(profile_table(pl.DataFrame({"a": [-0.0, 0.25]})).columns[0].minimum) == "0.0"
