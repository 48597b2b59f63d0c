"""Taking a folder's files into a store: a file that has not changed costs its share of one listing, and is neither opened nor read.

Small files are put together in packs, as `packs.py` says; large ones are objects of their own. Files are counted by their places in the
listing: for 20,000 of them, an object each would cost more than listing them.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from sampan.core.digests import PREFIX, Digest
from sampan.errors import StaleState
from sampan.store.blobs import LocalBlobs
from sampan.store.folder_listing import Listing, listed
from sampan.store.folder_state import (
    DIGEST_BYTES,
    LOOSE,
    SIGNATURE_BYTES,
    FolderState,
    differing,
    gathered,
    one_by_one,
    remembered,
)
from sampan.store.packs import MAX_OBJECT_BYTES

HEAD_BYTES = 4096
_SETTLED_NS = 2_000_000_000


class FolderFile(NamedTuple):
    """A file of a folder that is in the store now."""

    path: str  # within the folder, with / between
    digest: Digest
    size: int
    head: bytes | None  # its first bytes; None where it is known and was not opened


class FolderFiles(Listing, frozen=True):
    """The files of a folder that are in the store now."""

    digests: bytes  # 32 of each file
    heads: dict[int, bytes] = msgspec.field(default_factory=dict)  # the first bytes of those that were opened, by place

    def digest(self, place: int) -> Digest:
        """Return the digest of a file's content."""
        return PREFIX + self.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES].hex()

    def listed(self) -> list[FolderFile]:
        """Return the files by path."""
        return [FolderFile(self.paths[at], self.digest(at), self.size(at), self.heads.get(at)) for at in self.by_path()]


def adopt_folder(blobs: LocalBlobs, folder: Path, *, done: Callable[[int], None] = lambda _: None) -> FolderFiles:
    """Store every file below a folder; hidden ones are left out, and links are followed to files.

    Parameters
    ----------
    done : told how many more files are stored.

    Raises
    ------
    StaleState : a file was written to while it was being read.
    """
    root, states = str(folder.absolute()), remembered(blobs.root)
    began = time.time_ns()
    now = listed(root)
    before = states.get(root, FolderState) or FolderState()
    known, new = _compared(before, now)
    blobs.packs.refresh()
    homes = _kept(blobs, known, new)
    done(len(now) - len(new))
    digests, heads = bytearray(known.digests), dict[int, bytes]()
    for at, digest, head in _stored(blobs, root, now, sorted(new), done):
        digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] = digest
        heads[at] = head
    found = FolderFiles(now.names, now.signatures, bytes(digests), heads)
    if new or known is not before:
        blobs.packs.refresh()
        settled = _settled(now, new, began - _SETTLED_NS)
        states.put(root, FolderState(now.names, settled, found.digests, *_homes(blobs, found, known, homes, new)))
    return found


def _compared(before: FolderState, now: Listing) -> tuple[FolderState, set[int]]:
    """Return what was known of the files listed now, and the places of those that are new or changed."""
    if before.names == now.names:
        return before, set(differing(before.signatures, now.signatures, SIGNATURE_BYTES))
    place_of = {path: at for at, path in enumerate(one_by_one(before.names))}
    origins = [place_of.get(path, -1) for path in now.paths]
    numbers = before.home_numbers()
    known = FolderState(
        now.names,
        gathered(before.signatures, origins, SIGNATURE_BYTES),
        gathered(before.digests, origins, DIGEST_BYTES),
        before.homes,
        array("I", [numbers[at] if at >= 0 else LOOSE for at in origins]).tobytes(),
    )
    return known, set(differing(known.signatures, now.signatures, SIGNATURE_BYTES)) | {
        at for at, origin in enumerate(origins) if origin < 0
    }


def _kept(blobs: LocalBlobs, known: FolderState, new: set[int]) -> array[int]:
    """Make what is known young again, so that no `gc` removes it; return where each file is. What the store has lost becomes new."""
    homes = known.home_numbers()
    whole = {number for number, home in enumerate(known.homes) if number != LOOSE and blobs.keep_pack(home)}
    if len(whole) == len(known.homes) - 1 and LOOSE not in homes:
        return homes
    lost = [at for at, home in enumerate(homes) if home not in whole and at not in new]
    digests = {at: PREFIX + known.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES].hex() for at in lost}
    kept = blobs.keep_many(set(digests.values()))
    new.update(at for at, digest in digests.items() if digest not in kept)
    return homes


def _stored(
    blobs: LocalBlobs, root: str, now: Listing, new: Sequence[int], done: Callable[[int], None]
) -> Iterable[tuple[int, bytes, bytes]]:
    """Store files; yield of each its place, the digest of its content and its first bytes."""
    found: list[tuple[int, bytes, bytes]] = []
    with blobs.batch() as batch:
        for at in new:
            file = f"{root}/{now.paths[at]}"
            if now.size(at) >= MAX_OBJECT_BYTES:
                digest, head = blobs.adopt_file(Path(file))[0], _first_bytes(file)
            else:
                data = _read_unchanged(file, now.size(at), now.changed_ns(at))
                digest, head = batch.put_small(data), data[:HEAD_BYTES]
            found.append((at, bytes.fromhex(digest[len(PREFIX) :]), head))
            done(1)
    return found


def _read_unchanged(file: str, size: int, mtime_ns: int) -> bytes:
    """Read a small file, which must be as it was listed."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(handle, size + 1)
        told = os.fstat(handle)
    finally:
        os.close(handle)
    if (len(data), told.st_size, told.st_mtime_ns) != (size, size, mtime_ns):
        raise StaleState(f"{file} was written to while it was being read", hint="run it again once the file is complete")
    return data


def _first_bytes(file: str) -> bytes:
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, HEAD_BYTES)
    finally:
        os.close(handle)


def _settled(now: Listing, new: Iterable[int], until_ns: int) -> bytes:
    """Return the signatures to remember. A file written to in this moment may change again without its time stamp changing."""
    young = [at for at in new if now.changed_ns(at) >= until_ns]
    if not young:
        return now.signatures
    kept = bytearray(now.signatures)
    for at in young:
        kept[at * SIGNATURE_BYTES : (at + 1) * SIGNATURE_BYTES] = bytes(SIGNATURE_BYTES)
    return bytes(kept)


def _homes(
    blobs: LocalBlobs, found: FolderFiles, known: FolderState, homes: array[int], new: Iterable[int]
) -> tuple[tuple[str, ...], bytes]:
    """Return the packs that hold the files, and in which of them each is."""
    names = {name: number for number, name in enumerate(known.homes)}
    lost = {number for name, number in names.items() if number != LOOSE and not blobs.packs.has(name)}
    moved = [at for at, home in enumerate(homes) if home in lost] if lost else []
    digests = {at: found.digest(at) for at in {*new, *moved}}
    home_of: dict[Digest, int] = {}
    for pack, held in blobs.packs.holding(digests.values()):
        home_of.update(dict.fromkeys(held, names.setdefault(pack.stem, len(names))))
    for at, digest in digests.items():
        homes[at] = home_of.get(digest, LOOSE)
    return tuple(names), homes.tobytes()
