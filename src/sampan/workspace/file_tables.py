"""A folder of files as a table: one row a file, with its path, the digest of its content in the store, media type and size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.errors import DataFormatError
from sampan.ports import Stage
from sampan.table.file_types import HEAD_BYTES, sniff_type

if TYPE_CHECKING:
    import polars as pl

    from sampan.core.digests import Digest
    from sampan.store.blobs import LocalBlobs
    from sampan.workspace.workspace import Workspace

_PACKED_BYTES = 1 << 20  # smaller files share packs


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder and the folders in it, by path; what begins with a point is left out.

    Raises
    ------
    DataFormatError : it holds no file.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path.relative_to(folder))]
    if not found:
        raise DataFormatError(f"the folder {folder} holds no file", source=str(folder), hint="name a folder with files, or one file")
    return found


def read_folder(ws: Workspace, folder: Path) -> tuple[pl.DataFrame, Digest]:
    """Take a folder's files into the store; return their table and the list of their contents, which keeps them there."""
    import polars as pl

    files = files_in(folder)
    rows: list[dict[str, Any]] = []
    with ws.progress.stage(f"storing {folder.name}", total=len(files), unit="files") as stage:
        digests = _store(ws.store.blobs, files, stage)
    for path, (digest, size) in zip(files, digests, strict=True):
        relative = path.relative_to(folder)
        with path.open("rb") as file:
            kind = sniff_type(file.read(HEAD_BYTES))
        rows.append({"path": relative.as_posix(), "folder": relative.parent.as_posix(), "file": digest, "type": kind, "size_bytes": size})
    contents = ws.store.blobs.put(msgspec.json.encode(sorted({digest for digest, _ in digests})))
    schema = {"path": pl.String, "folder": pl.String, "file": pl.String, "type": pl.String, "size_bytes": pl.Int64}
    return pl.DataFrame(rows, schema=schema), contents


def _store(blobs: LocalBlobs, files: list[Path], stage: Stage) -> list[tuple[Digest, int]]:
    found: list[tuple[Digest, int]] = []
    with blobs.batch() as batch:
        for path in files:
            size = path.stat().st_size
            found.append((batch.put_small(path.read_bytes()), size) if size < _PACKED_BYTES else blobs.adopt_file(path))
            stage.advance(1)
    return found


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
