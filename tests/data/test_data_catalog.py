"""The catalogue: finding datasets, and what is asked of one before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.data.trust import Evidence, judge_trust
from sampan.workspace.workspace import Workspace

ORDERS = "id,shop,paid\n" + "".join(f"{i},s{i % 30:02},{i % 50}.5\n" for i in range(200))
SHOPS = "shop,city\n" + "".join(f"s{i:02},city {chr(97 + i)}\n" for i in range(26)) + "s26,x\ns27,y\ns90,z\n"


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "shops.csv").write_text(SHOPS)
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "orders.csv", key=["id"], owner="sales", description="what was sold")
        workspace.data.add(tmp_path / "shops.csv")
        yield workspace


def test_datasets_are_found_by_what_their_columns_mean(ws: Workspace) -> None:
    found = ws.data.search(["payment"])

    assert [(line.ref, line.owner, line.n_rows) for line in found.datasets] == [("orders@v1", "sales", 200)]
    assert found.datasets[0].why == ("column paid",)
    assert found.next == ("sampan data card orders",)


def test_a_search_for_nothing_or_that_finds_nothing_says_so(ws: Workspace) -> None:
    assert "no dataset fits" in ws.data.search(["volcano"]).text()
    with pytest.raises(UsageError, match="nothing was asked for"):
        ws.data.search([" "])
    with pytest.raises(ParameterError, match="limit is 0"):
        ws.data.search(["shop"], limit=0)


def test_a_column_is_found_in_other_datasets_by_its_values(ws: Workspace) -> None:
    found = ws.data.like("orders", "shop")

    assert [(c.dataset, c.column, c.contained, c.contains, c.n_distinct) for c in found.columns] == [
        ("shops@v1", "shop", round(28 / 30, 4), round(28 / 29, 4), 29)
    ]
    assert "93%" in found.text()
    with pytest.raises(NotFound, match="no column 'shopp'") as caught:
        ws.data.like("orders", "shopp")
    assert caught.value.did_you_mean == ("shop",)
    with pytest.raises(ParameterError, match="least is 2"):
        ws.data.like("orders", "shop", least=2)


def test_joins_are_found_either_way_and_numbers_alike_by_chance_are_none(ws: Workspace) -> None:
    numbers = [1_000 + k for k in range(300)]
    crm = pl.DataFrame({"customer_id": numbers, "code": [f"KH{k}" for k in numbers], "id": numbers})
    sales = pl.DataFrame({"cust": numbers * 2, "kh": [f"KH{k}" for k in numbers] * 2, "amount": numbers * 2, "id": range(1_000, 1_600)})
    ws.data.add_table(crm, name="crm", key=["customer_id"])
    ws.data.add_table(sales, name="sales", key=["id"])

    assert [(j.dataset, j.columns, j.to_columns) for j in ws.data.card("sales").joins] == [
        ("crm", ("cust",), ("customer_id",)),
        ("crm", ("kh",), ("code",)),
    ]
    assert [(j.dataset, j.columns, j.to_columns) for j in ws.data.card("crm").joins] == [
        ("sales", ("customer_id",), ("cust",)),
        ("sales", ("code",), ("kh",)),
    ]
    assert "keys here" in ws.data.card("crm").text()


def test_an_estimate_of_how_many_values_there_are_is_none_of_a_count(ws: Workspace) -> None:
    for name in ("one", "two"):
        ws.data.add_table(pl.DataFrame({"customer": range(5_000)}), name=name)

    assert "customer: ~" in ws.data.like("one", "customer").text()


def test_what_nobody_said_names_the_command_that_says_it(ws: Workspace) -> None:
    ws.data.add_table(pl.DataFrame({"a": [1]}), name="bare")
    text = ws.data.card("bare").text()

    assert all(f"sampan data describe bare --{option}" in text for option in ("owner", "updates", "label-cost", "kpis"))


def test_the_card_answers_every_question(ws: Workspace) -> None:
    ws.data.describe(
        "orders", updates="every night", once_live="labels after two weeks", label_cost="0.40 EUR", kpis=["turnover"], access="ask sales"
    )
    card = ws.data.card("orders")

    assert card.came_from == ("orders.csv, read as csv, by ana on " + card.came_from[0][-10:],)
    assert (card.owner, card.label_cost, card.kpis, card.how_to_ask) == ("sales", "0.40 EUR", ("turnover",), "ask sales")
    assert card.how_often == "every night (one version so far)"
    assert card.once_live == ("labels after two weeks",)
    assert [(j.dataset, j.columns, j.to_columns) for j in card.joins] == [("shops", ("shop",), ("shop",))]
    assert card.trust == round(sum(reason.points for reason in card.reasons))
    assert all(question in card.text() for question in ("Where is it from?", "Who may use it", "What joins to it?", "What do labels cost?"))


def test_trust_rises_with_what_is_done_for_it(ws: Workspace) -> None:
    before = ws.data.card("orders").trust
    ws.data.infer("orders")
    ws.data.check(["orders"])
    ws.data.errors("orders")
    after = ws.data.card("orders")

    assert after.trust >= before + 30
    assert next(reason for reason in after.reasons if reason.about == "cells").points == 15


def test_trust_names_what_would_raise_it() -> None:
    evidence = Evidence(
        name="a b", ref="a b@v1", said={"label": {"target": "y"}}, facts={"source": "memory"}, n_held=3, age_ms=10, every_ms=1
    )
    trust = judge_trust(evidence)

    assert trust.score == 18
    assert [reason.raise_by for reason in trust.reasons if reason.raise_by] == [
        "sampan data infer 'a b'",
        "sampan data errors 'a b@v1'",
        "sampan data describe 'a b' --owner OWNER --description DESCRIPTION",
        "sampan data quarantine 'a b'",
        "sampan data leaks 'a b@v1'",
    ]


def test_what_is_said_stays_until_it_is_said_again(ws: Workspace) -> None:
    ws.data.describe("orders", description="every sale")
    said = ws.data.describe("orders", kpis=["turnover"]).facts

    assert said == {"key": ["id"], "owner": "sales", "description": "every sale", "kpis": ["turnover"]}
    with pytest.raises(UsageError, match="nothing was said"):
        ws.data.describe("orders")


def test_a_repaired_version_says_what_it_was_made_from(ws: Workspace) -> None:
    ws.data.add_table({"size": ["12 oz", "12 oz.", "16 ounce"] * 20}, name="beers")
    ws.data.repair("beers")

    assert ws.data.card("beers").came_from[1:] == ("derived from beers@v1",)
