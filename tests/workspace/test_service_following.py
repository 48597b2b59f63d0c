"""What a server does by itself: takes up what an alias points at, and refuses what was made elsewhere."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import add_package, draw_orders, requests_of

from sampan.core.events import AliasMoved
from sampan.errors import Conflict, Unavailable
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
ROWS = requests_of(draw_orders(60, first=0, day=0, rng=np.random.default_rng(3)))
PATIENCE_S = 180  # of a machine that others keep busy
FOLLOWS = f"""[services.{NAME}]
follow = "{NAME}@champion"
steps = ["50%", "100%"]
hold = "0s"
min_rows = 40
latency = 1000.0
"""  # a machine that stalls is not what this is about


def point(ws: Workspace, version: int, *, before: int | None = None) -> None:
    after, was = (None if v is None else ws.catalog.resolve(f"{NAME}@v{v}", kind="model").id for v in (version, before))
    ws.ledger.append(AliasMoved(kind="model", name=NAME, alias="champion", before=was, after=after))


def wait_for(condition: Callable[[], bool], *, meanwhile: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not come true in {PATIENCE_S} s"
        meanwhile()
        time.sleep(0.05)


@pytest.mark.slow
def test_a_version_that_gets_the_alias_is_rolled_out_by_itself_also_where_all_services_share_a_server(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_text(FOLLOWS)
    with Workspace.open(tmp_path) as ws:
        add_package(ws, tmp_path / "first")
        point(ws, 1)
        ws.service.deploy(f"{NAME}@v1", start=False)
        files = process.ServiceFiles(ws.store_folder, process.EVERY)
        live = process.start(files, [sys.executable, "-m", "sampan", "serve", "--all", "--project", str(tmp_path)])
        connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
        try:
            add_package(ws, tmp_path / "second", weights=(1.21, -0.8, 0.0))
            point(ws, 2, before=1)
            numbers = iter(range(1_000_000))

            def ask() -> None:
                rows = [{**row, "order": next(numbers)} for row in ROWS]
                connection.request("POST", f"/services/{NAME}/predict", json.dumps({"rows": rows}))
                answer = connection.getresponse()
                assert (answer.status, len(json.loads(answer.read())["predictions"])) == (200, len(ROWS))

            wait_for(lambda: bool((found := ws.service.rollouts(NAME).rollouts) and found[0].state != "running"), meanwhile=ask)

            (rolled,) = ws.service.rollouts(NAME).rollouts
            assert (rolled.version, rolled.state, rolled.breaches) == (f"{NAME}@v2", "done", ())
            assert ws.service.show(NAME).state == "running"
            with pytest.raises(Conflict, match="is answered by the server of all services"):
                ws.service.stop(NAME)
        finally:
            connection.close()
            process.stop(files, live)


@pytest.mark.slow
def test_a_package_made_with_another_numpy_is_told_or_where_wanted_refused(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        add_package(ws, tmp_path / "first", libraries={"numpy": "0.0.1", "lightgbm": "0.0.1", "unrelated": "1"})
        told = ws.service.deploy(NAME)
        ws.service.stop(NAME)
    (tmp_path / "sampan.toml").write_text(f'[services.{NAME}]\nenvironment = "refuse"\n')
    with Workspace.open(tmp_path) as ws, pytest.raises(Unavailable, match=r"made in another environment: numpy 0\.0\.1 → [\d.]+\n"):
        ws.service.deploy(NAME)

    assert [one for one in told.differences if one.startswith("numpy")] == [f"numpy 0.0.1 → {np.__version__}"]
