"""The service room with real packages and real server processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import START, add_package, draw_orders, requests_of, true_chances

from sampan.core.graph import Node
from sampan.errors import Conflict, NotFound, ParameterError, Unavailable
from sampan.workspace.models.events import PackageBuilt, StoredFile
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # a process for each

NAME = "orders-late"
OTHER = (-0.5, 2.0, 0.0)
ROWS = requests_of(draw_orders(20, first=0, day=0, rng=np.random.default_rng(0)))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace
        for asset in workspace.catalog.assets("service"):
            workspace.service.stop(asset.name)


@pytest.fixture
def first(ws: Workspace, tmp_path: Path) -> Node:
    return add_package(ws, tmp_path / "first")


def ask(ws: Workspace, method: str, path: str, body: Any = None) -> Any:
    live = ws.service.running(NAME)
    assert live is not None
    connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)
    finally:
        connection.close()


def scores(ws: Workspace) -> tuple[str, list[float]]:
    answers = ask(ws, "POST", "/predict", {"rows": ROWS})["predictions"]
    assert len({a["version"] for a in answers}) == 1
    return answers[0]["version"], [a["score"] for a in answers]


def by_hand(weights: tuple[float, float, float]) -> Any:
    return pytest.approx([float(true_chances(np.array(r["x1"]), np.array(r["x2"]), weights)) for r in ROWS], abs=1e-5)


def test_deploying_a_model_starts_a_server_that_answers_with_it(ws: Workspace, first: Node) -> None:
    done = ws.service.deploy(f"{NAME}@v1")

    assert (done.service, done.live, done.changed, done.differences) == (NAME, f"{NAME}@v1", True, ())
    assert scores(ws) == (f"{NAME}@v1", by_hand((1.2, -0.8, 0.0)))
    shown = ws.service.show(NAME)
    assert (shown.state, shown.url, shown.deployments[0].predictions) == ("running", done.url, len(ROWS))
    assert shown.traffic is not None
    assert shown.traffic.requests == 1
    assert [edge.src for edge in ws.catalog.edges_to(shown.deployments[0].id)] == [first.id]


def test_deploying_what_is_live_changes_nothing_and_says_so(ws: Workspace, first: Node) -> None:
    ws.service.deploy(NAME)
    n_events = len(ws.catalog.events())

    again = ws.service.deploy(NAME)

    assert not again.changed
    assert "is live in orders-late already" in again.did
    assert len(ws.catalog.events()) == n_events


def test_a_server_killed_with_9_is_noticed_and_started_again_with_what_it_was_fed(ws: Workspace, first: Node) -> None:
    ws.service.deploy(NAME)
    outcome = {"shop": ROWS[5]["shop"], "late": 1.0, "done": START + 1000}
    ask(ws, "POST", "/feed/orders", {"rows": [outcome], "at": START + 1000})
    ask(ws, "POST", "/predict", ROWS[5])
    live = ws.service.running(NAME)
    assert live is not None
    os.kill(live.pid, signal.SIGKILL)
    os.waitpid(live.pid, 0)

    assert ws.service.show(NAME).state == "stopped"
    again = ws.service.deploy(NAME)

    assert again.changed
    assert again.url
    ask(ws, "POST", "/predict", ROWS[5])
    ws.service.stop(NAME)
    from sampan.serving.records import predictions_stream

    logged, _ = ws.store.segments.read(predictions_stream(NAME, first.id))
    assert logged["feature.shop_late"].to_pylist()[-1] == 1.0, "the outcome fed before the crash counts after it"


def test_shadow_promote_and_rollback_swap_without_a_gap(ws: Workspace, first: Node, tmp_path: Path) -> None:
    second = add_package(ws, tmp_path / "second", weights=OTHER)
    ws.service.deploy(f"{NAME}@v1")

    shadowed = ws.service.shadow(f"{NAME}@v2", NAME)
    before = scores(ws)
    ws.service.settle(NAME)
    served = {d.role: d.predictions for d in ws.service.show(NAME).deployments}
    promoted = ws.service.promote(NAME, reason="better on paired rows")
    after = scores(ws)
    back = ws.service.rollback(NAME, reason="complaints")
    again = scores(ws)

    assert served == {"live": len(ROWS), "shadow": len(ROWS)}
    assert (shadowed.live, shadowed.shadow) == (f"{NAME}@v1", f"{NAME}@v2")
    assert (promoted.live, promoted.shadow) == (f"{NAME}@v2", "")
    assert back.live == f"{NAME}@v1"
    assert before == again == (f"{NAME}@v1", by_hand((1.2, -0.8, 0.0)))
    assert after == (f"{NAME}@v2", by_hand(OTHER))
    roles = {d.role: d.model for d in ws.service.show(NAME).deployments}
    assert roles == {"live": f"{NAME}@v1", "previous": f"{NAME}@v2"}
    states = {str(n.facts["package"]): n.state for n in ws.catalog.nodes(kind="deployment", name=NAME)}
    assert states == {first.id: "live", second.id: "retired"}


def test_a_canary_gets_its_share_and_can_be_shifted_and_withdrawn(ws: Workspace, first: Node, tmp_path: Path) -> None:
    add_package(ws, tmp_path / "second", weights=OTHER)
    ws.service.deploy(f"{NAME}@v1")
    rows = requests_of(draw_orders(2000, first=0, day=0, rng=np.random.default_rng(1)))

    def share() -> float:
        answers = ask(ws, "POST", "/predict", {"rows": rows})["predictions"]
        return [a["version"] for a in answers].count(f"{NAME}@v2") / len(rows)

    ws.service.canary(f"{NAME}@v2", NAME, share=0.2)
    a_fifth = share()
    shifted = ws.service.shift(NAME, 0.6)
    most = share()
    ws.service.withdraw(NAME, "canary", reason="enough seen")

    assert a_fifth == pytest.approx(0.2, abs=0.04)
    assert most == pytest.approx(0.6, abs=0.04)
    assert shifted.canary_share == 0.6
    assert share() == 0
    with pytest.raises(ParameterError, match=r"share is 1\.5"):
        ws.service.canary(f"{NAME}@v2", NAME, share=1.5)


def test_a_package_that_does_not_load_leaves_the_live_one_answering(ws: Workspace, first: Node, tmp_path: Path) -> None:
    second = add_package(ws, tmp_path / "second", weights=OTHER)
    ws.service.deploy(f"{NAME}@v1")
    digest, size = ws.store.blobs.put_file(_written(tmp_path / "broken", b"no graph"))
    kept = tuple(StoredFile(a.path, a.digest, a.size) for a in ws.catalog.artifacts(second.id) if a.path != "model.onnx")
    files = (*kept, StoredFile("model.onnx", digest, size))
    broken = PackageBuilt(node="b" * 32, kind="package", name=NAME, digest="b3:" + "0" * 64, facts={"model": "orders-late@v9"}, files=files)
    ws.ledger.append(broken)

    with pytest.raises(Unavailable, match="goes on with what it had"):
        ws.service.deploy("b" * 32)

    assert scores(ws)[0] == f"{NAME}@v1"
    assert ws.service.show(NAME).deployments[0].model == f"{NAME}@v1"


def test_the_server_follows_the_graph_by_itself(ws: Workspace, first: Node, tmp_path: Path) -> None:
    """Another machine, or a person with the database, moves the aliases; nobody tells the server."""
    import time

    from sampan.workspace.services.routing import Deployed, routed

    second = add_package(ws, tmp_path / "second", weights=OTHER)
    ws.service.deploy(f"{NAME}@v1")
    before = ws.catalog.aliases("deployment", NAME)
    facts = {"package": second.id, "version": f"{NAME}@v2"}
    deployed = Deployed(node="c" * 32, service=NAME, package=second.id, model=f"{NAME}@v2", role="live", facts=facts)
    after = {"live": deployed.node, "previous": before["live"]}
    ws.ledger.append(deployed, routed(NAME, before, after, states={before["live"]: "live"}))

    deadline = time.monotonic() + 15
    while scores(ws)[0] != f"{NAME}@v2":
        assert time.monotonic() < deadline, "the server did not follow in 15 s"
        time.sleep(0.05)


def test_mistakes_are_named(ws: Workspace, first: Node) -> None:
    ws.service.deploy(NAME)

    with pytest.raises(NotFound, match="no service called 'orders-lat'") as unknown:
        ws.service.show("orders-lat")
    with pytest.raises(NotFound, match="neither canary nor shadow"):
        ws.service.promote(NAME)
    with pytest.raises(NotFound, match="no previous model"):
        ws.service.rollback(NAME)
    with pytest.raises(Conflict, match="is the live model"):
        ws.service.shadow(NAME, NAME)
    assert unknown.value.did_you_mean == (NAME,)
    assert f"{NAME}  running" in ws.service.list_services().text()


def test_stopping_twice_and_before_the_start_is_harmless(ws: Workspace, first: Node) -> None:
    ws.service.deploy(NAME)

    assert ws.service.stop(NAME).changed
    assert not ws.service.stop(NAME).changed
    assert ws.service.deploy(NAME).changed


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_new_version_of_the_data_changes_served_features_without_a_restart(ws: Workspace, tmp_path: Path) -> None:
    before = draw_orders(40, first=0, day=0, rng=np.random.default_rng(0))
    ws.data.add_table(before, name="orders", key=["order"])
    add_package(ws, tmp_path / "followed", dataset=ws.catalog.resolve("orders", kind="dataset"))
    ws.service.deploy(NAME)
    asked = {**ROWS[0], "at": START + 40 * 432_000 + 86_400_000 // 2, "shop": "west"}

    def late_share() -> float:
        ask(ws, "POST", "/predict", asked)
        ws.service.settle(NAME)
        return float(ws.service.predictions(NAME)["feature.shop_late"][-1])

    assert late_share() == 0.0
    more = draw_orders(4, first=100, day=0, rng=np.random.default_rng(1)).with_columns(
        shop=pl.lit("west"), late=pl.Series([1.0, 1.0, 1.0, 0.0])
    )
    outcome = more.select("order", "shop", "late", "done").to_dicts()[0]
    ask(ws, "POST", "/feed/orders", {"rows": [outcome], "at": START + 1})  # heard of before it is in the data: it counts once
    fed = late_share()
    ws.data.add_table(pl.concat([before, more]), name="orders", key=["order"])
    deadline = time.monotonic() + 30
    while (served := late_share()) == fed and time.monotonic() < deadline:
        time.sleep(0.1)

    assert (fed, served) == (1.0, 0.75)
    # From here on a version is told from the one before by what differs: an outcome is corrected, and one row goes.
    better = more.head(3).with_columns(late=pl.Series([0.0, 1.0, 1.0]))
    ws.data.add_table(pl.concat([before, better]), name="orders", key=["order"])
    deadline = time.monotonic() + 30
    while (served := late_share()) == 0.75 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert served == pytest.approx(2 / 3)
