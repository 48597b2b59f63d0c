"""The account of how a table was read. It stands apart from what reads, so that a folder of files is added without importing that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.digests import Digest

if TYPE_CHECKING:
    import polars as pl

    from sampan.table.bad_cells import BadCell


class Account(msgspec.Struct, frozen=True):
    """Where a table came from, and everything a reader should know of how it was read."""

    source: str  # the path or address, or "memory"
    format: str  # csv | parquet | jsonl | ipc | excel | memory …
    digest: Digest = ""  # of the file's own bytes
    size_bytes: int = 0
    encoding: str = ""
    delimiter: str = ""
    member: str = ""  # the file inside the archive, the sheet of the workbook
    notes: tuple[str, ...] = ()
    bad_rows: pl.DataFrame | None = None  # the rows in which a cell could not be read, as text
    bad_cells: tuple[BadCell, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what is recorded of this source, JSON-able."""
        facts: dict[str, Any] = {"path": self.source, "format": self.format, "digest": self.digest, "size_bytes": self.size_bytes}
        facts.update({k: v for k, v in (("encoding", self.encoding), ("delimiter", self.delimiter), ("member", self.member)) if v})
        return facts | ({"notes": list(self.notes)} if self.notes else {})
