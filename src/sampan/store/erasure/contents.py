"""What a stored object becomes without a subject, by what kind of file it is."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import polars as pl

from sampan.core.digests import Digest, digests_in
from sampan.store.erasure.subjects import Subject
from sampan.store.erasure.unpacking import codec_of, is_packed, layers
from sampan.store.tables import parts
from sampan.store.tables.erasing import is_subject
from sampan.store.tables.mentions import Mentions

PARQUET, IPC = b"PAR1", b"ARROW1"
_JSON_STARTS = (b"{", b"[", b'"')
_DELIMITERS = (",", "\t", ";", "|")
_LONGEST_HEADER = 1 << 16


def without(data: bytes, subject: Subject, moved: Mapping[Digest, Digest], gone: Collection[Digest] = ()) -> bytes | None:
    """Return an object's bytes without the subject, and with the new names of what it names; the same object if nothing is to change.

    What names an object that is `gone` does so no more. None: the bytes mention the subject in a form that cannot be written again without
    it, like a fitted model's.
    """
    if data.startswith((PARQUET, IPC)):
        with suppress(pl.exceptions.PolarsError):  # only begins like one
            return _without_rows(data, subject)
    if data.startswith(_JSON_STARTS) and (found := _in_json(data, subject, moved, gone) or _in_json_lines(data, subject, moved, gone)):
        return found
    if (left := _without_lines(data, subject)) is not None:
        return left
    if not mentions(data, subject):
        return data
    if (codec := codec_of(data)) is not None:
        left = without(codec.unpack(data), subject, {})
        return None if left is None else codec.pack(left)
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    with suppress(UnicodeDecodeError):
        return None if is_packed(data) else subject.redact_text(data.decode(encoding)).encode(encoding)
    return None


def mentions(data: bytes, subject: Subject) -> bool:
    """Say whether an object's content mentions the subject, whatever it is packed in; tables are looked at cell by cell."""
    return any(_mentions(layer, subject) for layer in layers(data))


def _mentions(data: bytes, subject: Subject) -> bool:
    if data.startswith((PARQUET, IPC)):
        with suppress(pl.exceptions.PolarsError):  # only begins like one
            return subject.is_in_table(data) or _rows(_table(data), subject).any()
    return subject.is_in(data) or _is_in_rows(data, subject)


def _is_in_rows(data: bytes, subject: Subject) -> bool:
    """Say whether JSON, or a text with columns, has rows of the subject's, whose key may be too short to be looked for anywhere else."""
    if data.startswith(_JSON_STARTS) and (found := _in_json(data, subject, {}, ()) or _in_json_lines(data, subject, {}, ())):
        return found != data
    return _without_lines(data, subject) not in (None, data)


def _table(data: bytes) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(data)) if data.startswith(PARQUET) else pl.read_ipc(io.BytesIO(data))


def _rows(frame: pl.DataFrame, subject: Subject) -> pl.Series:
    """Mark the rows that are the subject's, by its keys or by a text of its own in any column."""
    found = [condition] if (condition := is_subject(frame.schema, subject.columns)) is not None else []
    found += Mentions(subject).conditions(frame.schema).values()
    if not found:
        return pl.repeat(value=False, n=frame.height, eager=True)
    return frame.select(pl.any_horizontal(found).fill_null(value=False).alias("found"))["found"]


def _without_rows(data: bytes, subject: Subject) -> bytes:
    frame = _table(data)
    rows = _rows(frame, subject)
    if not rows.any():
        return data
    left = frame.filter(~rows)
    if data.startswith(PARQUET):
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


def _in_json_lines(data: bytes, subject: Subject, moved: Mapping[Digest, Digest], gone: Collection[Digest]) -> bytes | None:
    """Redact a text with one JSON value in each line; None if it is none."""
    made = []
    for line in data.splitlines(keepends=True):
        value = line.rstrip()
        redacted = _in_json(value, subject, moved, gone) if value else b""
        if redacted is None:
            return None
        made.append(redacted + line[len(value) :])
    return b"".join(made)


def _dropped(value: Any, gone: Collection[Digest]) -> Any:
    """Return a JSON value without the entries and elements that name what is gone."""
    if isinstance(value, dict):
        return {name: _dropped(entry, gone) for name, entry in value.items() if not _is_in(entry, gone)}
    return [_dropped(entry, gone) for entry in value if not _is_in(entry, gone)] if isinstance(value, list) else value


def _is_in(value: Any, gone: Collection[Digest]) -> bool:
    return isinstance(value, str) and value in gone


def _without_lines(data: bytes, subject: Subject) -> bytes | None:
    """Return a text with columns without the subject's lines; None if it is no such text, or has none of the subject's columns."""
    head = data[:_LONGEST_HEADER].partition(b"\n")[0]
    if not any(name.encode() in head for name in subject.keys):
        return None
    with suppress(UnicodeDecodeError, csv.Error):
        lines = data.decode().splitlines(keepends=True)
        for mark in _DELIMITERS:
            places = {place: name for place, name in enumerate(_cells(lines[0], mark)) if name in subject.keys}
            if places:
                return "".join(line for line in lines if not _is_subjects(line, mark, places, subject)).encode()
    return None


def _is_subjects(line: str, mark: str, places: Mapping[int, str], subject: Subject) -> bool:
    if subject.redact_text(line) != line:
        return True
    cells = _cells(line, mark) if any(value in line for value in subject.keys.values()) else []
    return any(place < len(cells) and cells[place].removesuffix(".0") == subject.keys[name] for place, name in places.items())


def _cells(line: str, mark: str) -> list[str]:
    return [cell.strip().lstrip("\ufeff") for row in csv.reader([line], delimiter=mark) for cell in row]
