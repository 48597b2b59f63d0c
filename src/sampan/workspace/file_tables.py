"""A folder of files as a table: one row a file, with its path, the digest of its content in the store, media type and size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sampan.errors import DataFormatError
from sampan.store.folder_files import HEAD_BYTES, adopt_folder
from sampan.table.file_types import sniff_type

if TYPE_CHECKING:
    import polars as pl

    from sampan.core.digests import Digest
    from sampan.workspace.workspace import Workspace


def read_folder(ws: Workspace, folder: Path, *, known: Mapping[Digest, str] | None = None) -> tuple[pl.DataFrame, Digest]:
    """Take a folder's files into the store; return their table and the list of their contents, which keeps them there.

    What begins with a point is left out. A file that has not changed since it was taken in is not opened.

    Parameters
    ----------
    known : media types of contents that were looked at before

    Raises
    ------
    DataFormatError : it holds no file.
    """
    import polars as pl

    blobs = ws.store.blobs
    with ws.progress.stage(f"storing {folder.name}", unit="files") as stage:
        files = adopt_folder(blobs, folder, done=stage.advance)
    if not files:
        raise DataFormatError(f"the folder {folder} holds no file", source=str(folder), hint="name a folder with files, or one file")
    types = dict(known or {})
    for file in files:
        if file.digest not in types:
            types[file.digest] = sniff_type(blobs.head(file.digest, HEAD_BYTES) if file.head is None else file.head)
    contents = blobs.put(msgspec.json.encode(sorted({file.digest for file in files})))
    columns = {
        "path": [file.path for file in files],
        "folder": [file.path.rpartition("/")[0] or "." for file in files],
        "file": [file.digest for file in files],
        "type": [types[file.digest] for file in files],
        "size_bytes": [file.size for file in files],
    }
    schema = {"path": pl.String, "folder": pl.String, "file": pl.String, "type": pl.String, "size_bytes": pl.Int64}
    return pl.DataFrame(columns, schema=schema), contents
