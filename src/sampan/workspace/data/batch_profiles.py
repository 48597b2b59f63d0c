"""What a batch brought, described by itself: the profile of the parts that its version has and the one before has not.

Nothing of it is made when a batch comes in. Parts of many rows are profiled once, for the batch and for each version that has them.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from sampan.core.graph import Node
from sampan.errors import NotFound, ParameterError
from sampan.workspace.data.profiling import profile_parts

if TYPE_CHECKING:
    from sampan.stats.profiles import Profile
    from sampan.workspace.workspace import Workspace

_KIND = "batch"


def find_batch(ws: Workspace, name: str, batch: str) -> Node:
    """Find a batch of a dataset by its reference, or by its number alone.

    Raises
    ------
    NotFound : there is none, or none yet.
    ParameterError : it is another dataset's.
    """
    own = f"{name}.{_KIND}"
    number = batch.removeprefix("@").removeprefix("v")
    if not ws.catalog.nodes(kind=_KIND, name=own, limit=1):
        raise NotFound(f"{name} has no batch: nothing was appended to it", hint=f"batches come by: sampan data append {quote(name)} FILE")
    node = ws.catalog.resolve(f"{own}@v{number}" if number.isdigit() else batch, kind=_KIND)
    if node.name != own:
        raise ParameterError(f"{node.ref} is no batch of {name}", parameter="batch", hint=f"for instance --batch {own}@v1")
    return node


def profile_batch(ws: Workspace, batch: Node) -> tuple[Node, Profile]:
    """Profile the rows that a batch added or put in the place of others; with the version it made.

    Raises
    ------
    ParameterError : nothing of it came in.
    """
    tables, version = ws.store.tables, _version_of(ws, batch)
    before = next(ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(version.id) if edge.role == "derived_from")
    were_there = {part.base for part in tables.parts(before.digest)}
    brought = [part for part in tables.parts(version.digest) if part.base not in were_there]
    return version, profile_parts(ws, brought, tables.schema(version.digest))


def _version_of(ws: Workspace, batch: Node) -> Node:
    made = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(batch.id)]
    version = next((node for node in made if node.kind == "dataset"), None)
    if version is None:
        said = f"{batch.ref} was {batch.state}: " if batch.state != "admitted" else f"{batch.ref} held only rows that were there: "
        raise ParameterError(f"{said}it brought no rows", parameter="batch", hint="sampan data quarantine shows what is held")
    return version
