"""Suites of Pandera and Great Expectations go both ways, and the real libraries agree with us on the rows that break them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandera.errors
import pandera.polars as pa
import polars as pl
import pytest

from sampan.data.checking import check_table
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Condition,
    Contract,
    Freshness,
    Length,
    NullShare,
    Pattern,
    Range,
    RowCount,
    Statistic,
    Unique,
)
from sampan.data.contract_yaml import write_contract
from sampan.data.expectation_suites import read_expectations, write_expectations
from sampan.data.pandera_suites import read_pandera, write_pandera
from sampan.data.suites import take_in
from sampan.errors import NotFound, ParameterError, ProjectFileError
from sampan.workspace.workspace import Workspace

GX = Path(__file__).parents[2] / ".peers" / "gx" / "bin" / "python"
COLUMNS = (
    Column(name="id", type="integer", physical_type="Int64", required=True),
    Column(name="x", type="number", physical_type="Float64", description="a size"),
    Column(name="s", type="string", physical_type="String"),
    Column(name="low", type="integer", physical_type="Int64"),
    Column(name="high", type="integer", physical_type="Int64"),
)
BOTH: tuple[AnyRule, ...] = (
    Unique(columns=("id",), level="block"),
    Range(column="x", minimum=0, maximum=10, beyond=("maximum",), level="block"),
    Range(column="low", minimum=1, level="warn"),
    Range(column="high", maximum=9, beyond=("maximum",), level="block"),
    AllowedValues(column="low", values=(7,), forbidden=True, level="block"),
    AllowedValues(column="s", values=("aa", "ab", "b1"), level="warn"),
    Pattern(column="s", pattern="^[ab]", level="block"),
    Length(column="s", minimum=2, maximum=2, level="block"),
)
ONLY_EXPECTATIONS: tuple[AnyRule, ...] = (
    NullShare(column="x", max_share=0.5, level="warn"),
    RowCount(minimum=2, maximum=100, level="block"),
    Statistic(column="x", statistic="mean", minimum=0, maximum=5),
    Statistic(column="s", statistic="n_distinct", minimum=1, maximum=9),
    Unique(columns=("low", "high"), level="block"),
    Condition(sql='"high" >= "low"', level="block"),
    Range(column="x", minimum=0, maximum=4, tolerance=0.5),
)
NEITHER: tuple[AnyRule, ...] = (Freshness(column="x", max_hours=3), Condition(sql="low + high > 3"))
CONTRACT = Contract(name="sizes", columns=COLUMNS, rules=(*BOTH, *ONLY_EXPECTATIONS))
GOOD = pl.DataFrame({"id": [1, 2, 3], "x": [0.0, 1.5, None], "s": ["aa", "ab", None], "low": [1, 2, 3], "high": [2, 2, 8]})
BAD = pl.DataFrame({"id": [1, 1, 3], "x": [10.0, 1.5, 3.0], "s": ["aa", "cb", "abc"], "low": [0, 7, 3], "high": [9, 2, 8]})


def demands(rules: tuple[AnyRule, ...]) -> set[AnyRule]:
    return set(rules)


def broken(contract: Contract, frame: pl.DataFrame) -> set[tuple[str, ...]]:
    return {finding.columns for finding in check_table(contract, frame).findings if finding.level == "block"}


def test_what_pandera_has_a_place_for_comes_back_as_it_was() -> None:
    written = write_pandera(CONTRACT)
    again = read_pandera(written.text, file="sizes.yaml")

    assert demands((*BOTH, ONLY_EXPECTATIONS[4])) == demands(again.rules)
    assert again.left_out == ()
    assert [(c.name, c.type, c.required, c.description) for c in COLUMNS] == [
        (c.name, c.type, c.required, c.description) for c in again.columns
    ]
    # One set of unique columns has a place; all else that Pandera lacks is named.
    assert "the mean of x is between 0 and 5" in written.left_out
    assert len(written.left_out) == len(ONLY_EXPECTATIONS) - 1


def test_pandera_itself_reads_the_schema_and_finds_the_same_columns() -> None:
    contract = Contract(name="sizes", columns=COLUMNS, rules=BOTH)
    schema = pa.DataFrameSchema.from_yaml(write_pandera(contract).text)

    schema.validate(GOOD, lazy=True)
    with pytest.raises(pandera.errors.SchemaErrors) as caught, pytest.warns(UserWarning, match="failed") as warned:
        schema.validate(BAD, lazy=True)
    named = set(caught.value.failure_cases["column"].to_list())
    assert named == {column for (column,) in broken(contract, BAD)}
    assert len(warned) == 2  # the rules of level warn


def test_a_schema_that_pandera_wrote_is_read_with_all_its_checks() -> None:
    check = pa.Check
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column(
                pl.Int32, [check.gt(1), check.ge(2), check.lt(9, raise_warning=True), check.le(8), check.eq(3), check.ne(4)], unique=True
            ),
            "b": pa.Column(pl.Float64, check.in_range(0, 1, include_max=False), nullable=True),
            "s": pa.Column(
                pl.String,
                [check.str_matches("x"), check.str_startswith("x."), check.str_endswith("z"), check.str_length(exact_value=3)],
                description="a code",
            ),
            "u": pa.Column(pl.Datetime("us", "UTC"), check.unique_values_eq([1])),
            "d": pa.Column(pl.Date, check.notin([1])),
        },
        unique=["a", "b"],
    )
    suite = read_pandera(schema.to_yaml(), file="s.yaml")

    assert suite == read_pandera(schema.to_json(), file="s.json")
    assert [(c.name, c.type, c.required) for c in suite.columns] == [
        ("a", "integer", True),
        ("b", "number", False),
        ("s", "string", True),
        ("u", "timestamp", True),
        ("d", "date", True),
    ]
    assert suite.left_out == ("unique_values_eq of u",)
    assert demands(suite.rules) == demands(
        (
            Unique(columns=("a",), level="block"),
            Range(column="a", minimum=1, beyond=("minimum",), level="block"),
            Range(column="a", minimum=2, level="block"),
            Range(column="a", maximum=9, beyond=("maximum",), level="warn"),
            Range(column="a", maximum=8, level="block"),
            AllowedValues(column="a", values=(3,), level="block"),
            AllowedValues(column="a", values=(4,), forbidden=True, level="block"),
            Range(column="b", minimum=0, maximum=1, beyond=("maximum",), level="block"),
            Pattern(column="s", pattern="^(?:x)", level="block"),
            Pattern(column="s", pattern=r"^x\.", level="block"),
            Pattern(column="s", pattern="z$", level="block"),
            Length(column="s", minimum=3, maximum=3, level="block"),
            AllowedValues(column="d", values=(1,), forbidden=True, level="block"),
            Unique(columns=("a", "b"), level="block"),
        )
    )


def test_what_great_expectations_has_a_place_for_comes_back_as_it_was() -> None:
    contract = Contract(name="sizes", columns=COLUMNS, rules=(*BOTH, *ONLY_EXPECTATIONS, *NEITHER))
    written = write_expectations(contract)
    again = read_expectations(written.text, file="sizes.json")

    required = NullShare(column="id", max_share=0.0, level="block")
    assert demands((required, *BOTH, *ONLY_EXPECTATIONS)) == demands(again.rules)
    assert written.left_out == ("the types of the columns", "the newest x is at most 3 hours old", "low + high > 3 holds")
    assert [column.name for column in COLUMNS] == [column.name for column in again.columns]


PAIRS = [
    {"type": "expect_column_pair_values_a_to_be_greater_than_b", "kwargs": {"column_A": "a", "column_B": "b", **more}}
    for more in (
        {},
        {"ignore_row_if": "both_values_are_missing"},
        {"ignore_row_if": "either_value_is_missing"},
        {"ignore_row_if": "neither"},
    )
] + [{"type": "expect_column_pair_values_to_be_equal", "kwargs": {"column_A": "a", "column_B": "b"}}]
GAPS = pl.DataFrame({"a": [2.0, 1.0, None, None, 3.0, None, 1.0], "b": [1.0, 2.0, 1.0, None, None, None, 2.0]})


def test_pairs_that_lack_a_value_break_the_rule_as_they_break_the_expectation() -> None:
    suite = read_expectations(json.dumps({"name": "p", "expectations": PAIRS}), file="p.json")
    columns = (Column(name="a", type="number"), Column(name="b", type="number"))
    counts = [check_table(Contract(name="p", columns=columns, rules=(rule,)), GAPS).findings[0].count for rule in suite.rules]

    assert counts == [4, 4, 2, 6, 5]  # what Great Expectations 1.24 counts in these rows


def test_what_an_expectation_says_beyond_a_rule_is_named() -> None:
    def expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
        return {"type": f"expect_{kind}", "kwargs": kwargs}

    entries = [
        expectation("column_values_to_be_between", column="x", min_value={"$PARAMETER": "low"}),
        expectation("column_values_to_be_between", column="x", min_value=0, parse_strings_as_datetimes=True),
        expectation("column_mean_to_be_between", column="x", min_value=0, strict_min=True),
        expectation("column_values_to_be_in_set", column="x", value_set=None),
        expectation("column_values_to_match_regex", column="x", regex="(?<=a)b"),
        expectation("compound_columns_to_be_unique", column_list=["x", "y"]),
        "garbage",
    ]
    suite = read_expectations(json.dumps({"expectations": entries}), file="f")

    assert suite.rules == (Unique(columns=("x", "y"), level="block"),)
    assert [one.partition(": ")[2] for one in suite.left_out] == [
        "min_value is given only when it runs",
        "parse_strings_as_datetimes has no counterpart",
        "strict_min has no counterpart",
        "cannot be read (TypeError: 'NoneType' object is not iterable)",
        "the pattern '(?<=a)b' is none here: look-around, including look-ahead and look-behind, is not supported",
        "rows that lack one of the columns are compared there, and not here",
        "",
    ]


def test_what_a_pandera_schema_says_beyond_a_contract_is_named() -> None:
    text = (
        "strict: true\ncolumns:\n  a: {dtype: int64, required: false, coerce: true, checks: {str_matches: '(?!x)y'}}\n"
        "  b: {dtype: str, nullable: true}\n"
    )
    contract = Contract(name="t", columns=(Column(name="a", type="string"), Column(name="b", type="string")))
    taken = take_in(contract, read_pandera(text, file="p.yaml"), source="p.yaml")

    assert taken.left_out == (
        "strict of the table",
        "coerce of a",
        "required: false of a: a contract's columns are there",
        "str_matches of a: the pattern is none here: look-around, including look-ahead and look-behind, is not supported",
        "a is integer: the contract says string",
    )


VALIDATE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import great_expectations as gx, pandas as pd
asked = json.load(sys.stdin)
suite = asked["suite"]
expectations = gx.ExpectationSuite(name=suite["name"], expectations=suite["expectations"])
context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("p").add_dataframe_asset("t")
batches = asset.add_batch_definition_whole_dataframe("b")
found = {}
for name, columns in asked["frames"].items():
    frame = pd.DataFrame(columns)
    result = batches.get_batch({"dataframe": frame}).validate(expectations)
    found[name] = [
        [[v for k, v in r.expectation_config.kwargs.items() if k.startswith("column")], r.expectation_config.severity]
        for r in result.results if not r.success
    ]
    found[name + " failed"] = [r.exception_info for r in result.results if "exception_message" not in r.exception_info]
print(json.dumps({"found": found, "again": expectations.to_json_dict()}))
"""


