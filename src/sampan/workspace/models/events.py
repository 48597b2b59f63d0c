"""What can happen to a model, as the ledger records it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sampan.core.changes import AddArtifact, Change
from sampan.core.events import Event, VersionCommitted
from sampan.core.graph import NodeId


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a version: its path within it, and the stored bytes."""

    path: str
    digest: str
    size: int


class FilesCommitted(VersionCommitted, frozen=True, kw_only=True):
    """A new version that is made of files."""

    files: tuple[StoredFile, ...] = ()

    def changes(self) -> tuple[Change, ...]:
        """Add the version, its edges and its files."""
        artifacts = (AddArtifact(node=self.node, path=f.path, digest=f.digest, size=f.size) for f in self.files)
        return (*super().changes(), *artifacts)


class ModelTrained(FilesCommitted, frozen=True, kw_only=True):
    """A run came to a new version of a model."""

    type: ClassVar[str] = "model_trained"


class PackageBuilt(FilesCommitted, frozen=True, kw_only=True):
    """A model was packed with all it needs to answer."""

    type: ClassVar[str] = "package_built"


class TargetBuilt(VersionCommitted, frozen=True, kw_only=True):
    """A package was made ready for a target, or did not fit its budget; the facts are what was measured."""

    type: ClassVar[str] = "target_built"


class ModelEvaluated(VersionCommitted, frozen=True, kw_only=True):
    """A model was judged on rows it had not learned from."""

    type: ClassVar[str] = "model_evaluated"


class GateDecided(VersionCommitted, frozen=True, kw_only=True):
    """A gate said whether a model may go live, and why not."""

    type: ClassVar[str] = "gate_decided"


class GateOverridden(Event, frozen=True, kw_only=True):
    """Someone promoted a model against its gate, or without one, and said why."""

    type: ClassVar[str] = "gate_overridden"

    model: NodeId
    decision: NodeId | None
    reasons: tuple[str, ...]
    why: str

    def subject(self) -> NodeId:
        """Return the model."""
        return self.model
