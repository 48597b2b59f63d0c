"""The monitor and incident rooms over real prediction logs, written as the server writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import DAY_MS, START, add_package, draw_orders, orders_view, requests_of

from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import NotFound, ParameterError, StaleState
from sampan.serving.outcomes import Outcome
from sampan.serving.routing import Role, Variant
from sampan.serving.spans import Origin
from sampan.web.inference.log import ArrivalLog, PredictionLog
from sampan.web.inference.shadow import measure
from sampan.workspace.models.predictors import open_predictor
from sampan.workspace.services.routing import Deployed, routed
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
PER_WINDOW = 2000  # ten days of 200 orders


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace


@pytest.fixture
def package(ws: Workspace, tmp_path: Path) -> Node:
    """A package that is live in a service whose server does not run."""
    made = add_package(ws, tmp_path / "first")
    put(ws, made, "live")
    return made


def put(ws: Workspace, package: Node, role: str) -> None:
    """Record a deployment, as the service room does."""
    before = ws.catalog.aliases("deployment", NAME)
    version = str(package.facts["model"])
    node = (package.id[:8] + role).encode().hex()[:32].ljust(32, "0")
    facts = {"package": package.id, "version": version}
    deployed = Deployed(node=node, service=NAME, package=package.id, model=version, role=role, facts=facts)
    ws.ledger.append(deployed, routed(NAME, before, {**before, role: node}, states={}))


def answer(ws: Workspace, package: Node, frame: pl.DataFrame, *, role: Role = "live", prefix: str = "r") -> list[str]:
    """Score orders with a package and log that; return the prediction ids."""
    predictor = open_predictor(ws.model.package_path(package.id))
    predictor.feed("orders", frame.select(orders_view.event_columns()).to_dicts())  # each is seen from when it was known
    manifest = predictor.manifest
    fields = tuple((name, str(spec["type"])) for name, spec in manifest.request_schema.items())
    version = str(package.facts["model"])
    variant = Variant(role, package.id, version, predictor, 0.2, fields=fields, keys=manifest.keys, slices=manifest.slices)
    rows = requests_of(frame)
    ids = [f"{prefix}{row['order']}" for row in rows]
    log = PredictionLog(ws.store.segments)
    log.offer(variant, measure(NAME, variant, rows, ids, Origin(at=ws.clock()), started_ns=0))
    log.close()
    return ids


def label(ws: Workspace, frame: pl.DataFrame) -> None:
    """Let the true labels of orders arrive."""
    arrivals = ArrivalLog(ws.store.segments, NAME)
    known = [Outcome(label=row["late"], at=row["done"], key=str(row["order"])) for row in frame.to_dicts()]
    arrivals.outcomes(known, received=ws.clock())
    arrivals.close()


def orders(window: int, *, shift: float = 0.0) -> pl.DataFrame:
    """Draw the orders of the window with this number, ten days each."""
    rng = np.random.default_rng(window)
    return draw_orders(PER_WINDOW, first=window * PER_WINDOW, day=window * 10, rng=rng, shift=shift)


def span(window: int) -> tuple[str, str]:
    return iso(START + window * 10 * DAY_MS), iso(START + (window + 1) * 10 * DAY_MS)


def test_a_window_like_the_reference_raises_nothing_and_its_estimate_meets_the_truth(ws: Workspace, package: Node) -> None:
    frame = orders(0)
    answer(ws, package, frame)
    label(ws, frame)

    found = ws.monitor.window(NAME, *span(0))

    window = found.window
    assert (window.verdict, window.n_rows, window.n_labelled, window.moved) == ("quiet", PER_WINDOW, PER_WINDOW, ())
    assert (found.incident, found.requested) == ("", None)
    assert window.estimated_auc.low is not None
    assert window.estimated_auc.high is not None
    assert window.auc.value is not None
    assert window.estimated_auc.low < window.auc.value < window.estimated_auc.high
    node = ws.catalog.node(window.id)
    assert (node.kind, node.name, node.state) == ("window", NAME, "quiet")
    deployment = ws.catalog.aliases("deployment", NAME)["live"]
    assert [(e.role, e.src) for e in ws.catalog.edges_to(node.id)] == [("observed_by", deployment)]
    observed = {o.key: o.value for o in ws.catalog.observations(node.id)}
    assert observed["auc"] == pytest.approx(window.auc.value)
    assert observed["rows"] == PER_WINDOW
    assert {"log_loss", "cost", "estimated_auc", "drift.x1", "far_share"} <= set(observed)


def test_drift_opens_an_incident_and_asks_for_one_run_until_someone_takes_it_up(ws: Workspace, package: Node) -> None:
    for window in (0, 1, 2):
        answer(ws, package, orders(window, shift=1.5))

    first = ws.monitor.window(NAME, *span(0))
    second = ws.monitor.window(NAME, *span(1))

    assert first.window.verdict == "alarm"
    assert "x1 (ks 0." in first.window.reasons[0]
    assert first.incident == second.incident
    assert (first.requested is None, second.requested is None) == (False, True)
    (request,) = ws.monitor.requests().requests
    assert (request.seq, request.service, request.model, request.window) == (first.requested, NAME, f"{NAME}@v1", first.window.id)

    ws.monitor.handled(request.seq, "run of the night")
    third = ws.monitor.window(NAME, *span(2))

    assert third.incident == first.incident
    assert [r.seq for r in ws.monitor.requests().requests] == [third.requested]
    shown = ws.incident.show(first.incident[:12])
    assert [w.window for w in shown.windows] == [first.window.id, second.window.id, third.window.id]
    assert ws.incident.list_incidents(state="open").incidents == (shown.incident,)
    with pytest.raises(NotFound, match="no pending request"):
        ws.monitor.handled(request.seq, "again")


def test_an_incident_is_closed_once_and_for_a_reason(ws: Workspace, package: Node) -> None:
    answer(ws, package, orders(0, shift=1.5))
    incident = ws.monitor.window(NAME, *span(0)).incident

    with pytest.raises(ParameterError, match="for a reason"):
        ws.incident.close(incident, why=" ")
    closed = ws.incident.close(incident, why="retrained")
    with pytest.raises(StaleState, match="closed already"):
        ws.incident.close(incident, why="again")

    assert closed.incident.state == "closed"
    assert "incident closed" in closed.history[-1]
    assert "retrained" in closed.text()


def test_sealing_again_answers_the_same_until_more_labels_have_come(ws: Workspace, package: Node) -> None:
    frame = orders(0, shift=1.5)
    answer(ws, package, frame)
    before = ws.monitor.window(NAME, *span(0))

    same = ws.monitor.window(NAME, *span(0))
    label(ws, frame)
    after = ws.monitor.window(NAME, *span(0))

    assert (before.new, same.new, after.new) == (True, False, True)
    assert same.window == before.window
    assert (before.window.n_labelled, after.window.n_labelled) == (0, PER_WINDOW)
    assert after.requested is None, "the same window asks for a run once"
    assert [w.id for w in ws.monitor.show(NAME).windows] == [after.window.id]
    assert ws.monitor.show(NAME).windows[0].auc.value is not None
    assert len(ws.monitor.requests().requests) == 1


def test_live_quality_that_falls_is_an_alarm_though_nothing_drifts(ws: Workspace, package: Node) -> None:
    frame = orders(0)
    answer(ws, package, frame)
    label(ws, frame.with_columns(late=1 - pl.col("late")))

    found = ws.monitor.window(NAME, *span(0)).window

    assert found.moved == ()
    assert found.verdict == "alarm"
    assert found.reasons[0].startswith("live AUC 0.")


def test_a_shadow_is_paired_with_the_answers_row_by_row(ws: Workspace, package: Node, tmp_path: Path) -> None:
    second = add_package(ws, tmp_path / "second", weights=(-0.5, 2.0, 0.0))
    put(ws, second, "shadow")
    frame = orders(0)
    answer(ws, package, frame)
    answer(ws, second, frame, role="shadow")
    label(ws, frame[:1500])

    rows = ws.monitor.paired_rows(NAME, START, START + 10 * DAY_MS)
    window = ws.monitor.window(NAME, *span(0)).window

    assert (rows.champion, rows.candidate, rows.slices) == (f"{NAME}@v1", f"{NAME}@v2", ("shop",))
    assert rows.frame.columns == ["id", "key", "moment", "day", "label", "label_name", "champion", "candidate", "field.shop"]
    assert rows.frame.height == 1500
    assert rows.frame["moment"].is_sorted()
    assert rows.frame["day"].n_unique() == 8
    assert rows.frame["label"].to_list() == frame["late"][:1500].to_list()
    assert window.shadow == f"{NAME}@v2"
    assert window.auc.value is not None
    assert window.shadow_auc.value is not None
    assert window.shadow_auc.value < window.auc.value
    with pytest.raises(NotFound, match="no shadow orders-late@v9"):
        ws.monitor.paired_rows(NAME, START, START + 10 * DAY_MS, candidate=f"{NAME}@v9")


def test_a_key_asked_twice_counts_once_and_the_newest_label_counts(ws: Workspace, package: Node) -> None:
    frame = orders(0)
    answer(ws, package, frame)
    ids = answer(ws, package, frame[:100], prefix="again")
    label(ws, frame.with_columns(late=pl.lit(0.0)))
    label(ws, frame)
    arrivals = ArrivalLog(ws.store.segments, NAME)
    arrivals.outcomes([Outcome(label=1.0, at=START, id=name) for name in ids], received=ws.clock())
    arrivals.close()

    from sampan.workspace.services.prediction_history import read_window

    (rows,) = read_window(ws, NAME, START, START + 10 * DAY_MS)

    assert rows.frame.height == PER_WINDOW
    labels = dict(zip(rows.frame["key"], rows.frame["label"], strict=True))
    assert [labels[str(i)] for i in range(100)] == [1.0] * 100, "a label given for a prediction outranks one given for its key"
    assert [labels[str(i)] for i in range(100, PER_WINDOW)] == frame["late"][100:].to_list()


def test_windows_without_rows_and_crooked_spans_are_named(ws: Workspace, package: Node) -> None:
    with pytest.raises(NotFound, match="answered nothing"):
        ws.monitor.window(NAME, *span(5))
    with pytest.raises(ParameterError, match="before it begins"):
        ws.monitor.window(NAME, "2013-02-01", "2013-01-01")
    with pytest.raises(ParameterError, match="since is 'May', which is no moment"):
        ws.monitor.window(NAME, "May", "2013-01-01")
    with pytest.raises(NotFound, match="no service called 'orders'"):
        ws.monitor.show("orders")


def test_the_table_shows_drift_truth_and_estimate_side_by_side(ws: Workspace, package: Node) -> None:
    for window in (1, 0):
        frame = orders(window)
        answer(ws, package, frame)
        label(ws, frame)
        ws.monitor.window(NAME, *span(window))

    shown = ws.monitor.show(NAME)

    assert [w.since for w in shown.windows] == [START, START + 10 * DAY_MS]
    lines = shown.text().splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:3] == ["window", "verdict", "rows"]
    assert ws.monitor.list_monitors().monitors[0].n_windows == 2
