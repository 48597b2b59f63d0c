"""What a stored object becomes without a subject, by what kind of file it is."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import polars as pl

from sampan.core.digests import Digest, digests_in
from sampan.store.erasure.subjects import Subject
from sampan.store.tables import parts
from sampan.store.tables.erasing import is_subject
from sampan.store.tables.mentions import Mentions

PARQUET, IPC = b"PAR1", b"ARROW1"
_JSON_STARTS = (b"{", b"[", b'"')
_DELIMITERS = (",", "\t", ";", "|")


def without(data: bytes, subject: Subject, moved: Mapping[Digest, Digest], gone: Collection[Digest] = ()) -> bytes | None:
    """Return an object's bytes without the subject, and with the new names of what it names; the same object if nothing is to change.

    What names an object that is `gone` does so no more. None: the bytes mention the subject in a form that cannot be written again without
    it, like a fitted model's.
    """
    if data.startswith(PARQUET):
        return _without_rows(data, subject, "parquet")
    if data.startswith(IPC):
        return _without_rows(data, subject, "ipc")
    if data.startswith(_JSON_STARTS) and (found := _in_json(data, subject, moved, gone)) is not None:
        return found
    if not subject.is_in(unpacked(data)):
        return data
    with suppress(UnicodeDecodeError):
        return _in_text(data.decode(), subject).encode()
    return None


def mentions(data: bytes, subject: Subject) -> bool:
    """Say whether an object's content mentions the subject, whatever it is packed in; tables are looked at cell by cell."""
    if data.startswith((PARQUET, IPC)):
        return subject.is_in_table(data) or _rows(_table(data), subject).any()
    return subject.is_in(data) or subject.is_in(unpacked(data))


def unpacked(data: bytes) -> bytes:
    """Return what a compressed file holds; other bytes as they are."""
    with suppress(OSError, EOFError, zlib.error):
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
    with suppress(zipfile.BadZipFile, NotImplementedError, zlib.error, RuntimeError):
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return b"\n".join(name.encode() + b"\n" + archive.read(name) for name in archive.namelist())
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        with suppress(OSError, pa.ArrowInvalid), pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return bytes(stream.read())
    return data


def _table(data: bytes) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(data)) if data.startswith(PARQUET) else pl.read_ipc(io.BytesIO(data))


def _rows(frame: pl.DataFrame, subject: Subject) -> pl.Series:
    """Mark the rows that are the subject's, by its keys or by a text of its own in any column."""
    found = [condition] if (condition := is_subject(frame.schema, subject.columns)) is not None else []
    found += Mentions(subject).conditions(frame.schema).values()
    if not found:
        return pl.repeat(value=False, n=frame.height, eager=True)
    return frame.select(pl.any_horizontal(found).fill_null(value=False).alias("found"))["found"]


def _without_rows(data: bytes, subject: Subject, kind: str) -> bytes:
    frame = _table(data)
    rows = _rows(frame, subject)
    if not rows.any():
        return data
    left = frame.filter(~rows)
    if kind == "parquet":
        return parts.encode(left)
    file = io.BytesIO()
    left.write_ipc(file)
    return file.getvalue()


def _in_json(data: bytes, subject: Subject, moved: Mapping[Digest, Digest], gone: Collection[Digest]) -> bytes | None:
    """Redact JSON; None if it is none. What changes nothing keeps its bytes."""
    text = data.decode(errors="replace")
    renamed = text
    for before in {found for found in digests_in(text) if found in moved}:
        renamed = renamed.replace(before, moved[before])
    try:
        value = msgspec.json.decode(renamed)
    except msgspec.DecodeError:
        return None
    redacted = subject.redact(_dropped(value, gone) if gone else value)
    if redacted != value:
        return msgspec.json.encode(redacted)
    return renamed.encode() if renamed != text else data


def _dropped(value: Any, gone: Collection[Digest]) -> Any:
    """Return a JSON value without the entries and elements that name what is gone."""
    if isinstance(value, dict):
        return {name: _dropped(entry, gone) for name, entry in value.items() if not _is_in(entry, gone)}
    return [_dropped(entry, gone) for entry in value if not _is_in(entry, gone)] if isinstance(value, list) else value


def _is_in(value: Any, gone: Collection[Digest]) -> bool:
    return isinstance(value, str) and value in gone


def _in_text(text: str, subject: Subject) -> str:
    """Redact a text; of lines with columns that are the subject's, nothing stays."""
    lines = text.splitlines(keepends=True)
    if _is_delimited(lines[0] if lines else "", subject):
        return "".join(line for line in lines if subject.redact_text(line) == line)
    return subject.redact_text(text)


def _is_delimited(header: str, subject: Subject) -> bool:
    return any(name in {cell.strip().strip('"') for cell in header.split(mark)} for mark in _DELIMITERS for name in subject.keys)
