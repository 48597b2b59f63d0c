"""A contract is written the same way every time and read with every fault named."""

import re
from datetime import UTC, datetime, time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sampan.data.checking import check_table
from sampan.data.contract import (
    AllowedValues,
    Column,
    Condition,
    Contract,
    Custom,
    Distribution,
    Freshness,
    Length,
    NullShare,
    NullTogether,
    Pattern,
    Query,
    Range,
    Reference,
    RowCount,
    Statistic,
    Unique,
    all_rules,
)
from sampan.data.contract_yaml import read_contract, revise_contract, write_contract
from sampan.data.rule_words import describe, unjudged
from sampan.data.rules_yaml import _is_plain
from sampan.errors import ProjectFileError

CONTRACT = Contract(
    name="flights",
    owner="ops",
    description="every departure",
    key=("b", "a"),
    columns=(
        Column(name="a", type="integer", physical_type="Int64", required=True, unit="minutes", description="late by"),
        Column(name="b", type="string", required=True, role="key", known="t", other={"classification": "public"}),
        Column(name="t", type="timestamp", role="time", pii="travel", properties={"loggedBy": "tower"}),
    ),
    rules=(
        Reference(columns=("a", "b"), table="weather", to_columns=("x", "y"), level="warn", evidence="9 of 10", why="named alike"),
        RowCount(minimum=1, level="block", evidence="3 rows", why="an empty delivery is a broken one"),
        RowCount(minimum=10, maximum=20, false_alarms=0.5),
        RowCount(maximum=20),
        Unique(columns=("b", "a"), level="block"),
        Unique(columns=("a",), tolerance=0.01),
        NullTogether(columns=("a", "t")),
        Condition(sql="a > 0 OR b = 'x'", level="block", tolerance=0.05),
        Query(sql="SELECT count(*) FROM data WHERE a < 0", minimum=0, maximum=0),
        Query(sql="SELECT max(a) FROM data", minimum=1, maximum=2.5, beyond=("minimum", "maximum")),
        Query(sql="SELECT min(a) FROM data", maximum=7),
        Custom(name="checks.py:sober", parameters={"limit": 3}),
        NullShare(column="a", max_share=0.0123),
        Range(column="a", minimum=-5, maximum=2.5),
        Range(column="a", maximum=3, beyond=("maximum",), tolerance=0.25, false_alarms=1.5),
        Statistic(column="a", statistic="mean", minimum=1, maximum=2.5),
        Distribution(column="a", edges=(1.0, 2.5), shares=(0.2, 0.9), max_distance=0.1),
        Length(column="b", minimum=1, maximum=9),
        AllowedValues(column="b", values=("", "?"), forbidden=True),
        Distribution(column="b", values=("NO", "yes"), shares=(0.5, 0.25), max_distance=0.2),
        AllowedValues(column="b", values=("NO", "1", "yes")),
        Pattern(column="b", pattern="^[A-Z]{2}$"),
        NullShare(column="b", max_share=0.5, also=("n/a", "")),
        Custom(column="b", name="iban", parameters={"countries": ["DE", "VN"]}),
        Custom(column="b", name="tidy_text", has_level=False),
        Range(column="t", minimum="2013-01-01T00:00:00"),
        Freshness(column="t", max_hours=24.0, level="block", why="dashboards", evidence="3 deliveries", false_alarms=0.1),
    ),
    licence="CC-BY-4.0",
    properties={"costCenter": 12},
    other={"team": {"name": "ops"}},
)


def faults(text: str) -> str:
    with pytest.raises(ProjectFileError) as caught:
        read_contract(text, file="contracts/flights.yaml")
    return caught.value.message


def test_what_is_written_is_read_back_and_written_again_alike() -> None:
    text = write_contract(CONTRACT)
    again = read_contract(text, file="f.yaml")

    assert again == CONTRACT
    assert write_contract(again) == text


