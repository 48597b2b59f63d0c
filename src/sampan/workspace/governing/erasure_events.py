"""A person was erased: what the ledger says of it, without saying who."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from sampan.core.changes import AddEdge, AddNode, AmendFacts, Change, SetState, Supersede
from sampan.core.digests import Digest
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.store.freed import SUBJECT_ERASED
from sampan.workspace.data.dataset_copies import REMOVED, THERE

ERASURE: Final = "erasure"
ERASING, DONE = "erasing", "done"


class Moved(msgspec.Struct, frozen=True):
    """Content that was written again without the subject; `after` is empty where it is no more."""

    before: Digest
    after: Digest
    size: int = 0


class SubjectErased(Event, frozen=True, kw_only=True):
    """A subject is in no record any more; the old objects are still to be freed."""

    type: ClassVar[str] = SUBJECT_ERASED

    node: NodeId
    record: Digest
    size: int
    facts: dict[str, Any]
    moved: tuple[Moved, ...]
    amended: dict[NodeId, dict[str, Any]] = {}
    erased_from: tuple[NodeId, ...] = ()
    freed: tuple[Digest, ...] = ()  # objects that nothing needs from now on
    removed_copies: tuple[NodeId, ...] = ()  # published or exported into the store's own folder

    def subject(self) -> NodeId:
        """Return the erasure."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Give everything its new content, and note the erasure."""
        return (
            *(Supersede(one.before, one.after, one.size) for one in self.moved),
            *(AmendFacts(node, facts) for node, facts in self.amended.items()),
            AddNode(id=self.node, kind=ERASURE, digest=self.record, state=ERASING, size=self.size, facts=self.facts),
            *(AddEdge(dst=self.node, src=node, role="erased_from") for node in self.erased_from),
            *(SetState(copy, THERE, REMOVED) for copy in self.removed_copies),
        )


class ErasureFinished(Event, frozen=True, kw_only=True):
    """The old objects were freed, and the database holds no deleted page any more."""

    type: ClassVar[str] = "erasure_finished"

    node: NodeId
    n_freed: int
    n_bytes: int

    def subject(self) -> NodeId:
        """Return the erasure."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Say that it is done."""
        return (SetState(self.node, ERASING, DONE),)
