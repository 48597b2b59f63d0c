"""Bringing data in: from files, folders, addresses, queries and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sampan.core.digests import digest_stream, digest_value, short
from sampan.core.events import Event, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.core.refs import check_name, nearest
from sampan.errors import ParameterError
from sampan.workspace.data.answers import Added
from sampan.workspace.data.contracts import shown_path
from sampan.workspace.data.derivation import made_here
from sampan.workspace.data.quarantine import REASONS, HeldCell, Quarantine
from sampan.workspace.data.room import KIND, PROFILE, DataRoom, Names
from sampan.workspace.data.sources import Reading, form_of, local_file, read_from
from sampan.workspace.governing.governance import Governance
from sampan.workspace.governing.privacy import actions_digest, protect, protect_held
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables import TableVersion
    from sampan.table.account import Account
    from sampan.table.source_form import SourceForm

_READING = 3  # raise when the same bytes would be read as another table


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
        query: str = "",
        **reading: Unpack[Reading],
    ) -> Added:
        """Add a source as a dataset's new version; the same content again changes nothing.

        How it is written (encoding, delimiter, decimal sign, dates …) is found out and said; what you declare wins. A row with a cell that
        is not of its column's type waits in quarantine, the others go on.

        Parameters
        ----------
        source : CSV or TSV (plain, gzip, zip, zstd, bzip2, xz), JSON lines, Parquet, Arrow, Excel; a folder of files; an address (https://,
            s3://); a database (sqlite:///, postgresql://) with --query; or the name of a dataset in sampan.toml
        name : the dataset's name; by default the file's
        key : the columns that name a row
        time : the column that says when a row happened
        owner : who answers for the data
        description : what it is, in a sentence
        query : what to ask a database
        """
        from sampan.table.addresses import address_of

        declared = self.ws.project.datasets.get(name or str(source))
        name = check_name(name or (str(source) if declared else source.name.partition(".")[0]))
        if declared and not source.exists():
            source = Path(declared.source) if address_of(declared.source) else self.ws.root / declared.source
        declared = declared or self.ws.project.datasets.get(name)
        facts = _asset_facts(
            key=key or (list(declared.key) if declared else []),
            time=time or (declared.time if declared else ""),
            owner=owner or (declared.owner if declared else ""),
            description=description or (declared.description if declared else ""),
        )
        Governance(self.ws).require_handover(name, facts["owner"])
        if not address_of(source) and source.is_dir():
            return self._add_folder(name, source, facts)
        query = query or (declared.query if declared else "")
        return self._add_source(name, source, form_of(reading, declared), facts, query)

    def add_table(self, data: Any, *, name: str, key: Names | None = None, time: str = "", owner: str = "", description: str = "") -> Added:
        """Add a table from memory (Polars, pandas, Arrow, a dict of columns) as a dataset's new version."""
        from sampan.table.sources import stream_source

        facts = _asset_facts(key=key or [], time=time, owner=owner, description=description)
        Governance(self.ws).require_handover(name, owner)
        version, account = stream_source(data, take=self._take(check_name(name), facts))
        return self._commit(name, version, account, facts, read="")

    def _add_source(self, name: str, source: Path, form: SourceForm, facts: dict[str, Any], query: str) -> Added:
        from sampan.table.addresses import address_of, is_database

        address = address_of(source)
        if query or is_database(address):
            version, account = read_from(self.ws, source, form, self._take(name, facts), query=query)
            return self._commit(name, version, account, facts, read="")
        if address:
            with local_file(self.ws, source) as path:
                return self._add_file(name, path, form, facts, origin=source)
        return self._add_file(name, source, form, facts)

    def _add_folder(self, name: str, folder: Path, facts: dict[str, Any]) -> Added:
        from sampan.table.account import Account
        from sampan.workspace.data import file_tables

        table = file_tables.FileTable(self.ws, folder, name)
        facts = {**facts, "key": facts["key"] or file_tables.KEY}
        _check_columns(file_tables.COLUMNS, facts)
        files = table.take()
        newest = self._newest(name)
        version, contents = table.version(files, newest.digest if newest else None)
        also = {"contents": contents, "n_bytes": files.size_bytes()}
        account = Account(source=str(folder), format="folder", size_bytes=files.size_bytes())
        if actions_digest(self.ws, name):
            # Personal data in the files' names is treated as that of any table is.
            frame = self.ws.store.tables.read(version.digest)
            version = self._take(name, facts)(frame.schema, iter([frame]))
            return self._commit(name, version, account, facts, read="", also=also)
        # No profile: it is made when somebody looks, since it would take longer than all of this.
        return self._commit(name, version, account, facts, read="", also=also, known={"columns": file_tables.COLUMNS})

    def _add_file(self, name: str, path: Path, form: SourceForm, facts: dict[str, Any], *, origin: Path | None = None) -> Added:
        from sampan.table.addresses import address_of, without_secrets
        from sampan.table.source_form import check_file

        check_file(path)
        newest, said = self._newest(name), [form.declared(), actions_digest(self.ws, name)]
        if newest is not None:
            with path.open("rb") as stream:
                read = _read_of(digest_stream(stream)[0], path, said)
            if newest.facts.get("read") == read:
                # The same bytes, read the same way, are the same table: no need to read them.
                _check_columns(newest.facts["columns"], facts)
                self._describe(name, facts)
                return self._answer(newest, unchanged=True, notes=tuple(newest.facts.get("notes", ())))
        if not form.types and self._adopts(path, name):
            version, account = self._adopt(path, facts)
        else:
            from sampan.table.sources import stream_source  # brings the table library, which bytes that are known do not need

            version, account = stream_source(path, take=self._take(name, facts), form=form, progress=self.ws.progress)
        shown = without_secrets(address_of(origin)) if origin is not None else ""
        return self._commit(name, version, account, facts, read=_read_of(account.digest, path, said), shown=shown)

    def _adopts(self, path: Path, name: str) -> bool:
        """Say whether a file is Parquet whose bytes can be taken as they are."""
        with path.open("rb") as stream:
            return stream.read(4) == b"PAR1" and not actions_digest(self.ws, name)

    def _adopt(self, path: Path, facts: dict[str, Any]) -> tuple[TableVersion, Account]:
        from sampan.table.account import Account

        version = self.ws.store.tables.adopt(path)
        _check_columns(version.columns, facts)
        digest = self.ws.store.tables.parts(version.digest)[0].base
        return version, Account(source=str(path), format="parquet", digest=digest, size_bytes=path.stat().st_size)

    def _take(self, name: str, facts: Mapping[str, Any]) -> _Taking:
        return _Taking(self, name, facts)

    def _commit(
        self,
        name: str,
        version: TableVersion,
        account: Account,
        facts: dict[str, Any],
        *,
        read: str,
        shown: str = "",
        also: Mapping[str, Any] | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> Added:
        newest = self._newest(name)
        if newest is not None and newest.digest == version.digest:
            self._describe(name, facts)
            return self._answer(newest, unchanged=True, notes=account.notes)
        is_path = account.source not in ("", "memory") and "://" not in account.source
        recorded: dict[str, Any] = {
            "source": shown or (shown_path(self.ws, Path(account.source)) if is_path else account.source),
            "source_digest": account.digest,
            "read": read,
            "format": account.format,
            "n_rows": version.n_rows,
            **(known or {"columns": version.columns, PROFILE: self._record_profile(version.digest, after=newest)}),
            **(also or {}),
        }
        for fact in ("encoding", "delimiter", "member"):
            if getattr(account, fact):
                recorded[fact] = getattr(account, fact)
        if account.notes:
            recorded["notes"] = list(account.notes)
        event = VersionCommitted(
            node=new_id(),
            kind=KIND,
            name=name,
            digest=version.digest,
            size=version.size_bytes,
            facts=recorded,
            inputs=made_here(self.ws, account.digest),
        )
        holding = list(self._hold(name, account, event.node))
        self.ws.ledger.append(event, *holding)
        self._describe(name, facts)
        node = self.ws.catalog.node(event.node)
        held = tuple(self.ws.catalog.node(held.subject()).ref for held in holding)
        return self._answer(node, unchanged=False, notes=account.notes, held=held)

    def _hold(self, name: str, account: Account, version: str) -> Iterator[Event]:
        """Hold the rows in which a cell could not be read, in the transaction that commits the others."""
        if account.bad_rows is None:
            return
        shown = shown_path(self.ws, Path(account.source)) if "://" not in account.source else account.source
        cells = [HeldCell(c.row, c.column, c.value, c.reason, shown, c.line) for c in account.bad_cells]
        rows, kept = protect_held(self.ws, name, account.bad_rows, cells)
        yield Quarantine(self.ws).stage(name, rows, kept, batch=version, why="cells could not be read")

    def _answer(self, node: Node, *, unchanged: bool, notes: tuple[str, ...], held: tuple[str, ...] = ()) -> Added:
        following = (f"sampan data quarantine {held[0]}",) if held else ()
        return Added(
            ref=node.ref,
            unchanged=unchanged,
            n_rows=node.facts["n_rows"],
            n_columns=len(node.facts["columns"]),
            source=str(node.facts["source"]),
            digest=short(node.digest),
            notes=(*notes, *self._key_notes(node)),
            next=(*following, *self._towards_check(node.name)),
        )

    def _key_notes(self, node: Node) -> tuple[str, ...]:
        """Say at once where the columns that should name a row do not: a contract would say so later, a comparison not at all."""
        key = self.ws.catalog.asset(KIND, node.name).facts.get("key", [])
        if not key or not set(key) <= set(node.facts["columns"]) or (node.facts["format"], key) == ("folder", ["path"]):
            return ()

        def count() -> int:
            keys = self.ws.store.tables.scan(node.digest).select(key).collect()
            return int(keys.is_duplicated().sum())

        n_shared, _ = self.ws.engine.once("key", [node.digest, key], count)
        return (f"{n_shared:,} rows share their key {' + '.join(key)} with another; --key names other columns",) if n_shared else ()


class _Taking:
    """Takes a table's rows into the store: piece by piece, or (where personal data is treated on the way in) as a whole."""

    def __init__(self, room: DataRoom, name: str, facts: Mapping[str, Any]) -> None:
        self.room, self.name, self.facts = room, name, facts

    def __call__(self, schema: pl.Schema, frames: Iterator[pl.DataFrame]) -> TableVersion:
        from sampan.store.tables.parts import Pieces
        from sampan.table.csv import gather

        ws = self.room.ws
        if actions_digest(ws, self.name):
            frame = protect(ws, self.name, gather(schema, frames))
            _check_columns({column: str(dtype) for column, dtype in frame.schema.items()}, self.facts)
            return ws.store.tables.create(frame)
        _check_columns({column: str(dtype) for column, dtype in schema.items()}, self.facts)
        return ws.store.tables.create(Pieces(schema, frames))


def _read_of(digest: str, path: Path, said: list[Any]) -> str:
    """Digest what makes a table: the bytes, and how they are read."""
    return digest_value([_READING, digest, path.suffixes, said])


def _asset_facts(*, key: list[str], time: str, owner: str, description: str) -> dict[str, Any]:
    return {"key": key, "time": time, "owner": owner, "description": description}


def _check_columns(types: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Refuse a table without columns, one whose rows quarantine could not hold, and a key or time that it does not have."""
    if not types:
        raise ParameterError("the table has no columns", hint="give one with at least a column")
    if REASONS in types:
        raise ParameterError(f"a column is called {REASONS!r}, as that of the reasons in quarantine is", hint="give it another name")
    for what, columns in (("key", facts["key"]), ("time", [facts["time"]] if facts["time"] else [])):
        for column in columns:
            if column not in types:
                close = nearest(column, types)
                hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join([*types][:20])
                raise ParameterError(f"{what}: there is no column {column!r}", hint=hint)
    if facts["time"] and not types[facts["time"]].startswith("Date"):
        said = f"time: column {facts['time']!r} is {types[facts['time']]}, not a timestamp or date"
        raise ParameterError(said, hint="write times as 2013-01-01T06:00:00Z")
