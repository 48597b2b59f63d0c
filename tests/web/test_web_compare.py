"""The pages that lay things side by side, and many runs at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from sampan.core.events import RunEnded, RunStarted, new_id
from sampan.web import app
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def runs() -> list[str]:
    return [new_id() for _ in range(12)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, runs: list[str]) -> Iterator[TestClient]:
    with Workspace.open(tmp_path_factory.mktemp("compare"), actor="an") as ws:
        for number, run in enumerate(runs):
            params = {"depth": str(number % 3), HOSTILE: HOSTILE, "rate": "0.1"}
            ws.ledger.append(RunStarted(node=run, experiment="trees", title=f"{HOSTILE} {number}", started=NOON + number, params=params))
            with ws.store.journals.open(run) as journal:
                for step in range(5):
                    journal.log("val_auc", 0.5 + number / 100 + step / 1000, step=step, at=NOON)
            ws.ledger.append(RunEnded(node=run, state="finished", ended=NOON + number + 1_000))
        ws.home.note(runs[0], f"too shallow {HOSTILE}")
        with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
            yield client


def test_runs_stand_side_by_side_with_what_differs_and_their_notes(client: TestClient, runs: list[str]) -> None:
    page = client.get(f"/compare?ref={runs[0][:12]}&ref={runs[1][:12]}&lang=en").text

    assert "too shallow" in page
    assert re.search(r"<th scope=\"row\">depth</th>", page)
    assert not re.search(r"<th scope=\"row\">rate</th>", page)
    assert page.count("<svg") >= 1  # the curves laid over each other


def test_everything_is_a_click_away_and_an_address(client: TestClient, runs: list[str]) -> None:
    address = f"/compare?ref={runs[0][:12]}&ref={runs[1][:12]}&everything=yes&lang=en"

    assert re.search(r"<th scope=\"row\">rate</th>", client.get(address).text)
    assert "everything=yes" in client.get(address.replace("&everything=yes", "")).text


def test_names_on_the_page_are_text_whatever_they_hold(client: TestClient, runs: list[str]) -> None:
    pages = [
        "/compare",
        f"/compare?ref={runs[0][:12]}+{runs[1][:12]}&everything=yes",
        "/compare/runs",
        "/runs",
        "/compare/runs?where=auc+%3E+%3Cb%3E",
    ]

    assert not [page for page in pages if "<img src=x" in client.get(page).text]


def test_without_things_to_compare_the_page_asks_for_them(client: TestClient, runs: list[str]) -> None:
    page = client.get("/compare?lang=en").text

    assert 8 == page.count('name="ref" value="')
    assert runs[-1][:12] in page


def test_many_runs_begin_with_the_parameters_that_vary_and_a_metric(client: TestClient) -> None:
    page = client.get("/compare/runs?lang=en").text

    assert 'data-axes="params.depth val_auc"' in page
    assert "/api/v1/run/columns?fields=params.depth&amp;fields=val_auc" in page


def test_a_view_of_many_runs_is_one_address(client: TestClient) -> None:
    address = "/compare/runs?where=val_auc+%3E+0.55&axes=params.depth&axes=seconds&color=val_auc&group=params.depth&lang=en"
    page = client.get(address).text

    assert 'data-axes="params.depth seconds"' in page
    best = page[page.index('id="best"') : page.index('id="chosen"')]
    assert 3 == best.count("<tr>") - 1


def test_the_data_behind_the_drawing_are_the_runs_in_order(client: TestClient) -> None:
    page = client.get("/compare/runs?where=val_auc+%3E+0.55&lang=en").text
    found = re.search(r'data-source="([^"]+)"', page)
    assert found is not None
    answer = client.get(found[1].replace("&amp;", "&")).json()

    assert 7 == answer["n_found"] == len(answer["runs"])
    assert sorted(answer["columns"]["val_auc"], reverse=True) == answer["columns"]["val_auc"]


def test_a_condition_that_no_run_meets_or_nobody_can_read_is_said(client: TestClient) -> None:
    assert "No run is like that" in client.get("/compare/runs?where=val_auc+%3E+9&lang=en").text
    assert 400 == client.get("/compare/runs?where=val_auc+%3E&lang=en").status_code


def test_the_pages_speak_vietnamese(client: TestClient, runs: list[str]) -> None:
    page = client.get(f"/compare?ref={runs[0][:12]}+{runs[1][:12]}&lang=vi").text

    assert "Đặt cạnh nhau" in page
    assert "tham số" in page


def test_the_table_of_runs_leads_to_comparing(client: TestClient) -> None:
    page = client.get("/runs?lang=en").text

    assert 'action="/compare"' in page
    assert 12 == page.count('name="ref" value="')
