"""The page of a study: every trial, what mattered, and the way to its trials as parallel coordinates."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # the small training that other tests use

from small_training import CUT, add_orders, write_training

from sampan.web import app
from sampan.workspace.workspace import Workspace

TWO_FORMS = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, leaves=sp.ints(3, 12), rate=sp.logs(0.01, 0.3), seed=0):
    params = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": leaves, "learning_rate": rate, "seed": seed}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), 3)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Workspace.open(tmp_path_factory.mktemp("study"), actor="an") as ws:
        add_orders(ws)
        ws.model.tune(write_training(ws.root, TWO_FORMS), trials=6, until=CUT, nested=1, toward=["loss", "size"])
        with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
            yield client


def test_a_study_shows_each_trial_and_the_best_once(client: TestClient) -> None:
    page = client.get("/studies/orders-late@v1?lang=en").text

    assert 6 == len(re.findall(r'<tr><th scope="row"><a href="/runs/[0-9a-f]{32}">', page))
    assert 1 == page.count(">best<")
    assert 2 <= page.count("<svg")
    assert "Tuned anew before each later span" in page
    assert "sampan model train" in page


def test_its_trials_are_a_click_away_as_parallel_coordinates(client: TestClient) -> None:
    page = client.get("/studies/orders-late").text
    (address,) = re.findall(r'href="(/compare/runs[^"]+)"', page)

    trials = client.get(html.unescape(address)).text

    assert "params.leaves" in trials
    assert 6 <= len(re.findall(r'name="ref" value="[0-9a-f]{12}"', trials))


def test_the_nodes_page_leads_to_it_and_an_unknown_study_is_said(client: TestClient) -> None:
    found = client.get("/api/v1/model/study", params={"study": "orders-late"}).json()
    lineage = client.get("/lineage/study:orders-late").text

    assert "study:orders-late@v1" == found["study"]
    (node,) = set(re.findall(r'href="/node/([0-9a-f]{32})">study</a>', lineage))
    assert "/studies/orders-late%40v1" in client.get(f"/node/{node}").text
    assert 404 == client.get("/studies/none@v1").status_code
