"""Events: what happened, for people and programs to read. Each declares its changes; the ledger does the rest.

An event class lives beside the operation that appends it (workspace rooms, plug-ins); only those that several rooms share stand here.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import msgspec

from sampan.core.changes import (
    AddEdge,
    AddNode,
    AddParams,
    Change,
    EndRun,
    FinishStep,
    MoveAlias,
    SetState,
    SetTag,
    StartRun,
)
from sampan.core.graph import NodeId
from sampan.core.times import Millis


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. The class attribute `type` is the stable name in the ledger; fields are the body."""

    type: ClassVar[str] = ""

    def changes(self) -> tuple[Change, ...]:
        """Return what this event does to the graph; () for an event that only records."""
        return ()

    def subject(self) -> NodeId:
        """Return the node this event is about, or ''."""
        return ""


class Input(msgspec.Struct, frozen=True):
    """An existing node that a new one was made from, and in which role."""

    node: NodeId
    role: str


class VersionCommitted(Event, frozen=True, kw_only=True):
    """A new version of an asset came to be, from these inputs."""

    type: ClassVar[str] = "version_committed"

    node: NodeId
    kind: str
    name: str
    digest: str
    state: str = "active"
    size: int = 0
    facts: dict[str, Any] = {}
    inputs: tuple[Input, ...] = ()

    def subject(self) -> NodeId:
        """Return the new version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the version and its edges."""
        add = AddNode(id=self.node, kind=self.kind, name=self.name, digest=self.digest, state=self.state, size=self.size, facts=self.facts)
        return (add, *(AddEdge(dst=self.node, src=i.node, role=i.role) for i in self.inputs))


class AliasMoved(Event, frozen=True, kw_only=True):
    """An alias was pointed elsewhere, for a reason someone gave."""

    type: ClassVar[str] = "alias_moved"

    kind: str
    name: str
    alias: str
    before: NodeId | None
    after: NodeId | None
    reason: str = ""

    def subject(self) -> NodeId:
        """Return where the alias points now."""
        return self.after or self.before or ""

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the alias."""
        return (MoveAlias(kind=self.kind, name=self.name, alias=self.alias, before=self.before, after=self.after),)


class StateChanged(Event, frozen=True, kw_only=True):
    """A node went from one state to another."""

    type: ClassVar[str] = "state_changed"

    node: NodeId
    before: str
    after: str
    reason: str = ""

    def subject(self) -> NodeId:
        """Return the node."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the state."""
        return (SetState(node=self.node, before=self.before, after=self.after),)


class Tagged(Event, frozen=True, kw_only=True):
    """A tag was set, or removed where value is None."""

    type: ClassVar[str] = "tagged"

    node: NodeId
    key: str
    value: str | None

    def subject(self) -> NodeId:
        """Return the node."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Set the tag."""
        return (SetTag(node=self.node, key=self.key, value=self.value),)


class RunStarted(Event, frozen=True, kw_only=True):
    """A run began."""

    type: ClassVar[str] = "run_started"

    node: NodeId
    experiment: str
    title: str
    started: Millis
    parent: NodeId | None = None
    source: str = ""
    host: str = ""
    pid: int = 0
    params: dict[str, str] = {}
    inputs: tuple[Input, ...] = ()
    facts: dict[str, Any] = {}  # environment digest, git commit, arguments

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the run's node, row, parameters and inputs."""
        found: list[Change] = [
            AddNode(id=self.node, kind="run", name=self.experiment, state="running", facts=self.facts),
            StartRun(
                node=self.node,
                experiment=self.experiment,
                title=self.title,
                started=self.started,
                parent=self.parent,
                source=self.source,
                host=self.host,
                pid=self.pid,
            ),
        ]
        if self.params:
            found.append(AddParams(node=self.node, params=self.params))
        found.extend(AddEdge(dst=self.node, src=i.node, role=i.role) for i in self.inputs)
        return tuple(found)


class ParamsLogged(Event, frozen=True, kw_only=True):
    """Parameters were added to a run."""

    type: ClassVar[str] = "params_logged"

    node: NodeId
    params: dict[str, str]

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the parameters."""
        return (AddParams(node=self.node, params=self.params),)


class RunEnded(Event, frozen=True, kw_only=True):
    """A run finished, failed or was killed."""

    type: ClassVar[str] = "run_ended"

    node: NodeId
    state: str
    ended: Millis
    reason: str = ""

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """End the run."""
        return (EndRun(node=self.node, state=self.state, ended=self.ended),)


class StepCommitted(Event, frozen=True, kw_only=True):
    """A step attempt's outcome was accepted; later plans with the same key re-use it."""

    type: ClassVar[str] = "step_committed"

    key: str
    token: int
    step: str
    outcome: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Compare the fencing token and set the outcome."""
        return (FinishStep(key=self.key, token=self.token, step=self.step, outcome=self.outcome),)


class RowsRedacted(Event, frozen=True, kw_only=True):
    """A person's data was taken out of earlier rows of the ledger. They keep their hashes; this says what they read now."""

    type: ClassVar[str] = "rows_redacted"

    seals: dict[str, str]  # number of a row -> the hash of its present content


def new_id() -> NodeId:
    """Draw a fresh node id."""
    return os.urandom(16).hex()
