"""What objects become without a subject: whatever they are packed in, it is found; what can be written again is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pytest

from sampan.store.erasure import Subject
from sampan.store.erasure.contents import mentions, without
from sampan.store.erasure.unpacking import layers

SUBJECT = Subject.named({"customer": "P-000777"}, ("lan@example.net",))
SHORT = Subject.named({"customer": "17"})
NOTE = b"a note on LAN@example.net"


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", data)
    return file.getvalue()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("inner")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def parquet(data: bytes) -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"said": [data.decode()]}).write_parquet(file)
    return file.getvalue()


PACKS = [gzip.compress, bz2.compress, lzma.compress, zstd, zipped, tarred, lambda data: gzip.compress(tarred(zipped(parquet(data))))]


@pytest.mark.parametrize("pack", PACKS)
def test_what_is_packed_is_found(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(NOTE)

    assert mentions(packed, SUBJECT)
    assert not mentions(pack(b"a note on nobody"), SUBJECT)
    assert not mentions(packed[: len(packed) // 2], Subject.named({"customer": "somebody"}))  # torn, and no error


@pytest.mark.parametrize("pack", PACKS)
def test_one_compressed_file_is_written_again_and_an_archive_is_not(pack: Callable[[bytes], bytes]) -> None:
    left = without(pack(NOTE), SUBJECT, {})

    assert left is None if pack in (zipped, tarred, PACKS[-1]) else [*layers(left or b"")][1:] == [b"a note on [erased]"]


def test_a_text_keeps_its_encoding() -> None:
    assert without(NOTE.decode().encode("utf-16"), SUBJECT, {}) == "a note on [erased]".encode("utf-16")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"customer,n\n17,1\n170,17\n", b"customer,n\n170,17\n"),
        (b'\xef\xbb\xbfn;customer\r\n1;"17"\r\n17;2\r\n', b"\xef\xbb\xbfn;customer\r\n17;2\r\n"),
        (b"customer\tn\n17.0\t1\n17.5\t2\n", b"customer\tn\n17.5\t2\n"),
        (b"n,m\n17,1\n", b"n,m\n17,1\n"),
        (b'{"customer":17,"n":1}\n{"customer":18,"n":17}\n', b'{"customer":"[erased]","n":1}\n{"customer":18,"n":17}\n'),
        (b'[{"customer":17,"n":1},{"customer":18}]', b'[{"customer":"[erased]"},{"customer":18}]'),
        (b'{"n":17}', b'{"n":17}'),
    ],
)
def test_rows_of_a_short_key_leave_texts_with_columns(before: bytes, after: bytes) -> None:
    assert without(before, SHORT, {}) == after
    assert mentions(before, SHORT) == (before != after)
    assert not mentions(after, SHORT)


def test_what_only_begins_like_a_table_is_taken_as_bytes() -> None:
    assert mentions(b"PAR1 lan@example.net", SUBJECT)
    assert without(b"PAR1 lan@example.net", SUBJECT, {}) == b"PAR1 [erased]"
    assert without(b"ARROW1 \xff lan@example.net", SUBJECT, {}) is None
    assert without(b"PAR1 nobody", SUBJECT, {}) == b"PAR1 nobody"
