"""Rollouts with real packages, a real server that takes the turns by itself, and graphs that are wrong, slow or throw."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_package import WEIGHTS, add_package, draw_orders, requests_of
from wild_graphs import wild_graph

from sampan.errors import Conflict, ParameterError
from sampan.workspace.services.rollout_events import RolloutEnded, RolloutStepped
from sampan.workspace.services.rollouts import RolloutState
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
ROWS = requests_of(draw_orders(400, first=0, day=0, rng=np.random.default_rng(3)))
PATIENCE_S = 180  # of a machine that others keep busy
ALIKE = (1.21, -0.8, 0.0)
FAST = {"steps": "50%,100%", "hold": "0s"}


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_package(workspace, tmp_path / "first")
        yield workspace
        workspace.service.stop(NAME)


class Traffic:
    """Asks the running server batches of orders, each with numbers of its own."""

    def __init__(self, ws: Workspace) -> None:
        live = ws.service.running(NAME)
        assert live is not None
        self.ws = ws
        self.connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
        self.numbers = itertools.count(1000)
        self.answers: list[dict[str, Any]] = []
        self.n_refused = 0

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, n: int) -> None:
        rows = [{**ROWS[i % len(ROWS)], "order": next(self.numbers)} for i in range(n)]
        self.connection.request("POST", "/predict", json.dumps({"rows": rows}))
        answer = self.connection.getresponse()
        body = json.loads(answer.read())
        self.n_refused += answer.status != 200
        self.answers += body.get("predictions", [])

    def until_it_ends(self, *, n: int = 40) -> RolloutState:
        deadline = time.monotonic() + PATIENCE_S
        while (state := self.ws.service.rollouts(NAME).rollouts[0]).state == "running":
            assert time.monotonic() < deadline, state.text()
            for _ in range(5):
                self.ask(n)
            time.sleep(0.05)
        return state

    def until_live_answers_alone(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:  # the event comes first, the swap right after
            before = len(self.answers)
            self.ask(50)
            if {answer["version"] for answer in self.answers[before:]} == {f"{NAME}@v1"}:
                return
            assert time.monotonic() < deadline, "the version that was sent back still answers"


@pytest.mark.slow
def test_a_version_that_keeps_to_its_guards_goes_from_step_to_step_by_itself(ws: Workspace, tmp_path: Path) -> None:
    add_package(ws, tmp_path / "second", weights=ALIKE)
    ws.service.deploy(f"{NAME}@v1")

    began = ws.service.rollout(f"{NAME}@v2", NAME, **FAST, shadow="0.1s", guard={"min_rows": "100", "latency": "1000"})
    with Traffic(ws) as traffic:
        ended = traffic.until_it_ends()

    assert (began.step, began.steps) == ("shadow", ("shadow", "50%", "live"))
    assert (ended.state, ended.step, ended.breaches) == ("done", "live", ())
    assert ws.service.show(NAME).deployments[0].model == f"{NAME}@v2"
    assert traffic.n_refused == 0
    steps = [e.body for e in ws.catalog.events(type=RolloutStepped.type)]
    assert [(s["step"], s["share"]) for s in steps] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert all(s["figures"]["candidate"]["n_rows"] >= 100 for s in steps[1:]), "each step says what it was taken on"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "guard"),
    [
        (wild_graph((-1.2, 2.0, 0.0)), "drift"),
        (wild_graph(WEIGHTS, rounds=60_000), "latency"),
        (wild_graph(WEIGHTS, throws_at=1.0), "errors"),
    ],
    ids=["wrong", "slow", "throws"],
)
def test_a_version_that_is_wrong_slow_or_throws_is_sent_back_by_itself(ws: Workspace, tmp_path: Path, graph: bytes, guard: str) -> None:
    add_package(ws, tmp_path / "second", graph=graph)
    ws.service.deploy(f"{NAME}@v1")

    ws.service.rollout(f"{NAME}@v2", NAME, **FAST, guard={"min_rows": "200"})
    with Traffic(ws) as traffic:
        # A row that throws fails its whole request, and nothing of that is logged: single rows leave live its own.
        ended = traffic.until_it_ends(n=1 if guard == "errors" else 10)
        traffic.until_live_answers_alone()

    assert ended.state == "rolled_back"
    assert guard in [reason.text.partition(":")[0] for reason in ended.breaches]
    body = ws.catalog.events(type=RolloutEnded.type)[-1].body
    assert (body["figures"]["candidate"]["version"], body["outcome"]) == (f"{NAME}@v2", "rolled_back")


@pytest.mark.slow
def test_a_rule_of_the_business_and_a_lost_process_send_a_version_back(ws: Workspace, tmp_path: Path) -> None:
    package = add_package(ws, tmp_path / "second", weights=ALIKE)
    ws.service.deploy(f"{NAME}@v1")

    ws.service.rollout(f"{NAME}@v2", NAME, **FAST, guard={"min_rows": "50", "latency": "1000"}, rule=["AVG(score) < 0.1"])
    with Traffic(ws) as traffic:
        ruled = traffic.until_it_ends()
    again = ws.service.rollout(f"{NAME}@v2", NAME, steps="50%", hold="1h")
    crashed = ws.service.take_turn(NAME, {package.id: 1})

    assert "AVG(score) < 0.1 does not hold" in ruled.breaches[0].text
    assert again.step == "shadow"  # as long as a step, where nothing is said
    assert crashed.breaches[0].text == "crash: 1 process of the server ended while it ran"
    assert crashed.state == "rolled_back"


@pytest.mark.slow
def test_what_a_person_does_meanwhile_stops_a_rollout(ws: Workspace, tmp_path: Path) -> None:
    add_package(ws, tmp_path / "second", weights=ALIKE)
    ws.service.deploy(f"{NAME}@v1")
    ws.service.rollout(f"{NAME}@v2", NAME, steps="50%", hold="1h", shadow="0s")

    with pytest.raises(Conflict, match="is being rolled out in orders-late already"):
        ws.service.rollout(f"{NAME}@v2", NAME)
    waiting = ws.service.take_turn(NAME, {})
    rolling = ws.service.rolling(NAME)
    ws.service.withdraw(NAME, "canary")
    with Traffic(ws) as traffic:
        ended = traffic.until_it_ends()

    assert waiting.waiting[0].text.endswith(" min of this step are left")
    assert rolling is not None
    assert (rolling.step, rolling.waiting, rolling.changed) == ("50%", waiting.waiting, False)
    assert ws.service.rolling(NAME) is None
    assert ended.state == "stopped"
    assert [*map(str, ended.breaches)] == [f"it is no longer the canary of {NAME}"]


def test_a_plan_that_cannot_be_kept_to_is_refused_with_every_fault(ws: Workspace, tmp_path: Path) -> None:
    add_package(ws, tmp_path / "second")
    ws.service._move(NAME, ws.service._package(f"{NAME}@v1"), "live", None, {}, reason="without a server")

    with pytest.raises(ParameterError, match="do not grow"):
        ws.service.rollout(f"{NAME}@v2", NAME, steps="5%,1%")
    with pytest.raises(ParameterError, match="no guard is called 'latenzy'; errors=many is no number"):
        ws.service.rollout(f"{NAME}@v2", NAME, guard={"latenzy": "2", "errors": "many"})
    with pytest.raises(ParameterError, match="AVG"):
        ws.service.rollout(f"{NAME}@v2", NAME, rule=["AVG(score <"])
