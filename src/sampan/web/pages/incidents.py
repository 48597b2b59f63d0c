"""Incidents: the list, and one from what raised it to how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.core.decoding import read_builtins
from sampan.web.page import Page, month
from sampan.web.pages.figures import METRIC_WORDS
from sampan.workspace.services.incidents import IncidentList
from sampan.workspace.services.monitors import Window

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace


def load_incidents(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the list, of one `state` or `service` where asked."""
    state, service = given.get("state", ""), given.get("service", "")
    found = workspace.incident.list_incidents(state=state, service=service) if workspace.has_store else IncidentList(incidents=())
    return {"incidents": found.incidents, "state": state, "service": service}


def load_incident(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one incident."""
    shown = workspace.incident.show(given["ref"])
    node = workspace.catalog.resolve(given["ref"], kind="incident")
    # A window that was sealed again has a newer reading; the incident keeps the one that raised it.
    windows = [_window(workspace.catalog.node(seen.window)) for seen in shown.windows]
    log = workspace.home.log(node.id, limit=100).events
    ended = next((one.reason for one in log if one.type == "incident_closed"), "")
    return {
        "shown": shown,
        "one": shown.incident,
        "node": node,
        "windows": windows,
        "log": tuple(reversed(log)),
        "ended": ended,
        "month": month,
        "words": METRIC_WORDS,
        "title": f"{node.name}: {shown.incident.ref}",
    }


def _window(node: Node) -> Window:
    return read_builtins({**node.facts, "id": node.id}, Window)


PAGES = (
    Page("/incidents", "Incidents", "incidents.html", load_incidents, in_navigation=True, order=50),
    Page("/incidents/{ref}", "Incident", "incident.html", load_incident),
)
