"""Home: what is live, how it is doing, what to do next. And the page of any node, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sampan.web import charts
from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.services.monitors import Window
    from sampan.workspace.workspace import Workspace

LOOKED_AT, SHOWN = 60, 8
QUIET = {"step_committed", "dataset_described", "run_started", "params_logged"}  # on the page of the log, too frequent for home
OPENED = "sampan ui"  # who reads the page has done that
TRENDS = (
    ("Live AUC", "auc", 3),
    ("Live log loss", "log_loss", 3),
    ("Live accuracy", "accuracy", 3),
    ("Live root mean squared error", "rmse", 3),
    ("Live mean absolute error", "mae", 3),
    ("Live cost a row", "cost", 2),
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A service's windows as home shows them: the newest one, and how live quality went."""

    newest: Window | None
    trends: list[tuple[str, Any, str]]  # label, what draws its sparkline, newest value


def load_home(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the status, how live quality went, and the newest events."""
    del given
    status = workspace.home.status()
    live = [(one, _watched(workspace, one.service)) for one in status.live]
    events = [event for event in workspace.home.log(limit=LOOKED_AT).events if event.type not in QUIET][:SHOWN]
    following = [command for command in status.next if command != OPENED]
    return {"status": status, "live": live, "stored": _stored(workspace) if status.counts else (), "events": events, "next": following}


def load_node(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load any node: its facts, edges and history. Kinds with a page of their own are linked from it."""
    node = workspace.catalog.node(given["id"])
    needed = [(edge.role.replace("_", " "), workspace.catalog.node(edge.src)) for edge in workspace.catalog.edges_to(node.id)]
    needing = [(edge.role.replace("_", " "), workspace.catalog.node(edge.dst)) for edge in workspace.catalog.edges_from(node.id)]
    events = workspace.home.log(node.id, limit=50).events
    return {"node": node, "needed": needed, "needing": needing, "events": events, "title": node.ref, "own_page": own_page(node.kind, node)}


def own_page(kind: str, node: Any) -> str:
    """Return the path of the page made for this kind, or ''."""
    paths = {
        "dataset": f"/data/{quote(node.ref)}",
        "model": f"/models/{quote(node.ref)}",
        "study": f"/studies/{quote(node.ref)}",
        "run": f"/runs/{node.id}",
        "service": f"/services/{quote(node.name)}",
        "deployment": f"/services/{quote(node.name)}",
        "window": f"/services/{quote(node.name)}",
        "incident": f"/incidents/{node.id[:12]}",
    }
    return paths.get(kind, "")


def _stored(workspace: Workspace) -> tuple[tuple[str, int, str], ...]:
    """Count what there is, each with the page that lists it."""
    catalog = workspace.catalog
    n_incidents = len(workspace.incident.list_incidents().incidents)
    return (
        ("Datasets", len(catalog.assets("dataset")), "/data"),
        ("Runs and trials", sum(asset.n_versions for asset in catalog.assets("run")), "/runs"),
        ("Model versions", sum(asset.n_versions for asset in catalog.assets("model")), "/models"),
        ("Services", len(catalog.assets("service")), "/services"),
        ("Incidents", n_incidents, "/incidents"),
    )


def _watched(workspace: Workspace, service: str) -> Watched:
    windows = workspace.monitor.show(service).windows
    trends = []
    for label, name, digits in TRENDS:
        values = [(window.quality[name].value if name in window.quality else None) for window in windows]
        if any(value is not None for value in values):
            newest = next((v for v in reversed(values) if v is not None), None)
            trends.append((label, partial(charts.sparkline, values=values), charts.number(newest, digits)))
    return Watched(windows[-1] if windows else None, trends)


PAGES = (
    Page("/", "Home", "home.html", load_home, in_navigation=True, order=0),
    Page("/node/{id}", "Node", "node.html", load_node),
)
