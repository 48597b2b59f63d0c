"""A batch on its way in is checked by the same rules, and the rows that break a blocking one are numbered."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sampan.data.checking import check_batch
from sampan.data.contract import Column, Contract, Custom, Freshness, NullShare, Query, Range, Reference, RowCount, Statistic
from sampan.workspace.data.contracts import Contracts
from sampan.workspace.operation import operations
from sampan.workspace.workspace import Workspace

ORDERS = pl.DataFrame({"id": range(60), "shop": ["s0", "s1", "s2"] * 20, "paid": [float(i % 7) for i in range(60)]})


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        workspace.data.add_table(ORDERS, name="orders", key=["id"])
        workspace.data.infer("orders")
        yield workspace


def test_rows_that_break_a_blocking_rule_are_numbered(ws: Workspace) -> None:
    batch = pl.DataFrame({"id": [100, None, 101, 102, 102], "shop": ["s0"] * 5, "paid": [1.0, 2.0, 3.0, 4.0, 5.0]})
    result = Contracts(ws).check_frame("orders", batch.lazy())

    assert (result.blocked, result.verdict) == (True, "blocked")
    assert result.rows == (1, 3, 4)
    assert [(f.columns, f.check, f.count) for f in result.findings if f.level == "block"] == [
        (("id",), "unique", 2),
        (("id",), "null_share", 1),
    ]


def test_a_good_batch_passes_and_nothing_is_recorded(ws: Workspace) -> None:
    n_events = len(ws.catalog.events())
    batch = ORDERS.head(3).with_columns(id=pl.Series([100, 101, 102]))
    result = Contracts(ws).check_frame("orders", batch)

    assert (result.blocked, result.findings, result.rows) == (False, (), ())
    assert n_events == len(ws.catalog.events())


def test_a_batch_with_other_columns_is_blocked_whole(ws: Workspace) -> None:
    result = Contracts(ws).check_frame("orders", ORDERS.rename({"shop": "store"}).head(2))

    assert result.blocked
    assert result.rows == ()
    assert "column 'shop' is missing" in result.findings[0].message


def test_without_a_contract_every_batch_passes(ws: Workspace) -> None:
    result = Contracts(ws).check_frame("returns", ORDERS)

    assert (result.blocked, result.n_rows, result.n_rules) == (False, 60, 0)


def test_drafting_and_checking_count_the_same_rules(ws: Workspace) -> None:
    (checked,) = ws.data.check(["orders"]).tables

    assert ws.data.infer("orders").n_rules == checked.n_rules


def test_every_verb_of_contracts_is_an_operation() -> None:
    assert {"infer", "check", "contract", "save-contract", "import-rules", "export-rules"} <= set(operations("data"))


def test_only_rows_of_rules_that_are_broken_are_numbered() -> None:
    columns = tuple(Column(name=name, type="integer") for name in ("a", "b", "c"))
    rules = (
        NullShare(column="a", max_share=0.5, level="block"),  # kept: one of four
        Range(column="a", maximum=2, level="block", tolerance=0.5),  # kept: one of three
        Range(column="b", minimum=0, level="warn"),  # broken, not blocking
        Reference(columns=("c",), table="codes", to_columns=("code",), level="block"),
        Custom(column="b", name="odd", has_level=False),
        RowCount(minimum=1000, level="block"),
        Freshness(column="a", max_hours=1, level="block"),
        Query(sql="SELECT count(*) FROM data", minimum=1000, level="block"),
        Statistic(column="a", statistic="sum", minimum=1000, level="block"),
    )
    batch = pl.DataFrame({"a": [1, None, 2, 3], "b": [-1, 1, 3, 4], "c": [7, 9, None, 7]})
    codes = {"codes": pl.DataFrame({"code": [7, 8]})}
    result = check_batch(Contract(name="t", columns=columns, rules=rules), batch, tables=codes, checks={"odd": Odd()}, now=0)

    assert result.rows == (1, 3)
    assert [(f.check, f.level) for f in result.findings] == [("odd", "block"), ("reference", "block"), ("range", "warn")]


class Odd:
    """A plug-in whose own level blocks."""

    name = "odd"
    level = "block"

    def describe(self, column: str, parameters: Mapping[str, Any]) -> str:
        return f"{column} is odd"

    def violations(self, column: str, parameters: Mapping[str, Any]) -> pl.Expr:
        return pl.col(column) % 2 == 0
