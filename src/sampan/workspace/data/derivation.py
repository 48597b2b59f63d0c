"""What new rows were made of: files that a run wrote, copies that were exported, and tables that a program made from what it had read.

Terms follow these edges (`governance.py`), so data does not shed them on its way through a program.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from sampan.core.changes import AddEdge, Change
from sampan.core.events import Event, Input
from sampan.core.graph import Node, NodeId
from sampan.errors import AmbiguousRef, UsageError
from sampan.workspace.data.dataset_copies import COPIED_TO, COPY

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

FILE: Final = "file"  # the kind of what a run wrote
DERIVED: Final = "derived_from"
_READ: Final[dict[Path, set[NodeId]]] = {}  # by store: what this process read while no run went on


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


def made_here(ws: Workspace, source_digest: str) -> tuple[Input, ...]:
    """Return what a file of these very bytes is here (a run's output, a copy of a version), as inputs of what is read from it."""
    if not source_digest or not ws.has_store:
        return ()
    copied = (edge.src for copy in _of_bytes(ws, source_digest, COPY) for edge in ws.catalog.edges_to(copy.id) if edge.role == COPIED_TO)
    made_of = (*(file.id for file in _of_bytes(ws, source_digest, FILE)), *copied)
    return tuple(Input(node, DERIVED) for node in dict.fromkeys(made_of))


def _of_bytes(ws: Workspace, digest: str, kind: str) -> list[Node]:
    try:
        return [ws.catalog.resolve(digest, kind=kind)]
    except AmbiguousRef as several:
        found = []
        for candidate in several.candidates:
            with suppress(UsageError):
                found.append(ws.catalog.resolve(candidate))
        return found
    except UsageError:
        return []


def note_reading(ws: Workspace, node: Node) -> None:
    """Note that a program read a version: as an input of the run that goes on, else for as long as this process lives."""
    from sampan.workspace.runs.live_runs import record_reading

    if not record_reading(node):
        _READ.setdefault(ws.store_folder, set()).add(node.id)


def read_so_far(ws: Workspace) -> set[NodeId]:
    """Return the versions that the run that goes on, or else this process, has read."""
    from sampan.workspace.runs.live_runs import WATCHED_RUN, active_run

    try:
        run = active_run().id
    except UsageError:
        if os.environ.get(WATCHED_RUN):
            raise
        return set(_READ.get(ws.store_folder, ()))
    return {edge.src for edge in ws.catalog.edges_to(run) if edge.role == "input"}


def made_in_memory(ws: Workspace) -> tuple[Input, ...]:
    """Return what a program may have made a table of that it gives from memory, as inputs of what is made with it."""
    return tuple(Input(node, DERIVED) for node in sorted(read_so_far(ws)))


def derive_from_reading(ws: Workspace, version: Node) -> None:
    """Note that a table a program made in memory comes from the datasets it has read so far."""
    sources = read_so_far(ws) - {version.id} - {edge.src for edge in ws.catalog.edges_to(version.id)}
    if not sources:
        return
    # What it was made of before cannot come from it.
    made_later = {node.id for node in ws.catalog.lineage(version.id, up=False).nodes}
    if sources := sources - made_later:
        ws.ledger.append(DerivationNoted(node=version.id, sources=tuple(sorted(sources))))
