"""A model's whole life in little, by the operations a user has: data checked, trained, shipped, asked, watched, retrained, judged.

Names and values hold HTML, as a hostile file's would.
"""

from __future__ import annotations

import http.client
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # the modules there, under importlib's import mode

from small_package import DAY_MS, START, draw_orders, requests_of
from small_training import CUT, add_orders, write_training

from sampan.core.times import iso
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
HOSTILE = "<img src=x onerror=alert(1)>"
FIRST_DAY, WEEK, PER_DAY = 31, 7, 200  # the first day after the training's cut


def live_through(folder: Path) -> None:
    """Live it in a folder; the service's server is stopped at the end."""
    with Workspace.open(folder, actor="an") as ws:
        add_orders(ws)
        bring_in_hostile(ws)
        ws.data.infer("orders")
        ws.data.check(["orders"])
        ws.data.leaks("orders", target="late = 1")
        ws.model.train(write_training(folder), trials=4, until=CUT)
        ws.model.ship(NAME)
        try:
            for week, shift in enumerate((0.0, 2.5, 2.5, -2.5)):
                live_a_week(ws, week, shift=shift)
                if week < 3:  # what the last week asks for waits for someone
                    ws.schedule.turn()
        finally:
            ws.service.stop(NAME)


def bring_in_hostile(ws: Workspace) -> None:
    """Add a dataset whose name, columns, values and description are HTML."""
    frame = pl.DataFrame({"id": [1, 2, 3, 4], "<b>bold</b>": [HOSTILE, HOSTILE, "</script>", None]})
    ws.data.add_table(frame, name="<i>odd<i>", key=["id"], owner=HOSTILE, description=HOSTILE)


def live_a_week(ws: Workspace, week: int, *, shift: float) -> None:
    """Ask the service for a week's orders, let their labels arrive, and seal the week."""
    day = FIRST_DAY + WEEK * week
    frame = draw_orders(WEEK * PER_DAY, first=day * PER_DAY, day=day, rng=np.random.default_rng(week), shift=shift)
    running = ws.service.running(NAME)
    assert running is not None
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    outcomes = [{"label": row["late"], "at": row["done"], "order": row["order"]} for row in frame.to_dicts()]
    for path, body in (("/predict", {"rows": requests_of(frame)}), ("/outcomes", outcomes)):
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()
    ws.monitor.window(NAME, iso(START + day * DAY_MS), iso(START + (day + WEEK) * DAY_MS))
