"""Roads to values that terms withhold: verbs that show them, what is recorded of them, and questions whose answers tell of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import add_orders, lose_rows

from sampan.errors import ParameterError, PolicyRefused
from sampan.workspace.data.quarantine import HeldCell, Quarantine
from sampan.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        add_orders(workspace)
        yield workspace


def opened(ws: Workspace, actor: str) -> Workspace:
    """Open the same project as someone else."""
    return Workspace.open(ws.root, actor=actor)


READS = {
    "head": lambda ws: ws.data.head("orders"),
    "diff": lambda ws: ws.data.diff("orders@v1", "orders", key=["order"]),
    "errors": lambda ws: ws.data.errors("orders"),
    "look": lambda ws: ws.data.look("orders"),
    "repair": lambda ws: ws.data.repair("orders"),
    "explore": lambda ws: ws.data.explore("orders"),
    "value": lambda ws: ws.data.value("orders", target="late = 1"),
    "judge": lambda ws: ws.data.judge_table("orders", {"order": [1]}),
    "leaks": lambda ws: ws.data.leaks("orders", target="late = 1"),
    "infer": lambda ws: ws.data.infer("orders"),
    "label": lambda ws: ws.data.label("orders", target="late = 1"),
}


@pytest.mark.parametrize("verb", READS)
def test_a_verb_that_shows_values_is_refused_before_a_row_is_read(ws: Workspace, verb: str) -> None:
    ws.policy.declare("orders", owner="ana", ask="ana@example.com", purposes=["lateness"])
    lose_rows(ws)

    with pytest.raises(PolicyRefused, match="orders may be used for lateness only, and this use declares no purpose") as caught:
        READS[verb](ws)

    assert ("purpose", "ana") == (caught.value.rule, caught.value.owner)
    assert "[project] of sampan.toml" in caught.value.hint


def test_the_first_rows_are_shown_for_an_allowed_purpose_and_without_a_column_that_is_not(ws: Workspace) -> None:
    (ws.root / "sampan.toml").write_text('[project]\npurpose = "lateness"\n')
    ws.policy.declare("orders", owner="ana", purposes=["lateness"])
    with opened(ws, "binh") as allowed:
        assert 5 == len(allowed.data.head("orders").rows)
        assert ("order", "late") == allowed.data.head("orders", columns=["order", "late"]).columns
        with pytest.raises(ParameterError, match="has no column 'lat'"):
            allowed.data.head("orders", columns=["lat"])


def test_a_dataset_that_may_not_be_read_is_described_without_its_values(ws: Workspace) -> None:
    open_, profiled = ws.data.show("orders"), ws.data.profile("orders")
    ws.policy.declare("orders", owner="ana", ask="ana@example.com", purposes=["lateness"])

    shown, hidden = ws.data.show("orders"), ws.data.profile("orders")

    assert [c.name for c in open_.columns] == [c.name for c in shown.columns] == [c.name for c in hidden.columns]
    assert "" == open_.withheld == profiled.withheld
    assert any(c.values for c in open_.columns)
    assert not any(c.values for c in (*shown.columns, *hidden.columns))
    assert ({}, {}) == (hidden.top, hidden.histograms)
    assert "orders may be used for lateness only" in shown.withheld
    assert "values are not shown: orders may be used for lateness only" in shown.text()
    assert shown.withheld == hidden.withheld
    assert ("sampan data card orders@v1", "sampan policy show orders") == shown.next
    assert ("sampan policy show orders",) == hidden.next


def test_columns_of_personal_data_are_told_without_masked_examples(ws: Workspace) -> None:
    ws.data.add_table({"mail": ["ana@example.vn", "binh@example.vn"], "n": [1, 2]}, name="people")
    seen = ws.data.pii("people")
    ws.policy.declare("people", owner="ana", purposes=["care"])

    told = ws.data.pii("people")

    assert [("mail", "email")] == [(each.column, each.pii) for each in told.findings]
    assert ("a***@***.vn", "b***@***.vn") == tuple(sorted(seen.findings[0].examples))
    assert () == told.findings[0].examples


def test_the_owner_that_a_policy_names_answers_for_the_data_in_its_card_too(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana")

    card = ws.data.card("orders").text()

    assert "ana answers for it" in card
    assert "nobody answers for it" not in card


def test_checks_and_quarantine_tell_what_is_wrong_without_values_that_may_not_be_read(ws: Workspace) -> None:
    ws.data.add_table({"id": [1, 2, 3], "name": ["ana", "binh", "chi"]}, name="people", key=["id"])
    ws.data.infer("people")
    ws.data.add_table({"id": [1, 2, 3, 4], "name": ["ana", "binh", None, None]}, name="people", key=["id"])
    rows, cell = pl.DataFrame({"id": ["x7"], "name": ["dung"]}), HeldCell(row=0, column="id", value="x7", reason="no number")
    node = ws.catalog.resolve("people")
    Quarantine(ws).hold("people", rows, [cell], batch=node.id)
    seen, checked = ws.data.quarantine("people"), ws.data.check(["people"])
    ws.policy.declare("people", owner="ana", purposes=["churn"])

    hidden, told = ws.data.quarantine("people"), ws.data.check(["people"])

    assert ["x7"] == [one.value for one in seen.cells]
    assert [("", "no number")] == [(one.value, one.reason) for one in hidden.cells]
    assert "values are not shown: people may be used for churn only" in hidden.text()
    findings = [[*table.findings, *table.notes] for table in (checked.tables[0], told.tables[0])]
    assert [one.message for one in findings[0]] == [one.message for one in findings[1]]
    assert any(one.examples for one in findings[0])
    assert not any(one.examples for one in findings[1])


def test_what_is_recorded_of_data_quotes_no_value_that_may_not_be_read(ws: Workspace) -> None:
    """Comparing versions and their checks, searching by value and the ledger's rows are roads to values as well."""
    ws.data.add_table({"id": [1, 2, 3], "town": ["Zhue", "Zhue", "Zvinh"]}, name="people", key=["id"])
    ws.data.infer("people")
    ws.data.add_table({"id": [1, None, 3], "town": ["Zhue", "Zdalat", "Zhue"]}, name="people", key=["id"])
    ws.data.check(["people@v1"])
    ws.data.check(["people@v2"])
    roads: dict[str, Callable[[], str]] = {
        "versions": lambda: ws.home.compare(["people@v1", "people@v2"], everything=True).text(),
        "checks": lambda: ws.home.diff("check:people.check@v1", "check:people.check@v2", everything=True).text(),
        "search": lambda: str(ws.data.search(["Zdalat"]).datasets),
        "ledger": lambda: str(ws.audit.log(limit=1000).rows),
    }
    before = {road: told() for road, told in roads.items()}
    ws.policy.declare("people", owner="ana", purposes=["churn"])

    after = {road: told() for road, told in roads.items()}

    assert [road for road, told in before.items() if "Zdalat" not in told] == []
    assert [road for road, told in after.items() if "Zdalat" in told or "Zhue" in told] == []
    for road in ("versions", "checks", "ledger"):
        assert "people may be used for churn only, and this use declares no purpose" in after[road]


