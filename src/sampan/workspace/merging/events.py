"""What the ledger says of a merge: where another store's rows came from, and each of those rows as it stood there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from sampan.core.changes import ActedThen, AddNode, Adopt, AmendFacts, Change
from sampan.core.digests import canonical_json
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.store.chain import MERGED, ForeignRow, Link

ORIGIN: Final = "origin"  # the kind of a node that says where rows came from


class Origin(msgspec.Struct, frozen=True):
    """Another store, as this one knows it: its facts on the origin's node.

    `names` and `aliases` are the decisions of merges so far: under which name or alias here stands what is called so there.
    """

    label: str
    root: str  # hash of the first row that came from there: the same as long as its ledger goes on
    names: dict[str, str] = {}  # "kind:name" there -> name here
    aliases: dict[str, str] = {}  # "kind:name@alias" there -> alias here
    made: tuple[str, ...] = ()  # "kind:name" here of what came to be by merging


class OriginMet(Event, frozen=True, kw_only=True):
    """A store was merged here for the first time."""

    type: ClassVar[str] = "origin_met"

    node: NodeId
    origin: Origin

    def subject(self) -> NodeId:
        """Return the origin."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the origin."""
        return (AddNode(id=self.node, kind=ORIGIN, name=self.origin.label, facts=msgspec.to_builtins(self.origin)),)


class OriginAmended(Event, frozen=True, kw_only=True):
    """A merge decided how further names or aliases of an origin are called here."""

    type: ClassVar[str] = "origin_amended"

    node: NodeId
    origin: Origin

    def subject(self) -> NodeId:
        """Return the origin."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Replace what is known of the origin."""
        return (AmendFacts(self.node, msgspec.to_builtins(self.origin)),)


class Merged(Event, frozen=True, kw_only=True, dict=True):
    """A row of another store's ledger came here. What it changes here may be less than it changed there, and under other names."""

    type: ClassVar[str] = MERGED

    origin: NodeId
    row: ForeignRow
    about: NodeId

    @classmethod
    def made(cls, link: Link, changes: Sequence[Change], *, origin: NodeId, about: NodeId) -> Merged:
        """Hold a row that makes these changes here."""
        event = cls(origin=origin, row=ForeignRow.of(link, canonical_json(list(changes)).decode()), about=about)
        # Beside the fields, not among them: changes are written once, as changes.
        event.__dict__["_changes"] = (Adopt(link.hash, origin, link.seq), ActedThen(link.at, link.actor), *changes)
        return event

    def subject(self) -> NodeId:
        """Return what the row is about here."""
        return self.about

    def changes(self) -> tuple[Change, ...]:
        """Adopt the row and do here what it says."""
        found: tuple[Change, ...] = self.__dict__["_changes"]
        return found
