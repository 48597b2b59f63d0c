"""What monitoring records. It never calls training: it asks for a run, and whoever schedules runs picks the request up."""

from __future__ import annotations

from typing import Any, ClassVar

from sampan.core.changes import AddEdge, AddNode, AddObservations, Change, SetState
from sampan.core.events import Event, Input
from sampan.core.graph import NodeId
from sampan.core.times import Millis


class WindowSealed(Event, frozen=True, kw_only=True):
    """A span of a service's traffic was looked at, and a verdict given."""

    type: ClassVar[str] = "window_sealed"

    node: NodeId
    service: str
    verdict: str  # quiet | drift | alarm
    digest: str
    inputs: tuple[Input, ...]
    points: list[tuple[Millis, str, float, int]] = []
    facts: dict[str, Any] = {}

    def subject(self) -> NodeId:
        """Return the window."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the window, what it observed and what it observed it of."""
        add = AddNode(
            id=self.node, kind="window", name=self.service, digest=self.digest, state=self.verdict, facts=self.facts, numbered=False
        )
        edges = (AddEdge(dst=self.node, src=i.node, role=i.role) for i in self.inputs)
        return (add, *edges, AddObservations(node=self.node, points=self.points))


class IncidentOpened(Event, frozen=True, kw_only=True):
    """Something needs a person's attention."""

    type: ClassVar[str] = "incident_opened"

    node: NodeId
    service: str
    title: str
    reasons: tuple[str, ...]
    window: NodeId

    def subject(self) -> NodeId:
        """Return the incident."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the incident, raised by the window."""
        facts = {"title": self.title, "reasons": list(self.reasons), "service": self.service, "window": self.window}
        return (
            AddNode(id=self.node, kind="incident", name=self.service, state="open", facts=facts, numbered=False),
            AddEdge(dst=self.node, src=self.window, role="raised"),
        )


class IncidentContinued(Event, frozen=True, kw_only=True):
    """Another window raised an alarm while the incident was open."""

    type: ClassVar[str] = "incident_continued"

    node: NodeId
    window: NodeId
    reasons: tuple[str, ...]

    def subject(self) -> NodeId:
        """Return the incident."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Link the window."""
        return (AddEdge(dst=self.node, src=self.window, role="raised"),)


class IncidentClosed(Event, frozen=True, kw_only=True):
    """Someone closed an incident, for a reason."""

    type: ClassVar[str] = "incident_closed"

    node: NodeId
    why: str

    def subject(self) -> NodeId:
        """Return the incident."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Close it, if it is open."""
        return (SetState(node=self.node, before="open", after="closed"),)


class RunRequested(Event, frozen=True, kw_only=True):
    """A window's alarm asks for a new candidate. The next turn of the scheduler picks it up."""

    type: ClassVar[str] = "run_requested"

    service: str
    model: str  # the live model's reference
    window: NodeId
    incident: NodeId
    since: Millis
    until: Millis  # of the window that raised it
    reasons: tuple[str, ...]

    def subject(self) -> NodeId:
        """Return the incident."""
        return self.incident


class RunRequestHandled(Event, frozen=True, kw_only=True):
    """Someone took a request for a run up."""

    type: ClassVar[str] = "run_request_handled"

    request: int  # its number in the ledger
    by: str  # the run's node, or words

    def subject(self) -> NodeId:
        """Return the run, where it is one."""
        return self.by if len(self.by) == 32 else ""
