"""OpenLineage's own client tells our server, and reads what we tell."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sampan.core.events import Input, RunEnded, RunStarted, VersionCommitted, new_id
from sampan.errors import DataFormatError, Unavailable
from sampan.workspace.lineage.openlineage_events import SCHEMA
from sampan.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
NOON = 1_357_041_600_000
READ = """
import json, sys
from openlineage.client import event_v2 as e
from openlineage.client.facet_v2 import (
    dataset_version_dataset, error_message_run, output_statistics_output_dataset, ownership_dataset, parent_run, schema_dataset)
made = {
    "schema": lambda f: schema_dataset.SchemaDatasetFacet(fields=[schema_dataset.SchemaDatasetFacetFields(**x) for x in f["fields"]]),
    "version": lambda f: dataset_version_dataset.DatasetVersionDatasetFacet(**f),
    "ownership": lambda f: ownership_dataset.OwnershipDatasetFacet(owners=[ownership_dataset.Owner(**x) for x in f["owners"]]),
    "outputStatistics": lambda f: output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(**f),
    "errorMessage": lambda f: error_message_run.ErrorMessageRunFacet(**f),
    "parent": lambda f: parent_run.ParentRunFacet(run=parent_run.Run(**f["run"]), job=parent_run.Job(**f["job"])),
}
def facets(found):
    read = {}
    for name, facet in found.items():
        read[name] = made[name]({k: v for k, v in facet.items() if not k.startswith("_")})
        assert facet["_schemaURL"] == read[name]._schemaURL, (name, facet["_schemaURL"], read[name]._schemaURL)
    return read
for line in open(sys.argv[1]):
    it = json.loads(line)
    event = e.RunEvent(
        eventTime=it["eventTime"], producer=it["producer"], eventType=e.RunState[it["eventType"]],
        run=e.Run(runId=it["run"]["runId"], facets=facets(it["run"]["facets"])), job=e.Job(**it["job"]),
        inputs=[e.InputDataset(d["namespace"], d["name"], facets=facets(d["facets"])) for d in it["inputs"]],
        outputs=[e.OutputDataset(d["namespace"], d["name"], facets=facets(d["facets"]), outputFacets=facets(d["outputFacets"]))
                 for d in it["outputs"]])
    assert it["schemaURL"] == event.schemaURL, event.schemaURL
    print(event.eventType.name, event.job.name, [d.name for d in event.inputs], [d.name for d in event.outputs])
"""
TELL = """
import sys, uuid
from openlineage.client import OpenLineageClient, event_v2 as e
from openlineage.client.facet_v2 import schema_dataset, ownership_dataset, error_message_run
from openlineage.client.transport.http import HttpConfig, HttpTransport
client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=sys.argv[1])))
columns = schema_dataset.SchemaDatasetFacet(fields=[schema_dataset.SchemaDatasetFacetFields(name="id", type="bigint")])
owner = ownership_dataset.OwnershipDatasetFacet(owners=[ownership_dataset.Owner(name="sales", type="OWNER")])
raw = e.InputDataset("postgres://db:5432", "public.orders", facets={"schema": columns, "ownership": owner})
ours = e.InputDataset(sys.argv[3], "flights")
daily = e.OutputDataset("s3://lake", "daily/orders@x", facets={"schema": columns})
run, job = e.Run(runId=sys.argv[2]), e.Job("airflow", "etl.daily")
for _ in range(2):
    client.emit(e.RunEvent(eventType=e.RunState.START, eventTime="2026-11-22T01:00:00Z", run=run, job=job, producer="https://airflow.example",
                           inputs=[raw, ours]))
    client.emit(e.RunEvent(eventType=e.RunState.COMPLETE, eventTime="2026-11-22T01:05:00+00:00", run=run, job=job,
                           producer="https://airflow.example", inputs=[raw], outputs=[daily]))
client.close()
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "sampan.toml").write_text('[project]\nname = "delays"\n[policies.flights]\nowner = "ops"\n')
    with Workspace.open(tmp_path, actor="an", clock=lambda: NOON) as workspace:
        yield workspace


def peer(code: str, *words: str) -> str:
    python = ROOT / ".peers" / "openlineage" / "bin" / "python"
    assert python.exists(), "make peers"
    done = subprocess.run([python, "-c", code, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(ws: Workspace, kind: str, name: str, *inputs: Input, **facts: Any) -> str:
    node = new_id()
    ws.ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest="b3:" + "0" * 64, size=10, facts=facts, inputs=inputs))
    return node


