"""Every rule is held, counted and shown with rows; what cannot be judged is said."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.times import to_millis
from sampan.data.checking import CheckResult, Finding, check_batch, check_table
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
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
)
from sampan.data.uniqueness import COUNT, repeated
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

    assert "there is no dataset 'codes' here" in check(rule).notes[-1].message
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


def test_a_moment_after_now_does_not_hide_that_data_is_old() -> None:
    now = to_millis(datetime(2024, 1, 3, tzinfo=UTC))
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1, tzinfo=UTC), datetime(2062, 1, 1, tzinfo=UTC)]})
    columns = (Column(name="t", type="timestamp"),)
    after = "1 row lies after now, up to 2062-01-01T00:00:00Z"

    assert only(check(Freshness(column="t", max_hours=24), columns=columns, frame=frame, now=now)).message.endswith(
        f"the newest t is 2024-01-01T00:00:00Z, 48 hours ago; 24 are allowed; {after}"
    )
    assert [one.message for one in check(Freshness(column="t", max_hours=72), columns=columns, frame=frame, now=now).notes] == [
        f"{after}: t is judged by those before"
    ]
    assert after in check(Freshness(column="t", max_hours=72), columns=columns, frame=frame.tail(1), now=now).notes[0].message


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
    rules = tuple(NullShare(column=name, max_share=1.0) for name in frame.columns)
    notes = check_table(Contract(name="t", rules=rules), frame).notes

    assert [(n.count, n.columns) for n in notes] == [(2, ("a", "b"))]
    assert check_table(Contract(name="t"), frame).notes == ()  # no rule speaks of these columns, so they are not read


def test_all_rules_are_one_select_and_the_lazy_table_gives_the_same(some_flights: pl.DataFrame) -> None:
    from sampan.data.inference import infer_contract

    contract = infer_contract("flights", some_flights)

    assert check_table(contract, some_flights.lazy()) == check_table(contract, some_flights)


HOURS = pl.DataFrame(
    {
        "a": [1, 2, 3, 4, None],
        "b": [2, 1, 3, 9, 0],
        "s": ["x", "yy", "", None, "n/a"],
        "t": [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 6)],
    }
)
HOUR_COLUMNS = tuple(Column(name=n, type=t) for n, t in (("a", "integer"), ("b", "integer"), ("s", "string"), ("t", "timestamp")))


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Condition(sql="a <= b"), [1]),
        (Condition(sql="a <= b", tolerance=0.2), []),
        (Condition(sql="s IN ('x', 'yy') OR b > 1"), [4]),
        (Range(column="b", minimum=1, maximum=9, beyond=("maximum",)), [3, 4]),
        (Range(column="b", minimum=1, maximum=9, beyond=("minimum",)), [1, 4]),
        (Range(column="b", minimum=1, maximum=9, beyond=("minimum", "maximum")), [1, 3, 4]),
        (Range(column="b", minimum=1, beyond=("minimum",)), [1, 4]),
        (Range(column="b", maximum=9, beyond=("maximum",)), [3]),
        (Range(column="t", minimum="2024-01-02", maximum="2024-01-04T00:00:00"), [0, 4]),
        (Range(column="b"), []),
        (Length(column="s", minimum=1, maximum=2), [2, 4]),
        (AllowedValues(column="s", values=("", "n/a"), forbidden=True), [2, 4]),
        (NullShare(column="s", max_share=0.2, also=("", "n/a")), [2, 3, 4]),
        (NullShare(column="s", max_share=0.6, also=("", "n/a")), []),
    ],
)
def test_each_rule_of_rows_marks_the_rows_that_break_it(rule: AnyRule, rows: list[int]) -> None:
    result = check(rule, columns=HOUR_COLUMNS, frame=HOURS)

    assert rows == [row["row"] for finding in result.findings for row in finding.examples]
    assert len(rows) == sum(finding.count for finding in result.findings)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (RowCount(maximum=4), "5 rows where at most 4 are expected"),
        (Statistic(column="b", statistic="mean", maximum=2.5), "3 where “the mean of b is at most 2.5” is expected"),
        (Statistic(column="b", statistic="minimum", minimum=1), "0 where “the minimum of b is at least 1” is expected"),
        (
            Statistic(column="s", statistic="n_distinct", minimum=5),
            "4 where “the number of distinct values of s is at least 5” is expected",
        ),
        (Statistic(column="b", statistic="distinct_share", maximum=0.5), "1 where “the share of distinct values of b is at most 0.5”"),
        (Query(sql="SELECT count(*) FROM data WHERE a > b", minimum=0, maximum=0), "1 where “SELECT count(*) FROM data WHERE a > b is 0”"),
        (Query(sql="SELECT max(b) FROM {object}", maximum=9, beyond=("maximum",)), "9 where “SELECT max(b) FROM {object} is below 9”"),
        (Query(sql="SELECT max(limit) FROM limits", minimum=8, beyond=("minimum",)), "8 where “SELECT max(limit) FROM limits is above 8”"),
    ],
)
def test_each_rule_of_the_table_is_judged_by_its_number(rule: AnyRule, message: str) -> None:
    limits = pl.DataFrame({"limit": [7, 8]})
    assert only(check(rule, columns=HOUR_COLUMNS, frame=HOURS, tables={"limits": limits})).message.startswith(message)


@pytest.mark.parametrize(
    "rule",
    [
        RowCount(minimum=5, maximum=5),
        Statistic(column="b", statistic="median", minimum=2, maximum=2),
        Statistic(column="b", statistic="std", minimum=3.5, maximum=3.6),
        Statistic(column="b", statistic="sum", minimum=15, maximum=15),
        Statistic(column="b", statistic="maximum", minimum=9),
        Query(sql="WITH late AS (SELECT * FROM data WHERE b > 2) SELECT count(*) FROM late", minimum=2, maximum=2),
        Query(sql="SELECT min(b) FROM data", minimum=0),
    ],
)
def test_a_table_rule_that_is_kept_says_nothing(rule: AnyRule) -> None:
    assert check(rule, columns=HOUR_COLUMNS, frame=HOURS).findings == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Query(sql="SELECT a FROM data", minimum=0), "answers 5 rows of 1 columns, not one number"),
        (Query(sql="SELECT max(s) FROM data", minimum=0), "not one number"),
        (Query(sql="SELECT count(*) FROM nowhere", minimum=0), "relation 'nowhere' was not found"),
        (Query(sql="SELECT count(*) FROM read_parquet('x')", minimum=0), "reads the datasets here, no files"),
        (Condition(sql="a + b"), "gives Int64, not yes or no"),
        (Condition(sql="s > 5"), "cannot be computed"),
        (Range(column="t", minimum="soon"), "'soon' is no moment"),
    ],
)
def test_a_rule_that_cannot_be_computed_is_named(rule: AnyRule, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check(rule, columns=HOUR_COLUMNS, frame=HOURS)


def test_a_distribution_is_compared_with_its_reference_and_with_chance() -> None:
    rng = np.random.default_rng(0)
    rule = Distribution(column="x", edges=(-1.0, 0.0, 1.0), shares=(0.1587, 0.5, 0.8413), max_distance=0.05)
    columns = (Column(name="x", type="number"),)

    def findings(values: Any) -> tuple[Finding, ...]:
        return check(rule, columns=columns, frame=pl.DataFrame({"x": values})).findings

    assert findings(rng.normal(size=10_000)) == ()
    assert findings(rng.normal(size=20) + 0.3) == ()  # too few rows to tell from chance
    (moved,) = findings(rng.normal(size=10_000) + 0.5)
    assert moved.message.startswith("x lies 0.1")
    assert "up to 0: 50.0% were expected, 3" in moved.message
    assert check(rule, columns=columns, frame=pl.DataFrame({"x": [None, None]}, schema={"x": pl.Float64})).notes[0].level == "note"


def test_a_distribution_of_texts_counts_what_is_new_as_one_value() -> None:
    rule = Distribution(column="s", values=("a", "b"), shares=(0.5, 0.5), max_distance=0.1)
    columns = (Column(name="s", type="string"),)
    same = pl.DataFrame({"s": ["a", "b"] * 500})
    other = pl.DataFrame({"s": ["a", "b", "c", "a"] * 250})

    assert check(rule, columns=columns, frame=same).findings == ()
    assert only(check(rule, columns=columns, frame=other)).message == (
        "s lies 0.250 from its reference; at most 0.1 is allowed. b: 50.0% were expected, 25.0% are there"
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", None]), st.sampled_from([0.0, -0.0, 1.5, float("nan"), None])), max_size=60
    )
)
def test_repeated_values_are_those_that_grouping_finds(rows: list[tuple[int, str | None, float | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"i": pl.Int64, "s": pl.String, "x": pl.Float64}, orient="row")
    for columns in (["i"], ["i", "s"], ["x"], ["i", "s", "x"]):
        grouped = frame.select(columns).drop_nulls().group_by(columns).len().filter(pl.col("len") > 1)
        found = repeated(frame.lazy(), columns)

        assert sorted(grouped["len"].to_list()) == sorted(found[COUNT].to_list())


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8, pl.Date, pl.Datetime("us"), pl.Float64, pl.Int128])
def test_a_key_with_an_ascending_column_is_unique_and_one_that_repeats_or_lacks_a_value_is_looked_at(dtype: pl.DataType) -> None:
    numbers = pl.Series("n", range(200), dtype=pl.Int64)
    ascending = pl.DataFrame({"n": numbers.cast(dtype), "s": ["same"] * 200})
    repeats = pl.concat([ascending, ascending.tail(1)])
    lacks = pl.concat([ascending, ascending.tail(1).with_columns(n=pl.lit(None, dtype=dtype))])

    assert repeated(ascending.lazy(), ["s", "n"]).is_empty()
    assert repeated(ascending.lazy(), ["n"]).columns == ["n", COUNT]
    assert [2] == repeated(repeats.lazy(), ["s", "n"])[COUNT].to_list()
    assert repeated(lacks.lazy(), ["s", "n"]).is_empty()


@pytest.mark.parametrize("n_values", [1, 3, 9])
def test_few_and_many_allowed_values_are_judged_alike(n_values: int) -> None:
    values = tuple("abcdefghi"[:n_values])
    frame = pl.DataFrame({"s": ["a", "z", None, "b", "ế"]})
    columns = (Column(name="s", type="string"),)

    assert only(check(AllowedValues(column="s", values=values), columns=columns, frame=frame)).count == (3 if n_values == 1 else 2)
    assert only(check(AllowedValues(column="s", values=values, forbidden=True), columns=columns, frame=frame)).count == (
        1 if n_values == 1 else 2
    )


ODD = ("*", "^a$", "^.*$", "a b", "🙂", "a.b", "it's", 'q"uote', "row", "rows", "select", "data", "-")


def test_columns_may_be_called_whatever_they_are() -> None:
    frame = pl.DataFrame({name: ["aa", "aa", "ab", None, "zz9"] for name in ODD})
    rules: list[AnyRule] = []
    for name in ODD:
        rules += [
            NullShare(column=name, max_share=0.0),
            AllowedValues(column=name, values=("aa", "ab")),
            Pattern(column=name, pattern="^a"),
        ]
        rules += [Length(column=name, maximum=2), Unique(columns=(name,)), Statistic(column=name, statistic="n_distinct", maximum=2)]
        rules.append(Reference(columns=(name,), table="other", to_columns=(name,)))
    columns = tuple(Column(name=name, type="string") for name in ODD)
    result = check_table(Contract(name="t", columns=columns, rules=tuple(rules)), frame, tables={"other": frame.head(3)})

    counts = [sorted(found.count for found in result.findings if found.columns == (name,)) for name in ODD]
    assert counts == [[0, 1, 1, 1, 1, 1, 2]] * len(ODD)


def test_a_row_may_refer_to_one_of_its_own_table_and_of_its_own_batch() -> None:
    columns = (Column(name="id", type="integer"), Column(name="parent", type="integer"))
    contract = Contract(name="t", columns=columns, rules=(Reference(columns=("parent",), table="t", to_columns=("id",), level="block"),))
    there = pl.DataFrame({"id": [1], "parent": [None]}, schema_overrides={"parent": pl.Int64})
    batch = pl.DataFrame({"id": [2, 3, 4], "parent": [1, 2, 9]})

    assert check_batch(contract, batch, tables={"t": there}).rows == (2,)
    assert only(check_table(contract, batch, tables={"t": there})).count == 2


def test_bounds_beyond_64_bits_are_held() -> None:
    whole = pl.DataFrame({"n": [2**63 - 1]})
    columns = (Column(name="n", type="integer"),)

    assert check(Range(column="n", minimum=0, maximum=10**20), columns=columns, frame=whole).findings == ()
    assert only(check(Range(column="n", minimum=10**20), columns=columns, frame=whole)).count == 1


def test_patterns_of_texts_that_repeat_mark_the_rows_they_would_one_by_one() -> None:
    texts = ["EWR", "jfk", None, "LGA", "", "X1"] * 12_000
    frame = pl.DataFrame({"id": range(len(texts)), "to": texts, "note": [f"n{k}" for k in range(len(texts) - 1)] + ["?"]})
    contract = Contract(name="t", rules=(Pattern(column="to", pattern="^[A-Z]{3}$"), Pattern(column="note", pattern="^n")))

    found = {finding.columns[0]: finding for finding in check_table(contract, frame.lazy()).findings if finding.count}

    assert {column: finding.count for column, finding in found.items()} == {"to": 36_000, "note": 1}
    assert [row["to"] for row in found["to"].examples[:3]] == ["jfk", "", "X1"]
    assert [finding.count for finding in check_table(contract, frame.head(66_000)).findings if finding.count] == [33_000]
    with pytest.raises(ParameterError, match="to"):
        check_table(Contract(name="t", rules=(Pattern(column="to", pattern="[A-"),)), frame)
