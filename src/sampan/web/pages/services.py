"""Services: the list, and one with its traffic, roles, drift by window, and live quality beside the estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sampan.web.page import Page, month
from sampan.web.pages import figures
from sampan.workspace.services.services import ServiceList

if TYPE_CHECKING:
    from sampan.workspace.services.monitors import Window
    from sampan.workspace.workspace import Workspace

MOST_CALLERS = 20
MOST_WINDOWS = 12  # columns of the drift table
FIRST_FEATURES = 12
MOST_ROLLOUTS = 10
LEVELS = (0.10, 0.25, 0.50)  # effects that make a moved feature's cell darker


@dataclass(frozen=True, slots=True)
class Cell:
    """A feature's drift in a window. `level` is 0 where it has not moved, else 1 to 4."""

    effect: float
    level: int
    why: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Features by window: the farthest first. A feature the window's model did not have has None."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def load_services(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the list, each service with its newest window."""
    del given
    found = workspace.service.list_services() if workspace.has_store else ServiceList(services=())
    watched = {one.service: one for one in workspace.monitor.list_monitors().monitors} if found.services else {}
    return {"services": found.services, "watched": watched}


def load_service(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one service."""
    name = given["name"]
    shown = workspace.service.show(name)
    windows = workspace.monitor.show(name).windows
    rollouts = workspace.service.rollouts(name).rollouts
    return {
        "shown": shown,
        "rolling": workspace.service.rolling(name),
        "rollouts": rollouts[:MOST_ROLLOUTS],
        "n_rollouts": len(rollouts),
        "callers": workspace.service.callers(name).volumes[:MOST_CALLERS],
        "windows": tuple(reversed(windows)),
        "charts": [*figures.quality(windows), figures.traffic(windows)] if windows else [],
        "watched": list(dict.fromkeys(name for window in windows for name in window.quality)),
        "loss": next((name for name in ("log_loss", "rmse", "mae") if any(name in window.quality for window in windows)), ""),
        "words": figures.METRIC_WORDS,
        "drift": drift(workspace, windows[-MOST_WINDOWS:]),
        "first_features": FIRST_FEATURES,
        "incidents": workspace.incident.list_incidents(service=name).incidents,
        "requests": [one for one in workspace.monitor.requests().requests if one.service == name],
        "month": month,
        "title": name,
    }


def drift(workspace: Workspace, windows: Sequence[Window]) -> Drift:
    """Lay the drift of each feature out by window, from what the windows recorded."""
    found: dict[str, dict[int, Cell]] = {}
    for i, window in enumerate(windows):
        recorded = workspace.catalog.node(window.id).facts.get("drift") or {"features": ()}
        for feature in recorded["features"]:
            found.setdefault(feature["feature"], {})[i] = _cell(feature)
    ordered = sorted(found, key=lambda name: (-max(c.effect if c.level else 0.0 for c in found[name].values()), name))
    rows = tuple((name, tuple(found[name].get(i) for i in range(len(windows)))) for name in ordered)
    return Drift(tuple(month(window) for window in windows), rows)


def _cell(feature: Mapping[str, Any]) -> Cell:
    level = 1 + sum(feature["effect"] >= limit for limit in LEVELS) if feature["moved"] else 0
    return Cell(feature["effect"], level, "; ".join(feature["reasons"]))


PAGES = (
    Page("/services", "Services", "services.html", load_services, in_navigation=True, order=40),
    Page("/services/{name}", "Service", "service.html", load_service),
)
