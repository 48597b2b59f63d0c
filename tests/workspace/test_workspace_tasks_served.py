"""Models of numbers and of classes live: asked by their server, watched when the truth arrives, followed by a better version."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_tasks import CUT, ENDS, ENDS_FILE, HOURS, add_visits, write_task

from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # a server process for each
SINCE, UNTIL = "2013-02-01", "2013-02-15"


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_visits(workspace)
        yield workspace
        for asset in workspace.catalog.assets("service"):
            workspace.service.stop(asset.name)


def ask(ws: Workspace, service: str, path: str, body: Any, *, expect: int = 200) -> Any:
    live = ws.service.running(service)
    assert live is not None
    connection = http.client.HTTPConnection(live.host, live.port, timeout=30)
    try:
        connection.request("POST", path, body=json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == expect, text
        return json.loads(text)
    finally:
        connection.close()


def later_visits(ws: Workspace) -> pl.DataFrame:
    """Return the visits after the training's cut."""
    frame = pl.read_parquet(ws.root / "visits.parquet")
    return frame.filter(pl.col("at") >= 1_359_676_800_000)  # CUT


def requests(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.select("visit", "at", "ward", "x1", "x2").to_dicts()


def test_a_number_is_answered_and_watched(ws: Workspace) -> None:
    ws.model.ship(ws.model.train(write_task(ws.root, HOURS, name="served_hours.py"), trials=1, until=CUT).model.ref)
    frame = later_visits(ws)

    one = ask(ws, "hours", "/predict", requests(frame)[0])
    many = ask(ws, "hours", "/predict", {"rows": requests(frame)})["predictions"]
    tensors = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, kind, value in fields(requests(frame)[0])]
    inferred = ask(ws, "hours", "/v2/models/hours/infer", {"inputs": tensors})
    labels = [{"visit": visit, "label": hours} for visit, hours in frame.select("visit", "hours").iter_rows()]
    ask(ws, "hours", "/outcomes", labels)
    window = ws.monitor.window("hours", SINCE, UNTIL)

    assert {"id", "value", "version"} == set(one)
    assert one["value"] == pytest.approx(many[0]["value"])
    assert one["value"] == pytest.approx(inferred["outputs"][0]["data"][0])
    off = np.array([each["value"] for each in many]) - frame["hours"].to_numpy()
    assert np.sqrt((off**2).mean()) == pytest.approx(window.window.others["rmse"].value)
    assert {"rmse", "mae", "bias", "cost"} == set(window.window.quality)
    assert (frame.height, "quiet") == (window.window.n_labelled, window.window.verdict)
    assert "this model answers with numbers" in window.window.not_estimated
    assert "root mean squared error 3." in window.text()
    assert "rmse" in ws.monitor.show("hours").text()
    assert "root mean squared error" in ws.home.status().text()


def test_a_class_is_answered_with_the_chance_of_each_and_watched(ws: Workspace) -> None:
    ws.model.ship(ws.model.train(write_task(ws.root, ENDS_FILE, name="served_ends.py"), trials=1, until=CUT).model.ref)
    frame = later_visits(ws)

    one = ask(ws, "ends", "/predict", requests(frame)[0])
    many = ask(ws, "ends", "/predict", {"rows": requests(frame)})["predictions"]
    strange = ask(ws, "ends", "/outcomes", [{"visit": 10**9, "label": "cinema"}])
    ask(ws, "ends", "/outcomes", [{"visit": visit, "label": end} for visit, end in frame.select("visit", "end").iter_rows()])
    window = ws.monitor.window("ends", SINCE, UNTIL)

    assert strange == {"received": 1, "unknown_classes": ["cinema"]}
    assert {"id", "label", "score", "probabilities", "version", "decision"} == set(one)
    assert (set(ENDS), one["score"]) == (set(one["probabilities"]), max(one["probabilities"].values()))
    assert one["probabilities"][one["label"]] == one["score"]
    assert 1 == pytest.approx(sum(one["probabilities"].values()))
    # Sending home wrongly costs most, so it is decided more rarely than it is likeliest.
    assert sum(each["decision"] == "home" for each in many) < sum(each["label"] == "home" for each in many)
    right = np.mean([each["label"] == end for each, end in zip(many, frame["end"], strict=True)])
    assert right == pytest.approx(window.window.others["accuracy"].value)
    assert frame.height == window.window.n_labelled
    assert "accuracy 0." in window.text()
    assert "log loss" in ws.home.status().text()


def test_a_version_that_knows_another_class_is_compared_on_live_traffic_by_names(ws: Workspace) -> None:
    text = ENDS_FILE.replace("kpi=worth, ", "")
    ws.model.ship(ws.model.train(write_task(ws.root, text, name="served_old.py"), trials=1, until=CUT).model.ref)
    frame = later_visits(ws)
    # The next version knows "abroad" too, the first of the names: every code is another than before.
    whole = pl.read_parquet(ws.root / "visits.parquet")
    whole.with_columns(end=pl.when(pl.col("x1") > 1.5).then(pl.lit("abroad")).otherwise("end")).write_parquet(ws.root / "visits.parquet")
    ws.data.add(ws.root / "visits.parquet", name="visits")
    second = ws.model.train(write_task(ws.root, text + "\n", name="served_new.py"), trials=1, until=CUT).model.ref
    ws.model.pack(second)
    ws.service.shadow(second, "ends")
    ask(ws, "ends", "/predict", {"rows": requests(frame)})
    ask(ws, "ends", "/outcomes", [{"visit": visit, "label": end} for visit, end in frame.select("visit", "end").iter_rows()])
    ws.service.settle("ends")

    window = ws.monitor.window("ends", SINCE, UNTIL).window
    gated = ws.model.gate(second, since=SINCE, until=UNTIL, service="ends")

    ws.service.deploy(second, "ends")
    ask(ws, "ends", "/predict", {"rows": requests(frame)[::2]})
    both = ws.monitor.window("ends", SINCE, UNTIL).window

    assert frame.height * 3 // 2 == both.n_labelled  # by the first version all, by the second every other
    assert both.others["accuracy"].value > 0.45
    accuracy = {name: figures["accuracy"].value for name, figures in (("live", window.others), ("shadow", window.shadow_others))}
    assert accuracy["live"] > 0.5
    assert accuracy["shadow"] > 0.45  # it says "abroad" of a few that were not, by these labels
    assert "log_loss_not_better" in {reason.partition(":")[0] for reason in gated.reasons}


def fields(row: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    kinds = {"visit": "FP64", "at": "BYTES", "ward": "BYTES", "x1": "FP64", "x2": "FP64"}
    for name, value in row.items():
        yield name, kinds[name], np.datetime_as_string(np.datetime64(value, "ms")) + "Z" if name == "at" else value
