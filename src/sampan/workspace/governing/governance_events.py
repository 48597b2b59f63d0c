"""What happens to terms: they are declared, leave is asked for, given and taken back; keys are made; someone looked behind a pseudonym."""

from __future__ import annotations

from typing import Any, ClassVar

from sampan.core.changes import AddEdge, AddNode, Change, ExpectNewest, SetState
from sampan.core.events import Event
from sampan.core.graph import NodeId

POLICY, GRANT, REQUEST, KEY = "policy", "grant", "request", "key"


class PolicyDeclared(Event, frozen=True, kw_only=True):
    """Someone said what an asset may be used for. The newest such version holds."""

    type: ClassVar[str] = "policy_declared"

    node: NodeId
    name: str
    facts: dict[str, Any]  # kind and name of the asset, and the terms
    before: NodeId | None = None  # the version it adds to; None where nothing was said before

    def subject(self) -> NodeId:
        """Return the version of the terms."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the version behind the one it adds to, if that still is the newest: what another said meanwhile is not lost."""
        return (
            ExpectNewest(kind=POLICY, name=self.name, node=self.before),
            AddNode(id=self.node, kind=POLICY, name=self.name, facts=self.facts),
        )


class LeaveGranted(Event, frozen=True, kw_only=True):
    """An owner let someone do what the terms forbid, for a reason and until a day."""

    type: ClassVar[str] = "leave_granted"

    node: NodeId
    name: str
    facts: dict[str, Any]
    answers: NodeId = ""  # the request

    def subject(self) -> NodeId:
        """Return the leave."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the leave; close the request it answers."""
        add = AddNode(id=self.node, kind=GRANT, name=self.name, facts=self.facts)
        if not self.answers:
            return (add,)
        return (add, AddEdge(dst=self.node, src=self.answers, role="caused"), SetState(node=self.answers, before="open", after="granted"))


class LeaveAsked(Event, frozen=True, kw_only=True):
    """Someone asked an owner for leave."""

    type: ClassVar[str] = "leave_asked"

    node: NodeId
    name: str
    facts: dict[str, Any]

    def subject(self) -> NodeId:
        """Return the request."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the request."""
        return (AddNode(id=self.node, kind=REQUEST, name=self.name, state="open", facts=self.facts),)


class LeaveEnded(Event, frozen=True, kw_only=True):
    """Leave was taken back before its end, or a request was declined."""

    type: ClassVar[str] = "leave_ended"

    node: NodeId
    before: str
    after: str  # revoked | declined
    reason: str

    def subject(self) -> NodeId:
        """Return the leave or the request."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the state."""
        return (SetState(node=self.node, before=self.before, after=self.after),)


class KeyMade(Event, frozen=True, kw_only=True):
    """A key for pseudonyms or encryption was made. The ledger knows its fingerprint; the key itself never comes into the store."""

    type: ClassVar[str] = "privacy_key_made"

    node: NodeId
    name: str
    fingerprint: str

    def subject(self) -> NodeId:
        """Return the key's node."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the key's node, which holds its fingerprint alone, if there is no other key for the purpose."""
        return (
            ExpectNewest(kind=KEY, name=self.name, node=None),
            AddNode(id=self.node, kind=KEY, name=self.name, facts={"fingerprint": self.fingerprint}),
        )


class Reidentified(Event, frozen=True, kw_only=True):
    """Someone with the role looked behind pseudonyms or ciphers. Counted and told why; the values are in no record."""

    type: ClassVar[str] = "reidentified"

    dataset: NodeId
    outcome: str  # shown | refused
    column: str
    n_values: int
    reason: str

    def subject(self) -> NodeId:
        """Return the dataset version."""
        return self.dataset
