"""Evaluation datasets, regular expressions and correlations of traces: by the real client of MLflow 3, and what must be refused."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from sampan.web.app import create_app
from sampan.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
API = "/api/3.0/mlflow/datasets"
# What MLflow 3.17.2 shows of its own SQLite store by the same script; only of a broken pattern it says nothing and finds nothing.
OWN: dict[str, Any] = {
    "made": ["questions", "risk", True, None, None, "an"],
    "schema": {
        "inputs": {"question": "string", "n": "integer"},
        "outputs": {"said": "string"},
        "expectations": {"answer": "string", "long": "boolean"},
        "version": "1.0",
    },
    "profile": {"num_records": 2},
    "digest changed": True,
    "records": [
        [{"question": "what is a keel", "n": 2}, {}, None, None, "CODE"],
        [{"question": "what is a sail"}, {"said": "cloth"}, {"answer": "cloth", "long": True}, "easy", "HUMAN"],
    ],
    "of one experiment": ["questions"],
    "by name": ["more 0", "more 2"],
    "ordered": ["more 2", "more 1", "more 0"],
    "paged": 2,
    "bad filter": "INVALID_PARAMETER_VALUE",
    "tags": {"team": "pricing"},
    "added": ["more 0", "more 1", "more 2", "questions"],
    "removed": ["more 0", "more 1", "more 2"],
    "no experiment": "RESOURCE_DOES_NOT_EXIST",
    "deleted": [1, 1],
    "gone": "RESOURCE_DOES_NOT_EXIST",
    "gone twice": "nothing",
    "left": [],
    "rlike": ["No 2", "No 3", "No 4"],
    "rlike anywhere": ["No 0", "No 5"],
    "hostile": [],
    "bad pattern": "INVALID_PARAMETER_VALUE",
    "correlation same": [1.0, 0.686504010904, 2, 2, 2, 6],
    "correlation apart": [-1.0, -0.476722648902, 2, 4, 0, 6],
    "correlation half": [0.0, 0.0, 2, 3, 1, 6],
    "correlation none": [None, None, 2, 0, 0, 6],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "sampan", "ui", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"].rstrip("/")
        process.terminate()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


@pytest.fixture
def http(ws: Workspace) -> TestClient:
    return TestClient(create_app(ws), base_url="http://127.0.0.1")


def made(http: TestClient) -> str:
    found: str = http.post(f"{API}/create", json={"name": "questions"}).json()["dataset"]["dataset_id"]
    return found


def merge(http: TestClient, dataset: str, *records: Any) -> Any:
    return http.post(f"{API}/{dataset}/records", json={"records": json.dumps(records)}).json()


@pytest.mark.slow
def test_the_real_client_sees_what_its_own_store_shows(server: str, tmp_path: Path) -> None:
    python, script = ROOT / ".peers" / "mlflow3" / "bin" / "python", Path(__file__).with_name("mlflow_datasets.py")
    assert python.exists(), "make peers"
    quiet = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_DISABLE_TELEMETRY": "true"}

    done = subprocess.run([python, script, server], capture_output=True, text=True, cwd=tmp_path, env=quiet)

    line = next((line for line in done.stdout.splitlines() if line.startswith("SEEN ")), "")
    assert line, done.stderr[-3000:]
    assert json.loads(line.removeprefix("SEEN ")) == OWN


def test_writers_at_once_lose_no_record_and_each_change_is_a_version(http: TestClient, ws: Workspace) -> None:
    dataset = made(http)
    writers = [threading.Thread(target=lambda n=n: merge(http, dataset, {"inputs": {"n": n}})) for n in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    records = json.loads(http.get(f"{API}/{dataset}/records").json()["records"])
    assert set(range(6)) == {each["inputs"]["n"] for each in records}
    assert 6 == len(ws.catalog.nodes(kind="evaluation_dataset"))
    assert merge(http, dataset, {"inputs": {"n": 3}, "tags": {"seen": "yes"}}) == {"inserted_count": 0, "updated_count": 1}


def test_records_come_in_pages_and_files_of_a_deleted_dataset_are_given_up(http: TestClient, ws: Workspace) -> None:
    dataset = made(http)
    merge(http, dataset, *({"inputs": {"n": n}} for n in range(5)))
    seen, token = [], ""
    while True:
        told = http.get(f"{API}/{dataset}/records", params={"max_results": 2, "page_token": token}).json()
        seen += [each["inputs"]["n"] for each in json.loads(told["records"])]
        if not (token := told.get("next_page_token", "")):
            break
    (version,) = ws.catalog.nodes(kind="evaluation_dataset")
    http.delete(f"{API}/{dataset}")

    assert list(range(5)) == sorted(seen)
    assert not ws.catalog.artifacts(version.id)
    assert 404 == http.get(f"{API}/{dataset}/records").status_code


@pytest.mark.parametrize("told", ["no json", "{}", "[1]", '[{"inputs": 3}]'])
def test_records_that_are_none_are_refused_with_what_was_expected(http: TestClient, told: str) -> None:
    answer = http.post(f"{API}/{made(http)}/records", json={"records": told})

    assert (400, "INVALID_PARAMETER_VALUE") == (answer.status_code, answer.json()["error_code"])
    assert "'records'" in answer.json()["message"]


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "[", "(((a{1000}){1000}){1000})"])
def test_a_pattern_that_could_take_for_ever_or_is_none_is_refused_before_a_trace_is_read(http: TestClient, pattern: str) -> None:
    asked = {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "filter": f"tags.a RLIKE '{pattern}'"}
    answer = http.post("/api/3.0/mlflow/traces/search", json=asked)

    assert (400, "INVALID_PARAMETER_VALUE") == (answer.status_code, answer.json()["error_code"])
    assert "Invalid regular expression" in answer.json()["message"]


def test_runs_are_not_searched_by_patterns_as_in_mlflow(http: TestClient) -> None:
    answer = http.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"], "filter": "tags.a RLIKE 'x'"})

    assert 400 == answer.status_code
    assert "RLIKE" in answer.json()["message"]
