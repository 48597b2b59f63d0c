"""What the verbs of the data room share: finding a version, what is said of a dataset, its profile and key."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.digests import Digest
from sampan.core.graph import Node
from sampan.core.refs import Ref
from sampan.errors import BlobUnavailable, IntegrityError, NotFound, ParameterError
from sampan.workspace.data_contracts import Contracts
from sampan.workspace.data_events import DatasetDescribed
from sampan.workspace.operation import Room

if TYPE_CHECKING:
    from sampan.stats.profiles import Profile

KIND = "dataset"
Names = list[str]  # inside a room, `list` may be the operation
PROFILE = "profile_1"  # the fact that names a version's profile; another number when profiles change


class DataRoom(Room):
    """The data room without verbs: the ground its parts stand on."""

    noun: ClassVar[str] = "data"

    @property
    def contracts(self) -> Contracts:
        """The datasets' contracts."""
        return Contracts(self.ws)

    def _node(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind=KIND)

    def _newest(self, name: str) -> Node | None:
        with suppress(NotFound):
            return self.ws.catalog.resolve(Ref(name=name), kind=KIND)
        return None

    def _key(self, node: Node) -> Names:
        from sampan.data.keys import find_keys

        declared = self.ws.catalog.asset(KIND, node.name).facts.get("key")
        if declared:
            return [str(column) for column in declared]
        found = find_keys(self.ws.store.tables.read(node.digest))
        if not found:
            raise ParameterError(f"{node.ref} has no key: no few columns tell its rows apart", hint="say --key COLUMN,COLUMN")
        return [*found[0]]

    def _describe(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record what is newly said of a dataset; what is not said again stays."""
        before = self.ws.catalog.asset(KIND, name).facts
        after = {**before, **{key: value for key, value in facts.items() if value}}
        if after != before:
            self.ws.ledger.append(DatasetDescribed(name=name, facts=after))

    def _record_profile(self, table: Digest) -> Digest:
        """Profile a table and store the profile; done once for the same content."""
        from sampan.stats.profiles import profile_table

        def make() -> Digest:
            frame = self.ws.store.tables.read(table)
            with self.ws.progress.stage("profiling", total=frame.width, unit="columns") as stage:
                profile = profile_table(frame, done=lambda column: stage.advance(1, column))
            return self.ws.store.blobs.put(msgspec.json.encode(profile))

        digest, _ = self.ws.engine.once("profile", [PROFILE, table], make)
        return str(digest)

    def _profile(self, node: Node) -> Profile:
        """Read a version's profile; where none is recorded, or its bytes are lost or damaged (`fsck` names them), profile anew."""
        from sampan.stats.profiles import Profile, profile_table

        if PROFILE in node.facts:
            with suppress(BlobUnavailable, IntegrityError):
                return msgspec.json.decode(self.ws.store.blobs.read(node.facts[PROFILE]), type=Profile)
        return profile_table(self.ws.store.tables.read(node.digest))

    def _towards_check(self, name: str) -> tuple[str, ...]:
        verb = "check" if self.contracts.path(name).exists() else "infer"
        return (f"sampan data {verb} {quote(name)}",)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Make a row JSON-able: times as ISO text."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
