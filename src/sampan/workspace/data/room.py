"""What the verbs of the data room share: finding a version, what is said of a dataset, its profile and key."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

from sampan.core.digests import Digest
from sampan.core.graph import Node
from sampan.core.refs import Ref
from sampan.errors import NotFound, ParameterError
from sampan.workspace.data.contracts import Contracts
from sampan.workspace.data.events import DatasetDescribed
from sampan.workspace.data.profiling import PROFILE, read_profile, record_profile
from sampan.workspace.governing.governance import Governance, require_allowed
from sampan.workspace.operation import Room

if TYPE_CHECKING:
    from sampan.stats.profiles import Profile

__all__ = ["KIND", "PROFILE", "DataRoom", "Names", "plain"]

KIND = "dataset"
Names = list[str]  # inside a room, `list` may be the operation


class DataRoom(Room):
    """The data room without verbs: the ground its parts stand on."""

    noun: ClassVar[str] = "data"

    @property
    def contracts(self) -> Contracts:
        """The datasets' contracts."""
        return Contracts(self.ws)

    def _node(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind=KIND)

    def _readable(self, ref: str, *, columns: Names | None = None) -> Node:
        """Find a version whose values may be read, all of them or some columns'; it is refused before a row is read."""
        node = self._node(ref)
        require_allowed(self.ws, [node], columns=columns or [*node.facts["columns"]])
        return node

    def _clearable(self, ref: str) -> Node:
        """Find a version whose rows a condition may pick out, which tells of values; its owner clears what nobody may read, too."""
        node, governance = self._node(ref), Governance(self.ws)
        owner = governance.terms(node.name).owner
        return node if owner and governance.acts_for(owner) else self._readable(node.id)

    def withheld(self, node: Node) -> str:
        """Say why a version's values may not be shown, by whom, and how to ask; '' where they may."""
        return Governance(self.ws).withheld(node)

    def _check_columns(self, node: Node, columns: Names) -> None:
        from sampan.core.refs import nearest

        there = node.facts["columns"]
        for column in columns:
            if column not in there:
                close = nearest(column, there)
                hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join([*there][:20])
                raise ParameterError(f"{node.ref} has no column {column!r}", parameter="column", hint=hint)

    def _newest(self, name: str) -> Node | None:
        with suppress(NotFound):
            return self.ws.catalog.resolve(Ref(name=name), kind=KIND)
        return None

    def _key(self, node: Node) -> Names:
        from sampan.data.keys import find_keys

        declared = self.ws.catalog.asset(KIND, node.name).facts.get("key")
        if declared:
            return [str(column) for column in declared]
        found = find_keys(self.ws.store.tables.scan(node.digest))
        if not found:
            raise ParameterError(f"{node.ref} has no key: no few columns tell its rows apart", hint="say --key COLUMN,COLUMN")
        return [*found[0]]

    def _describe(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record what is newly said of a dataset; what is not said again stays."""
        before = self.ws.catalog.asset(KIND, name).facts
        after = {**before, **{key: value for key, value in facts.items() if value}}
        if after.get("owner") != before.get("owner"):
            Governance(self.ws).require_handover(name, str(after["owner"]))
        if after != before:
            self.ws.ledger.append(DatasetDescribed(name=name, facts=after))

    def _record_profile(self, table: Digest, *, after: Node | None = None) -> Digest:
        """Profile a table, which grew from `after`, and store the profile; done once for the same content."""
        return record_profile(self.ws, table, after=after)

    def _profile(self, node: Node) -> Profile:
        """Read a version's profile; profile anew where there is none."""
        return read_profile(self.ws, node)

    def _towards_check(self, name: str) -> tuple[str, ...]:
        verb = "check" if self.contracts.path(name).exists() else "infer"
        return (f"sampan data {verb} {quote(name)}",)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Make a row JSON-able: times as ISO text."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
