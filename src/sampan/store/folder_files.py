"""Taking a folder's files into a store: a file that has not changed costs its share of one listing, and is neither opened nor read.

Small files are put together in packs, as `packs.py` says; large ones are objects of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sampan.core.digests import Digest
from sampan.errors import StaleState
from sampan.store.blobs import LocalBlobs
from sampan.store.files import Signature
from sampan.store.packs import MAX_OBJECT_BYTES

HEAD_BYTES = 4096


class FolderFile(NamedTuple):
    """A file of a folder that is in the store now."""

    path: str  # within the folder, with / between
    digest: Digest
    size: int
    head: bytes | None  # its first bytes; None where it is known and was not opened


class _Found(NamedTuple):
    path: str
    file: str  # no Path: for 20,000 files those cost more than listing them
    signature: Signature


def adopt_folder(blobs: LocalBlobs, folder: Path, *, done: Callable[[int], None] = lambda _: None) -> list[FolderFile]:
    """Store every file below a folder, by path; hidden ones are left out, and links are followed to files.

    Parameters
    ----------
    done : told how many more files are stored.

    Raises
    ------
    StaleState : a file was written to while it was being read.
    """
    found = sorted(_files(str(folder.absolute()), ""))
    known = {one.path: digest for one in found if (digest := blobs.known_file(one.file, one.signature))}
    blobs.packs.refresh()
    kept = blobs.keep_many(set(known.values()))
    stored = {path: FolderFile(path, digest, 0, None) for path, digest in known.items() if digest in kept}
    done(len(stored))
    new = [one for one in found if one.path not in stored]
    with blobs.batch() as batch:
        for one in new:
            if one.signature.size >= MAX_OBJECT_BYTES:
                stored[one.path] = FolderFile(one.path, blobs.adopt_file(Path(one.file))[0], 0, _read(one.file, HEAD_BYTES))
            else:
                data = _read(one.file)
                stored[one.path] = FolderFile(one.path, batch.put_small(data), 0, data[:HEAD_BYTES])
            done(1)
    _check_unchanged(new)
    blobs.remember_files((one.file, one.signature, stored[one.path].digest) for one in new if one.signature.size < MAX_OBJECT_BYTES)
    return [stored[one.path]._replace(size=one.signature.size) for one in found]


def _files(folder: str, within: str) -> Iterator[_Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{within}{entry.name}/")
            elif entry.is_file():
                told = entry.stat()
                found = Signature(told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
                yield _Found(within + entry.name, entry.path, found)


def _read(file: str, n_bytes: int = -1) -> bytes:
    with open(file, "rb", buffering=0) as stream:  # noqa: PTH123  # see `_Found.file`
        return stream.read(n_bytes)


def _check_unchanged(new: Sequence[_Found]) -> None:
    for one in new:
        told = os.stat(one.file)  # noqa: PTH116  # see `_Found.file`
        if (told.st_size, told.st_mtime_ns) != (one.signature.size, one.signature.mtime_ns):
            raise StaleState(f"{one.file} was written to while it was being read", hint="run it again once the file is complete")
