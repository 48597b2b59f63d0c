"""Folders of files: what their pictures, recordings and texts are like."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import ParameterError
from sampan.workspace.data.media_answers import MediaShown
from sampan.workspace.data.room import KIND, PROFILE, DataRoom
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    import polars as pl

_READING = 1  # raise when the same files would give other statistics
_NEEDED = ("path", "file", "type", "size_bytes")


class Media(DataRoom):
    """The verbs of folders of files."""

    @operation()
    def media(self, ref: str) -> MediaShown:
        """Look into a folder's pictures, recordings and texts: sizes, brightness, blur, silence, languages, near-duplicates.

        What is found of each file becomes a dataset of its own, NAME-media, for the other verbs: profile, explore, head.

        Parameters
        ----------
        ref : a dataset that was added from a folder
        """
        from sampan.data.media import find_notices, summarize

        node = self._readable(ref)
        if missing := [name for name in _NEEDED if name not in node.facts["columns"]]:
            hint = "sampan data add FOLDER makes such a table of a folder's files"
            raise ParameterError(f"{node.ref} is no table of files: it has no column {', '.join(missing)}", hint=hint)
        recorded, _ = self.ws.engine.once("media", [_READING, node.digest, node.name], lambda: self._record_files(node))
        made = self.ws.catalog.node(recorded)
        frame = self.ws.store.tables.read(made.digest)
        return MediaShown(
            ref=node.ref,
            table=made.ref,
            n_files=frame.height,
            kinds=summarize(frame),
            notices=find_notices(frame),
            next=(f"sampan data profile {quote(made.ref)}",),
        )

    def _record_files(self, node: Node) -> str:
        frame = self._read_files(self.ws.store.tables.scan(node.digest).select(_NEEDED).collect())
        version = self.ws.store.tables.create(frame)
        event = VersionCommitted(
            node=new_id(),
            kind=KIND,
            name=f"{node.name}-media",
            digest=version.digest,
            size=version.size_bytes,
            facts={
                "source": f"the files of {node.ref}",
                "format": "media",
                "n_rows": version.n_rows,
                "columns": version.columns,
                PROFILE: self._record_profile(version.digest),
            },
            inputs=(Input(node.id, "derived_from"),),
        )
        self.ws.ledger.append(event)
        self._describe(f"{node.name}-media", {"key": ["path"], "description": f"what the files of {node.name} are like"})
        return event.node

    def _read_files(self, files: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        from sampan.data.media import SCHEMA, read_file, with_near_duplicates

        rows = []
        with self.ws.progress.stage("looking into files", total=files.height, unit="files") as stage:
            for row in files.iter_rows(named=True):
                rows.append({**row, **read_file(self.ws.store.blobs.read(row["file"]), row["type"])})
                stage.advance(1)
        return with_near_duplicates(pl.DataFrame(rows, schema=SCHEMA))
