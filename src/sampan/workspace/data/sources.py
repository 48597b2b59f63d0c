"""Sources as a person names them: a file, a folder, an address, a query; and how they are declared in `sampan.toml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import msgspec

from sampan.core.digests import digest_bytes
from sampan.errors import ParameterError
from sampan.workspace.options import filled

if TYPE_CHECKING:
    from sampan.core.project import DatasetSource
    from sampan.table.account import Account
    from sampan.table.csv import Take
    from sampan.table.source_form import SourceForm
    from sampan.workspace.workspace import Workspace

Taken = TypeVar("Taken")


class Reading(TypedDict, total=False):
    """How a source is read; what is left out is as the project file declares, else found out.

    Parameters
    ----------
    encoding : where it is not found out right
    delimiter : where it is not found out right
    decimal : the decimal sign of numbers, where it is not found out right
    thousands : the mark between thousands, where it is not found out right
    nulls : the words that mean "missing"
    types : a column's type where it must not be found out, e.g. zip=text or day=date:%d/%m/%Y
    sheet : the sheet of a workbook
    header : the line that names the columns, from 1, where it is not found out right; none where no line does
    """

    encoding: str
    delimiter: str
    decimal: str
    thousands: str
    nulls: list[str] | None
    types: dict[str, str] | None
    sheet: str
    header: str


def form_of(reading: Reading, declared: DatasetSource | None, *, expected: Mapping[str, str] | None = None) -> SourceForm:
    """Join what is said now with what the project file declares; what is said now wins."""
    from sampan.table.source_form import NULL_SPELLINGS, SourceForm

    said = filled(Reading, reading)
    nulls = said["nulls"] if said["nulls"] is not None else (declared.nulls if declared else ())
    return SourceForm(
        encoding=said["encoding"] or (declared.encoding if declared else ""),
        delimiter=said["delimiter"] or (declared.delimiter if declared else ""),
        decimal=said["decimal"] or (declared.decimal if declared else ""),
        thousands=said["thousands"] or (declared.thousands if declared else ""),
        sheet=said["sheet"] or (declared.sheet if declared else ""),
        header=said["header"] or (declared.header if declared else ""),
        null_values=NULL_SPELLINGS if not nulls and said["nulls"] is None else ("", *nulls),
        types={**(declared.types if declared else {}), **(said["types"] or {})},
        expected=expected or {},
    )


def read_from(ws: Workspace, source: Path, form: SourceForm, take: Take[Taken], *, query: str = "") -> tuple[Taken, Account]:
    """Read a source of any kind but a folder.

    Raises
    ------
    ParameterError : a query without a database, or the other way round.
    """
    from sampan.table.addresses import address_of, is_database, without_secrets
    from sampan.table.sources import stream_source

    address = address_of(source)
    if is_database(address) != bool(query):
        hint = "for instance --query 'select * from flights'" if address else "name it as sqlite:///path or postgresql://user@host/name"
        raise ParameterError("a query needs a database, and a database a query", parameter="query", hint=hint)
    if query:
        return _ask(ws, address, query, form, take)
    with local_file(ws, source) as path:
        taken, account = stream_source(path, take=take, form=form, progress=ws.progress)
    return taken, msgspec.structs.replace(account, source=without_secrets(address)) if address else account


@contextmanager
def local_file(ws: Workspace, source: Path) -> Iterator[Path]:
    """Yield a source's file; one that is elsewhere is fetched for as long as the block lasts."""
    from sampan.table.addresses import address_of, fetched

    address = address_of(source)
    if not address:
        yield source
        return
    with fetched(address, ws.progress) as path:
        yield path


def _ask(ws: Workspace, address: str, query: str, form: SourceForm, take: Take[Taken]) -> tuple[Taken, Account]:
    from sampan.store.queries import read_query
    from sampan.table.account import Account
    from sampan.table.addresses import without_secrets
    from sampan.table.sources import take_pieces
    from sampan.table.spool import Spool

    # The query may hold values; only its digest is recorded.
    account = Account(source=without_secrets(address), format="query", member=digest_bytes(query.encode()))
    with Spool() as spool:
        with ws.progress.stage("asking the database", unit="rows") as stage:
            mixed = read_query(address, query, spool, stage)
        return take_pieces(spool, account, form, take, only=mixed)
