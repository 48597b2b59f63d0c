"""Rollouts are judged by a process of their own, which is there as long as one is under way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from plain_package import ROWS, add_plain_package

from sampan.core.graph import Node
from sampan.errors import Unavailable
from sampan.web.inference.pilot import Pilot
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

NAME = "parcels"
MOST_S = 120.0

pytestmark = pytest.mark.slow


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace
        workspace.service.stop(NAME)  # a rollout starts a server where none runs


@pytest.fixture
def second(ws: Workspace, tmp_path: Path) -> Node:
    ws.service.deploy(add_plain_package(ws, tmp_path / "first").id, NAME, start=False)
    return add_plain_package(ws, tmp_path / "second")


def test_a_server_whose_rollout_was_judged_holds_nothing_of_what_judged_it(ws: Workspace, second: Node) -> None:
    files = process.ServiceFiles(ws.store_folder, NAME)
    live = process.start(files, process.server_command(ws.root, NAME))
    judges: set[str] = set()
    try:
        ws.service.rollout(second.id, NAME, steps="100%", hold="1s", shadow="0s", guard={"min_rows": "5"})
        until = time.monotonic() + MOST_S
        parcels = iter(range(1_000_000))
        while (rollout := ws.service.rollouts(NAME).rollouts[0]).state == "running" and time.monotonic() < until:
            for _ in range(20):
                process.ask(live, "POST", "/predict", body=json.dumps({**ROWS[0], "parcel": float(next(parcels))}).encode())
            for task in Path(f"/proc/{live.pid}/task").iterdir():
                judges.update((task / "children").read_text().split())
        while any(Path("/proc", judge).exists() for judge in judges) and time.monotonic() < until:
            time.sleep(0.1)
        loaded = Path(f"/proc/{live.pid}/maps").read_text()
    finally:
        process.stop(files, live)

    assert "done" == rollout.state
    assert judges
    assert not any(Path("/proc", judge).exists() for judge in judges)
    assert "polars" not in loaded


def test_another_process_judges_where_one_was_killed_and_none_where_nothing_is_due(ws: Workspace, second: Node) -> None:
    ws.service.rollout(second.id, NAME, steps="50%,100%", hold="1h")
    pilot = Pilot(ws, lambda: [NAME])
    try:
        assert pilot.turn() > 0
        first = pilot._judge
        assert first is not None
        first.kill()
        first.wait()
        with pytest.raises(Unavailable, match="the process that judges rollouts ended with -9"):
            pilot.turn()
        assert pilot.turn() > 0
        again = pilot._judge
        assert again is not None
        ws.service.withdraw(NAME, "shadow")
        pilot.turn()  # sees that the rollout was overtaken, and ends it

        assert 0.0 == pilot.turn()
        assert 0 == again.returncode
    finally:
        pilot.stop()


def test_a_service_that_follows_an_alias_is_due_once_the_alias_points_at_what_was_not_tried(ws: Workspace, second: Node) -> None:
    (ws.root / "sampan.toml").write_text(f'[services.{NAME}]\nfollow = "package:{NAME}@v2"\n')
    with Workspace.open(ws.root) as following:
        assert following.service.takes_up(NAME)
        following.service.advance(NAME)

        assert "running" == following.service.rollouts(NAME).rollouts[0].state
        assert not following.service.takes_up(NAME)
        assert not following.service.takes_up("another")
