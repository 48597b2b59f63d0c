"""A project's own function is a contract rule: its parameters are columns, its answer is true where a row keeps the rule."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.workspace.workspace import Workspace

CHECKS = '''
def arrives_later(left, came, slack=0):
    """A train arrives after it left."""
    return came >= left - slack

def even(values):
    return values % 2 == 0

def wrong(values):
    return 5

def first(values):
    return values.head(2) > 9

def stops(values):
    raise SystemExit(3)

def divides(values):
    return values.map_batches(lambda all: all / (1 // 0))

def together(values):
    return values.max() < 6
'''
TRAINS = pl.DataFrame({"left": [1, 5, None, 9], "came": [2, 4, 3, 7]})


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "checks.py").write_text(CHECKS)
    with Workspace.open(tmp_path) as workspace:
        workspace.data.add_table(TRAINS, name="trains")
        yield workspace


def contract(ws: Workspace, of_the_table: str = "", of_came: str = "") -> None:
    def entry(check: str) -> str:
        return f"quality: [{{type: custom, engine: sampan, implementation: {{check: {check}}}}}]"

    text = (
        "apiVersion: v3.1.0\nkind: DataContract\nname: trains\nschema:\n  - name: trains\n    "
        + (entry(of_the_table) if of_the_table else "tags: []")
        + "\n    properties:\n      - {name: left, logicalType: integer}\n      - name: came\n        logicalType: integer\n        "
        + (entry(of_came) if of_came else "description: when it came")
        + "\n"
    )
    ws.data.contracts.write("trains", text)


@pytest.mark.parametrize(
    ("check", "count", "rows"), [("checks.py:arrives_later", 2, [1, 3]), ("checks.py:arrives_later, slack: 1", 1, [3])]
)
def test_a_function_of_columns_judges_rows(ws: Workspace, check: str, count: int, rows: list[int]) -> None:
    contract(ws, of_the_table=check)
    (table,) = ws.data.check(["trains"]).tables
    (finding,) = table.findings

    assert finding.message == f"{count} of 4 rows ({count / 4:.2%}) break “A train arrives after it left”"
    assert rows == [row["row"] for row in finding.examples]


def test_a_function_of_values_judges_the_column_it_stands_at(ws: Workspace) -> None:
    contract(ws, of_came="checks.py:even")
    (finding,) = ws.data.check(["trains"]).tables[0].findings

    assert finding.message == "2 of 4 rows (50.00%) break “came even”"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("checks.py:evn", "checks.py has no function 'evn'"),
        ("check.py:even", "there is no file check.py in the project"),
        ("../other.py:even", "there is no file ../other.py in the project"),
        ("checks.py:wrong", "answers int, not a Polars expression"),
        ("checks.py:even, odd: 1", "has no parameter 'odd'"),
        ("checks.py:first", "answers 2 times for 4 rows"),
        ("checks.py:stops", "checks.py:stops fails: SystemExit: 3"),
        ("checks.py:divides", "the rule “came passes checks.py:divides” cannot be computed"),
        ("broken.py:even", "broken.py fails"),
    ],
)
def test_what_cannot_be_run_is_named(ws: Workspace, check: str, message: str) -> None:
    (ws.root / "broken.py").write_text("1 / 0\n")
    contract(ws, of_came=check)

    with pytest.raises(ParameterError, match=message.replace(".", r"\.")):
        ws.data.check(["trains"])


def test_one_answer_for_the_whole_table_holds_for_every_row(ws: Workspace) -> None:
    contract(ws, of_came="checks.py:together")
    (finding,) = ws.data.check(["trains"]).tables[0].findings

    assert finding.message == "4 of 4 rows (100.00%) break “came together”"
