"""What an evaluation dataset of MLflow's clients is kept as: an asset with what is said of it, and a version for each change of records.

Records are the content of a version. So it stays known which records something was judged on, and two servers that change them at once lose
nothing of one another's.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from sampan.core.changes import AddArtifact, AddNode, Change, DescribeAsset, DropFiles, EnsureAsset, ExpectNewest
from sampan.core.digests import Digest
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.workspace.mlflow.graph import ACTIVE, FACT

KIND: Final = "evaluation_dataset"
RECORDS: Final = "records.json"


class EvaluationDataset(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of one."""

    id: str
    name: str
    created: Millis
    updated: Millis
    digest: str = ""  # MLflow's own, of eight digits
    tags: dict[str, str] = {}
    experiments: tuple[str, ...] = ()
    schema: dict[str, Any] = {}  # the fields that records have had, each with its type
    n_records: int = 0
    created_by: str = ""
    updated_by: str = ""
    state: str = ACTIVE


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record, by the names that MLflow's clients read."""

    dataset_record_id: str
    dataset_id: str
    inputs: dict[str, Any]
    created_time: Millis
    last_update_time: Millis
    outputs: Any = None
    expectations: dict[str, Any] | None = None
    tags: dict[str, str] = {}
    source: dict[str, Any] | None = None
    source_id: str = ""
    source_type: str = ""
    created_by: str = ""
    last_updated_by: str = ""


class EvaluationDatasetMade(Event, frozen=True, kw_only=True):
    """An evaluation dataset came to be, without records."""

    type: ClassVar[str] = "evaluation_dataset_made"

    found: EvaluationDataset

    def changes(self) -> tuple[Change, ...]:
        """Make the asset."""
        return (EnsureAsset(kind=KIND, name=self.found.id, facts={FACT: msgspec.to_builtins(self.found)}),)


class EvaluationDatasetDescribed(Event, frozen=True, kw_only=True):
    """Something else is said of an evaluation dataset; of one that was deleted, the files of its versions are given up."""

    type: ClassVar[str] = "evaluation_dataset_described"

    found: EvaluationDataset
    given_up: tuple[NodeId, ...] = ()

    def changes(self) -> tuple[Change, ...]:
        """Replace what is said."""
        said = DescribeAsset(kind=KIND, name=self.found.id, facts={FACT: msgspec.to_builtins(self.found)})
        return (said, *(DropFiles(node=each) for each in self.given_up))


class RecordsChanged(Event, frozen=True, kw_only=True):
    """Records were added, changed or deleted: a new version, made from the one before."""

    type: ClassVar[str] = "evaluation_records_changed"

    node: NodeId
    before: NodeId | None
    found: EvaluationDataset
    digest: Digest
    size: int

    def subject(self) -> NodeId:
        """Return the new version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the version, unless someone else was faster, and replace what is said."""
        name = self.found.id
        return (
            ExpectNewest(kind=KIND, name=name, node=self.before),
            AddNode(id=self.node, kind=KIND, name=name, digest=self.digest, size=self.size),
            AddArtifact(node=self.node, path=RECORDS, digest=self.digest, size=self.size),
            DescribeAsset(kind=KIND, name=name, facts={FACT: msgspec.to_builtins(self.found)}),
        )