def test_the_file_is_of_the_standard() -> None:
    import yaml

    document = yaml.safe_load(write_contract(CONTRACT))
    (table,) = document["schema"]
    column = table["properties"][1]

    assert (document["apiVersion"], document["kind"]) == ("v3.1.0", "DataContract")
    assert table["relationships"][0]["to"] == ["weather.x", "weather.y"]
    assert (column["primaryKey"], column["primaryKeyPosition"], column["logicalType"]) == (True, 1, "string")
    assert column["quality"][3]["arguments"]["validValues"] == ["NO", "1", "yes"]
    assert document["slaProperties"][0]["element"] == "flights.t"


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5, unique=True))
def test_any_value_survives_yaml(values: list[str]) -> None:
    contract = Contract(name="t", columns=(Column(name="c", type="string"),), rules=(AllowedValues(column="c", values=tuple(values)),))

    assert read_contract(write_contract(contract), file="f.yaml") == contract


def test_every_fault_is_named_with_its_line_and_the_nearest_key() -> None:
    text = (
        "apiVersion: v3.1.0\nkind: DataContract\nname: f\nschema:\n  - name: f\n    propertys: []\n    properties:\n"
        "      - name: a\n        logicalType: intger\n        required: maybe\n"
        "        quality:\n          - metric: nullValues\n            mustBeLessOrEqualTo: 120\n            unit: percent\n"
        "            customProperties: [{property: levl, value: warn}]\n"
    )
    message = faults(text)

    assert "contracts/flights.yaml has 5 faults" in message
    assert "line 6: unknown key 'propertys'; did you mean properties?" in message
    assert "line 9: logicalType is 'intger'; did you mean integer?" in message
    assert "line 10: required must be true or false, not 'maybe'" in message
    assert "line 13: 120 is no percentage" in message
    assert "line 15: unknown property 'levl'; did you mean level?" in message


def test_a_rule_of_an_unknown_column_and_a_column_twice_are_faults() -> None:
    text = write_contract(CONTRACT).replace("- flights.a", "- flights.aa")
    assert "a rule names column 'aa', which is not a property" in faults(text)

    twice = write_contract(Contract(name="t", columns=(Column(name="c", type="string"),) * 2))
    assert "column 'c' stands twice" in faults(twice)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty or no mapping"),
        ("- a\n", "is empty or no mapping"),
        ("a: [\n", "not YAML"),
        ("apiVersion: v2.0\nkind: DataContract\nname: f\nschema: [{name: f}]\n", "apiVersion 'v2.0' cannot be read"),
        ("apiVersion: v3.1.0\nkind: DataContract\nname: f\n", "schema has 0 tables"),
        ("apiVersion: v3.1.0\nkind: DataContract\nname: f\nname: g\nschema: [{name: f}]\n", "'name' stands twice"),
        ("apiVersion: v3.1.0\nkind: DataContract\nname: f\nschema: 5\n", "schema must be a list"),
    ],
)
def test_a_file_that_is_no_contract_is_refused(text: str, message: str) -> None:
    assert message in faults(text)


def test_values_yaml_would_take_for_dates_or_objects_are_faults() -> None:
    text = write_contract(CONTRACT)

    assert "validValues holds something" in faults(text.replace("- 'NO'", "- 2024-01-01"))
    assert "validValues cannot be read as a value" in faults(text.replace("- 'NO'", "- 2024-13-01"))
    assert "name cannot be read as a value" in faults(
        text.replace("id: flights\nname: flights", "id: flights\nname: !!python/name:os.system x")
    )


