"""Honest columns of public data are not accused; planted leaks are found.

This is what the thresholds of `leakage` were chosen on. The flights come in only at the end, as the case they were not chosen on.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from sampan.data.association import column_auc, difference_auc, discriminability
from sampan.data.leakage import MAX_ROWS, find_leaks
from sampan.errors import ParameterError


def public_tasks() -> Iterator[tuple[str, pl.DataFrame]]:
    """Each of scikit-learn's bundled classification tables, each class against the rest; diabetes above its median."""
    from sklearn import datasets

    for name in ("breast_cancer", "wine", "iris", "digits", "diabetes"):
        data = getattr(datasets, f"load_{name}")()
        frame = pl.DataFrame({f"c{i}": column for i, column in enumerate(data.data.T)})
        if name == "diabetes":
            yield name, frame.with_columns(y=pl.Series(data.target > np.median(data.target)))
        else:
            for k in np.unique(data.target)[: 1 if name == "breast_cancer" else None]:
                yield f"{name}{k}", frame.with_columns(y=pl.Series(data.target == k))


@pytest.fixture(scope="module")
def tasks() -> list[tuple[str, pl.DataFrame]]:
    return list(public_tasks())


def few(tasks: list[tuple[str, pl.DataFrame]]) -> list[tuple[str, pl.DataFrame]]:
    """All tables, but only two of the ten digits: leaks are planted in them."""
    return [(name, frame) for name, frame in tasks if not name.startswith("digits") or name in ("digits0", "digits7")]


def accused(frame: pl.DataFrame) -> set[str]:
    return set(find_leaks(frame, pl.col("y")).columns) - {"y"}


@pytest.mark.slow
def test_no_column_of_a_public_table_is_accused(tasks: list[tuple[str, pl.DataFrame]]) -> None:
    assert {name: found for name, frame in tasks if (found := accused(frame))} == {}


@pytest.mark.slow
def test_a_copy_of_the_label_is_found_in_every_table_but_the_smallest(tasks: list[tuple[str, pl.DataFrame]]) -> None:
    rng = np.random.default_rng(0)
    missed = []
    for name, frame in few(tasks):
        copy = frame["y"].to_numpy() + rng.normal(0, 0.2, len(frame))
        if accused(frame.with_columns(planted=pl.Series(copy))) != {"planted"}:
            missed.append(name)

    # 150 flowers with four columns, two of which decide the class perfectly or nearly so: nothing stands out there.
    assert missed == ["iris0", "iris1", "iris2"]


@pytest.mark.slow
def test_an_actual_less_a_planned_value_is_found(tasks: list[tuple[str, pl.DataFrame]]) -> None:
    rng = np.random.default_rng(0)
    found = {}
    for name, frame in few(tasks):
        if len(frame) < 400:
            continue
        planned = rng.normal(0, 30, len(frame))
        late = frame["y"].to_numpy() * 20 + rng.normal(0, 2, len(frame))
        found[name] = accused(frame.with_columns(planned_at=pl.Series(planned), actual_at=pl.Series(planned + late)))

    assert {name: columns for name, columns in found.items() if columns != {"actual_at"}} == {}


def noise(n: int = 2_000, k: int = 6, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({f"c{i}": rng.normal(size=n) for i in range(k)})
    return frame.with_columns(y=pl.Series(rng.random(n) < 0.3))


def kinds(frame: pl.DataFrame, **more: object) -> dict[str, str]:
    return {leak.column: leak.kind for leak in find_leaks(frame, pl.col("y"), **more).leaks}  # type: ignore[arg-type]


def test_sources_and_declared_columns_are_leaks() -> None:
    assert kinds(noise(), known={"c1": "after", "c2": "", "c3": "before"}) == {"y": "source", "c1": "declared"}


def test_a_time_after_the_moment_of_prediction_is_a_leak() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    frame = noise().with_columns(at=pl.Series([start + timedelta(hours=i) for i in range(2_000)]))
    frame = frame.with_columns(paid_at=pl.col("at") + pl.duration(hours=3), born_at=pl.col("at") - pl.duration(days=900))

    assert kinds(frame, moment="at") == {"y": "source", "paid_at": "later"}


def test_a_column_missing_just_where_the_label_is_missing_is_a_leak() -> None:
    gone = pl.int_range(2_000) % 10 == 0
    frame = noise().with_columns(
        y=pl.when(~gone).then("y"), c0=pl.when(~gone).then("c0"), c1=pl.when(pl.int_range(2_000) % 7 > 0).then("c1")
    )

    assert kinds(frame) == {"y": "source", "c0": "absent"}


def test_a_missing_value_pattern_that_predicts_the_label_is_a_leak() -> None:
    frame = noise().with_columns(c0=pl.when("y").then("c0"))

    assert kinds(frame) == {"y": "source", "c0": "predicts"}


def test_a_strong_but_honest_column_is_no_leak() -> None:
    rng = np.random.default_rng(3)
    frame = noise().with_columns(score=pl.Series(rng.normal(size=2_000)) + pl.col("y").cast(pl.Float64) * 1.2)

    assert kinds(frame) == {"y": "source"}


def test_a_category_of_its_own_for_each_row_says_nothing() -> None:
    frame = noise().with_columns(id=pl.Series([f"row {i}" for i in range(2_000)]))
    report = find_leaks(frame, pl.col("y"))

    assert report.columns == ("y",)
    assert report.aucs["id"] == 0.5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (pl.col("nope") > 1, "cannot be computed"),
        (pl.col("c0") > 1e9, "one class only"),
        (pl.col("c0").cast(pl.String), "not true or false"),
    ],
)
def test_a_target_that_is_none_is_refused(target: pl.Expr, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        find_leaks(noise(), target)
    with pytest.raises(ParameterError, match="no column 'when'"):
        find_leaks(noise(), pl.col("y"), moment="when")


def test_a_number_is_split_at_its_median() -> None:
    report = find_leaks(noise().with_columns(value=pl.col("c0") * 2), pl.col("value"))

    assert {leak.column: leak.kind for leak in report.leaks} == {"c0": "predicts", "value": "source"}


def test_association_measures_have_known_values() -> None:
    label = np.array([False, True] * 500)
    ramp = np.arange(1000.0)

    assert column_auc(pl.Series(label.astype(float)), label) == 1.0
    assert column_auc(pl.Series(["x"] * 1000), label) == 0.5
    assert column_auc(pl.Series(np.abs(ramp - 500)), (np.abs(ramp - 500) > 250)) == 1.0
    assert column_auc(pl.Series(ramp), (np.abs(ramp - 500) > 250)) > 0.95  # no order, but bins
    assert difference_auc(ramp, ramp - label, label) == 1.0
    assert discriminability(0.5) == pytest.approx(0)
    assert discriminability(0.76025) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_flights_leaks_are_found_and_nothing_else(all_tables: dict[str, pl.DataFrame]) -> None:
    flights = all_tables["flights"]
    report = find_leaks(flights, pl.col("arr_delay") >= 15, moment="time_hour")

    assert flights.height > MAX_ROWS
    assert set(report.columns) == {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    without_cancelled = find_leaks(flights.drop_nulls(), pl.col("arr_delay") >= 15, moment="time_hour")
    # Where cancelled flights are gone, nothing in the table tells that air_time is known only later: only a declaration can.
    assert set(without_cancelled.columns) == {"dep_time", "dep_delay", "arr_time", "arr_delay"}
