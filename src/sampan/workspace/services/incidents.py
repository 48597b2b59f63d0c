"""The incident room: what went wrong, since when, and what was done about it."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import ParameterError, StaleState
from sampan.workspace.merging.history import as_it_happened
from sampan.workspace.operation import Room, operation
from sampan.workspace.services.monitor_events import IncidentClosed


class Incident(msgspec.Struct, frozen=True):
    """One incident, in a line."""

    ref: str
    service: str
    state: str
    title: str
    since: str
    n_windows: int


class IncidentList(Answer, frozen=True, kw_only=True):
    """Incidents, newest first."""

    incidents: tuple[Incident, ...]

    def text(self) -> str:
        """One line an incident."""
        if not self.incidents:
            return "no incident"
        return "\n".join(f"{i.ref}  {i.state:<7} {i.service}  {i.title}  (since {i.since}, {i.n_windows} windows)" for i in self.incidents)


class Seen(msgspec.Struct, frozen=True):
    """A window that raised the incident."""

    window: str
    label: str
    reasons: tuple[str, ...]


class IncidentShown(Answer, frozen=True, kw_only=True):
    """An incident with everything that happened to it."""

    incident: Incident
    windows: tuple[Seen, ...]
    history: tuple[str, ...]

    def text(self) -> str:
        """Show the reasons window by window, then what was done."""
        one = self.incident
        lines = [f"{one.ref}  {one.state}  {one.service}: {one.title}  (since {one.since})"]
        for window in self.windows:
            lines += [f"  {window.label}", *(f"    {reason}" for reason in window.reasons)]
        return "\n".join([*lines, *(f"  {line}" for line in self.history)])


class Incidents(Room):
    """See what went wrong and close it.

    Parameters
    ----------
    incident : its id or the beginning of it
    """

    noun = "incident"

    @operation(reads=True, verb="list")
    def list_incidents(self, *, state: str = "", service: str = "") -> IncidentList:
        """List incidents, newest first.

        Parameters
        ----------
        state : open or closed
        service : of one service only
        """
        nodes = self.ws.catalog.nodes(kind="incident", name=service, state=state) if self.ws.has_store else []
        found = tuple(self._incident(node) for node in nodes)
        first = next((i.ref for i in found if i.state == "open"), "")
        return IncidentList(incidents=found, next=(f"sampan incident show {first}",) if first else ())

    @operation(reads=True)
    def show(self, incident: str) -> IncidentShown:
        """Show an incident: the windows that raised it, why, and what happened since."""
        node = self._node(incident)
        catalog = self.ws.catalog
        windows = [catalog.node(edge.src) for edge in catalog.edges_to(node.id) if edge.role == "raised"]
        windows.sort(key=lambda window: int(window.facts.get("since", 0)))
        seen = tuple(Seen(w.id, str(w.facts.get("label", "")), tuple(w.facts.get("reasons", ()))) for w in windows)
        happened = map(as_it_happened, catalog.events(subject=node.id))
        events = [f"{iso(e.at)}  {e.type.replace('_', ' ')} by {e.actor}{_why(e.body)}" for e in happened]
        close = (f"sampan incident close {_ref(node)} --why WHY",) if node.state == "open" else ()
        return IncidentShown(
            incident=self._incident(node), windows=seen, history=tuple(events), next=(*close, f"sampan monitor show {node.name}")
        )

    @operation()
    def close(self, incident: str, *, why: str) -> IncidentShown:
        """Close an incident.

        Parameters
        ----------
        why : what was found or done; it stays in the ledger
        """
        if not why.strip():
            raise ParameterError("an incident is closed for a reason", hint='--why "retrained, promoted v4"')
        node = self._node(incident)
        if node.state != "open":
            raise StaleState(f"incident {_ref(node)} is {node.state} already", expected="open", actual=node.state)
        self.ws.ledger.append(IncidentClosed(node=node.id, why=why), reason=why)
        return self.show(node.id)

    def _node(self, incident: str) -> Node:
        """Return the incident by its id or the beginning of it; a service's name means its newest."""
        return self.ws.catalog.resolve(incident.removeprefix("incident:"), kind="incident")

    def _incident(self, node: Node) -> Incident:
        n_windows = sum(edge.role == "raised" for edge in self.ws.catalog.edges_to(node.id))
        return Incident(_ref(node), node.name, node.state, str(node.facts.get("title", "")), iso(node.created), n_windows)


def _ref(node: Node) -> str:
    return node.id[:12]


def _why(body: dict[str, object]) -> str:
    return f": {body['why']}" if body.get("why") else ""
