"""Bringing data in: from files and from memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampan.core.digests import digest_stream, digest_value, short
from sampan.core.events import VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.core.refs import check_name, nearest
from sampan.errors import ParameterError
from sampan.workspace.data_answers import Added
from sampan.workspace.data_contracts import shown_path
from sampan.workspace.data_room import KIND, PROFILE, DataRoom, Names
from sampan.workspace.operation import operation
from sampan.workspace.privacy import actions_digest, protect

if TYPE_CHECKING:
    from sampan.table.sources import Loaded, SourceForm

_READING = 1  # raise when the same bytes would be read as another table


class Intake(DataRoom):
    """The verbs that bring data in."""

    @operation(local=True)
    def add(
        self,
        source: Path,
        *,
        name: str = "",
        key: Names | None = None,
        time: str = "",
        owner: str = "",
        description: str = "",
        encoding: str = "",
        delimiter: str = "",
        nulls: Names | None = None,
        types: dict[str, str] | None = None,
    ) -> Added:
        """Add a file as a dataset's new version; the same content again changes nothing.

        Parameters
        ----------
        source : CSV or TSV (plain, gzip, zip, zstd), Parquet or JSON lines; or the name of a dataset in sampan.toml
        name : the dataset's name; by default the file's
        key : the columns that name a row
        time : the column that says when a row happened
        owner : who answers for the data
        description : what it is, in a sentence
        encoding : where it is not UTF-8
        delimiter : where it cannot be told from the first lines
        nulls : the words that mean "missing"
        types : a column's type where it must not be found out, e.g. zip=text
        """
        from sampan.table.sources import SourceForm
        from sampan.table.types import NULL_SPELLINGS

        declared = self.ws.project.datasets.get(name or str(source))
        path = self.ws.root / declared.source if declared and not source.exists() else source
        name = check_name(name or (str(source) if declared else path.name.partition(".")[0]))
        declared = declared or self.ws.project.datasets.get(name)
        facts = _asset_facts(
            key=key or (list(declared.key) if declared else []),
            time=time or (declared.time if declared else ""),
            owner=owner or (declared.owner if declared else ""),
            description=description or (declared.description if declared else ""),
        )
        spellings = NULL_SPELLINGS if nulls is None else ("", *nulls)
        form = SourceForm(encoding=encoding, delimiter=delimiter, null_values=spellings, types=types or {})
        return self._add_file(name, path, form, facts)

    def add_table(self, data: Any, *, name: str, key: Names | None = None, time: str = "", owner: str = "", description: str = "") -> Added:
        """Add a table from memory (Polars, pandas, Arrow, a dict of columns) as a dataset's new version."""
        from sampan.table.sources import read_source

        loaded = read_source(data)
        facts = _asset_facts(key=key or [], time=time, owner=owner, description=description)
        return self._commit(check_name(name), loaded, facts, read="")

    def _add_file(self, name: str, path: Path, form: SourceForm, facts: dict[str, Any]) -> Added:
        from sampan.table.sources import check_file, read_source

        check_file(path)
        with path.open("rb") as stream:
            bytes_digest, _ = digest_stream(stream)
        declared = [form.encoding, form.delimiter, list(form.null_values), dict(form.types)]
        protected = actions_digest(self.ws, name)
        read = digest_value([_READING, bytes_digest, path.suffixes, declared, *([protected] if protected else [])])
        newest = self._newest(name)
        if newest is not None and newest.facts.get("read") == read:
            # The same bytes, read the same way, are the same table: no need to read them.
            _check_columns(newest.facts["columns"], facts)
            self._describe(name, facts)
            return self._answer(newest, unchanged=True, notes=tuple(newest.facts.get("notes", ())))
        return self._commit(name, read_source(path, form=form, progress=self.ws.progress), facts, read=read)

    def _commit(self, name: str, loaded: Loaded, facts: dict[str, Any], *, read: str) -> Added:
        frame = protect(self.ws, name, loaded.frame)
        _check_columns({column: str(dtype) for column, dtype in frame.schema.items()}, facts)
        tables = self.ws.store.tables
        adopts = loaded.format == "parquet" and not loaded.member and frame is loaded.frame
        version = tables.adopt(Path(loaded.source)) if adopts else tables.create(frame)
        newest = self._newest(name)
        if newest is not None and newest.digest == version.digest:
            self._describe(name, facts)
            return self._answer(newest, unchanged=True, notes=loaded.notes)
        recorded: dict[str, Any] = {
            "source": shown_path(self.ws, Path(loaded.source)) if loaded.digest else loaded.source,
            "source_digest": loaded.digest,
            "read": read,
            "format": loaded.format,
            "n_rows": version.n_rows,
            "columns": version.columns,
            PROFILE: self._record_profile(version.digest, after=newest),
        }
        for fact in ("encoding", "delimiter", "member"):
            if getattr(loaded, fact):
                recorded[fact] = getattr(loaded, fact)
        if loaded.notes:
            recorded["notes"] = list(loaded.notes)
        event = VersionCommitted(node=new_id(), kind=KIND, name=name, digest=version.digest, size=version.size_bytes, facts=recorded)
        self.ws.ledger.append(event)
        self._describe(name, facts)
        return self._answer(self.ws.catalog.node(event.node), unchanged=False, notes=loaded.notes)

    def _answer(self, node: Node, *, unchanged: bool, notes: tuple[str, ...]) -> Added:
        return Added(
            ref=node.ref,
            unchanged=unchanged,
            n_rows=node.facts["n_rows"],
            n_columns=len(node.facts["columns"]),
            source=str(node.facts["source"]),
            digest=short(node.digest),
            notes=(*notes, *self._key_notes(node)),
            next=self._towards_check(node.name),
        )

    def _key_notes(self, node: Node) -> tuple[str, ...]:
        """Say at once where the columns that should name a row do not: a contract would say so later, a comparison not at all."""
        key = self.ws.catalog.asset(KIND, node.name).facts.get("key", [])
        if not key or not set(key) <= set(node.facts["columns"]):
            return ()

        def count() -> int:
            keys = self.ws.store.tables.scan(node.digest).select(key).collect()
            return int(keys.is_duplicated().sum())

        n_shared, _ = self.ws.engine.once("key", [node.digest, key], count)
        return (f"{n_shared:,} rows share their key {' + '.join(key)} with another; --key names other columns",) if n_shared else ()


def _asset_facts(*, key: list[str], time: str, owner: str, description: str) -> dict[str, Any]:
    return {"key": key, "time": time, "owner": owner, "description": description}


def _check_columns(types: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Refuse a key or time that the table does not have."""
    for what, columns in (("key", facts["key"]), ("time", [facts["time"]] if facts["time"] else [])):
        for column in columns:
            if column not in types:
                close = nearest(column, types)
                hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join([*types][:20])
                raise ParameterError(f"{what}: there is no column {column!r}", hint=hint)
    if facts["time"] and not types[facts["time"]].startswith("Date"):
        said = f"time: column {facts['time']!r} is {types[facts['time']]}, not a timestamp or date"
        raise ParameterError(said, hint="write times as 2013-01-01T06:00:00Z")