def rule_file(*lines: str, options: str = "") -> str:
    column = "      - name: a\n        logicalType: integer\n"
    head = f"apiVersion: v3.1.0\nkind: DataContract\nname: f\nschema:\n  - name: f\n    properties:\n{column}"
    return head + options + "        quality:\n" + "".join(f"          - {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{type: sql, query: select 1}", "a query needs mustBe"),
        ("{type: sql, query: drop table a, mustBe: 0}", "must start with SELECT"),
        ("{type: sql, query: \"SELECT count(*) FROM read_csv('/etc/passwd')\", mustBe: 0}", "reads the datasets here, no files"),
        ('{type: sql, query: "SELECT count(*) FROM \\"read_csv\\"/**/(\'x\')", mustBe: 0}', "reads the datasets here, no files"),
        ("{type: custom, engine: sampan, implementation: {check: condition, sql: 'a >'}}", "is no condition"),
        ("{type: custom, engine: sampan, implementation: {check: condition, sql: 'b > 1'}}", "names column 'b'"),
        ("{type: custom, engine: sanpan, implementation: {check: condition}}", "engine is 'sanpan'; did you mean sampan?"),
        ("{type: custom, engine: sampan, implementation: {check: statistic, statistic: meen}}", "did you mean mean?"),
        ("{type: custom, engine: sampan, implementation: {check: distribution, maxDistance: 1, edges: [1], shares: []}}", "as many shares"),
        ("{metric: invalidValues, arguments: {pattern: '['}, mustBe: 0}", "pattern '[' is none"),
        ("{metric: invalidValues, arguments: {validValues: [1]}, mustBeGreaterThan: 5}", "held to a most, not to a least"),
        ("{metric: nullValues, mustBe: 5}", "held to a most, not to a least"),
        ("{metric: nullValues, mustBeLessThan: 0}", "0 is no number of rows that can be"),
        ("{metric: nullValues}", "nullValues needs mustBeLessOrEqualTo"),
        ("{rule: nullValues, mustBe: 0}", "rule is called metric now"),
        ("{metric: invalidValues, arguments: {validValues: [1], pattern: a}, mustBe: 0}", "are two rules"),
        ("{metric: rowCount}", "rowCount needs"),
        ("{metric: rowCount, mustBeBetween: [9, 1]}", "no number of rows is at least 9 and at most 1"),
        ("{metric: rowCount, mustBe: 1.5}", "no number of rows is at least 2 and at most 1"),
        ("{metric: invalidValues, arguments: {validValues: []}, mustBe: 0}", "validValues is empty"),
        ("{type: custom, engine: sampan, implementation: {check: range}}", "range needs minimum, maximum or both"),
        ("{type: custom, engine: sampan, implementation: {check: range, minimum: 9, maximum: 1}}", "minimum 9 lies above maximum 1"),
        ("{type: custom, engine: sampan, implementation: {check: statistic, statistic: mean}}", "statistic needs minimum"),
        ("{type: custom, engine: sampan, implementation: {check: forbidden}}", "forbidden needs values"),
        ("{type: custom, engine: sampan, implementation: {check: null_together, columns: [a]}}", "at least two"),
        ("{metric: rowCount, mustNotBe: 3, mustBe: 1}", "mustNotBe is not held here"),
        ("{metric: rowCount, mustBe: 1, customProperties: [{property: tolerance, value: 7}]}", "tolerance is 7"),
        ("{metric: rowCount, mustBe: 1, customProperties: [{property: falseAlarmsPerYear, value: few}]}", "falseAlarmsPerYear is 'few'"),
    ],
)
def test_a_rule_that_cannot_be_held_is_refused_not_ignored(line: str, message: str) -> None:
    assert message in faults(rule_file(line))


def test_the_comparisons_of_the_standard_are_read() -> None:
    text = rule_file(
        "{metric: rowCount, mustBeGreaterThan: 3}",
        "{metric: rowCount, mustBeBetween: [2, 4]}",
        "{type: sql, query: 'SELECT sum(a) FROM {object}', mustBeLessThan: 3600}",
        "{metric: missingValues, arguments: {missingValues: [null, -1]}, mustBe: 0}",
    )

    assert read_contract(text, file="f").rules == (
        RowCount(minimum=4),
        RowCount(minimum=2, maximum=4),
        Query(column="a", sql="SELECT sum(a) FROM {object}", maximum=3600, beyond=("maximum",)),
        NullShare(column="a", max_share=0.0, also=(-1,)),
    )


