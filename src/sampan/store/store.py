"""A store: a folder and a database, and the parts that keep things in them."""

from __future__ import annotations

import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan import __version__
from sampan.errors import IntegrityError, NotFound, StoreUnavailable
from sampan.store.catalog import Catalog
from sampan.store.database import Database, open_database
from sampan.store.folding import Folding
from sampan.store.journals import Journals
from sampan.store.schema import migrate
from sampan.store.steps import Steps

if TYPE_CHECKING:
    from sampan.store.blobs import LocalBlobs
    from sampan.store.segments import Segments
    from sampan.store.tables import Tables

FORMAT = 1
SQLITE_FILE = "sampan.db"
FORMAT_FILE = "store.json"


class StoreFormat(msgspec.Struct, frozen=True):
    """What `store.json` says: how the folder is laid out, and which database belongs to it."""

    format: int
    store: str  # the store's id; the database holds the same
    database: str  # sqlite | postgresql
    program: str


class Store:
    """One store. Open it with `Store.open`; use it from any thread; close it, or leave its `with` block."""

    def __init__(self, root: Path, database: Database[Any]) -> None:
        self.root = root
        self.database = database
        self.journals = Journals(root / "journals")
        self.folding = Folding(database, self.journals)
        self.catalog = Catalog(database, fold=self.folding.fold)
        self.steps = Steps(database)

    @classmethod
    def open(cls, root: Path, *, database: str = "", create: bool = True) -> Store:
        """Open the store in a folder; make it if it is not there and `create`.

        `database` is empty for SQLite in the folder, or an address `postgresql://…`.

        Raises
        ------
        NotFound : there is no store and `create` is false.
        StoreUnavailable : folder or database cannot be used, or a newer program made them.
        IntegrityError : the folder and the database are of different stores.
        """
        root = Path(root).absolute()
        found = _read_format(root)
        if found is None and not create:
            raise NotFound(
                f"there is no store in {root}", hint="go to the project's folder, or begin one there with any command that writes"
            )
        opened = open_database(database or str(root / SQLITE_FILE))
        if found is not None and found.database != opened.dialect:
            raise StoreUnavailable(
                f"the store in {root} keeps its records in {found.database}, not in {opened.dialect}",
                hint="give the address of its database" if not database else "leave the address out",
            )
        try:
            _make_folder(root)
            migrate(opened)
            identity = _identity(opened, found.store if found else secrets.token_hex(16))
            if found is None:
                _write_format(root, StoreFormat(FORMAT, identity, opened.dialect, __version__))
            elif found.store != identity:
                raise IntegrityError(
                    f"the folder {root} and its database are of different stores",
                    expected=found.store,
                    actual=identity,
                    hint="give the right address",
                )
        except BaseException:
            opened.close()
            raise
        return cls(root, opened)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()

    # These bring Arrow and Polars with them, which most commands never need.

    @cached_property
    def blobs(self) -> LocalBlobs:
        """The store's files, by content."""
        from sampan.store.blobs import LocalBlobs

        return LocalBlobs(self.root)

    @cached_property
    def tables(self) -> Tables:
        """The store's tables, by content."""
        from sampan.store.tables import Tables

        return Tables(self.blobs)

    @cached_property
    def segments(self) -> Segments:
        """The store's prediction logs."""
        from sampan.store.segments import Segments

        return Segments(self.root)


def _read_format(root: Path) -> StoreFormat | None:
    try:
        found = msgspec.json.decode((root / FORMAT_FILE).read_bytes(), type=StoreFormat)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise StoreUnavailable(
            f"the store in {root} cannot be read: {cause.strerror}", hint="check the folder and your right to read it"
        ) from cause
    except msgspec.MsgspecError as cause:
        raise IntegrityError(f"{root / FORMAT_FILE} is damaged: {cause}", hint="restore it from a backup") from cause
    if found.format > FORMAT:
        raise StoreUnavailable(
            f"the store in {root} has format {found.format}, made by sampan {found.program};"
            f" this is sampan {__version__}, which knows format {FORMAT}",
            hint=f"upgrade sampan to {found.program} or newer",
        )
    return found


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StoreUnavailable(f"the folder {root} cannot be made: {cause.strerror}", hint="choose a folder you may write in") from cause


def _write_format(root: Path, described: StoreFormat) -> None:
    draft = root / f"{FORMAT_FILE}.{os.getpid()}"
    try:
        with draft.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(root / FORMAT_FILE)
    except OSError as cause:
        raise StoreUnavailable(
            f"{root} cannot be written: {cause.strerror}", hint="choose a folder you may write in, with space left"
        ) from cause


def _identity(database: Database[Any], proposed: str) -> str:
    """Return the id noted in the database; note the proposed one in a new database."""
    with database.read() as session:
        row = session.one("select value from meta where key = 'store'")
    if row is None:
        with database.write() as session:
            session.run("insert into meta(key, value) values ('store', ?) on conflict do nothing", proposed)
            row = session.one("select value from meta where key = 'store'")
    assert row is not None
    identity: str = row[0]
    return identity
