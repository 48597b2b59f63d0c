"""Every rule is held, counted and shown with rows; what cannot be judged is said."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from sampan.core.times import to_millis
from sampan.data.checking import CheckResult, Finding, check_table
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Contract,
    Custom,
    Freshness,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    Reference,
    RowCount,
    Unique,
)
from sampan.errors import ParameterError

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 2, None],
        "x": [0.5, float("nan"), None, 99.0],
        "s": ["a", "b", "zz", None],
        "t": [datetime(2024, 1, 1, tzinfo=UTC)] * 4,
    }
)
COLUMNS = tuple(Column(name=n, type=t) for n, t in (("id", "integer"), ("x", "number"), ("s", "string"), ("t", "timestamp")))


def check(*rules: AnyRule, columns: tuple[Column, ...] = COLUMNS, frame: pl.DataFrame = FRAME, **more: Any) -> CheckResult:
    return check_table(Contract(name="t", columns=columns, rules=rules), frame, **more)


def only(result: CheckResult) -> Finding:
    (finding,) = result.findings
    return finding


@pytest.mark.parametrize(
    ("rule", "count", "first_row"),
    [
        (NullShare(column="s", max_share=0.2), 1, 3),
        (AllowedValues(column="s", values=("a", "b")), 1, 2),
        (AllowedValues(column="id", values=(1,)), 2, 1),
        (Range(column="x", minimum=0, maximum=10), 2, 1),
        (Range(column="x", minimum=0), 1, 1),
        (Range(column="id", maximum=1), 2, 1),
        (Pattern(column="s", pattern="^[a-z]$"), 1, 2),
        (NullTogether(columns=("id", "s")), 0, None),
        (NullTogether(columns=("id", "x")), 2, 2),
    ],
)
def test_rows_that_break_a_rule_are_counted_and_shown(rule: AnyRule, count: int, first_row: int | None) -> None:
    result = check(rule)

    assert sum(finding.count for finding in result.findings) == count
    if first_row is not None:
        finding = only(result)
        assert finding.examples[0]["row"] == first_row
        assert finding.share == count / 4
        assert len(finding.examples) == count


def test_uniqueness_does_not_compare_missing_values() -> None:
    finding = only(check(Unique(columns=("id",), level="block")))

    assert (finding.count, finding.level) == (2, "block")
    assert finding.examples == ({"id": 2, "rows": 2},)
    assert check(Unique(columns=("id", "s"))).findings == ()


def test_a_reference_counts_rows_without_counterpart_and_rows_that_refer_to_nothing_apart() -> None:
    rule = Reference(columns=("s",), table="codes", to_columns=("code",))
    finding = only(check(rule, tables={"codes": pl.DataFrame({"code": ["a", "b", "c"]})}))

    assert (finding.count, finding.n_missing) == (1, 1)
    assert finding.examples == ({"s": "zz", "rows": 1},)
    assert "1 more lack a value and refer to nothing" in finding.message


def test_a_reference_that_cannot_be_judged_is_a_note() -> None:
    rule = Reference(columns=("s",), table="codes", to_columns=("code",))

    assert "there is no dataset 'codes' here" in check(rule).notes[0].message
    finding = only(check(rule, tables={"codes": pl.DataFrame({"code": [1]})}))
    assert "s is String, codes.code is Int64" in finding.message


def test_a_missing_column_and_a_wrong_type_block_and_their_rules_are_not_run() -> None:
    columns = (Column(name="ids", type="integer"), Column(name="x", type="string"), Column(name="s", type="string"))
    result = check(Range(column="ids", minimum=0), Pattern(column="x", pattern="a"), columns=columns)

    assert result.verdict == "blocked"
    assert [f.message for f in result.findings if f.level == "block"] == [
        "column 'ids' is missing; is 'id' it under another name?",
        "column 'x' is number (Float64) where the contract says string",
    ]
    assert {f.columns[0] for f in result.findings if f.level == "warn"} == {"id", "t"}  # not in the contract


def test_whole_numbers_may_stand_where_numbers_are_expected() -> None:
    assert check(columns=(Column(name="a", type="number"),), frame=pl.DataFrame({"a": [1]})).verdict == "passed"


def test_required_columns_and_the_key_block() -> None:
    columns = (Column(name="id", type="integer", required=True),)
    contract = Contract(name="t", columns=columns, key=("id",))
    result = check_table(contract, FRAME.select("id"))

    assert [(f.check, f.level, f.count) for f in result.findings] == [("unique", "block", 2), ("null_share", "block", 1)]


def test_row_count_and_freshness() -> None:
    now = to_millis(datetime(2024, 1, 3, tzinfo=UTC))

    assert "4 rows where at least 5 are expected" in only(check(RowCount(minimum=5))).message
    assert "48 hours ago; 24 are allowed" in only(check(Freshness(column="t", max_hours=24), now=now)).message
    assert check(Freshness(column="t", max_hours=72), now=now).findings == ()
    assert check(Freshness(column="t", max_hours=72)).notes[0].message.startswith("not judged")


class Even:
    """A check plug-in."""

    name = "even"
    level = "block"

    def describe(self, column: str, parameters: Mapping[str, Any]) -> str:
        return f"{column} is even but for {parameters.get('but')}"

    def violations(self, column: str, parameters: Mapping[str, Any]) -> pl.Expr:
        return (pl.col(column) % 2 == 1) & (pl.col(column) != parameters.get("but", 0))


def test_a_plug_in_rule_is_run_in_the_same_pass() -> None:
    rule = Custom(column="id", name="even", parameters={"but": 3})
    finding = only(check(rule, checks={"even": Even()}))

    assert (finding.check, finding.count) == ("even", 1)
    assert "id is even but for 3" in finding.message
    own = Custom(column="id", name="even", has_level=False)
    assert only(check(own, checks={"even": Even()})).level == "block"
    with pytest.raises(ParameterError, match="'even', which is not installed"):
        check(rule)


def test_a_table_without_rows_breaks_only_what_needs_rows() -> None:
    result = check(RowCount(minimum=1, level="block"), NullShare(column="id", max_share=0), frame=FRAME[:0])

    assert [f.check for f in result.findings] == ["row_count"]


def test_a_group_missing_together_is_noted_with_what_else_is_missing() -> None:
    frame = pl.DataFrame({"a": [1, None, None], "b": ["x", None, None], "d": [None, None, 5]})
    notes = check_table(Contract(name="t"), frame).notes

    assert [(n.count, n.columns) for n in notes] == [(2, ("a", "b"))]


def test_all_rules_are_one_select_and_the_lazy_table_gives_the_same(some_flights: pl.DataFrame) -> None:
    from sampan.data.inference import infer_contract

    contract = infer_contract("flights", some_flights)

    assert check_table(contract, some_flights.lazy()) == check_table(contract, some_flights)
