"""The pages of models of numbers and of classes, live ones and their incidents, in both languages."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # its modules, under importlib's import mode

from small_tasks import CUT, ENDS, ENDS_FILE, HOURS, add_visits, write_task

from sampan.web import app
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # trains two models and starts a server


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace.open(tmp_path_factory.mktemp("visits")) as workspace:
        add_visits(workspace)
        ends = workspace.model.train(write_task(workspace.root, ENDS_FILE, name="page_ends.py"), trials=2, until=CUT).model.ref
        workspace.model.gate(ends)
        hours = workspace.model.train(write_task(workspace.root, HOURS, name="page_hours.py"), trials=2, until=CUT).model.ref
        workspace.model.ship(hours)
        later = pl.read_parquet(workspace.root / "visits.parquet").filter(pl.col("at") >= 1_359_676_800_000)
        post(workspace, "/predict", {"rows": later.select("visit", "at", "ward", "x1", "x2").to_dicts()})
        post(workspace, "/outcomes", [{"visit": v, "label": h + 5} for v, h in later.select("visit", "hours").iter_rows()])
        workspace.monitor.window("hours", "2013-02-01", "2013-02-15")
        yield workspace
        workspace.service.stop("hours")


def post(ws: Workspace, path: str, body: Any) -> None:
    live = ws.service.running("hours")
    assert live is not None
    connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
    connection.request("POST", path, body=json.dumps(body))
    assert connection.getresponse().status == 200
    connection.close()


@pytest.fixture(scope="module")
def client(ws: Workspace) -> TestClient:
    return TestClient(app.create_app(ws), base_url="http://127.0.0.1:8642")


def shown(client: TestClient, path: str, language: str = "en") -> str:
    answer = client.get(path, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_page_of_a_model_of_classes_tells_each_class_apart(client: TestClient) -> None:
    page = shown(client, "/models/ends@v1")

    assert all(f'<th scope="row">{name}</th>' in page for name in ENDS)
    for words in (
        "Class by class",
        "Mean AUC of the classes",
        "how sure the model was of the likeliest class",
        "Cost a row, always the same answer",
    ):
        assert words in page
    assert "Cost by threshold" not in page


def test_the_page_of_a_model_of_numbers_says_how_far_off_it_is(client: TestClient) -> None:
    page = shown(client, "/models/hours@v1")

    for words in ("How far off", "Root mean squared error", "Mean of answer minus truth", "Up: what it was on average"):
        assert words in page
    assert "Class by class" not in page


def test_a_live_model_of_numbers_is_shown_by_its_errors(client: TestClient, ws: Workspace) -> None:
    incident = ws.incident.list_incidents(service="hours").incidents[0].ref
    window = ws.monitor.show("hours").windows[0]

    assert "alarm" == window.verdict  # every truth lies 5 hours above what was said
    assert any("live root mean squared error" in reason and "above the reference's" in reason for reason in window.reasons)
    for path in ("/", "/services/hours", f"/incidents/{incident}", "/models"):
        page = shown(client, path)
        assert "oot mean squared error" in page
        assert "Live AUC" not in page


@pytest.mark.parametrize("path", ["/models/ends@v1", "/models/hours@v1", "/services/hours", "/"])
def test_the_pages_speak_vietnamese(client: TestClient, path: str) -> None:
    page = shown(client, path, "vi")

    for english in ("Root mean squared error", "Mean AUC of the classes", "Class by class", "How far off", "Accuracy", "beyond chance"):
        assert english not in page
