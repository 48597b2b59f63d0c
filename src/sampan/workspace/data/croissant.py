"""Datasets as Croissant: written for other tools and catalogues, and brought in from them."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import msgspec

from sampan.core.graph import Node
from sampan.core.refs import check_name
from sampan.core.times import iso
from sampan.errors import AlreadyExists, DataFormatError, IntegrityError, UsageError
from sampan.governance.terms import from_flat
from sampan.store.files import store_errors
from sampan.workspace.data.answers import Added
from sampan.workspace.data.croissant_answers import BroughtIn, CroissantWritten
from sampan.workspace.data.dataset_copies import copy_in_file
from sampan.workspace.data.publishing import VersionExported
from sampan.workspace.data.room import KIND, DataRoom
from sampan.workspace.governing.governance import Governance, require_allowed
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from sampan.data.croissant import DescriptionRead, Field, TableRead, Usage

FILE = "croissant.json"
_BLOCK = 1 << 20
_SAID = ("license", "conditions", "purposes", "not_for", "regions", "expires")  # terms that the standard has words for
_MORE = ("ask", "bases", "keep_days", "k", "pii", "protected", "column_purposes")


class Croissants(DataRoom):
    """The verbs of Croissant."""

    @operation(local=True)
    def to_croissant(self, ref: str, folder: Path, *, purpose: str = "", force: bool = False) -> CroissantWritten:
        """Write a version as a Parquet file with its Croissant 1.1 description: columns, key, label, origin, conditions of use.

        Parameters
        ----------
        folder : where croissant.json and the table go
        purpose : what it is taken out for; by default the project's purpose
        force : replace a description that is there
        """
        from sampan.data.croissant import VERSION, Described, write

        node = self._node(ref)
        target = folder / FILE
        if target.exists() and not force:
            raise AlreadyExists(f"{target} is there already", hint="choose another folder, or replace it with --force")
        require_allowed(self.ws, [node], purpose=purpose, columns=[*node.facts["columns"]], act="export")
        said = self.ws.catalog.asset(KIND, node.name).facts
        table = folder / f"{node.name}.parquet"
        with store_errors(folder), self.ws.progress.stage(f"writing {table.name}"):
            folder.mkdir(parents=True, exist_ok=True)
            self.ws.store.tables.scan(node.digest).sink_parquet(table, compression="zstd", compression_level=1)
        self.ws.ledger.append(VersionExported(node=node.id, copy=copy_in_file(table)))
        document = write(
            Described(
                name=node.name,
                version=node.version or 1,
                file=table.name,
                sha256=_sha256(table),
                size_bytes=table.stat().st_size,
                fields=self._fields(node, said),
                made=iso(node.created)[:10],
                description=str(said.get("description", "")),
                owner=Governance(self.ws).whole_terms(node).owner,
                key=tuple(said.get("key", ())),
                came_from=tuple(self.ws.catalog.node(e.src).ref for e in self.ws.catalog.edges_to(node.id) if e.role == "derived_from"),
                usage=self._usage(node),
            )
        )
        with store_errors(folder):
            target.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        return CroissantWritten(
            ref=node.ref,
            file=str(target),
            table=str(table),
            conforms_to=VERSION,
            n_fields=len(node.facts["columns"]),
            next=(f"sampan data from-croissant {quote(str(target))} --prefix copy-",),
        )

    @operation(local=True)
    def from_croissant(self, file: Path, *, prefix: str = "") -> BroughtIn:
        """Add the tables a Croissant description speaks of, with their key, types, owner and conditions of use.

        The files have to lie beside the description; their SHA-256 is compared.

        Parameters
        ----------
        file : the croissant.json
        prefix : put before the datasets' names
        """
        from sampan.data.croissant import read
        from sampan.table.source_form import check_file

        check_file(file)
        try:
            document: Any = msgspec.json.decode(file.read_bytes())
        except msgspec.DecodeError as cause:
            raise DataFormatError(f"{file} is not JSON: {cause}", source=str(file), hint="a Croissant description is JSON-LD") from cause
        described = read(document, file=str(file))
        places = [_located(file, table) for table in described.tables]
        added = [self._bring_in(described, t, place, prefix) for t, place in zip(described.tables, places, strict=True)]
        return BroughtIn(
            name=described.name,
            conforms_to=described.conforms_to,
            datasets=tuple(one.ref for one in added),
            left_out=described.left_out,
            next=tuple(f"sampan data card {quote(one.ref)}" for one in added[:1]),
        )

    def _fields(self, node: Node, said: dict[str, Any]) -> tuple[Field, ...]:
        from sampan.data.contract import Reference
        from sampan.data.croissant import Field

        contract = self.contracts.read(node.name)
        described = {column.name: column.description for column in contract.columns} if contract else {}
        refers = {
            r.columns[0]: (r.table, r.to_columns[0])
            for r in (contract.rules if contract else ())
            if isinstance(r, Reference) and len(r.columns) == 1
        }
        target = str((said.get("label") or {}).get("target", ""))
        return tuple(
            Field(
                name=name,
                type=str(dtype),
                description=described.get(name, ""),
                is_label=name == target,
                references=refers.get(name),
            )
            for name, dtype in node.facts["columns"].items()
        )

    def _usage(self, node: Node) -> Usage:
        from sampan.data.croissant import Usage

        terms = Governance(self.ws).whole_terms(node)
        columns = {name: column for name, column in terms.columns.items() if name in node.facts["columns"]}
        more = {
            "ask": terms.ask,
            "bases": terms.bases,
            "keep_days": terms.keep_days,
            "k": terms.k,
            "pii": {name: column.pii for name, column in columns.items() if column.pii},
            "protected": [name for name, column in columns.items() if column.protected],
            "column_purposes": {name: [*column.purposes] for name, column in columns.items() if column.purposes},
        }
        return Usage(
            license=terms.license,
            conditions=terms.conditions,
            purposes=terms.purposes,
            not_for=terms.not_for,
            regions=terms.regions,
            expires=terms.expires,
            personal=tuple(f"{name}: {column.pii}" for name, column in columns.items() if column.pii),
            more={field: value for field, value in more.items() if value},
        )

    def _bring_in(self, described: DescriptionRead, table: TableRead, place: Path, prefix: str) -> Added:
        from sampan.workspace.governing.policy import Policy

        plain = "".join("-" if ch in "@/\\" or ord(ch) < 32 else ch for ch in table.name).strip(" .-")
        name = check_name(f"{prefix}{plain}")
        kinds = table.kinds if table.format == "csv" else {}
        added = self.ws.data.add(place, name=name, key=list(table.key) or None, types=kinds or None)
        kept = [column for column in self._node(name).facts["columns"] if column in table.columns]
        if missing := [column for column in table.columns if column not in kept]:
            raise DataFormatError(
                f"{place} has no column {', '.join(missing)}", source=str(place), hint="the description is of another file"
            )
        if any(column != table.columns[column] for column in kept) or len(kept) < added.n_columns:
            frame = self.ws.store.tables.read(self._node(name).digest)
            added = self.ws.data.add_table(frame.select(kept).rename(table.columns), name=name)
        usage = described.usage
        if usage not in (type(usage)(), self._usage(self._node(name))):
            more = {field: usage.more[field] for field in _MORE if field in usage.more}
            terms = from_flat({**more, **{field: getattr(usage, field) for field in _SAID}})
            self.ws.room(Policy).say(name, terms, columns=self._node(name).facts["columns"])
        self._describe(name, {"owner": described.owner, "description": table.description or described.description})
        return added


def _located(file: Path, table: TableRead) -> Path:
    """Return the table's file beside the description, its content compared with what is said of it."""
    address = urlparse(table.location)
    if address.scheme not in ("", "file"):
        hint = f"fetch it, put it beside {file.name} and write its name as contentUrl"
        raise UsageError(f"{table.name} lies at {table.location}; no address is opened without being asked", hint=hint)
    place = (file.parent / unquote(address.path)).resolve()
    if not place.is_relative_to(file.parent.resolve()):
        raise UsageError(f"{table.name} lies outside the description's folder: {table.location}", hint="put the file beside it")
    if not place.is_file():
        raise DataFormatError(f"{file} speaks of {table.location}, which is not there", source=str(file), hint="put the file beside it")
    if table.sha256 and (found := _sha256(place)) != table.sha256.lower():
        raise IntegrityError(f"{place} is not the file {file} speaks of", expected=table.sha256, actual=found, hint="fetch it again")
    return place


def _sha256(path: Path) -> str:
    import hashlib

    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
