"""Upkeep of a store: free what nothing needs (`gc`), and find what is damaged or missing (`fsck`).

What is needed follows from the catalog: the digests it names, what the table versions among them are made of, and digests written in
stored JSON, such as a folder's list of files. What nothing names yet is protected by its age, and so is all that it needs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sampan.core.digests import Digest
from sampan.core.graph import Node
from sampan.core.times import Millis
from sampan.errors import IntegrityError, SampanError

if TYPE_CHECKING:
    from sampan.store.blobs import LocalBlobs
    from sampan.store.store import Store

_IN_TEXT = re.compile(rb"b3:[0-9a-f]{64}")
_JSON_STARTS = (b"{", b"[", b'"')
_PAGE = 1000
_MAX_NAMED = 3
_log = logging.getLogger(__name__)


class Swept(msgspec.Struct, frozen=True):
    """What a sweep freed, or would have."""

    n_objects: int
    n_leftovers: int  # temporary files and the like, of work that never ended
    n_bytes: int  # of both
    dry_run: bool


class Fault(msgspec.Struct, frozen=True):
    """Something of the store that is not as it should be."""

    digest: Digest  # "" where it is no object
    what: str
    needed_by: str


def gc(store: Store, *, grace_ms: Millis, now: Millis, dry_run: bool = False) -> Swept:
    """Free every object that nothing needs and that was last put longer ago than the grace.

    Parameters
    ----------
    grace_ms : at least as long as the longest work between putting an object and committing what names it.
    now : the present.
    dry_run : only count.

    Raises
    ------
    IntegrityError, BlobUnavailable : a needed table version cannot be read, so what it needs is not known; nothing was freed.
    """
    before = now - grace_ms
    stored = set(store.blobs.digests())
    young = (digest for digest in stored if store.blobs.stored_at(digest) >= before)
    needed = closure(store, [*store.catalog.referenced_digests(), *young])
    dead = stored - needed
    if dry_run:
        freed = {digest: store.blobs.size(digest) for digest in dead}
    else:
        freed = store.blobs.discard(dead, stored_before=before)
        store.segments.seal_abandoned()
    leftovers = _sweep_leftovers(store.blobs, before, dry_run=dry_run)
    return Swept(len(freed), len(leftovers), sum(freed.values()) + sum(leftovers), dry_run)


def fsck(store: Store, *, quick: bool = False, ledger: Callable[[], str] | None = None) -> list[Fault]:
    """Find what is damaged or missing.

    Every table version, artifact and step outcome of the catalog must be there whole; every other digest it names must be whole if it is
    there. Tables must add up, pack indexes be readable, and all journals be foldable.

    Parameters
    ----------
    quick : read only files that something touched since they were last read; finds all but what a failing disk does by itself.
    ledger : verifies the ledger's chain; returns what is wrong, "" if nothing is.
    """
    examined = _Examination(store, quick=quick)
    for need in _needs(store):
        examined.add(need)
    for digest in store.catalog.referenced_digests():
        if digest not in examined and _is_there(store.blobs, digest):
            examined.add(_Need(digest, "a record that mentions it"))
    faults = examined.faults()
    faults += [Fault("", error.message, "the objects in this pack") for error in store.blobs.packs.damaged()]
    for erasure in store.catalog.nodes(kind="erasure", state="erasing", limit=_PAGE):
        faults += [Fault("", "an erasure was not completed: `sampan gc` frees what it left", erasure.ref)]
    try:
        store.folding.fold_all()
    except SampanError as error:
        faults.append(Fault("", error.message, "the metrics of a run"))
    if ledger and (what := ledger()):
        faults.append(Fault("", what, "the ledger"))
    return faults


@dataclass(frozen=True, slots=True)
class _Need:
    digest: Digest
    needed_by: str
    size: int | None = None
    is_table: bool = False


def _needs(store: Store) -> Iterator[_Need]:
    """Iterate over what the catalog cannot do without."""
    for node in all_nodes(store):
        if node.kind == "dataset" and node.digest:
            yield _Need(node.digest, f"{node.kind} {node.ref}", is_table=True)
        for artifact in store.catalog.artifacts(node.id):
            yield _Need(artifact.digest, f"{artifact.path} of {node.kind} {node.ref}", artifact.size)
    with store.database.read() as session:
        outcomes = session.all("select name, outcome from step")
    for step, outcome in outcomes:
        yield from (_Need(found.decode(), f"step {step}") for found in _IN_TEXT.findall(outcome.encode()))


def all_nodes(store: Store) -> Iterator[Node]:
    """Iterate over every node, newest first."""
    before: int | None = None
    while page := store.catalog.nodes(limit=_PAGE, before=before):
        yield from page
        before = page[-1].seq


class _Examination:
    """Looks at each object once, and remembers who needs those that are not whole."""

    def __init__(self, store: Store, *, quick: bool) -> None:
        self._store = store
        self._quick = quick
        self._seen: dict[Digest, str] = {}  # digest -> what is wrong, "" if nothing
        self._needed_by: dict[Digest, list[str]] = {}

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._seen

    def add(self, need: _Need) -> None:
        """Examine an object and everything it is made of."""
        if not self._is_whole(need.digest, need.size, need.needed_by):
            return
        if self._store.tables.is_version(need.digest):
            self._add_table(need)
        elif need.is_table:
            self._blame(need.digest, "is not a table version", need.needed_by)
        else:
            for digest in mentioned(self._store.blobs, need.digest):
                if _is_there(self._store.blobs, digest):
                    self._is_whole(digest, None, need.needed_by)

    def faults(self) -> list[Fault]:
        """Return what was found, one fault an object."""
        return [Fault(digest, self._seen[digest], _enumerate(names)) for digest, names in self._needed_by.items()]

    def _add_table(self, need: _Need) -> None:
        tables = self._store.tables
        if not self._are_whole(tables.outline(need.digest), need.needed_by):
            return
        whole = True
        for number, part in enumerate(tables.parts(need.digest)):
            whole = self._is_whole(part.base, part.base_bytes, f"part {number} of {need.needed_by}") and whole
            whole = self._are_whole(list(part.objects())[1:], need.needed_by) and whole
        try:
            if whole:
                tables.check(need.digest)
        except IntegrityError as error:
            self._blame(need.digest, error.message, need.needed_by)

    def _are_whole(self, digests: Iterable[Digest], needed_by: str) -> bool:
        return all([self._is_whole(digest, None, needed_by) for digest in digests])  # noqa: C419  # every one is to be looked at

    def _is_whole(self, digest: Digest, size: int | None, needed_by: str) -> bool:
        if digest not in self._seen:
            self._seen[digest] = self._fault_of(digest, size)
        if self._seen[digest]:
            self._blame(digest, self._seen[digest], needed_by)
        return not self._seen[digest]

    def _fault_of(self, digest: Digest, size: int | None) -> str:
        blobs = self._store.blobs
        try:
            if not blobs.has(digest):
                return "is missing"
            found = blobs.size(digest)
            if size is not None and found != size:
                return f"has {found} bytes instead of {size}"
            if self._quick:
                blobs.open(digest).close()
            else:
                blobs.verify(digest)
        except (SampanError, OSError) as error:
            if isinstance(error, IntegrityError) and error.expected == digest:
                return f"is damaged: its bytes are {error.actual}"
            return f"cannot be read: {error}"
        return ""

    def _blame(self, digest: Digest, what: str, needed_by: str) -> None:
        self._seen[digest] = what
        names = self._needed_by.setdefault(digest, [])
        if needed_by not in names:
            names.append(needed_by)


def _enumerate(names: list[str]) -> str:
    # "part 3 of dataset flights@v2" says more than "dataset flights@v2", which is there too
    told = [name for name in names if not any(other != name and other.endswith(f" of {name}") for other in names)]
    rest = len(told) - _MAX_NAMED
    return ", ".join(told[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def closure(store: Store, roots: Iterable[Digest]) -> set[Digest]:
    """Return the roots and everything they need, directly or not. Raises IntegrityError or BlobUnavailable if that cannot be read."""
    needed: set[Digest] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in needed:
            continue
        needed.add(digest)
        if store.tables.is_version(digest):
            needed.update(store.tables.objects(digest))
        elif store.blobs.has(digest):
            waiting.extend(mentioned(store.blobs, digest))
    return needed


def _is_there(blobs: LocalBlobs, digest: Digest) -> bool:
    with suppress(IntegrityError):  # a damaged pack index; it is a fault of its own
        return blobs.has(digest)
    return False


def mentioned(blobs: LocalBlobs, digest: Digest) -> list[Digest]:
    """Return the digests written in an object, if it is JSON."""
    if not blobs.head(digest, 1).startswith(_JSON_STARTS):
        return []
    with suppress(IntegrityError), blobs.open(digest) as file:
        return [found.decode() for found in _IN_TEXT.findall(file.read())]
    return []


def _sweep_leftovers(blobs: LocalBlobs, before: Millis, *, dry_run: bool) -> list[int]:
    """Remove old files that no object needs; return their sizes."""
    sizes: list[int] = []
    for path in blobs.leftovers():
        with suppress(FileNotFoundError):
            found = path.stat()
            # A hard link in the making has the age of its source; only the time of its last change of any kind is ours.
            if max(found.st_mtime_ns, found.st_ctime_ns) // 1_000_000 >= before or not path.is_file():
                continue
            if not dry_run:
                path.unlink()
            sizes.append(found.st_size)
            _log.debug("left over: %s", path)
    return sizes
