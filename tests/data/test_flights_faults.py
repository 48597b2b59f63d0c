"""What is wrong with the flights is found by inference and check alone; nothing here or there knows the data."""

import polars as pl
import pytest

from sampan.data.checking import CheckResult, Finding, check_table
from sampan.data.inference import infer_contract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(all_tables: dict[str, pl.DataFrame]) -> dict[str, CheckResult]:
    """Each table checked against the contract drafted from it."""
    found = {}
    for name, frame in all_tables.items():
        others = {other: table for other, table in all_tables.items() if other != name}
        found[name] = check_table(infer_contract(name, frame, tables=others), frame, tables=all_tables)
    return found


def finding(result: CheckResult, *columns: str) -> Finding:
    (found,) = [f for f in (*result.findings, *result.notes) if f.columns[: len(columns)] == columns]
    return found


def test_flights_without_a_plane_an_airport_or_weather(results: dict[str, CheckResult]) -> None:
    planes, airports = finding(results["flights"], "tailnum"), finding(results["flights"], "dest")

    assert (planes.count, planes.n_missing) == (50_094, 2_512)  # with a number that no plane has; without a number
    assert airports.count == 7_602
    assert [example["dest"] for example in airports.examples] == ["SJU", "BQN", "STT", "PSE"]
    assert finding(results["flights"], "origin", "time_hour").count == 1_556


def test_columns_that_are_mostly_or_rarely_empty(results: dict[str, CheckResult]) -> None:
    assert finding(results["planes"], "speed").share == pytest.approx(0.9931, abs=1e-4)
    assert finding(results["weather"], "wind_gust").share == pytest.approx(0.7956, abs=1e-4)
    assert finding(results["airports"], "tzone").count == 3
    assert len(finding(results["airports"], "tzone").examples) == 3


def test_cancelled_flights_are_rows_that_lack_a_group_of_columns(results: dict[str, CheckResult]) -> None:
    cancelled = finding(results["flights"], "dep_time", "dep_delay")

    assert cancelled.count == 8_255
    assert set(cancelled.columns) == {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}


def test_nothing_blocks(results: dict[str, CheckResult]) -> None:
    assert {name: result.verdict for name, result in results.items()} == {
        "flights": "warned",
        "weather": "warned",
        "planes": "warned",
        "airports": "warned",
        "airlines": "passed",
    }


def test_the_second_half_year_passes_the_contract_of_the_first_and_planted_faults_are_found(all_tables: dict[str, pl.DataFrame]) -> None:
    flights = all_tables["flights"]
    first, second = flights.filter(pl.col("month") <= 6), flights.filter(pl.col("month") > 6)
    contract = infer_contract("flights", first)
    row = pl.int_range(second.height)
    planted = second.with_columns(
        month=pl.when(row < 70).then(13).otherwise("month"),
        distance=pl.when(row.is_between(100, 149)).then(-1).otherwise("distance"),
        carrier=pl.when(row.is_between(200, 299)).then(pl.lit("ua")).otherwise("carrier"),
        origin=pl.when(row.is_between(300, 339)).then(None).otherwise("origin"),
    )
    found = {f.columns: f.count for f in check_table(contract, planted).findings if f.level == "warn"}

    assert check_table(contract, second).findings == ()  # no false alarm in 170,618 clean rows
    assert found == {("carrier",): 100, ("month",): 70, ("distance",): 50, ("origin",): 40}
