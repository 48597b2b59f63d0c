"""A contract is edited on its page: faults are shown with what was typed, and only a page's own form is taken."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.data.contract import AllowedValues, AnyRule, Distribution, NullShare, Query, Range, Stated, Statistic, Unique
from sampan.data.contract_yaml import read_contract, write_contract
from sampan.data.rule_words import describe
from sampan.web.app import create_app
from sampan.web.words.dictionary import vietnamese
from sampan.workspace.workspace import Workspace

PAGE = "/data/orders/contract"
ORDERS = pl.DataFrame({"id": range(60), "shop": ["s0", "s1", "<b>"] * 20})


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add_table(ORDERS, name="orders", key=["id"])
        workspace.data.infer("orders")
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> TestClient:
    return TestClient(create_app(ws), base_url="http://127.0.0.1:4140")


def form(page: str) -> dict[str, str]:
    """Return what a browser would post if nothing was changed."""
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    text = re.search(r"<textarea[^>]*>\n(.*)</textarea>", page, re.DOTALL)
    assert text is not None
    # A browser sends the lines of a text area apart by CR LF.
    return {**fields, "contents": html.unescape(text[1]).replace("\n", "\r\n")}


def test_a_change_is_saved_recorded_and_shown(ws: Workspace, client: TestClient) -> None:
    typed = form(client.get(PAGE).text)
    typed["contents"] = typed["contents"].replace("status: draft", "status: active")
    answer = client.post(PAGE, data=typed)
    node = ws.catalog.resolve("orders.contract", kind="contract")

    assert (answer.status_code, len(answer.history)) == (200, 1)
    assert "Saved. orders.contract@v1" in answer.text
    assert "status: active\n" in (ws.root / "contracts/orders.yaml").read_text()
    assert b"\r" not in (ws.root / "contracts/orders.yaml").read_bytes()
    assert (node.actor, node.facts["status"]) == ("ana", "active")
    assert f'href="{PAGE}"' in client.get("/data/orders").text


def test_nothing_changed_is_saved_as_it_was(ws: Workspace, client: TestClient) -> None:
    before = (ws.root / "contracts/orders.yaml").read_bytes()

    assert client.post(PAGE, data=form(client.get(PAGE).text)).status_code == 200
    assert before == (ws.root / "contracts/orders.yaml").read_bytes()


def test_faults_are_shown_with_their_lines_and_what_was_typed(ws: Workspace, client: TestClient) -> None:
    before = (ws.root / "contracts/orders.yaml").read_text()
    typed = form(client.get(PAGE).text)
    typed["contents"] = (
        typed["contents"].replace("kind: DataContract", "kind: DataContrakt").replace("logicalType: integer", "logicalType: intger")
    )
    answer = client.post(PAGE, data=typed)

    assert answer.status_code == 400
    assert "has 2 faults" in answer.text
    assert "line 2: kind is &#39;DataContrakt&#39;; did you mean DataContract?" in answer.text
    assert "kind: DataContrakt" in form(answer.text)["contents"]
    assert before == (ws.root / "contracts/orders.yaml").read_text()


def test_what_someone_else_saved_meanwhile_is_not_overwritten(ws: Workspace, client: TestClient) -> None:
    typed = form(client.get(PAGE).text)
    other = (ws.root / "contracts/orders.yaml").read_text().replace("status: draft", "status: retired")
    (ws.root / "contracts/orders.yaml").write_text(other)
    answer = client.post(PAGE, data=typed)

    assert answer.status_code == 409
    assert "has changed since this text was made from it" in answer.text
    assert other == (ws.root / "contracts/orders.yaml").read_text()


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"form_token": "made up"}, {}, 403),
        ({"form_token": ""}, {}, 403),
        ({}, {"origin": "http://elsewhere.example"}, 403),
        ({}, {"sec-fetch-site": "cross-site"}, 403),
        ({}, {"content-type": "text/plain"}, 400),
    ],
)
def test_only_the_form_of_a_page_of_ours_is_taken(
    ws: Workspace, client: TestClient, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    before = (ws.root / "contracts/orders.yaml").read_text()
    typed = {**form(client.get(PAGE).text), "contents": "name: stolen", **fields}

    assert client.post(PAGE, data=typed, headers=headers).status_code == status
    assert before == (ws.root / "contracts/orders.yaml").read_text()


def test_a_new_rule_in_python_is_not_taken_over_http(ws: Workspace, client: TestClient) -> None:
    (ws.root / "checks.py").write_text("def even(values):\n    return values % 2 == 0\n")
    rule = "type: custom\n            engine: sampan\n            implementation: {check: 'checks.py:even'}\n"
    typed = form(client.get(PAGE).text)
    with_code = typed["contents"].replace("name: shop", "name: shop\n        description: where\n        tags: []", 1)
    with_code = with_code.replace("        quality:\r\n", "        quality:\r\n          - " + rule, 1)
    refused = client.post(PAGE, data={**typed, "contents": with_code})

    assert refused.status_code == 403
    assert "the rule checks.py:even runs code of the project" in refused.text
    # Whoever may write the file may; what is there already may be saved again.
    ws.data.contracts.write("orders", with_code.replace("\r\n", "\n"))
    assert client.post(PAGE, data=form(client.get(PAGE).text)).status_code == 200


def test_pages_without_a_form_take_no_post(client: TestClient) -> None:
    assert client.post("/data/orders").status_code == 405


def test_a_file_with_faults_can_be_mended_on_the_page(ws: Workspace, client: TestClient) -> None:
    file = ws.root / "contracts/orders.yaml"
    file.write_text(file.read_text().replace("logicalType: integer", "logicalType: intger"))
    shown = client.get(PAGE)
    typed = form(shown.text)
    typed["contents"] = typed["contents"].replace("intger", "integer")

    assert "did you mean integer?" in shown.text
    assert client.post(PAGE, data=typed).status_code == 200
    assert ws.data.contract("orders").n_rules > 0


def test_without_a_contract_the_page_names_the_command(ws: Workspace, client: TestClient) -> None:
    (ws.root / "contracts/orders.yaml").unlink()

    assert "sampan data infer orders" in client.get(PAGE).text


def test_a_vietnamese_page_speaks_vietnamese_of_rules_and_findings(ws: Workspace, client: TestClient) -> None:
    contract = read_contract((ws.root / "contracts/orders.yaml").read_text(), file="f")
    rules = (*contract.rules, AllowedValues(column="shop", values=("s0",)), Range(column="id", minimum=10))
    ws.data.contracts.write(
        "orders", write_contract(type(contract)(name="orders", columns=contract.columns, key=contract.key, rules=rules))
    )
    ws.data.check(["orders"])
    page, shown = client.get(f"{PAGE}?lang=vi").text, client.get("/data/orders?lang=vi").text

    assert "shop là một trong s0" in page
    assert "id ít nhất 10" in page
    assert "có cột id, kiểu integer" in page
    assert "40 trên 60 dòng (66.67%) vi phạm “shop là một trong s0”" in shown
    assert "10 trên 60 dòng (16.67%) vi phạm “id ít nhất 10”" in shown


@pytest.mark.parametrize(
    "rule",
    [
        Range(column="x", minimum=1, maximum=2, beyond=("minimum",), tolerance=0.1),
        Statistic(column="x", statistic="std", maximum=3),
        Distribution(column="x", edges=(1.0,), shares=(0.5,), max_distance=0.1),
        Unique(columns=("x", "y")),
        NullShare(column="x", max_share=0.0, tolerated=9),
        AllowedValues(column="x", values=("a",), tolerated=5),
        Query(sql="SELECT count(*) FROM data", minimum=0, maximum=0),
        Stated(column="x", entry={"type": "text", "description": "measured at noon"}),
        Stated(column="x", engine="soda", entry={"name": "no doubles"}),
    ],
)
def test_every_rule_has_vietnamese_words(rule: AnyRule) -> None:
    assert describe(rule) != vietnamese(describe(rule))


def test_what_is_kept_and_not_judged_is_shown_as_a_note(ws: Workspace, client: TestClient) -> None:
    text = ws.data.contract("orders").contents.replace(
        "    quality:\n", "    quality:\n      - {type: text, description: sold at noon}\n", 1
    )
    ws.data.contracts.write("orders", text)

    assert "note: kept, not judged here: sold at noon (for people)" in ws.data.contract("orders").rules
    assert "giữ lại, không xét ở đây: sold at noon (dành cho người đọc)" in client.get(f"{PAGE}?lang=vi").text
