"""Copies of dataset versions outside the store's content: noted when they are made, so that an erasure can name every one of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.digests import digest_stream
from sampan.core.events import new_id
from sampan.core.graph import Node, NodeId
from sampan.store.files import store_errors

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

COPY: Final = "copy"
COPIED_TO: Final = "copied_to"
THERE, REMOVED = "there", "removed"
_MOST_NAMED = 3


class Copy(msgspec.Struct, frozen=True):
    """Where a copy of a version is, or was put."""

    id: NodeId
    of: str
    where: str
    format: str


class CopyNoted(msgspec.Struct, frozen=True):
    """What an event says of the copy it made."""

    where: str  # an absolute path
    format: str
    digest: str = ""  # of a file's bytes, by which the copy is known when it comes back; "" for a folder, and in older ledgers
    id: NodeId = msgspec.field(default_factory=new_id)

    def changes(self, of: NodeId) -> tuple[Change, ...]:
        """Add the copy, made of a version."""
        facts = {"title": f"{self.where} ({self.format})", "where": self.where, "format": self.format}
        return AddNode(id=self.id, kind=COPY, digest=self.digest, state=THERE, facts=facts), AddEdge(dst=self.id, src=of, role=COPIED_TO)


def copy_in_file(file: Path) -> CopyNoted:
    """Describe the copy that a file is, with the digest of its bytes."""
    with store_errors(file), file.open("rb") as stream:
        digest = digest_stream(stream)[0]
    return CopyNoted(where=str(file.absolute()), format=file.suffix.lower().lstrip("."), digest=digest)


def copies_of(workspace: Workspace, versions: Iterable[Node]) -> list[Copy]:
    """Return the copies of some versions that nobody removed by an erasure, each place and version once."""
    catalog, found = workspace.catalog, dict[tuple[str, str], Copy]()
    for version in versions:
        for edge in catalog.edges_from(version.id):
            if edge.role == COPIED_TO and (node := catalog.node(edge.dst)).state == THERE:
                copy = Copy(node.id, version.ref, node.facts["where"], node.facts["format"])
                found.setdefault((copy.where, copy.of), copy)
    return list(found.values())


def places(copies: Iterable[Copy]) -> list[str]:
    """Name each place once, with the versions that were put there, and say whether something still is."""
    versions: dict[tuple[str, str], list[str]] = {}
    for copy in copies:
        versions.setdefault((copy.where, copy.format), []).append(copy.of)
    return [_place(where, what, of) for (where, what), of in versions.items()]


def _place(where: str, what: str, versions: list[str]) -> str:
    named = ", ".join(versions[:_MOST_NAMED]) + (f" and {len(versions) - _MOST_NAMED} more" if len(versions) > _MOST_NAMED else "")
    return f"{where} ({what}, of {named}{'' if Path(where).exists() else '; not found there now'})"


def is_inside(root: Path, copy: Copy) -> bool:
    """Say whether a copy lies in a store's own folder, which may be cleared of it."""
    return root.resolve() in Path(copy.where).resolve().parents


def remove(copies: Iterable[Copy]) -> None:
    """Remove copies: published folders whole, exported files."""
    for where in {Path(copy.where) for copy in copies}:
        with store_errors(where), suppress(FileNotFoundError):
            if where.is_dir():
                import shutil

                shutil.rmtree(where)
            else:
                where.unlink()
