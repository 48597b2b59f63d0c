"""Publishing: a table version as a Delta table, which Polars, delta-rs, DuckDB, Spark and Trino read without Sampan.

A part whose file alone is its content is linked into the folder, so publishing costs no bytes; a part with dead rows or overlays is
written out under a name that follows from what it is made of, so publishing it again writes nothing. The log is Delta's: one JSON file a
publication, which names the files that come and go; readers see whole publications only.

Only this module writes the log. A folder with a log it did not write is refused.

References
----------
Delta transaction log protocol, reader version 1 (3 with `timestampNtz`), writer version 2 (7).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl

from sampan.core.digests import Digest, digest_value
from sampan.core.times import Millis
from sampan.errors import AlreadyExists, Conflict, IntegrityError, Unsupported
from sampan.store.files import store_errors, sync_folder
from sampan.store.tables import parts
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import Reader

LOG = "_delta_log"
ENGINE = "sampan"
_COMMIT = re.compile(r"([0-9]{20})\.json\Z")
_SIMPLE: tuple[tuple[Any, str, Any], ...] = (
    (pl.Boolean, "boolean", None),
    (pl.Int8, "byte", None),
    (pl.Int16, "short", None),
    (pl.Int32, "integer", None),
    (pl.Int64, "long", None),
    (pl.UInt8, "short", pl.Int16),  # Delta knows no unsigned numbers
    (pl.UInt16, "integer", pl.Int32),
    (pl.UInt32, "long", pl.Int64),
    (pl.UInt64, "decimal(20,0)", pl.Decimal(20, 0)),
    (pl.Float32, "float", None),
    (pl.Float64, "double", None),
    (pl.String, "string", None),
    (pl.Categorical, "string", pl.String),
    (pl.Enum, "string", pl.String),
    (pl.Binary, "binary", None),
    (pl.Date, "date", None),
    (pl.Null, "string", pl.String),
)


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing came to."""

    version: int  # of the Delta table
    n_files: int
    n_written: int
    size_bytes: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Source:
    """The version to publish: its columns go under their names, in the table's order."""

    version: Digest
    parts: Sequence[Part]
    schema: pl.Schema
    blobs: Reader


def publish(folder: Path, source: Source, *, ref: str, now: Millis) -> Publication:
    """Make a version the newest of the Delta table in `folder`; nothing is written if it is already.

    Raises
    ------
    Unsupported : Delta has no type for some columns; all are named.
    AlreadyExists : the folder holds something else.
    Conflict : another program published there at the same moment.
    """
    fields, casts, needs_ntz = delta_schema(source.schema)
    with store_errors(folder):
        (folder / LOG).mkdir(parents=True, exist_ok=True)
        log = _read_log(folder)
        files = _files(source.parts, casts)
        if log.digest == source.version and set(log.files) == set(files):
            return Publication(log.version, len(files), 0, sum((folder / name).stat().st_size for name in files), is_new=False)
        n_written = sum(_place(folder / name, part, source, casts) for name, part in files.items())
        sync_folder(folder)
        sizes = {name: (folder / name).stat().st_size for name in files}
        actions = _actions(log, files, sizes, source, ref=ref, now=now, fields=fields, needs_ntz=needs_ntz)
        _commit(folder, log.version + 1, actions)
    return Publication(log.version + 1, len(files), n_written, sum(sizes.values()), is_new=True)


# -- types


def delta_schema(schema: pl.Schema) -> tuple[list[dict[str, Any]], dict[str, pl.DataType], bool]:
    """Return Delta's fields, the casts that columns need, and whether a moment without a zone is among them. Raises Unsupported."""
    fields, casts, bad = [], {}, []
    for name, dtype in schema.items():
        try:
            kind, stored = _delta_type(dtype)
        except KeyError:
            bad.append(f"{name} ({dtype})")
            continue
        fields.append({"name": name, "type": kind, "nullable": True, "metadata": {}})
        if stored != dtype:
            casts[name] = stored
    if bad:
        raise Unsupported("Delta tables have no type for " + ", ".join(bad), hint="export to Parquet, or cast them in a new version")
    return fields, casts, "timestamp_ntz" in json.dumps(fields)


def _delta_type(dtype: pl.DataType) -> tuple[Any, pl.DataType]:
    """Return a type as Delta names it, and as the files must hold it. Raises KeyError where there is none."""
    for known, name, stored in _SIMPLE:
        if dtype == known:
            return name, stored if isinstance(stored, pl.DataType) else stored() if stored else dtype
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone else "timestamp_ntz", pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})", dtype
    if isinstance(dtype, pl.List | pl.Array):
        kind, stored = _delta_type(_instance(dtype.inner))
        return {"type": "array", "elementType": kind, "containsNull": True}, pl.List(stored)
    if isinstance(dtype, pl.Struct):
        inner = [(field.name, *_delta_type(_instance(field.dtype))) for field in dtype.fields]
        fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind, _ in inner]
        return {"type": "struct", "fields": fields}, pl.Struct({name: stored for name, _, stored in inner})
    raise KeyError(dtype)


def _instance(dtype: Any) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


# -- files


