"""A server whose online features live in Redis: it follows versions, and goes on with what it has while Redis is away."""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import START, add_package, draw_orders, requests_of

from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # a process for each

NAME = "orders-late"
FIRST = draw_orders(40, first=0, day=0, rng=np.random.default_rng(0))
ROW = {**requests_of(FIRST)[0], "at": START + 40 * 432_000 + 86_400_000 // 2}


@pytest.fixture
def ws(tmp_path: Path, redis_server: Any) -> Iterator[Workspace]:
    (tmp_path / "sampan.toml").write_text(f'[serving]\nredis = "{redis_server.url}"\n')
    with Workspace.open(tmp_path) as workspace:
        yield workspace
        for asset in workspace.catalog.assets("service"):
            workspace.service.stop(asset.name)


def _ask(ws: Workspace, path: str, body: Any = None) -> tuple[int, str]:
    live = ws.service.running(NAME)
    assert live is not None
    connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body=None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _late_share(ws: Workspace, shop: str) -> float:
    assert _ask(ws, "/predict", {**ROW, "shop": shop})[0] == 200
    ws.service.settle(NAME)
    return float(ws.service.predictions(NAME)["feature.shop_late"][-1])


def test_a_server_follows_versions_in_redis_and_outlives_it(ws: Workspace, tmp_path: Path, redis_server: Any) -> None:
    ws.data.add_table(FIRST, name="orders", key=["order"])
    add_package(ws, tmp_path / "made", dataset=ws.catalog.resolve("orders", kind="dataset"))
    ws.service.deploy(NAME)
    assert _late_share(ws, "west") == 0.0
    more = draw_orders(4, first=100, day=0, rng=np.random.default_rng(1))
    ws.data.add_table(
        pl.concat([FIRST, more.with_columns(shop=pl.lit("west"), late=pl.Series([1.0, 1.0, 1.0, 0.0]))]), name="orders", key=["order"]
    )
    deadline = time.monotonic() + 30
    while (served := _late_share(ws, "west")) == 0.0 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert served == 0.75
    redis_server.stop()
    try:
        assert _late_share(ws, "west") == 0.75
        status, text = _ask(ws, "/predict", {**ROW, "shop": "nowhere"})
        metrics = _ask(ws, "/metrics")[1]
    finally:
        redis_server.start()
    # It comes back empty, and is given what it lost.
    deadline = time.monotonic() + 30
    while (answered := _ask(ws, "/predict", {**ROW, "shop": "nowhere"})[0]) == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answered == 200
    assert _late_share(ws, "west") == 0.75
    assert status == 503
    assert "holds the online features" in text
    assert int(re.search(r"^sampan_feature_store_failures_total (\d+)", metrics, re.MULTILINE)[1]) > 0  # type: ignore[index]  # it is there
    assert "sampan_feature_renewals_total 1" in metrics
