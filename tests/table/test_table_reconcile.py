"""A batch's columns become the table's by a plan that a person can read and agree to."""

import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.table.reconcile import apply_plan, plan_columns

TABLE = {"id": pl.Int64(), "dep_time": pl.Float64(), "carrier": pl.String()}


def plan(**batch: pl.DataType) -> list[tuple[str, str, str]]:
    return [(step.act, step.column, step.detail) for step in plan_columns(TABLE, batch).steps]


def test_the_same_columns_need_no_plan() -> None:
    assert plan(**TABLE) == []


def test_another_order_and_whole_numbers_need_no_consent() -> None:
    found = plan_columns(TABLE, {"carrier": pl.String(), "id": pl.Int64(), "dep_time": pl.Int64()})
    batch = pl.DataFrame({"carrier": ["AA"], "id": [1], "dep_time": [815]})

    assert [step.act for step in found.steps] == ["reorder", "widen"]
    assert not found.needs_consent
    assert apply_plan(found, batch, TABLE).columns == [*TABLE]


def test_a_name_spelled_otherwise_is_proposed_as_a_renaming() -> None:
    assert plan(id=pl.Int64(), DepTime=pl.Float64(), carrier=pl.String()) == [("rename", "dep_time", "DepTime")]
    assert plan(id=pl.Int64(), dep_times=pl.Float64(), carrier=pl.String()) == [("rename", "dep_time", "dep_times")]


def test_missing_and_new_columns_of_unlike_names_are_filled_and_added() -> None:
    found = plan_columns(TABLE, {"id": pl.Int64(), "carrier": pl.String(), "gate": pl.String()})
    batch = pl.DataFrame({"id": [1], "carrier": ["AA"], "gate": ["C1"]})

    assert [str(step) for step in found.steps] == [
        "dep_time is missing in the batch; its rows get no value there",
        "gate is new (String); the rows already there get no value",
    ]
    assert found.needs_consent
    assert apply_plan(found, batch, TABLE).row(0) == (1, None, "AA", "C1")


def test_another_type_needs_consent_and_is_impossible_where_no_value_fits() -> None:
    found = plan_columns(TABLE, {"id": pl.String(), "dep_time": pl.Float64(), "carrier": pl.Int64()})
    hopeless = plan_columns(TABLE, {"id": pl.List(pl.Int64()), "dep_time": pl.Date(), "carrier": pl.String()})

    assert [(step.act, step.detail) for step in found.steps] == [("convert", "String → Int64"), ("convert", "Int64 → String")]
    assert (found.needs_consent, found.is_impossible) == (True, False)
    assert [str(step) for step in hopeless.steps] == [
        "id is of another type: List(Int64) → Int64",
        "dep_time is of another type: Date → Float64",
    ]
    assert hopeless.is_impossible


def test_types_of_other_libraries_need_no_consent_where_nothing_is_lost() -> None:
    table = {"n": pl.Int64(), "x": pl.Float64(), "name": pl.String(), "at": pl.Datetime("us", "UTC")}
    pandas = {"n": pl.Int32(), "x": pl.Float32(), "name": pl.Categorical(), "at": pl.Datetime("ns")}

    assert [step.act for step in plan_columns(table, pandas).steps] == ["widen"] * 4


def test_a_column_without_any_value_takes_the_tables_type() -> None:
    assert plan(id=pl.Int64(), dep_time=pl.Null(), carrier=pl.String()) == [("widen", "dep_time", "Null → Float64")]


def test_declared_renamings_and_columns_left_out_are_taken() -> None:
    batch = {"nr": pl.Int64(), "dep_time": pl.Float64(), "carrier": pl.String(), "extra": pl.Int64()}
    found = plan_columns(TABLE, batch, renamed={"nr": "id"}, drop=["extra"])
    frame = pl.DataFrame({"nr": [1], "dep_time": [1.0], "carrier": ["AA"], "extra": [0]})

    assert [step.act for step in found.steps] == ["drop"]
    assert apply_plan(found, frame, TABLE, renamed={"nr": "id"}).row(0) == (1, 1.0, "AA")
    with pytest.raises(ParameterError, match="the batch has no column 'nope'"):
        plan_columns(TABLE, batch, renamed={"nope": "id"})


def test_the_id_of_a_plan_is_that_of_its_steps() -> None:
    one = plan_columns(TABLE, {"id": pl.Int64(), "carrier": pl.String()})
    again = plan_columns(TABLE, {"id": pl.Int64(), "carrier": pl.String()})
    other = plan_columns(TABLE, {"id": pl.Int64(), "dep_time": pl.Float64()})

    assert one.id == again.id
    assert one.id != other.id
