"""Searching a store's every byte for a subject: objects (Parquet and Arrow decoded, archives unpacked), logs, database, all other files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import polars as pl

from sampan.core.digests import Digest
from sampan.errors import SampanError
from sampan.store.erasure import contents
from sampan.store.erasure.leftovers import other_files
from sampan.store.erasure.records import mentions_in_records
from sampan.store.erasure.subjects import Subject
from sampan.store.store import Store
from sampan.store.tables.erasing import is_subject
from sampan.store.tables.mentions import Mentions

_BLOCK = 64 << 20
_OVERLAP = 4096


class Sighting(msgspec.Struct, frozen=True):
    """A place that still holds something of the subject."""

    where: str
    digest: Digest = ""
    columns: tuple[str, ...] = ()
    n_rows: int = 0


class Searched(msgspec.Struct, frozen=True):
    """What a search looked at, and where it found the subject."""

    n_objects: int
    n_files: int
    n_bytes: int
    sightings: tuple[Sighting, ...]


def search(store: Store, subject: Subject, *, done: Callable[[int], None] = lambda _: None) -> Searched:
    """Read everything a store holds and say where the subject is. Reads only."""
    sightings: list[Sighting] = []
    n_objects = n_bytes = 0
    for digest in sorted(store.blobs.digests()):
        try:
            n_bytes += store.blobs.size(digest)
            sightings += _in_object(store, digest, subject)
        except SampanError as error:
            sightings.append(Sighting(f"cannot be read: {error.message}", digest))
        n_objects += 1
        done(n_objects)
    n_files = 0
    for path in (*_log_files(store), *other_files(store.root), *_database_files(store)):
        n_files += 1
        found, size = _is_in_file(path, subject)
        n_bytes += size
        sightings += [Sighting(str(path.relative_to(store.root)))] if found else []
    with store.database.read() as session:
        counts = mentions_in_records(session, subject)
    sightings += [Sighting(f"the records ({table})", n_rows=n) for table, n in counts.items()]
    return Searched(n_objects, n_files, n_bytes, tuple(sightings))


def _in_object(store: Store, digest: Digest, subject: Subject) -> Iterator[Sighting]:
    if store.blobs.head(digest, 4) == contents.PARQUET:
        yield from _in_parquet(store.blobs.path(digest), digest, subject)
    elif contents.mentions(store.blobs.read(digest), subject):
        yield Sighting("an object", digest)


def _in_parquet(path: Path, digest: Digest, subject: Subject) -> Iterator[Sighting]:
    """Look at every cell, a row group's worth at a time."""
    frame = pl.scan_parquet(path, glob=False)
    schema = frame.collect_schema()
    found = Mentions(subject).conditions(schema)
    for name in subject.keys:
        if name in schema and (key := is_subject(pl.Schema({name: schema[name]}), subject.columns)) is not None:
            found[name] = key
    if found:
        sums = [condition.sum().alias(f"{number}") for number, condition in enumerate(found.values())]
        counts = dict(zip(found, frame.select(sums).collect(engine="streaming").row(0), strict=True))
        seen = {name: n for name, n in counts.items() if n}
        if seen:
            yield Sighting("an object of a table", digest, tuple(seen), max(seen.values()))
    if subject.is_in_table(path.read_bytes()):
        yield Sighting("the bytes of a Parquet file", digest)


def _log_files(store: Store) -> Iterator[Path]:
    for stream in store.segments.streams():
        yield from (path for _, path in store.segments.files(stream))


def _database_files(store: Store) -> Iterator[Path]:
    yield from (path for path in sorted(store.root.glob("sampan.db*")) if path.suffix != ".db-shm")


def _is_in_file(path: Path, subject: Subject) -> tuple[bool, int]:
    """Search a file's bytes, block by block."""
    size, tail = 0, b""
    try:
        with path.open("rb") as file:
            if file.read(6).startswith((contents.PARQUET, contents.IPC)):
                data = path.read_bytes()
                return contents.mentions(data, subject), len(data)
            file.seek(0)
            while block := file.read(_BLOCK):
                size += len(block)
                if subject.is_in(tail + block):
                    return True, size
                tail = block[-_OVERLAP:]
    except FileNotFoundError:
        return False, 0
    return False, size