def test_the_ledger_still_tells_of_people_and_terms_where_values_are_left_out(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"])

    rows = {row.type: row for row in ws.audit.log().rows}

    assert ["lateness"] == rows["policy_declared"].body["facts"]["terms"]["purposes"]
    assert "not shown" in rows["version_committed"].body["facts"]
    assert ws.audit.verify().intact


def test_rows_are_picked_out_by_a_condition_only_by_who_may_read_them_or_owns_them(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"], expires="2020-01-01")
    with opened(ws, "binh") as stranger, pytest.raises(PolicyRefused):
        stranger.data.delete("orders", where="late = 1")

    cleared = ws.data.delete("orders", where="x1 IS NOT NULL")

    assert 0 == cleared.n_rows


NUMBER = """      - type: sql
        query: {query}
        mustBe: 0
      - type: library
        metric: rowCount
"""


def with_query(ws: Workspace, name: str, query: str) -> None:
    ws.data.infer(name)
    file = ws.root / "contracts" / f"{name}.yaml"
    text = file.read_text()
    assert "      - type: library\n        metric: rowCount\n" in text
    file.write_text(text.replace("      - type: library\n        metric: rowCount\n", NUMBER.format(query=query), 1))


def test_a_contracts_query_answers_no_number_of_data_that_may_not_be_read(ws: Workspace) -> None:
    ws.data.add_table({"id": [1, 2, 3], "pay": [4711, 4712, 4713]}, name="people", key=["id"])
    ws.data.add_table({"id": [1, 2], "x": [3, 4]}, name="mine", key=["id"])
    with_query(ws, "people", "SELECT pay FROM data WHERE id = 1")
    with_query(ws, "mine", "SELECT pay FROM people WHERE id = 1")
    seen = ws.data.check(["people", "mine"]).text()
    ws.policy.declare("people", owner="ana", purposes=["churn"])

    told = ws.data.check(["people"]).text()
    with pytest.raises(PolicyRefused, match="people may be used for churn only"):
        ws.data.check(["mine"])

    assert 2 == seen.count("4,711 where “")
    assert "another number where “" in told
    assert "4,711" not in told + ws.data.show("people").text()
