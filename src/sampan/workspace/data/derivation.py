"""What a new dataset was made of: files that a run wrote, and tables that a program made from what it had read.

Terms follow these edges (`governance.py`), so data does not shed them on its way through a program.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from sampan.core.changes import AddEdge, Change
from sampan.core.events import Event, Input
from sampan.core.graph import Node, NodeId
from sampan.errors import AmbiguousRef, UsageError

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

FILE: Final = "file"  # the kind of what a run wrote
DERIVED: Final = "derived_from"


class DerivationNoted(Event, frozen=True, kw_only=True):
    """A version was made by a program from others it had read."""

    type: ClassVar[str] = "derivation_noted"

    node: NodeId
    sources: tuple[NodeId, ...]

    def subject(self) -> NodeId:
        """Return the version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add an edge to each source."""
        return tuple(AddEdge(dst=self.node, src=source, role=DERIVED) for source in self.sources)


def written_by_runs(ws: Workspace, source_digest: str) -> tuple[Input, ...]:
    """Return the files of these very bytes that runs wrote here, as inputs of a version read from them."""
    if not source_digest or not ws.has_store:
        return ()
    try:
        return (Input(ws.catalog.resolve(source_digest, kind=FILE).id, DERIVED),)
    except AmbiguousRef as several:
        found = []
        for candidate in several.candidates:
            with suppress(UsageError):
                found.append(Input(ws.catalog.resolve(candidate).id, DERIVED))
        return tuple(found)
    except UsageError:
        return ()


def derive_from_reading(ws: Workspace, version: Node) -> None:
    """Note that a table a program made in memory comes from the datasets its run has read so far."""
    from sampan.workspace.runs.live_runs import WATCHED_RUN, active_run

    try:
        run = active_run().id
    except UsageError:
        if not os.environ.get(WATCHED_RUN):
            return
        raise
    sources = {edge.src for edge in ws.catalog.edges_to(run) if edge.role == "input" and edge.src != version.id}
    sources -= {edge.src for edge in ws.catalog.edges_to(version.id)}
    # What it was made of before cannot come from it.
    made_later = {node.id for node in ws.catalog.lineage(version.id, up=False).nodes}
    if sources := sources - made_later:
        ws.ledger.append(DerivationNoted(node=version.id, sources=tuple(sorted(sources))))
