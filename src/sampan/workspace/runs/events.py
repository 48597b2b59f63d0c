"""What can happen to a run while it goes on, as the ledger records it."""

from __future__ import annotations

from typing import ClassVar

from sampan.core.changes import AddArtifact, AddEdge, Change, SetState
from sampan.core.events import Event, Input
from sampan.core.graph import NodeId
from sampan.workspace.models.events import StoredFile


class InputsRead(Event, frozen=True, kw_only=True):
    """A run read versions that are known."""

    type: ClassVar[str] = "inputs_read"

    node: NodeId
    inputs: tuple[Input, ...]

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add an edge for each."""
        return tuple(AddEdge(dst=self.node, src=each.node, role=each.role) for each in self.inputs)


class ArtifactsLogged(Event, frozen=True, kw_only=True):
    """Files were kept with a run."""

    type: ClassVar[str] = "artifacts_logged"

    node: NodeId
    files: tuple[StoredFile, ...]

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Attach the files."""
        return tuple(AddArtifact(node=self.node, path=file.path, digest=file.digest, size=file.size) for file in self.files)


class RunResumed(Event, frozen=True, kw_only=True):
    """A run that had ended goes on."""

    type: ClassVar[str] = "run_resumed"

    node: NodeId
    before: str

    def subject(self) -> NodeId:
        """Return the run."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Set it running again."""
        return (SetState(node=self.node, before=self.before, after="running"),)
