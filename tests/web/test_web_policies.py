"""The pages of policies: what data may be used for, who said so, and how to ask, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.web import app
from sampan.web.words.dictionary import VIETNAMESE, vietnamese
from sampan.web.words.policy import PATTERNS, WORDS
from sampan.workspace.workspace import Workspace

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add_table(pl.DataFrame({"id": [1, 2], "mail": ["a@b.vn", "c@d.vn"], "sex": ["f", "m"]}), name="people")
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> TestClient:
    return TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140")


def test_a_dataset_of_which_nothing_is_said_shows_how_to_say_it(client: TestClient) -> None:
    page = client.get("/policies/people").text

    assert "Nothing is said of its use" in page
    assert "sampan policy set people --owner WHO --purposes PURPOSE" in page


def test_the_page_says_what_is_forbidden_by_whom_and_how_to_ask(ws: Workspace, client: TestClient) -> None:
    ws.policy.declare(
        "people", owner="ana", ask=HOSTILE, purposes=["care"], pii={"mail": "email"}, protected=["sex"], actions={"mail": "pseudonym"}
    )
    ws.policy.ask("people", purpose="ads", reason=HOSTILE)
    until = (datetime.fromtimestamp(ws.clock() / 1000, UTC) + timedelta(days=3)).date().isoformat()
    ws.policy.grant("people", until=until, reason="agreed", to="binh", purpose="churn")

    english, vietnamese_page = (client.get(f"/policies/people?lang={lang}").text for lang in ("en", "vi"))
    listed = client.get("/policies").text

    assert "may not be used" in english
    assert "people may be used for care only, and this use declares no purpose" in english
    assert "ana in people.policy@v1" in english
    assert "never sees it" in english
    assert "people chỉ được dùng cho care, mà lần dùng này không khai mục đích" in vietnamese_page
    assert "thay bằng bí danh" in vietnamese_page
    assert HOSTILE not in english + vietnamese_page + listed
    assert "sampan policy grant people --request people.request@v1 --until DATE" in listed


def test_an_empty_project_has_a_page_too(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as empty:
        page = TestClient(app.create_app(empty), base_url="http://127.0.0.1:4140").get("/policies")

    assert page.status_code == 200
    assert "sampan data add FILE" in page.text


def test_what_the_room_says_is_there_in_vietnamese() -> None:
    said = ["only for", "only in", "not for", "lawful basis", "days kept", "k of generalized columns", "free-text", "policy declared"]

    assert [word for word in said if word not in VIETNAMESE] == []
    assert vietnamese("orders may be processed in vn only, not in us") == "orders chỉ được xử lý tại vn, không được tại us"
    assert len(PATTERNS) >= 13
    assert all(text.strip() for text in WORDS.values())


def test_a_refusal_is_said_in_vietnamese_with_who_said_it_and_how_to_ask(ws: Workspace, client: TestClient) -> None:
    ws.policy.declare("people", owner="ana", purposes=["churn"], regions=["vn"])

    page = client.get("/data/people/explore?lang=vi")

    assert 422 == page.status_code
    assert "people chỉ được dùng cho churn, mà lần dùng này không khai mục đích (theo ana trong people.policy@v1 ngày" in page.text
    assert "(và 1 điều nữa)" in page.text
    assert "hãy khai mục đích: sp.data(…, purpose=…), hoặc purpose trong [project] của sampan.toml" in page.text


def test_terms_that_bind_nothing_are_said_on_the_pages(ws: Workspace) -> None:
    file = ws.root / "sampan.toml"
    file.write_text('[policies.people]\nprotected = ["sxe"]\nactions = { illness = "drop" }\n[policies.poeple]\npurposes = ["churn"]\n')
    with Workspace.open(ws.root, actor="ana") as declared:
        client = TestClient(app.create_app(declared), base_url="http://127.0.0.1:4140")
        listed, shown = client.get("/policies?lang=vi").text, client.get("/policies/people?lang=en").text
        told = declared.policy.list_policies().text(), declared.policy.show("people").text()

    assert "poeple: có trong sampan.toml, mà không có tập dữ liệu nào tên như vậy" in listed
    assert "sxe: no column of this version; what is said of it binds nothing" in shown
    assert "poeple: in sampan.toml, and no dataset has this name" in told[0]
    assert "sxe: no column of this version; what is said of it binds nothing" in told[1]