def live_a_little(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights", columns={"delay": "Float64"}, n_rows=12)
    run, trial = new_id(), new_id()
    ws.ledger.append(RunStarted(node=run, experiment="late", title="", started=NOON, inputs=(Input(flights, "input"),)))
    ws.ledger.append(RunStarted(node=trial, experiment="late", title="", started=NOON, parent=run))
    ws.ledger.append(RunEnded(node=trial, state="failed", ended=NOON, reason="diverged"))
    commit(ws, "model", "late", Input(run, "derived_from"))
    ws.ledger.append(RunEnded(node=run, state="finished", ended=NOON))


def test_the_real_client_reads_every_event_of_ours(ws: Workspace, tmp_path: Path) -> None:
    live_a_little(ws)
    target = tmp_path / "events.ndjson"

    assert 5 == ws.openlineage.send(str(target)).n_events
    assert [
        "COMPLETE dataset flights [] ['flights']",
        "START late ['flights'] []",
        "START late [] []",
        "FAIL late [] []",
        "COMPLETE late ['flights'] ['model:late']",
    ] == peer(READ, str(target)).splitlines()
    first = json.loads(target.read_text().splitlines()[0])
    assert SCHEMA == first["schemaURL"]
    assert "ops" == first["outputs"][0]["facets"]["ownership"]["owners"][0]["name"]


def test_only_what_is_new_is_sent_unless_all_is_asked_for(ws: Workspace, tmp_path: Path) -> None:
    live_a_little(ws)
    target = str(tmp_path / "events.ndjson")

    assert [5, 0] == [ws.openlineage.send(target).n_events for _ in range(2)]
    commit(ws, "dataset", "weather")
    assert 1 == ws.openlineage.send(target).n_events
    assert 6 == ws.openlineage.send(target, again=True).n_events


def test_the_real_client_tells_our_server_and_twice_is_once(ws: Workspace) -> None:
    from sampan.web.app import create_app

    live_a_little(ws)
    run = new_id()
    with serving(create_app(ws)) as base:
        peer(TELL, base, run, "sampan://delays")
        peer(TELL, base, run, "sampan://delays")

    node = ws.catalog.node(run)
    assert "finished" == node.state
    above = ws.home.lineage(run)
    assert {"flights@v1", "postgres:··db:5432 public.orders@v1"} == {one.ref for one in above.nodes[1:]}
    (made,) = ws.home.lineage(run, down=True).nodes[1:]
    assert ("external", "s3:··lake daily·orders·x@v1") == (made.kind, made.ref)
    assert "finished" == ws.run.show(run).run.state


def test_what_came_from_elsewhere_is_not_told_back(ws: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "theirs.ndjson"
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-22T01:00:00Z",
        "producer": "x",
        "run": {"runId": "01928d3a-0000-7000-8000-000000000001"},
    }
    file.write_text(
        json.dumps({**event, "job": {"namespace": "dbt", "name": "orders"}, "outputs": [{"namespace": "db", "name": "orders"}]}) + "\n"
    )

    received = ws.openlineage.receive(file)
    assert (1, 1, 2) == (received.n_events, received.n_runs, received.n_new)
    assert 0 == ws.openlineage.receive(file).n_new
    assert 0 == ws.openlineage.send(str(tmp_path / "out.ndjson")).n_events


@pytest.mark.parametrize("line", ["{}", "[1]", "no", '{"run": {"runId": "../x"}, "job": {"namespace": "", "name": "a"}, "eventTime": "x"}'])
def test_what_is_no_event_is_refused_with_its_line(ws: Workspace, tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.ndjson").write_text(f"\n{line}\n")

    with pytest.raises(DataFormatError, match=r"bad.ndjson:2: no run event"):
        ws.openlineage.receive(tmp_path / "bad.ndjson")


def test_a_target_that_refuses_is_told_again_later(ws: Workspace) -> None:
    live_a_little(ws)
    answers = [201, 503, *[201] * 9]
    heard: list[str] = []

    class Target(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["eventType"])
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Target) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        to = f"http://127.0.0.1:{server.server_port}/api/v1/lineage"
        with pytest.raises(Unavailable, match="answered 503"):
            ws.openlineage.send(to)
        assert 5 == ws.openlineage.send(to).n_events
        server.shutdown()

    assert 7 == len(heard)  # what was heard before the refusal is heard again: twice, but never missing


class serving:  # noqa: N801  # read as a verb
    """Serve an application on loopback in a thread."""

    def __init__(self, application: Any) -> None:
        import uvicorn

        self.server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> str:
        import time

        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)


def test_only_what_is_declared_as_json_is_taken(ws: Workspace) -> None:
    from starlette.testclient import TestClient

    from sampan.web.app import create_app

    with TestClient(create_app(ws), base_url="http://127.0.0.1:4140") as client:
        answers = [
            client.post("/api/v1/lineage", content=b"{}", headers={"content-type": kind}) for kind in ("text/plain", "application/json")
        ]
        assert 200 == client.get("/api/v1/log").status_code

    assert ["the body is not declared as JSON", True] == [
        answers[0].json()["error"]["message"],
        "no run event of OpenLineage" in answers[1].json()["error"]["message"],
    ]
    assert [400, 400] == [answer.status_code for answer in answers]