def test_the_type_options_of_the_standard_are_rules_that_block() -> None:
    options = "        logicalTypeOptions: {exclusiveMinimum: 0, maximum: 9}\n"
    contract = read_contract(rule_file("{metric: rowCount, mustBe: 1}", options=options), file="f")

    assert all_rules(contract)[0] == Range(column="a", minimum=0, maximum=9, beyond=("minimum",), level="block", why="logicalTypeOptions")
    assert "pattern '(?<=a)b' is none: look-around" in faults(
        rule_file("{metric: rowCount, mustBe: 1}", options="        logicalTypeOptions: {pattern: '(?<=a)b'}\n")
    )
    assert "logicalTypeOptions" in write_contract(contract)


def test_a_role_that_is_none_is_a_fault_and_properties_of_others_are_kept() -> None:
    options = "        customProperties: [{property: role, value: targt}, {property: steward, value: ana}]\n"
    assert "role is 'targt'; did you mean target?" in faults(rule_file("{metric: rowCount, mustBe: 1}", options=options))

    kept = read_contract(rule_file("{metric: rowCount, mustBe: 1}", options=options.replace("targt", "target")), file="f")
    assert (kept.columns[0].role, kept.columns[0].properties) == ("target", {"steward": "ana"})


def test_every_rule_can_be_said_in_words() -> None:
    assert [describe(rule) for rule in CONTRACT.rules] == [
        "a + b is found in weather (x + y)",
        "the table has rows",
        "the table has between 10 and 20 rows",
        "the table has between 0 and 20 rows",
        "b + a is unique",
        "a is unique, in all but 1.00% of the rows",
        "a, t are missing together or not at all",
        "a > 0 OR b = 'x' holds, in all but 5.00% of the rows",
        "SELECT count(*) FROM data WHERE a < 0 is 0",
        "SELECT max(a) FROM data is above 1 and below 2.5",
        "SELECT min(a) FROM data is at most 7",
        "every row passes checks.py:sober",
        "a is missing in at most 1.23% of the rows",
        "a is between -5 and 2.5",
        "a is below 3, in all but 25.00% of the rows",
        "the mean of a is between 1 and 2.5",
        "a is distributed as in its reference, up to 0.1",
        "b has between 1 and 9 characters",
        "b is none of '', ?",
        "b is distributed as in its reference, up to 0.2",
        "b is one of NO, 1, yes",
        "b looks like ^[A-Z]{2}$",
        "b is missing in at most 50.00% of the rows ('n/a', '' count as missing)",
        "b passes iban",
        "b passes tidy_text",
        "t is at least 2013-01-01T00:00:00",
        "the newest t is at most 24 hours old",
    ]


def guide_entries() -> list[str]:
    guide = (Path(__file__).parents[2] / "docs/guide/contracts.md").read_text()
    table = guide.partition("| promise |")[2].partition("\n\n")[0]
    return re.findall(r"`(\{.+?\})`", table)


@pytest.mark.parametrize("entry", guide_entries())
def test_every_entry_of_the_guide_is_read(entry: str) -> None:
    custom = f"{{type: custom, engine: sampan, implementation: {entry}}}" if entry.startswith("{check:") else entry
    columns = "".join(
        f"      - {{name: {name}, logicalType: integer}}\n" for name in ("carrier", "flight", "dep_time", "arr_time", "dep_delay")
    )
    text = rule_file(custom).replace("      - name: a\n", columns + "      - name: a\n")

    assert len(read_contract(text, file="guide").rules) == 1


