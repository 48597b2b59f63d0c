"""Profiles of dataset versions: made part by part from where the rows lie, and from what is already known of the version before."""

from __future__ import annotations

import zlib
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from sampan.core.digests import Digest, digest_value
from sampan.core.graph import Node
from sampan.errors import BlobUnavailable, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from sampan.stats.profiles import Profile
    from sampan.store.tables.manifest import Part
    from sampan.workspace.workspace import Workspace

PROFILE = "profile_2"  # the fact that names a version's profile; another number when profiles change
_LOOKED_BACK = 50
_WORTH_KEEPING = 100_000  # rows of a part: fewer are profiled again before their profile is read


def record_profile(ws: Workspace, table: Digest, *, after: Node | None = None) -> Digest:
    """Profile a table and store the profile, once for the same content.

    Parameters
    ----------
    after : the version it grew from; if its parts are still there, only what was added is read
    """

    def make() -> Digest:
        return ws.store.blobs.put(make_profile(ws, table, after=after).pack())

    digest, _ = ws.engine.once("profile", [PROFILE, table], make)
    return Digest(str(digest))


def read_profile(ws: Workspace, node: Node, *, columns: Sequence[str] | None = None) -> Profile:
    """Read a version's profile. Where none is recorded, or its bytes are lost or damaged (`fsck` names them), it is made anew.

    Such a one is kept among the hints: looking at data adds nothing to the store, and what is forgotten is forgotten there too.

    Parameters
    ----------
    columns : where it has to be made, only these are of interest, and no others read
    """
    found = _stored(ws, node)
    if found is None and columns is not None:
        return _profile_columns(ws, node.digest, columns)
    if found is None:
        found = make_profile(ws, node.digest, after=_before(ws, node))
        ws.engine.hints.put(_hint(node), found.pack())
    return found


def make_profile(ws: Workspace, table: Digest, *, after: Node | None = None) -> Profile:
    """Profile a table, batch by batch: what it takes in memory does not depend on its size."""
    from sampan.stats.profiles import merge_profiles

    tables = ws.store.tables
    schema, parts = tables.schema(table), tables.parts(table)
    known = _known(ws, parts, schema, after) if after is not None else None
    fresh = parts[len(tables.parts(after.digest)) :] if known is not None and after is not None else parts
    grown = profile_parts(ws, fresh, schema) if fresh or known is None else None
    return merge_profiles(*[one for one in (known, grown) if one is not None])


def profile_parts(ws: Workspace, parts: Sequence[Part], schema: pl.Schema) -> Profile:
    """Profile some parts of a table, and merge that."""
    from sampan.stats.profile_building import ProfileBuilder
    from sampan.stats.profiles import merge_profiles

    with ws.progress.stage("profiling", total=sum(part.n_live for part in parts), unit="rows") as stage:
        found = [_profile_part(ws, part, schema, stage.advance) for part in parts]
    return merge_profiles(*found) if found else ProfileBuilder(schema).profile()


def _profile_columns(ws: Workspace, table: Digest, columns: Sequence[str]) -> Profile:
    import polars as pl

    tables = ws.store.tables
    schema = pl.Schema({name: dtype for name, dtype in tables.schema(table).items() if name in columns})
    return profile_parts(ws, tables.parts(table), schema)


def _stored(ws: Workspace, node: Node) -> Profile | None:
    """Return the profile that is recorded, or among the hints."""
    from sampan.stats.profiles import Profile

    if PROFILE in node.facts:
        with suppress(BlobUnavailable, IntegrityError):
            return Profile.unpack(ws.store.blobs.read(node.facts[PROFILE]))
    return _hinted(ws, _hint(node))


def _hinted(ws: Workspace, name: str) -> Profile | None:
    """Return a profile that is kept among the hints; None where there is none, or what is there is damaged."""
    from sampan.stats.profiles import Profile

    with suppress(ValueError, TypeError, zlib.error, msgspec.DecodeError):
        return Profile.unpack(b64decode(ws.engine.hints.get(name), validate=True))
    return None


def _hint(node: Node) -> str:
    return f"{PROFILE}-{node.digest.removeprefix('b3:')}"


def _before(ws: Workspace, node: Node) -> Node | None:
    """Return a version this one may have grown from, of the few before it, whose profile is at hand."""
    older = [one for one in ws.catalog.nodes(kind=node.kind, name=node.name, limit=_LOOKED_BACK) if one.seq < node.seq]
    return next((one for one in older if PROFILE in one.facts or ws.engine.hints.get(_hint(one))), None)


def _known(ws: Workspace, parts: Sequence[Part], schema: pl.Schema, after: Node) -> Profile | None:
    """Return the profile of an older version whose parts are the first ones of this; None where it does not help."""
    tables = ws.store.tables
    with suppress(BlobUnavailable, IntegrityError):
        older = tables.parts(after.digest)
        if list(parts[: len(older)]) == list(older) and tables.schema(after.digest) == schema:
            return _stored(ws, after)
    return None


def _profile_part(ws: Workspace, part: Part, schema: pl.Schema, done: Callable[[int], object]) -> Profile:
    """Profile a part. That of a large one is kept: a source that grew shares all of them but the last with the version before."""
    large = part.n_live >= _WORTH_KEEPING
    hint = f"{PROFILE}-part-{digest_value([[*part.objects()], {name: str(dtype) for name, dtype in schema.items()}]).removeprefix('b3:')}"
    known = _hinted(ws, hint) if large else None
    if known is not None:
        done(part.n_live)
        return known
    found = _make_part_profile(ws, part, schema, done)
    if large:
        ws.engine.hints.put(hint, found.pack())
    return found


def _make_part_profile(ws: Workspace, part: Part, schema: pl.Schema, done: Callable[[int], object]) -> Profile:
    from sampan.data.profiling import profile_lazily, profile_parquet
    from sampan.store.tables import parts

    if part.overlays:
        return profile_lazily(parts.scan([part], schema, ws.store.blobs), done=done)
    return profile_parquet(ws.store.blobs.path(part.base), schema, dead=parts.dead_rows(part, ws.store.blobs), done=done)