def _files(listed: Sequence[Part], casts: Mapping[str, pl.DataType]) -> dict[str, Part]:
    """Return the files to be, by name. Rows that were added twice are parts of the same content, and files of their own."""
    named: dict[str, Part] = {}
    seen: Counter[str] = Counter()
    for part in listed:
        name = _file_name(part, casts)
        seen[name] += 1
        named[name if seen[name] == 1 else name.replace(".parquet", f"-{seen[name]}.parquet")] = part
    return named


def _file_name(part: Part, casts: Mapping[str, pl.DataType]) -> str:
    """Name a part's file by what is in it."""
    if part.is_clean and not casts:
        return f"part-{part.base.partition(':')[2]}.parquet"
    made_of = [part.base, part.dead, [[overlay.data, overlay.columns] for overlay in part.overlays]]
    return f"made-{digest_value([made_of, {name: str(dtype) for name, dtype in casts.items()}]).partition(':')[2]}.parquet"


def _place(target: Path, part: Part, source: Source, casts: Mapping[str, pl.DataType]) -> bool:
    """Put a part's file into the folder; say whether bytes were written."""
    if target.exists():
        return False
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    if part.is_clean and not casts:
        path = source.blobs.path(part.base)
        try:
            target.hardlink_to(path)
            return False
        except FileExistsError:
            return False
        except OSError:  # another disk: the bytes are copied
            draft.write_bytes(path.read_bytes())
    else:
        rows = parts.scan([part], source.schema, source.blobs).with_columns(parts.exactly([n]).cast(t) for n, t in casts.items())
        draft.write_bytes(parts.encode(rows.collect(engine="streaming")))
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    return True


# -- the log


@dataclass(frozen=True, slots=True)
class _Log:
    """What the log says now."""

    version: int  # -1: nothing was published yet
    digest: Digest
    files: dict[str, int]  # name -> size
    metadata: dict[str, Any]
    table_id: str


def _read_log(folder: Path) -> _Log:
    version, digest, files, metadata, table_id = -1, "", {}, {}, ""
    commits = sorted(path for path in (folder / LOG).iterdir() if _COMMIT.match(path.name))
    if not commits and any(path.name not in (LOG,) and not path.name.startswith(".") for path in folder.iterdir()):
        raise AlreadyExists(f"{folder} holds other files", hint="publish into a folder of its own")
    for path in commits:
        theirs = True
        for line in path.read_text().splitlines():
            ((kind, said),) = json.loads(line).items()
            if kind == "add":
                files[said["path"]] = said["size"]
            elif kind == "remove":
                files.pop(said["path"], None)
            elif kind == "metaData":
                metadata, table_id = said, said["id"]
            elif kind == "commitInfo":
                theirs, digest = not str(said.get("engineInfo", "")).startswith(ENGINE), str(said.get("digest", ""))
        if theirs:
            raise AlreadyExists(f"{folder} is a Delta table that another program writes", hint="publish into a folder of its own")
        version = int(path.name[:20])
    if version + 1 != len(commits):
        raise IntegrityError(f"the log in {folder / LOG} has a gap", hint="remove the folder and publish again")
    return _Log(version, digest, files, metadata, table_id)


def _actions(
    log: _Log,
    files: Mapping[str, Part],
    sizes: Mapping[str, int],
    source: Source,
    *,
    ref: str,
    now: Millis,
    fields: list[dict[str, Any]],
    needs_ntz: bool,
) -> list[dict[str, Any]]:
    info = {"timestamp": now, "operation": "WRITE", "engineInfo": ENGINE, "version": ref, "digest": source.version}
    actions: list[dict[str, Any]] = [{"commitInfo": info}]
    schema_text = json.dumps({"type": "struct", "fields": fields}, ensure_ascii=False)
    if log.version < 0 or log.metadata.get("schemaString") != schema_text:
        protocol: dict[str, Any] = {"minReaderVersion": 1, "minWriterVersion": 2}
        if needs_ntz:
            features = ["timestampNtz"]
            protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
        identity = log.table_id or str(UUID(source.version.partition(":")[2][:32]))
        format_ = {"provider": "parquet", "options": {}}
        created = {"id": identity, "format": format_, "schemaString": schema_text, "partitionColumns": [], "configuration": {}}
        actions += [{"protocol": protocol}, {"metaData": {**created, "createdTime": now}}]
    gone = [name for name in log.files if name not in files]
    actions += [{"remove": {"path": name, "deletionTimestamp": now, "dataChange": True}} for name in gone]
    for name, part in files.items():
        if name not in log.files:
            stats = json.dumps({"numRecords": part.n_live})
            add = {"path": name, "partitionValues": {}, "size": sizes[name], "modificationTime": now, "dataChange": True, "stats": stats}
            actions.append({"add": add})
    return actions


def _commit(folder: Path, version: int, actions: Sequence[Mapping[str, Any]]) -> None:
    """Write a file of the log: whole, and only if there is none of this number yet."""
    target = folder / LOG / f"{version:020}.json"
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    text = "".join(json.dumps(action, ensure_ascii=False, separators=(",", ":")) + "\n" for action in actions)
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        target.hardlink_to(draft)  # unlike a rename, a link never replaces
    except FileExistsError as cause:
        raise Conflict(f"someone else published version {version} in {folder} just now", hint="publish again") from cause
    finally:
        with suppress(OSError):
            draft.unlink()
    sync_folder(folder / LOG)
