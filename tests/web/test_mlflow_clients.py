"""The real MLflow clients, 3 and 2, against a server of ours; and what the protocol must refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from sampan.web.app import create_app
from sampan.web.security import Access
from sampan.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from webhook_receiver import Receiver

ROOT = Path(__file__).parents[2]
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
PARTS = "/api/2.0/mlflow-artifacts/mpu"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "sampan.toml").write_text('[webhooks]\nallow = ["127.0.0.1"]\n[governance]\nkeys = "keys"\n')
    process = subprocess.Popen(
        [ROOT / ".venv" / "bin" / "python", "-m", "sampan", "ui", "--port", "0", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"].rstrip("/")
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver("known to both") as found:
        yield found


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


@pytest.fixture
def http(ws: Workspace) -> TestClient:
    return TestClient(create_app(ws), base_url="http://127.0.0.1")


def seen_by(peer: str, script: str, server: str, folder: Path, *given: str, **environment: str) -> dict[str, Any]:
    """Run a script with a real client and return what it saw."""
    python = ROOT / ".peers" / peer / "bin" / "python"
    assert python.exists(), "make peers"
    quiet = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [python, Path(__file__).with_name(script), server, *given], capture_output=True, text=True, cwd=folder, env={**quiet, **environment}
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("SEEN ")), "")
    assert line, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["mlflow3", "mlflow2"])
def test_the_real_client_sees_what_it_sees_from_its_own_server(peer: str, server: str, receiver: Receiver, tmp_path: Path) -> None:
    in_parts = {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true", "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 << 20)}
    seen = seen_by(peer, "mlflow_client.py", server, tmp_path, receiver.url, **in_parts, MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20))

    assert {"auc": "0.7", "endless": "1.7976931348623157e+308", "loss": "0.2", "nothing": "nan"} == seen["metrics"]
    assert {"depth": "3", "kind": "tree", "lr": "0.1"} == seen["params"]
    assert ["FINISHED", "first", True] == [seen["status"], seen["name"], seen["parent"]]
    assert [["loans", "training"]] == seen["dataset"]
    assert [[step, 1 / (step + 1)] for step in range(5)] == seen["history"]
    assert ["d.json", "notes", "t.json"] == seen["files"]
    assert [["notes/a.txt", 11]] == seen["folder"]
    assert ["hello again", [1, 2, 3]] == [seen["text"], seen["table"]]
    assert ["first"] == seen["found"]
    assert ["second", "first"] == seen["ordered"]
    assert [["third"], ["first"], ["first"]] == [seen["failed"], seen["tagged"], seen["with dataset"]]
    assert [["first", "inner", "second"], ["third"]] == seen["pages"]
    assert 4 == seen["everywhere"]
    refused = seen["refused"]
    assert refused["changed param"].startswith("INVALID_PARAMETER_VALUE: Changing param values is not allowed")
    assert refused["no run"].startswith("RESOURCE_DOES_NOT_EXIST: Run with id=")
    assert refused["same experiment"].startswith("RESOURCE_ALREADY_EXISTS: Experiment 'team/churn 2026' already exists")
    assert refused["bad filter"].startswith("INVALID_PARAMETER_VALUE: Expected numeric value")
    assert refused["bad page"].startswith("INVALID_PARAMETER_VALUE: Invalid page token")
    assert [3, 1] == seen["deleted"]
    assert seen["to a deleted run"].startswith("INVALID_PARAMETER_VALUE")
    assert [["Default", "renamed"], ["renamed"]] == [seen["experiments"], seen["by tag"]]
    assert [True, "500"] == seen["autolog"]
    assert [True, True, ["1"]] == [seen["loaded"], seen["by alias"], [str(each) for each in seen["stage"]]]
    assert [{"k": "v"}, "described", ["champion"], True, "READY"] == seen["version"]
    assert [["iris"], 1] == seen["registry"]
    assert seen["twice"].startswith("RESOURCE_ALREADY_EXISTS: Registered Model (name=iris) already exists")
    assert 0 == seen["gone"]
    if peer == "mlflow3":
        assert ["model", "READY", True] == seen["logged model"]
        assert [["auc", 0.5, 0, "loans"], ["auc", 0.9, 1, "loans"]] == seen["model metrics"]
        assert [1, 0] == seen["by model metric"]
        assert [[["ci", "ACTIVE", 2]], 200, "of the build"] == [seen["webhooks"], seen["webhook test"], seen["webhook"]]
        assert seen["no webhook"].startswith("INVALID_PARAMETER_VALUE: Webhook secret had length 2000")
        example, version, alias = receiver.wait_for(3)
        assert ["example_model", "model_version"] == [example["data"]["name"], example["entity"]]
        assert ["model_version", "created", "iris", "1"] == [
            version["entity"],
            version["action"],
            *map(version["data"].get, ("name", "version")),
        ]
        assert ["model_version_alias", {"name": "iris", "alias": "champion", "version": "1"}] == [alias["entity"], alias["data"]]
    assert [20_480_000, True] == seen["large"]
    # What a client logged is in the same graph as everything else.
    with Workspace.open(tmp_path) as workspace:
        assert workspace.ledger.verify().first_bad is None
        runs = {row.title: row for row in workspace.catalog.runs(limit=100)}
        assert {"first", "inner", "second", "third"} <= set(runs)
        assert workspace.catalog.params(runs["first"].node.id)["depth"] == "3"


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["mlflow3", "mlflow2"])
def test_traces_come_back_to_the_real_client_as_it_sent_them(peer: str, server: str, tmp_path: Path) -> None:
    seen = seen_by(peer, "mlflow_traces.py", server, tmp_path)

    assert ["OK", "OK", "ERROR"] == seen["states"]
    assert ["answer"] == seen["names"]
    assert [["answer", "look up"], ["CHAIN", "RETRIEVER"]] == [seen["spans"], seen["span types"]]
    assert [{"question": "sails"}, "about sails", 1] == [seen["inputs"], seen["outputs"], seen["attribute"]]
    assert [1, 1, 0] == [seen["failed"], seen["tagged"], seen["untagged"]]
    assert ["answer", "look up"] == seen["again"]
    assert [2, True] == seen["pages"]
    assert "RESOURCE_DOES_NOT_EXIST" == seen["missing"]
    assert [1, 1] == [seen["deleted"], seen["left"]]
    if peer == "mlflow3":
        assert [1, 3] == [seen["of the run"], seen["by span"]]
        assert [["right", "True"], ["wanted", "sails"]] == seen["said"]
        assert [1, ["right"]] == [seen["by feedback"], seen["withdrawn"]]
        assert [["foreign", 3, 0.5], "OK"] == [seen["foreign"], seen["foreign state"]]
        assert ["{}", "by hand"] == seen["as json"]
        # A trace is a node like any other: it came from the run it was logged in.
        with Workspace.open(tmp_path) as workspace:
            made_by = [edge.role for node in workspace.catalog.nodes(kind="trace") for edge in workspace.catalog.edges_to(node.id)]
            assert ["run"] == made_by


def test_runs_of_our_own_are_experiments_to_a_client(ws: Workspace, http: TestClient) -> None:
    import sampan as sp

    with sp.run("own", title="by hand", params={"depth": 3}, project=ws.root) as run:
        run.log("loss", 0.5)

    (experiment,) = [each for each in http.get(f"{API}/experiments/search").json()["experiments"] if each["name"] == "own"]
    found = http.post(f"{API}/runs/search", json={"experiment_ids": [experiment["experiment_id"]]}).json()["runs"]

    assert [run.id] == [each["info"]["run_id"] for each in found]
    assert "by hand" == found[0]["info"]["run_name"]
    assert [{"key": "depth", "value": "3"}] == found[0]["data"]["params"]
    assert 0.5 == found[0]["data"]["metrics"][0]["value"]


def make_run(http: TestClient) -> str:
    run: str = http.post(f"{API}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    return run


# A test for each published class of tracking-server faults.
@pytest.mark.parametrize(
    "path",
    [
        "0/RUN/artifacts/../../../../etc/passwd",
        "0/RUN/artifacts/%2e%2e/%2e%2e/etc/passwd",
        "0/RUN/artifacts/..%2f..%2fetc%2fpasswd",
        "0/RUN/artifacts/a%5c..%5cb",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "0/RUN/../secrets",
        "..",
    ],
)
def test_no_artifact_path_leaves_its_run(path: str, http: TestClient) -> None:
    run = make_run(http)
    for method in ("GET", "PUT", "DELETE"):
        answer = http.request(method, f"{FILES}/{path.replace('RUN', run)}", content=b"x" if method == "PUT" else None)
        assert answer.status_code in (400, 404), (method, answer.status_code, answer.text)
        assert "root:" not in answer.text
    listed = http.get(f"{API}/artifacts/list", params={"run_id": run, "path": "../.."})
    assert 400 == listed.status_code


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"part_number": 2, "etag": "b3:" + "0" * 64}],
        [{"part_number": 1, "etag": "b3:" + "0" * 64}],
        [{"part_number": 1, "etag": "../../../etc/passwd"}],
        [{"part_number": 1, "etag": ""}],
        [{"part_number": "one", "etag": "x"}],
        "all",
    ],
)
def test_an_upload_is_made_of_its_own_parts_only(parts: Any, http: TestClient) -> None:
    folder = f"0/{make_run(http)}/artifacts"
    answer = http.post(f"{PARTS}/complete/{folder}", json={"path": "/home/me/x.bin", "upload_id": "u", "parts": parts})

    assert [400, "INVALID_PARAMETER_VALUE"] == [answer.status_code, answer.json()["error_code"]]
    assert 404 == http.get(f"{FILES}/{folder}/x.bin").status_code
    assert 400 == http.post(f"{PARTS}/create/{folder}", json={"path": "x.bin", "num_parts": 10_001}).status_code
    assert 400 == http.post(f"{PARTS}/create/0/%2e%2e/%2e%2e/etc", json={"path": "x.bin", "num_parts": 1}).status_code


@pytest.mark.parametrize("source", ["file:///etc", "/etc/passwd", "runs:/x/../../etc", "models:/a\\..\\b"])
def test_a_model_version_cannot_point_at_the_servers_files(source: str, http: TestClient) -> None:
    http.post(f"{API}/registered-models/create", json={"name": "m"})
    answer = http.post(f"{API}/model-versions/create", json={"name": "m", "source": source})

    assert 400 == answer.status_code
    assert "INVALID_PARAMETER_VALUE" == answer.json()["error_code"]


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a = 1; drop table run",
        "params.x = '' OR 1=1 --'",
        "tags.`a` = 'x' UNION SELECT 1",
        "run_id IN (SELECT id FROM node)",
        "metrics.a > 1e999999",
        "attributes.password = 'x'",
        "(" * 2000,
    ],
)
def test_a_filter_is_a_language_of_its_own(text: str, http: TestClient) -> None:
    answer = http.post(f"{API}/runs/search", json={"experiment_ids": ["0"], "filter": text})

    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert "INVALID_PARAMETER_VALUE" == answer.json()["error_code"]


def test_what_is_downloaded_is_never_a_page(http: TestClient) -> None:
    run = make_run(http)
    assert 200 == http.put(f"{FILES}/0/{run}/artifacts/x.html", content=b"<script>alert(1)</script>").status_code
    answer = http.get(f"{FILES}/0/{run}/artifacts/x.html")

    assert b"<script>alert(1)</script>" == answer.content
    assert "application/octet-stream" == answer.headers["content-type"]
    assert "attachment" == answer.headers["content-disposition"]


def test_a_large_file_passes_and_a_large_request_does_not(http: TestClient) -> None:
    run = make_run(http)
    assert 200 == http.put(f"{FILES}/0/{run}/artifacts/big.bin", content=bytes(3 << 20)).status_code
    assert 413 == http.post(f"{API}/runs/set-tag", content=b'{"x": "' + b"a" * (2 << 20) + b'"}').status_code


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/create", "[1, 2]"),
        ("runs/create", "{"),
        ("runs/log-metric", '{"run_id": "RUN", "key": "a", "value": "x"}'),
        ("runs/log-metric", '{"run_id": "RUN", "key": "a", "value": 1, "step": 1.5}'),
        ("runs/log-metric", '{"run_id": "RUN", "key": "a", "value": 1, "step": 9223372036854775808}'),
        ("runs/log-metric", '{"run_id": "RUN", "key": "a", "value": 1, "timestamp": 1e400}'),
        ("runs/log-metric", '{"run_id": "RUN"}'),
        ("runs/log-parameter", '{"run_id": "RUN", "key": "' + "k" * 300 + '", "value": "v"}'),
        ("runs/log-batch", '{"run_id": "RUN", "metrics": "x"}'),
        ("runs/log-batch", '{"run_id": "RUN", "params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}'),
        ("runs/search", '{"experiment_ids": ["0"], "max_results": 99999999}'),
        ("runs/update", '{"run_id": "RUN", "status": "NOPE"}'),
        ("experiments/create", '{"name": ""}'),
    ],
)
def test_a_request_with_a_fault_is_refused_in_mlflows_words(path: str, body: str, http: TestClient) -> None:
    answer = http.post(f"{API}/{path}", content=body.replace("RUN", make_run(http)))

    assert 400 == answer.status_code, answer.text
    assert "INVALID_PARAMETER_VALUE" == answer.json()["error_code"]
    assert answer.json()["message"]


def test_a_batch_over_the_limits_is_refused_whole(http: TestClient, ws: Workspace) -> None:
    run = make_run(http)
    metrics = [{"key": f"m{i}", "value": 1, "timestamp": 1, "step": 0} for i in range(1001)]
    answer = http.post(f"{API}/runs/log-batch", json={"run_id": run, "metrics": metrics})

    assert 400 == answer.status_code
    assert "at most 1000 metrics" in answer.json()["message"]
    assert [] == ws.catalog.metrics(run)


def test_a_client_signs_in_with_the_servers_token(ws: Workspace) -> None:
    http = TestClient(create_app(ws, access=Access(token="secret")), base_url="http://127.0.0.1")

    assert 401 == http.get(f"{API}/experiments/search").status_code
    assert 200 == http.get(f"{API}/experiments/search", headers={"authorization": "Bearer secret"}).status_code


def test_a_route_that_is_not_there_says_so(http: TestClient) -> None:
    answer = http.get(f"{API}/gateway/routes")

    assert [404, "ENDPOINT_NOT_FOUND"] == [answer.status_code, answer.json()["error_code"]]
    assert "OK" == http.get("/health").text
