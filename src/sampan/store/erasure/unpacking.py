"""What files hold that are packed: compressed ones and archives, also within one another."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

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


class Codec(NamedTuple):
    """A way of compressing one stream of bytes."""

    mark: bytes  # what such a file begins with
    unpack: Callable[[bytes], bytes]
    pack: Callable[[bytes], bytes]


def codec_of(data: bytes) -> Codec | None:
    """Return how bytes were compressed, as one stream that can be read; None if they were not."""
    found = next((codec for codec in _CODECS if data.startswith(codec.mark)), None)
    return found if found is not None and is_packed(data) else None


def _unpacked(data: bytes) -> Iterator[bytes]:
    try:
        for codec in _CODECS:
            if data.startswith(codec.mark):
                yield codec.unpack(data)
        if data.startswith(b"PK\x03\x04"):
            yield from _zipped(data)
        elif data[257:262] == b"ustar":
            yield from _tarred(data)
    except _TORN:
        return


def _from_zstd(data: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())


def _to_zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


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


_CODECS: Final = (
    Codec(b"\x1f\x8b", gzip.decompress, lambda data: gzip.compress(data, mtime=0)),
    Codec(b"BZh", bz2.decompress, bz2.compress),
    Codec(b"\xfd7zXZ\x00", lzma.decompress, lzma.compress),
    Codec(b"\x28\xb5\x2f\xfd", _from_zstd, _to_zstd),
)
