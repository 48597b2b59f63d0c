"""A drafted contract holds for the next delivery, and says why."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from sampan.data.checking import check_table
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Condition,
    Distribution,
    Freshness,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    Unique,
    rule_name,
)
from sampan.data.false_alarms import chance_of_another, chance_of_extreme
from sampan.data.inference import infer_contract
from sampan.data.null_groups import null_groups

N = 6_000
START = datetime(2024, 1, 1, tzinfo=UTC)


def sales(seed: int, start: datetime = START) -> pl.DataFrame:
    """Half a year of made-up sales."""
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, 180 * 24, N))
    price = rng.gamma(2, 20, N).round(2)
    has_coupon = pl.Series(rng.random(N) < 0.7)
    return pl.DataFrame(
        {
            "order": [f"O{seed}{i:06d}" for i in range(N)],
            "at": [start + timedelta(hours=int(h)) for h in hours],
            "month": [(start + timedelta(hours=int(h))).month for h in hours],
            "shop": rng.choice(["north", "south", "west"], N),
            "price": price,
            "counter": np.arange(N) + seed * N,
        }
    ).with_columns(coupon=pl.when(has_coupon).then(pl.lit("SPRING")), discount=pl.when(has_coupon).then(0.1))


def rules(frame: pl.DataFrame, kind: type[AnyRule]) -> dict[str, AnyRule]:
    return {getattr(rule, "column", ""): rule for rule in infer_contract("sales", frame).rules if isinstance(rule, kind)}


def test_the_next_delivery_passes() -> None:
    contract = infer_contract("sales", sales(1))

    assert check_table(contract, sales(2, START + timedelta(days=180))).findings == ()


def test_values_ranges_and_patterns_are_drafted_with_evidence() -> None:
    frame = sales(1)
    values, ranges, patterns = rules(frame, AllowedValues), rules(frame, Range), rules(frame, Pattern)

    assert values["shop"].values == ("north", "south", "west")  # type: ignore[union-attr]
    assert "in 6,000 rows" in values["shop"].evidence
    assert (ranges["month"].minimum, ranges["month"].maximum) == (1, 12)  # type: ignore[union-attr]
    assert ranges["price"].minimum == 0  # type: ignore[union-attr]
    assert patterns["order"].pattern == "^[A-Z0-9]{8}$"  # type: ignore[union-attr]


def test_a_counter_and_the_time_get_no_bounds() -> None:
    assert not {"counter", "at"} & rules(sales(1), Range).keys()


def test_a_value_that_comes_up_late_prevents_a_value_list() -> None:
    frame = sales(1).with_columns(shop=pl.when(pl.int_range(N) > N - 50).then(pl.lit("east")).otherwise("shop"))

    assert "shop" not in rules(frame, AllowedValues)


def test_missing_values_get_a_ceiling_with_noise() -> None:
    found = rules(sales(1), NullShare)

    assert found["price"].max_share == 0  # type: ignore[union-attr]
    assert 0.3 < found["coupon"].max_share < 0.4  # type: ignore[union-attr]


def test_expectations_are_not_weakened_to_fit_the_data() -> None:
    frame = pl.DataFrame({"id": range(1000), "mostly_empty": [1, *[None] * 999], "nearly_full": [None, *["x"] * 999]})
    result = check_table(infer_contract("t", frame), frame)

    assert {f.columns: f.count for f in result.findings} == {("mostly_empty",): 999, ("nearly_full",): 1}


def test_columns_missing_in_the_same_rows_are_one_fact() -> None:
    frame = pl.DataFrame({"a": [1, None, 3, None], "b": [None, 2, 3, 4], "c": ["x", None, "y", None], "d": [None] * 4})
    contract = infer_contract("t", frame)

    assert null_groups(frame) == [("a", "c")]
    assert [rule.columns for rule in contract.rules if isinstance(rule, NullTogether)] == [("a", "c")]


def test_the_key_is_found_or_taken_as_declared() -> None:
    assert infer_contract("sales", sales(1)).key == ("order",)
    declared = infer_contract("sales", sales(1), key=["shop", "at"])
    (unique,) = [rule for rule in declared.rules if isinstance(rule, Unique)]

    assert declared.key == ("shop", "at")
    assert unique.evidence == "declared, although rows agree in it"


def test_tables_without_rows_or_values_get_what_is_known() -> None:
    empty = infer_contract("t", pl.DataFrame({"a": pl.Series([], dtype=pl.String), "b": pl.Series([], dtype=pl.Int64)}))
    nulls = infer_contract("t", pl.DataFrame({"a": pl.Series([None, None], dtype=pl.String)}))

    assert [column.type for column in empty.columns] == ["string", "integer"]
    assert nulls.columns[0].name == "a"
    assert check_table(nulls, pl.DataFrame({"a": ["x", "y"]})).verdict == "passed"


def test_every_rule_says_how_often_it_would_alarm_for_no_fault() -> None:
    contract = infer_contract("sales", sales(1))
    estimates = {rule_name(rule): rule.false_alarms for rule in contract.rules}

    assert [rule for rule in contract.rules if rule.false_alarms is None] == []
    assert all(estimate is not None and 0 < estimate < 2 for estimate in estimates.values())
    assert all(rule.evidence and rule.why for rule in contract.rules)


def test_a_year_of_deliveries_alarms_about_as_often_as_expected() -> None:
    # Deliveries are months (a sixth of half a year): twelve more, none of them faulty.
    contract = infer_contract("sales", sales(1))
    expected = sum(rule.false_alarms or 0 for rule in contract.rules)
    found = 0
    for month in range(12):
        delivery = sales(2 + month % 8, START + timedelta(days=180 + 30 * month)).head(N // 6)
        found += len(check_table(contract, delivery).findings)

    assert found <= 2 * expected + 3


def test_the_chance_of_an_extreme_and_of_another_value_are_those_of_their_laws() -> None:
    rng = np.random.default_rng(0)
    fitted = [chance_of_extreme(rng.gumbel(10, 2, 36).tolist(), 18.0) for _ in range(200)]
    broken = np.mean([rng.gumbel(10, 2, 6).max() > 18 for _ in range(4_000)])
    six = rng.normal(size=(4_000, 7))
    chances = [chance_of_another(row[:6].tolist(), 2.0) for row in six]

    assert np.mean(fitted) == pytest.approx(broken, abs=0.02)
    assert np.mean(chances) == pytest.approx(np.mean(six[:, 6] > 2.0), abs=0.05)
    assert chance_of_another([0.0, 1.0], 1.0) == pytest.approx(t.sf(0.5 / (0.5**0.5 * 1.5**0.5), 1))
    assert chance_of_another([1.0, 2.0, 4.0, 5.0, 7.0], 9.0) == pytest.approx(t.sf(5.2 / (np.sqrt(5.7) * 1.2**0.5), 4))
    assert (chance_of_extreme([3.0, 3.0], 3.0), chance_of_extreme([3.0, 3.0], 2.9), chance_of_another([3.0, 3.0], 2.0)) == (0.0, 1.0, 1.0)


def test_a_distribution_is_drafted_where_the_parts_agree() -> None:
    found = rules(sales(1), Distribution)
    moving = rules(sales(1).with_columns(price=pl.col("price") + pl.int_range(N) * 0.05), Distribution)

    assert found["price"].max_distance == 0.1  # type: ignore[union-attr]
    assert set(found["shop"].values) == {"north", "south", "west"}  # type: ignore[union-attr]
    assert "price" not in moving
    assert not {"counter", "month", "order"} & found.keys()


def test_a_moment_that_never_comes_before_another_is_a_condition() -> None:
    n = 100
    start = [START + timedelta(hours=i) for i in range(n)]
    frame = pl.DataFrame(
        {
            "placed": start,
            "paid": [s + timedelta(minutes=i % 7) for i, s in enumerate(start)],
            "min_fee": range(n),
            "max_fee": range(n, 2 * n),
        }
    )
    found = [rule.sql for rule in infer_contract("orders", frame).rules if isinstance(rule, Condition)]

    assert found == ['"placed" <= "paid"', '"min_fee" <= "max_fee"']
    assert check_table(infer_contract("orders", frame), frame).findings == ()


def test_freshness_is_drafted_from_how_old_data_was_when_it_came() -> None:
    hour = 3_600_000
    newest = int(sales(1)["at"].max().timestamp() * 1000)  # type: ignore[union-attr]
    feed = [(newest - 48 * hour, newest - 46 * hour), (newest - 24 * hour, newest - 20 * hour), (newest, newest + 3 * hour)]

    def freshness(arrivals: list[tuple[int, int]]) -> list[Freshness]:
        return [rule for rule in infer_contract("sales", sales(1), arrivals=arrivals).rules if isinstance(rule, Freshness)]

    (rule,) = freshness(feed)
    assert (rule.column, rule.max_hours) == ("at", 60.0)  # twice 4 + 26 hours
    assert "at most 4 hours old when it came" in rule.evidence
    assert freshness([(newest, newest + 10_000 * hour)]) == []  # a record of the past
    assert freshness([]) == []


def test_units_are_read_from_names_and_roles_from_what_is_known() -> None:
    frame = pl.DataFrame({"id": range(50), "weight_kg": [i / 7 for i in range(50)], "wait_mins": [1.5] * 50})
    columns = {column.name: column for column in infer_contract("t", frame).columns}

    assert (columns["weight_kg"].unit, columns["wait_mins"].unit, columns["id"].unit) == ("kg", "minutes", "")
    assert columns["id"].role == "key"


def test_a_table_in_a_file_is_read_by_columns_and_gives_the_same_contract(tmp_path: Path) -> None:
    sales(1).write_parquet(tmp_path / "sales.parquet")
    stores = pl.DataFrame({"shop": sales(1)["shop"].unique().sort()})
    lazy = infer_contract("sales", pl.scan_parquet(tmp_path / "sales.parquet"), tables={"stores": stores.lazy()})

    assert lazy == infer_contract("sales", sales(1), tables={"stores": stores})


def test_a_scale_of_few_whole_numbers_expects_few_false_alarms() -> None:
    rng = np.random.default_rng(3)
    scales = pl.DataFrame({f"item{i}": rng.integers(0, 4, 600) for i in range(20)})
    drafted = rules(scales, Range)

    assert [(rule.minimum, rule.maximum) for rule in drafted.values() if isinstance(rule, Range)] == [(0, 3)] * 20
    assert sum(rule.false_alarms or 0 for rule in drafted.values()) < 2.0


def test_a_column_without_any_value_is_of_no_type() -> None:
    contract = infer_contract("t", pl.DataFrame({"x": range(60), "never": [None] * 60}))

    assert [column.type for column in contract.columns] == ["integer", ""]
    assert "never" not in [f.columns[0] for f in check_table(contract, pl.DataFrame({"x": range(60), "never": ["a"] * 60})).findings]


def test_columns_that_look_like_patterns_are_drafted_like_others() -> None:
    rng = np.random.default_rng(3)
    plain = pl.DataFrame({"a": range(200), "b": rng.choice(["x", "y"], 200), "c": rng.integers(0, 3, 200)})
    odd = {"a": "*", "b": "^b$", "c": "^.*$"}
    drafted = infer_contract("t", plain.rename(odd), tables={"o": plain.rename(odd)}, keys={"o": ("*",)})

    assert [(column.name, column.type) for column in drafted.columns] == [("*", "integer"), ("^b$", "string"), ("^.*$", "integer")]
    assert drafted.key == ("*",)
    assert len(drafted.rules) == len(infer_contract("t", plain, tables={"o": plain}, keys={"o": ("a",)}).rules)


@pytest.mark.parametrize(
    ("low", "high"),
    [(12_340, 12_345), (20_260_101, 20_261_231), (-12_345, -12_340), (10.762, 10.789), (1e9, 1e9 + 1), (0, 6e-7), (-1e300, 1e300)],
)
def test_bounds_of_a_narrow_range_hold_what_was_seen(low: float, high: float) -> None:
    seen = np.random.default_rng(3).uniform(low, high, 900)
    frame = pl.DataFrame({"x": seen.round().astype(int) if isinstance(low, int) and isinstance(high, int) else seen})
    contract = infer_contract("t", frame)
    bounds = next(rule for rule in contract.rules if isinstance(rule, Range))

    assert check_table(contract, frame).findings == ()
    assert isinstance(bounds.maximum, float | int)
    assert high <= bounds.maximum < high + (high - low)
