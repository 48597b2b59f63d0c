r"""The manifest of a table version: which parts it is made of. Its digest is the version.

Two levels: complete lists of 256 parts, and the complete groups of 16 after them, are objects of their own, shared by all versions that
have them; fewer than 16 newest parts stand in the manifest itself. So appending to a long history writes one small object.

    sampan-table 1\n{"lists":[…],"n_parts":…,"n_rows":…,"schema":"b3:…","size_bytes":…,"tail":[…]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import Digest, canonical_json
from sampan.errors import IntegrityError

MAGIC = b"sampan-table 1\n"
LIST_PARTS = 256
GROUP_PARTS = 16


class Overlay(msgspec.Struct, frozen=True):
    """Columns written later for the rows of a part, in the part's row order; they hide the part's own of the same name."""

    data: Digest
    columns: tuple[str, ...]
    size_bytes: int


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some rows of a table: a Parquet file, less its dead rows, with its overlays."""

    base: Digest
    n_rows: int  # in the file, dead ones included
    base_bytes: int
    dead: Digest = ""  # a deletion vector, see deletions.py
    n_dead: int = 0
    dead_bytes: int = 0
    overlays: tuple[Overlay, ...] = ()

    @property
    def n_live(self) -> int:
        """Rows a reader sees."""
        return self.n_rows - self.n_dead

    @property
    def size_bytes(self) -> int:
        """Bytes of everything the part needs."""
        return self.base_bytes + self.dead_bytes + sum(overlay.size_bytes for overlay in self.overlays)

    @property
    def is_clean(self) -> bool:
        """Whether the file alone is the part's content."""
        return not self.dead and not self.overlays

    def objects(self) -> Iterator[Digest]:
        """Iterate over what the part needs."""
        yield self.base
        if self.dead:
            yield self.dead
        for overlay in self.overlays:
            yield overlay.data


class PartList(msgspec.Struct, frozen=True):
    """A pointer to an object that lists parts."""

    digest: Digest
    n_parts: int


class Manifest(msgspec.Struct, frozen=True):
    """A table version."""

    schema: Digest  # a Parquet file without rows: the exact names and types
    n_rows: int
    n_parts: int
    size_bytes: int
    lists: tuple[PartList, ...]
    tail: tuple[Part, ...]


def encode(manifest: Manifest) -> bytes:
    """Write a manifest; equal ones give equal bytes."""
    return MAGIC + canonical_json(manifest)


def decode(data: bytes, digest: Digest) -> Manifest:
    """Read a manifest. Raises IntegrityError if the object is none."""
    if not data.startswith(MAGIC):
        raise IntegrityError(f"{digest} is not a table version", hint="name the digest of a dataset's version")
    return read_json(data[len(MAGIC) :], Manifest)


def decode_parts(data: bytes) -> list[Part]:
    """Read an object that lists parts."""
    return read_json(data, list[Part])


def build(schema: Digest, parts: Sequence[Part], put: Callable[[bytes], Digest]) -> Manifest:
    """Lay parts out in lists and tail; `put` stores a list. The same parts always give the same manifest."""
    return _assemble(schema, (), parts, put, _total(parts))


def extend(base: Manifest, new: Sequence[Part], read: Callable[[Digest], bytes], put: Callable[[bytes], Digest]) -> Manifest:
    """Add parts at the end, reading at most one list. Gives what `build` would of all parts."""
    full = tuple(entry for entry in base.lists if entry.n_parts == LIST_PARTS)
    partial = base.lists[len(full) :]
    total = _Total(base.n_rows, base.size_bytes) + _total(new)
    tail = [*base.tail, *new]
    if len(tail) < GROUP_PARTS:
        return _manifest(base.schema, base.lists, tail, total)
    rest = [part for entry in partial for part in decode_parts(read(entry.digest))] + tail
    return _assemble(base.schema, full, rest, put, total)


def all_parts(manifest: Manifest, read: Callable[[Digest], bytes]) -> list[Part]:
    """Return every part, in row order."""
    return [part for entry in manifest.lists for part in decode_parts(read(entry.digest))] + list(manifest.tail)


class _Total(msgspec.Struct, frozen=True):
    n_rows: int
    size_bytes: int

    def __add__(self, other: _Total) -> _Total:
        return _Total(self.n_rows + other.n_rows, self.size_bytes + other.size_bytes)


def _total(parts: Sequence[Part]) -> _Total:
    return _Total(sum(part.n_live for part in parts), sum(part.size_bytes for part in parts))


def _assemble(
    schema: Digest, lists: tuple[PartList, ...], parts: Sequence[Part], put: Callable[[bytes], Digest], total: _Total
) -> Manifest:
    found, start = list(lists), 0
    while start + GROUP_PARTS <= len(parts):
        n = min(LIST_PARTS, (len(parts) - start) // GROUP_PARTS * GROUP_PARTS)
        found.append(PartList(put(canonical_json(list(parts[start : start + n]))), n))
        start += n
    return _manifest(schema, tuple(found), parts[start:], total)


def _manifest(schema: Digest, lists: tuple[PartList, ...], tail: Sequence[Part], total: _Total) -> Manifest:
    n_parts = sum(entry.n_parts for entry in lists) + len(tail)
    return Manifest(schema, total.n_rows, n_parts, total.size_bytes, lists, tuple(tail))