@pytest.mark.slow
def test_great_expectations_itself_reads_the_suite_and_finds_the_same_rules() -> None:
    assert GX.exists(), "make peers"
    suite = json.loads(write_expectations(CONTRACT).text)
    frames = {"good": GOOD.to_dict(as_series=False), "bad": BAD.to_dict(as_series=False)}
    done = subprocess.run([GX, "-c", VALIDATE], input=json.dumps({"suite": suite, "frames": frames}), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])

    assert told["found"]["good"] == []
    assert {tuple(columns) for columns, severity in told["found"]["bad"] if severity == "critical"} == broken(CONTRACT, BAD)
    assert demands(read_expectations(json.dumps(told["again"]), file="again.json").rules) == demands(
        read_expectations(json.dumps(suite), file="suite.json").rules
    )


def test_old_suites_and_expectations_without_a_counterpart_are_read() -> None:
    suite = {
        "expectation_suite_name": "old",
        "expectations": [
            {"expectation_type": "expect_column_values_to_be_null", "kwargs": {"column": "a"}},
            {"expectation_type": "expect_column_values_to_not_match_regex", "kwargs": {"column": "a", "regex": "it's"}},
            {"expectation_type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "a", "value": 3}},
            {"expectation_type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}},
            {"expectation_type": "expect_column_pair_values_to_be_equal", "kwargs": {"column_A": "a", "column_B": "b c"}},
            {"expectation_type": "expect_column_values_to_be_increasing", "kwargs": {"column": "a"}},
            {"expectation_type": "expect_column_values_to_be_unique", "kwargs": {"column": "a", "row_condition": "b > 1"}},
        ],
    }
    read = read_expectations(json.dumps(suite), file="old.json")

    assert demands(read.rules) == demands(
        (
            Condition(sql='"a" IS NULL', level="block"),
            Condition(sql="NOT REGEXP_LIKE(\"a\", 'it''s')", level="block"),
            Length(column="a", minimum=3, maximum=3, level="block"),
            RowCount(minimum=3, maximum=3, level="block"),
            Condition(sql='COALESCE("a" = "b c", "a" IS NULL AND "b c" IS NULL)', level="block"),
        )
    )
    assert read.left_out == (
        "expect_column_values_to_be_increasing of a",
        "expect_column_values_to_be_unique of a: row_condition has no counterpart",
    )
    texts = Contract(name="t", columns=(Column(name="a", type="string"),), rules=(read.rules[1],))
    assert check_table(texts, pl.DataFrame({"a": ["it's", "its", None]})).findings[0].count == 1


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_pandera, "a: [", "is not YAML"),
        (read_pandera, "a: 1", "is no schema of Pandera"),
        (read_expectations, "{", "is not JSON"),
        (read_expectations, "[]", "is no suite"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(read: Any, text: str, message: str) -> None:
    with pytest.raises(ProjectFileError, match=message):
        read(text, file="f")


def test_taking_a_suite_in_twice_adds_nothing() -> None:
    suite = read_expectations(write_expectations(CONTRACT).text, file="f")
    once = take_in(Contract(name="t", columns=COLUMNS[:2]), suite, source="f")
    twice = take_in(once.contract, suite, source="f")

    assert [column.name for column in once.contract.columns] == ["id", "x", "s", "low", "high"]
    assert len(once.added) == len(suite.rules) - 1  # the id is required already
    assert twice.added == ()
    assert {rule.why for rule in once.added} == {"taken in from f"}


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        workspace.data.add_table(GOOD, name="sizes", key=["id"])
        yield workspace


def test_rules_travel_from_file_to_contract_to_file(ws: Workspace) -> None:
    (ws.root / "suite.json").write_text(write_expectations(CONTRACT).text)
    bare = write_contract(Contract(name="sizes", columns=COLUMNS)).replace("status: draft", "status: draft  # mine")
    ws.data.contracts.write("sizes", bare)
    taken = ws.data.import_rules("sizes", Path("suite.json"))
    (checked,) = ws.data.check(["sizes"]).tables
    exported = ws.data.export_rules("sizes", form="pandera", to=Path("schema.yaml"))

    assert (len(taken.added), taken.left_out) == (15, ())  # the id is required already
    assert "15 rules taken in from suite.json" in taken.text()
    assert "status: draft  # mine" in ws.data.contract("sizes").contents
    assert checked.verdict == "passed"
    assert checked.n_rules == taken.n_rules
    assert ws.data.import_rules("sizes", Path("schema.yaml")).added == ()
    assert "left out" in exported.text()
    assert '"expectations"' in ws.data.export_rules("sizes", form="great-expectations").text()


def test_a_file_that_is_not_there_and_a_contract_that_is_not_are_named(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match=r"nowhere\.json cannot be read"):
        ws.data.import_rules("sizes", Path("nowhere.json"))
    with pytest.raises(NotFound, match="sizes has no contract"):
        ws.data.export_rules("sizes", form="pandera")
