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
from sampan.store.folder_state import (
    DIGEST_BYTES,
    FIELDS,
    LOOSE,
    SIGNATURE_BYTES,
    FolderState,
    differing,
    gathered,
    in_one,
    one_by_one,
    remembered,
)
from sampan.store.packs import MAX_OBJECT_BYTES

HEAD_BYTES = 4096
_SETTLED_NS = 2_000_000_000
_HIDDEN = "."


class FolderFile(NamedTuple):
    """A file of a folder that is in the store now."""

    path: str  # within the folder, with / between
    digest: Digest
    size: int
    head: bytes | None  # its first bytes; None where it is known and was not opened


class FolderFiles(msgspec.Struct, frozen=True):
    """The files of a folder that are in the store now, in the order in which the system lists them."""

    paths: Sequence[str]
    names: bytes  # the paths in one text
    told: array[int]  # of each file its size, two moments and its inode
    digests: bytes  # 32 of each file
    heads: dict[int, bytes] = msgspec.field(default_factory=dict)  # the first bytes of those that were opened, by place

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self, place: int) -> Digest:
        """Return the digest of a file's content."""
        return PREFIX + self.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES].hex()

    def size(self, place: int) -> int:
        """Return a file's size in bytes."""
        return self.told[place * FIELDS]

    def size_bytes(self) -> int:
        """Return the size of all files."""
        return sum(self.told[::FIELDS])

    def by_path(self) -> list[int]:
        """Return the places of the files, in the order of their paths."""
        return sorted(range(len(self.paths)), key=self.paths.__getitem__)

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
    paths, told = _listed(root)
    signatures = told.tobytes()
    names = in_one(paths)
    before = states.get(root, FolderState) or FolderState()
    known, new = _compared(before, names, paths, signatures)
    blobs.packs.refresh()
    homes = _kept(blobs, known, new)
    done(len(paths) - len(new))
    digests, heads = bytearray(known.digests), dict[int, bytes]()
    for at, digest, head in _stored(blobs, root, paths, told, sorted(new), done):
        digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] = digest
        heads[at] = head
    found = FolderFiles(paths, names, told, bytes(digests), heads)
    if new or known is not before:
        blobs.packs.refresh()
        settled = _settled(signatures, told, new, began - _SETTLED_NS)
        states.put(root, FolderState(names, settled, found.digests, *_homes(blobs, found, known, homes, new)))
    return found


def _listed(root: str) -> tuple[list[str], array[int]]:
    """Return the files below a folder, and of each its size, the moments its content and its entry changed, and its inode."""
    paths: list[str] = []
    told: list[int] = []

    def walk(handle: int, within: str) -> None:
        # By handle, so that the system looks up one name a file and not its whole path.
        with os.scandir(handle) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == _HIDDEN:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
                    try:
                        walk(below, f"{within}{name}/")
                    finally:
                        os.close(below)
                elif entry.is_file():
                    one = entry.stat()
                    paths.append(within + name)
                    told.extend((one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino))

    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        walk(handle, "")
    finally:
        os.close(handle)
    return paths, array("q", told)


def _compared(before: FolderState, names: bytes, paths: Sequence[str], signatures: bytes) -> tuple[FolderState, set[int]]:
    """Return what was known of the files listed now, and the places of those that are new or changed."""
    if before.names == names:
        return before, set(differing(before.signatures, signatures, SIGNATURE_BYTES))
    place_of = {path: at for at, path in enumerate(one_by_one(before.names))}
    origins = [place_of.get(path, -1) for path in paths]
    numbers = before.home_numbers()
    known = FolderState(
        names,
        gathered(before.signatures, origins, SIGNATURE_BYTES),
        gathered(before.digests, origins, DIGEST_BYTES),
        before.homes,
        array("I", [numbers[at] if at >= 0 else LOOSE for at in origins]).tobytes(),
    )
    return known, set(differing(known.signatures, signatures, SIGNATURE_BYTES)) | {at for at, origin in enumerate(origins) if origin < 0}


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
    blobs: LocalBlobs, root: str, paths: Sequence[str], told: array[int], new: Sequence[int], done: Callable[[int], None]
) -> Iterable[tuple[int, bytes, bytes]]:
    """Store files; yield of each its place, the digest of its content and its first bytes."""
    found: list[tuple[int, bytes, bytes]] = []
    with blobs.batch() as batch:
        for at in new:
            file = f"{root}/{paths[at]}"
            if told[at * FIELDS] >= MAX_OBJECT_BYTES:
                digest, head = blobs.adopt_file(Path(file))[0], _first_bytes(file)
            else:
                data = _read_unchanged(file, told[at * FIELDS], told[at * FIELDS + 1])
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


def _settled(signatures: bytes, told: array[int], new: Iterable[int], until_ns: int) -> bytes:
    """Return the signatures to remember. A file written to in this moment may change again without its time stamp changing."""
    young = [at for at in new if told[at * FIELDS + 1] >= until_ns]
    if not young:
        return signatures
    kept = bytearray(signatures)
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