@pytest.mark.parametrize("pattern", ["^[A-Z0-9]{4,6}$", "^[a-zA-Z]{2}[0-9_]{1,2}", "ab{2}", "^[A-Z]{6,4}$", "[z-a]", "a(b", "[A-Z"])
def test_patterns_taken_without_asking_polars_are_those_polars_takes(pattern: str) -> None:
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError:
        assert not _is_plain(pattern)
    else:
        assert _is_plain(pattern)


def rules_of(text: str) -> list[str]:
    """Return the rules of a file, in an order that does not hang on where they stand in it."""
    return sorted(map(repr, read_contract(text, file="f").rules))


def test_numbers_and_shares_of_rows_that_may_break_a_rule_are_read_as_the_standard_says() -> None:
    text = rule_file(
        "{metric: nullValues, mustBeLessThan: 10}",
        "{metric: missingValues, arguments: {missingValues: ['']}, mustBeLessThan: 1, unit: percent}",
        "{metric: invalidValues, arguments: {validValues: [1, null]}, mustBeLessOrEqualTo: 5, unit: rows}",
        "{metric: duplicateValues, customProperties: [{property: tolerance, value: 0.05}]}",
    )
    contract = read_contract(text, file="f")
    nulls, missing, invalid, doubled = contract.rules

    assert nulls == NullShare(column="a", max_share=0.0, tolerated=9)
    assert isinstance(missing, NullShare)
    assert 0.00999 < missing.max_share < 0.01  # one of a hundred is not less than 1 %
    assert invalid == AllowedValues(column="a", values=(1,), tolerated=5)
    assert doubled == Unique(columns=("a",), tolerance=0.05)
    assert rules_of(write_contract(contract)) == sorted(map(repr, contract.rules))
    assert [describe(rule) for rule in (nulls, invalid)] == ["a is missing in at most 9 rows", "a is one of 1, in all but 5 rows"]


def test_severity_is_the_level_where_no_level_is_said() -> None:
    level = "customProperties: [{property: level, value: warn}]"
    rules = read_contract(
        rule_file(
            "{metric: rowCount, mustBe: 1, severity: error, name: full, dimension: completeness}",
            "{metric: rowCount, mustBe: 2, severity: info}",
            f"{{metric: rowCount, mustBe: 3, severity: Critical, {level}}}",
        ),
        file="f",
    ).rules

    assert [rule.level for rule in rules] == ["block", "warn", "warn"]


def test_what_is_not_judged_is_kept_and_said() -> None:
    options = "        logicalTypeOptions: {minimum: 0, multipleOf: 2}\n"
    text = rule_file(
        "{type: text, description: The address was verified.}",
        "{type: custom, engine: soda, implementation: 'type: duplicate_percent'}",
        "{metric: rowCount, mustBe: 1, customProperties: [{property: FIELD_NAME, value: 1}]}",
        options=options,
    )
    contract = read_contract(text + "slaProperties:\n  - {property: latency, value: 4, unit: d, element: f.a}\n", file="f")

    assert unjudged(contract) == (
        "a: The address was verified. (for people)",
        "a: type: duplicate_percent (a rule of soda)",
        "the service levels latency",
        "the type options of a (multipleOf)",
    )
    assert [note.message for note in check_table(contract, pl.DataFrame({"a": [2]})).notes] == [
        f"not judged: {told}" for told in unjudged(contract)
    ]
    assert rules_of(write_contract(contract)) == sorted(map(repr, contract.rules))
    assert unjudged(read_contract(write_contract(contract), file="f")) == unjudged(contract)


def test_a_relationship_of_a_column_needs_no_from_and_stands_once() -> None:
    to = "        relationships: [{to: other.id, customProperties: [{property: cardinality, value: many-to-one}]}]\n"
    contract = read_contract(rule_file("{metric: rowCount, mustBe: 1}", options=to), file="f")

    assert contract.rules[-1] == Reference(columns=("a",), table="other", to_columns=("id",))


