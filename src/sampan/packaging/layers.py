"""Layers of an image: files as a tar archive, gzipped, whose bytes depend on nothing but names, modes and contents.

No clock, no user names, no order of a directory listing gets in: the same files give the same digests, today and elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

GZIPPED: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
SHA: Final = "sha256:"
COMPRESSION: Final = 6
_BLOCK = 1 << 20
_GZIP = 31  # zlib's word for "with gzip's header", in which it leaves name and time empty


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that was written: how its blob is named, and what the blob is inside."""

    digest: str  # of the blob, as stored
    size: int
    diff_id: str  # of the tar archive within
    made_by: str
    media_type: str = GZIPPED


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link of a layer. Folders have neither content nor target."""

    path: str
    mode: int = 0o644
    content: bytes | Path | None = None
    target: str = ""


def write_layer(entries: Iterable[Entry], out: IO[bytes], *, made_by: str, compression: int = COMPRESSION) -> Layer:
    """Write entries as a layer, sorted by path, after the folders they lie in; all belong to root."""
    sink = _Sink(out, compression)
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, bufsize=tarfile.BLOCKSIZE) as archive:
        for entry in with_folders(entries):
            _add(archive, entry)
    return sink.finish(made_by)


def copy_tar(archive: IO[bytes], out: IO[bytes], *, made_by: str, compression: int = COMPRESSION) -> Layer:
    """Write a tar archive that exists, not compressed, as a layer: byte for byte what it holds."""
    sink = _Sink(out, compression)
    while block := archive.read(_BLOCK):
        sink.write(block)
    return sink.finish(made_by)


def with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """Sort entries by path and put in the folders nobody listed. Of two with one path the last counts."""
    found = {entry.path: entry for entry in entries}
    for path in list(found):
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found[parent] = Entry(parent, mode=0o755)
            parent = parent.rpartition("/")[0]
    return [found[path] for path in sorted(found)]


def folder_entries(folder: Path, *, below: str) -> Iterator[Entry]:
    """List a folder's files as entries below a path of the image, readable by everyone and writable by root alone."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield Entry(f"{below}/{path.relative_to(folder).as_posix()}", mode=mode, content=path)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.mtime = entry.mode, 0
    if entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        archive.addfile(info)
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as stream:
            archive.addfile(info, stream)


class _Sink(io.RawIOBase):
    """Takes a tar archive as it is written; hashes it, compresses it, and hashes what comes out."""

    def __init__(self, out: IO[bytes], compression: int) -> None:
        self._out = out
        self._zip = zlib.compressobj(compression, zlib.DEFLATED, _GZIP)
        self._inside, self._outside = hashlib.sha256(), hashlib.sha256()
        self._size = 0
        self._n_read = 0

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def tell(self) -> int:
        """Say how much was written; tarfile asks."""
        return self._n_read

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile gives bytes
        """Take the next bytes."""
        self._inside.update(data)
        self._n_read += len(data)
        self._put(self._zip.compress(data))
        return len(data)

    def finish(self, made_by: str) -> Layer:
        """Write what is left and say what was written."""
        self._put(self._zip.flush())
        return Layer(digest=SHA + self._outside.hexdigest(), size=self._size, diff_id=SHA + self._inside.hexdigest(), made_by=made_by)

    def _put(self, data: bytes) -> None:
        self._outside.update(data)
        self._size += len(data)
        self._out.write(data)
