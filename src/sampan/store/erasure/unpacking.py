"""What files hold that are packed: compressed ones and archives, also within one another."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

_DEEPEST = 4  # an archive of workbooks, compressed, in an archive
_TORN = (OSError, EOFError, RuntimeError, ValueError, NotImplementedError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


def layers(data: bytes, *, depth: int = _DEEPEST) -> Iterator[bytes]:
    """Iterate over bytes and everything that is packed in them, names of members included. What is torn is taken as far as it goes."""
    yield data
    if depth:
        for inner in _unpacked(data):
            yield from layers(inner, depth=depth - 1)


def is_packed(data: bytes) -> bool:
    """Say whether something is packed in bytes: such a file is not a text, even where it reads as one."""
    return any(True for _ in _unpacked(data))


def _unpacked(data: bytes) -> Iterator[bytes]:
    try:
        if data.startswith(b"\x1f\x8b"):
            yield gzip.decompress(data)
        elif data.startswith(b"BZh"):
            yield bz2.decompress(data)
        elif data.startswith(b"\xfd7zXZ\x00"):
            yield lzma.decompress(data)
        elif data.startswith(b"\x28\xb5\x2f\xfd"):
            yield _zstd(data)
        elif data.startswith(b"PK\x03\x04"):
            yield from _zipped(data)
        elif data[257:262] == b"ustar":
            yield from _tarred(data)
    except _TORN:
        return


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())


def _zipped(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield name.encode()
            yield archive.read(name)


def _tarred(data: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            yield member.name.encode()
            if (file := archive.extractfile(member)) is not None:
                yield file.read()