def test_a_rule_of_a_column_among_those_of_the_table_is_a_fault() -> None:
    quality = "[{metric: nullValues, mustBe: 0}, {metric: duplicateValues}]"
    text = f"apiVersion: v3.1.0\nkind: DataContract\nname: f\nschema:\n  - name: f\n    quality: {quality}\n"

    assert "nullValues is a rule of a column" in faults(text)
    assert "needs arguments with properties" in faults(text)


def test_a_column_may_be_of_any_type() -> None:
    contract = read_contract(rule_file("{metric: rowCount, mustBe: 1}").replace("        logicalType: integer\n", ""), file="f")

    assert contract.columns == (Column(name="a", type=""),)
    assert [check_table(contract, pl.DataFrame({"a": [value]})).verdict for value in (1, "x")] == ["passed", "passed"]
    assert read_contract(write_contract(contract), file="f") == contract


HAND = """\
# agreed with the shop on 3 May
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: orders
version: 2.0.0   # major: the key
status: active
description: {purpose: orders, limitations: none known, usage: monthly}
schema:
  - name: tbl_orders
    description: the shop's orders
    tags: [sales]
    properties:
      - name: id
        logicalType: integer
        unique: true   # the till numbers them
        quality:
          # finance looks at this
          - metric: nullValues
            mustBe: 0
            name: always there
            dimension: completeness
            severity: error
slaProperties:
  - {property: latency, value: 4, unit: d}
"""


def test_a_revised_contract_keeps_comments_and_what_others_wrote() -> None:
    before = read_contract(HAND, file="f")
    columns = (*before.columns, Column(name="x", type="number"))
    after = replace(before, owner="ana", columns=columns, rules=(*before.rules, Range(column="x", minimum=0, evidence="3 rows")))
    text = revise_contract(HAND, before, after)

    assert [line for line in HAND.splitlines() if line not in text.splitlines()] == []
    assert [rule for rule in read_contract(text, file="f").rules if rule not in after.rules] == []
    assert (read_contract(text, file="f").owner, read_contract(text, file="f").columns) == ("ana", columns)
    assert revise_contract(HAND, before, before) == HAND


def test_a_query_speaks_of_its_table_under_any_of_its_names_and_of_its_column() -> None:
    text = HAND.replace(
        "          # finance", "          - {type: sql, query: 'SELECT max({property}) FROM tbl_orders', mustBe: 2}\n          # finance"
    )
    contract = read_contract(text, file="f")
    older = pl.DataFrame({"id": [1, 2]})
    newest = pl.DataFrame({"id": [1, 2, 3]})

    assert check_table(contract, older, tables={"orders": newest}).findings == ()
    (broken,) = check_table(contract, newest, tables={"orders": older}).findings
    assert (broken.columns, broken.check) == (("id",), "query")


@pytest.mark.parametrize("inside", ["2026-01-01 10:00:00+10:00", "2026-01-01T00:00:00Z", "2026-01-01"])
def test_bounds_with_an_offset_are_the_moments_they_say(inside: str) -> None:
    moment = Range(column="t", minimum=inside)
    contract = Contract(name="t", columns=(Column(name="t", type="timestamp"),), rules=(moment,))
    frame = pl.DataFrame({"t": [datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)]})

    for zone in ("UTC", "Asia/Ho_Chi_Minh"):
        (finding,) = check_table(contract, frame.with_columns(pl.col("t").dt.convert_time_zone(zone))).findings
        assert finding.count == 1


def test_bounds_of_a_time_of_day_are_held() -> None:
    options = "        logicalTypeOptions: {minimum: '06:00', maximum: '22:00:00'}\n"
    contract = read_contract(rule_file("{metric: rowCount, mustBe: 3}", options=options).replace("integer", "time"), file="f")
    (finding,) = check_table(contract, pl.DataFrame({"a": [time(5), time(6), time(22)]})).findings

    assert (finding.count, finding.level) == (1, "block")
