"""A drafted contract holds for the next delivery, and says why."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from sampan.data.checking import check_table
from sampan.data.contract import AllowedValues, AnyRule, NullShare, NullTogether, Pattern, Range, Unique
from sampan.data.inference import infer_contract, null_groups

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
