"""A contract is written the same way every time and read with every fault named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.data.contract import (
    AllowedValues,
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
from sampan.data.contract_yaml import read_contract, write_contract
from sampan.data.rule_words import describe
from sampan.errors import ProjectFileError

CONTRACT = Contract(
    name="flights",
    owner="ops",
    description="every departure",
    key=("b", "a"),
    columns=(
        Column(name="a", type="integer", physical_type="Int64", required=True, unit="minutes", description="late by"),
        Column(name="b", type="string", required=True, role="key", known="t", other={"classification": "public"}),
        Column(name="t", type="timestamp", role="time"),
    ),
    rules=(
        Reference(columns=("a", "b"), table="weather", to_columns=("x", "y"), level="warn", evidence="9 of 10", why="named alike"),
        RowCount(minimum=1, level="block", evidence="3 rows", why="an empty delivery is a broken one"),
        Unique(columns=("b", "a"), level="block"),
        NullTogether(columns=("a", "t")),
        NullShare(column="a", max_share=0.0123),
        Range(column="a", minimum=-5, maximum=2.5),
        AllowedValues(column="b", values=("NO", "1", "yes")),
        Pattern(column="b", pattern="^[A-Z]{2}$"),
        Custom(column="b", name="iban", parameters={"countries": ["DE", "VN"]}),
        Custom(column="b", name="tidy_text", has_level=False),
        Freshness(column="t", max_hours=24.0, level="block", why="dashboards"),
    ),
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
    assert column["quality"][0]["arguments"]["validValues"] == ["NO", "1", "yes"]
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


def test_a_rule_kind_nobody_runs_is_refused_not_ignored() -> None:
    quality = "        quality: [{type: sql, query: select 1}]\n"
    head = "apiVersion: v3.1.0\nkind: DataContract\nschema:\n  - name: f\n"
    text = f"{head}    properties:\n      - name: a\n        logicalType: string\n{quality}"

    assert "SQL rules are not run" in faults(text)


def test_every_rule_can_be_said_in_words() -> None:
    assert [describe(rule) for rule in CONTRACT.rules] == [
        "a + b is found in weather (x + y)",
        "the table has rows",
        "b + a is unique",
        "a, t are missing together or not at all",
        "a is missing in at most 1.23% of the rows",
        "a is between -5 and 2.5",
        "b is one of NO, 1, yes",
        "b looks like ^[A-Z]{2}$",
        "b passes iban",
        "b passes tidy_text",
        "the newest t is at most 24 hours old",
    ]
