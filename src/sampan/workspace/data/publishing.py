"""Taking a version out: published as a Delta table for other programs, or exported as one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, ClassVar

from sampan.core.changes import Change, SetTag
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.errors import AlreadyExists, ParameterError
from sampan.store.files import store_errors
from sampan.workspace.data.dataset_copies import CopyNoted, copy_in_file
from sampan.workspace.data.leaks import read_expression
from sampan.workspace.data.room import DataRoom, Names
from sampan.workspace.data.versions_answers import Exported, Published
from sampan.workspace.governing.governance import require_allowed
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    import polars as pl


class VersionPublished(Event, frozen=True, kw_only=True):
    """A dataset version was written where other programs read it."""

    type: ClassVar[str] = "version_published"

    node: NodeId
    where: str
    format: str = "delta"
    copy: CopyNoted | None = None  # None in ledgers from before copies were noted

    def subject(self) -> NodeId:
        """Return the version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Note the place on the version, and the copy."""
        noted = self.copy.changes(self.node) if self.copy else ()
        return (SetTag(node=self.node, key="published", value=self.where), *noted)


class VersionExported(Event, frozen=True, kw_only=True):
    """Rows of a dataset version were written as a file."""

    type: ClassVar[str] = "version_exported"

    node: NodeId
    copy: CopyNoted

    def subject(self) -> NodeId:
        """Return the version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Note the copy."""
        return self.copy.changes(self.node)


class Publishing(DataRoom):
    """The verbs that take a version out."""

    @operation(local=True)
    def publish(self, ref: str, folder: Path) -> Published:
        """Publish a version as a Delta table that Polars, delta-rs, DuckDB, Spark and Trino read; files are shared with the store.

        Publishing another version to the same folder makes it that table's newest; readers see one or the other, never half.

        Parameters
        ----------
        ref : the version
        folder : a folder of its own
        """
        node = self._node(ref)
        require_allowed(self.ws, [node], columns=[*node.facts["columns"]], act="export")
        with self.ws.progress.stage(f"publishing {node.ref}"):
            made = self.ws.store.tables.publish(node.digest, folder.absolute(), ref=node.ref, now=self.ws.clock())
        if made.is_new:
            noted = CopyNoted(where=str(folder.absolute()), format="delta")
            self.ws.ledger.append(VersionPublished(node=node.id, where=noted.where, copy=noted))
        return Published(
            ref=node.ref,
            folder=str(folder),
            format="delta",
            n_rows=node.facts["n_rows"],
            n_files=made.n_files,
            n_written=made.n_written,
            size_bytes=made.size_bytes,
            delta_version=made.version,
            next=(f"sampan lineage {quote(node.ref)}",),
        )

    @operation(local=True)
    def export(self, ref: str, file: Path, *, columns: Names | None = None, where: str = "", force: bool = False) -> Exported:
        """Write a version's rows as one file; its name says the format: .parquet, .csv, .tsv, .jsonl or .arrow.

        Parameters
        ----------
        ref : the version
        file : the file to write
        columns : only these, in this order
        where : only the rows for which a condition is true, e.g. "month = 7"
        force : replace a file that is there
        """
        node = self._node(ref)
        writer = _writer(file)
        if file.exists() and not force:
            raise AlreadyExists(f"{file} is there already", hint="choose another name, or replace it with --force")
        require_allowed(self.ws, [node], columns=columns or [*node.facts["columns"]], act="export")
        frame = self.ws.store.tables.scan(node.digest)
        if where:
            frame = frame.filter(read_expression(where))
        if columns:
            frame = frame.select(columns)
        with self.ws.progress.stage(f"writing {file.name}"):
            n_rows, n_columns = _write_whole(frame, file, writer)
        self.ws.ledger.append(VersionExported(node=node.id, copy=copy_in_file(file)))
        size = file.stat().st_size
        following = (f"sampan data publish {quote(node.ref)} FOLDER",)
        return Exported(ref=node.ref, file=str(file), n_rows=n_rows, n_columns=n_columns, size_bytes=size, next=following)


Writer = Callable[["pl.LazyFrame", Path], None]


def _writer(file: Path) -> Writer:
    """Return what writes files of this name's format."""
    writers: dict[str, Writer] = {
        ".parquet": lambda frame, path: frame.sink_parquet(path, compression="zstd", compression_level=1),
        ".csv": lambda frame, path: frame.sink_csv(path),
        ".tsv": lambda frame, path: frame.sink_csv(path, separator="\t"),
        ".jsonl": lambda frame, path: frame.sink_ndjson(path),
        ".arrow": lambda frame, path: frame.sink_ipc(path),
    }
    found = writers.get(file.suffix.lower())
    if found is None:
        raise ParameterError(f"{file.name} says no format", hint="end its name with " + ", ".join(writers))
    return found


def _write_whole(frame: pl.LazyFrame, file: Path, writer: Writer) -> tuple[int, int]:
    """Write a file, whole or not at all; return its rows and columns. Raises ParameterError for what cannot be computed or written."""
    import polars as pl

    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with store_errors(file, is_own=False):
        try:
            counted = frame.select(pl.len()).collect(engine="streaming").item(), len(frame.collect_schema())
            writer(frame, draft)
            draft.replace(file)
        except pl.exceptions.PolarsError as cause:
            raise ParameterError(
                f"cannot write {file}: {str(cause).splitlines()[0]}", hint="check columns and condition; nested ones need .parquet"
            ) from cause
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    return counted
