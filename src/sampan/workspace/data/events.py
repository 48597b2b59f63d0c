"""What happens to datasets beyond new versions: they are described, checked, and searched for columns that give the label away."""

from __future__ import annotations

from typing import Any, ClassVar

from sampan.core.changes import AddEdge, AddNode, Change, DescribeAsset
from sampan.core.events import Event
from sampan.core.graph import NodeId


class DatasetDescribed(Event, frozen=True, kw_only=True):
    """Something was said of a dataset: its key, time, owner, label."""

    type: ClassVar[str] = "dataset_described"

    name: str
    facts: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Replace what is said."""
        return (DescribeAsset(kind="dataset", name=self.name, facts=self.facts),)


class DatasetChecked(Event, frozen=True, kw_only=True):
    """A dataset version was held against a contract."""

    type: ClassVar[str] = "dataset_checked"

    node: NodeId
    name: str
    dataset: NodeId
    contract: NodeId
    facts: dict[str, Any]

    def subject(self) -> NodeId:
        """Return the check."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the check, what it looked at and what it went by."""
        return (
            AddNode(id=self.node, kind="check", name=self.name, state=str(self.facts["verdict"]), facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="evaluated_on"),
            AddEdge(dst=self.node, src=self.contract, role="checked_by"),
        )


class LeaksFound(Event, frozen=True, kw_only=True):
    """A dataset version was searched for columns that give its label away."""

    type: ClassVar[str] = "leaks_found"

    node: NodeId
    name: str
    dataset: NodeId
    facts: dict[str, Any]  # the label's rule, each leaking column with its evidence, every column's AUC

    def subject(self) -> NodeId:
        """Return the finding."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the finding and what it looked at."""
        state = "found" if self.facts["leaks"] else "none"
        return (
            AddNode(id=self.node, kind="leakage", name=self.name, state=state, facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="evaluated_on"),
        )
