"""Where a table comes from: a file of some format and compression, or memory. The first bytes say which, not the file's name."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from sampan.core.digests import Digest, digest_bytes
from sampan.errors import DataFormatError, NotFound, ParameterError
from sampan.ports import Progress
from sampan.table.csv import CsvForm, Parsed, read_csv
from sampan.table.encodings import decode
from sampan.table.frames import from_memory
from sampan.table.jsonlines import read_json_lines
from sampan.table.types import NULL_SPELLINGS

FORMATS = ("csv", "parquet", "jsonl")
_GZIP, _ZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PAR1"
_EMPTY_ZIP = b"PK\x05\x06"
_BLOCK = 1 << 22
_SHOWN_BYTES = 1 << 22  # a smaller file is read before a person could read of it


@dataclass(frozen=True, slots=True)
class SourceForm:
    """What a person declared of a source. Empty means "find out"; what is declared is never overruled."""

    format: str = ""
    encoding: str = ""
    delimiter: str = ""
    null_values: tuple[str, ...] = NULL_SPELLINGS
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table, where it came from, and everything a reader should know of how it was read."""

    frame: pl.DataFrame
    source: str  # the path, or "memory"
    format: str  # csv | parquet | jsonl | memory
    digest: Digest = ""  # of the file's own bytes
    size_bytes: int = 0
    encoding: str = ""
    delimiter: str = ""
    member: str = ""  # the file inside the archive
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what is recorded of this source, JSON-able."""
        facts: dict[str, Any] = {"path": self.source, "format": self.format, "digest": self.digest, "size_bytes": self.size_bytes}
        facts.update({k: v for k, v in (("encoding", self.encoding), ("delimiter", self.delimiter), ("member", self.member)) if v})
        return facts | ({"notes": list(self.notes)} if self.notes else {})


def read_source(source: Any, *, form: SourceForm | None = None, progress: Progress | None = None) -> Loaded:
    """Read a file, or a table in memory, completely.

    Plain or compressed (gzip, zip with one member, zstd) CSV and TSV, Parquet, JSON lines; Polars, pandas, Arrow, dict of columns.

    Raises
    ------
    NotFound : no such file.
    DataFormatError : a folder, empty, or not a table; says where and what to do.
    """
    form = form or SourceForm()
    if not isinstance(source, str | Path):
        return Loaded(frame=from_memory(source), source="memory", format="memory")
    path = Path(source)
    check_file(path)
    data = _read_bytes(path, progress)
    digest, size = digest_bytes(data), len(data)
    data, member = _decompress(data, source=str(path))
    kind = form.format or _format_of(data, member or path.name, source=str(path))
    if kind not in FORMATS:
        raise ParameterError(f"{kind!r} is no format", hint="one of " + ", ".join(FORMATS))
    if kind == "parquet":
        frame = _read_parquet(data, source=str(path))
        return Loaded(frame=frame, source=str(path), format=kind, digest=digest, size_bytes=size, member=member)
    text = decode(data, source=str(path), encoding=form.encoding)
    del data
    if not text.utf8.strip():
        hint = "a table needs at least a header line with the columns' names"
        raise DataFormatError(f"{path} is empty", source=str(path), hint=hint)
    parsed = read_json_lines(text.utf8, source=str(path)) if kind == "jsonl" else _read_delimited(text.utf8, path, member, form, progress)
    return Loaded(
        frame=parsed.frame,
        source=str(path),
        format=kind,
        digest=digest,
        size_bytes=size,
        encoding=text.encoding,
        delimiter=parsed.delimiter,
        member=member,
        notes=parsed.notes,
    )


def check_file(path: Path) -> None:
    """Refuse what is no file, naming what is near.

    Raises
    ------
    NotFound : nothing is there.
    DataFormatError : a folder.
    """
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if p.is_file())[:5]
        inside = f"; it holds {', '.join(files)}" if files else ""
        raise DataFormatError(f"{path} is a folder, not a file{inside}", source=str(path), hint="name one file in it")
    if not path.exists():
        import difflib

        folder = path.parent
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        close = tuple(str(folder / name) for name in difflib.get_close_matches(path.name, names))
        missing = f"no file {path}" if folder.is_dir() else f"no file {path}: the folder {folder} does not exist"
        raise NotFound(missing, did_you_mean=close, hint="" if close else "check the path; relative paths start at the current folder")


def _read_bytes(path: Path, progress: Progress | None) -> bytes:
    size = path.stat().st_size
    shown = progress.stage(f"reading {path.name}", total=size, unit="bytes") if progress and size >= _SHOWN_BYTES else nullcontext()
    blocks = []
    try:
        with shown as stage, path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                blocks.append(block)
                if stage is not None:
                    stage.advance(len(block))
    except OSError as cause:
        raise DataFormatError(f"{path} cannot be read: {cause.strerror}", source=str(path), hint="check its permissions") from cause
    return b"".join(blocks)


def _decompress(data: bytes, *, source: str) -> tuple[bytes, str]:
    try:
        if data.startswith(_GZIP):
            return gzip.decompress(data), ""
        if data.startswith((_ZIP, _EMPTY_ZIP)):
            return _unzip(data, source=source)
        if data.startswith(_ZSTD):
            import pyarrow as pa

            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                return bytes(stream.read()), ""
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as cause:
        raise DataFormatError(f"{source} is a damaged archive: {cause}", source=source, hint="fetch or write it again") from cause
    return data, ""


def _unzip(data: bytes, *, source: str) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [m.filename for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if "[Content_Types].xml" in members:
            raise DataFormatError(f"{source} is an office document", source=source, hint="export the sheet as CSV")
        if len(members) != 1:
            said = f"{len(members)} files ({', '.join(members[:5])})" if members else "no file"
            raise DataFormatError(f"{source} is an archive with {said}; one is expected", source=source, hint="unpack it and name one file")
        return archive.read(members[0]), members[0]


def _format_of(data: bytes, name: str, *, source: str) -> str:
    if data.startswith(_PARQUET):
        return "parquet"
    suffixes = [s.lower() for s in Path(name).suffixes]
    if ".parquet" in suffixes:
        what = "is empty" if not data else "is not Parquet: it does not begin with PAR1"
        raise DataFormatError(f"{source} {what}", source=source, hint="write it again, or say --format csv")
    if {".jsonl", ".ndjson", ".json"} & set(suffixes):
        return "jsonl"
    return "csv"


def _read_parquet(data: bytes, *, source: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as cause:
        first = str(cause).splitlines()[0]
        raise DataFormatError(f"{source} is a damaged Parquet file: {first}", source=source, hint="fetch or write it again") from cause


def _read_delimited(text: bytes, path: Path, member: str, form: SourceForm, progress: Progress | None) -> Parsed:
    delimiter = form.delimiter or ("\t" if ".tsv" in (member or path.name).lower() else "")
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    csv_form = CsvForm(delimiter=delimiter, null_values=form.null_values, types=form.types)
    with progress.stage(f"typing {path.name}", unit="columns") if progress and len(text) >= _SHOWN_BYTES else nullcontext() as stage:
        return read_csv(text, source=str(path), form=csv_form, on_column=(lambda: stage.advance(1)) if stage is not None else lambda: None)
