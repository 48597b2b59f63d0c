"""A store: a folder and a database, and the parts that keep things in them."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan import __version__
from sampan.core.decoding import read_json
from sampan.errors import IntegrityError, NotFound, StoreUnavailable
from sampan.store.catalog import Catalog
from sampan.store.database import Database, open_database
from sampan.store.files import Batch, store_errors
from sampan.store.folding import Folding
from sampan.store.journals import Journals
from sampan.store.places import S3Place
from sampan.store.schema import migrate
from sampan.store.steps import Steps

if TYPE_CHECKING:
    from sampan.store.blobs import LocalBlobs
    from sampan.store.run_columns import RunColumns
    from sampan.store.segments import Segments
    from sampan.store.tables import Tables

FORMAT = 2  # 1 where all content lies in the folder
SQLITE_FILE = "sampan.db"
FORMAT_FILE = "store.json"


class StoreFormat(msgspec.Struct, frozen=True):
    """What `store.json` says: how the folder is laid out, and which database belongs to it."""

    format: int
    store: str  # the store's id; the database holds the same
    database: str  # sqlite | postgresql
    program: str
    blobs: S3Place | None = None  # None: content lies in the folder


class Store:
    """One store. Open it with `Store.open`; use it from any thread; close it, or leave its `with` block."""

    def __init__(self, root: Path, database: Database[Any], remote: S3Place | None = None) -> None:
        self.root = root
        self.database = database
        self.remote = remote
        self.journals = Journals(root / "journals")
        self.folding = Folding(database, self.journals)
        self.catalog = Catalog(database, fold=self.folding.fold, fold_all=self.folding.fold_all)
        self.steps = Steps(database)

    @classmethod
    def open(cls, root: Path, *, database: str = "", blobs: S3Place | None = None, create: bool = True) -> Store:
        """Open the store in a folder; make it if it is not there and `create`.

        `database` is empty for SQLite in the folder, or an address `postgresql://…`. `blobs` says where in S3 a new store keeps its
        content; the folder remembers it, and is the cache.

        Raises
        ------
        NotFound : there is no store and `create` is false.
        StoreUnavailable : folder, database or bucket cannot be used, or a newer program made them.
        IntegrityError : the folder, the database and the bucket are of different stores.
        """
        root = Path(root).absolute()
        found = _read_format(root)
        if found is None and not create:
            hint = "go to the project's folder, or begin one there with any command that writes"
            raise NotFound(f"there is no store in {root}", hint=hint)
        with store_errors(root):
            root.mkdir(parents=True, exist_ok=True)
        opened = open_database(database or str(root / SQLITE_FILE))
        try:
            made = _match(root, opened, found, blobs)
        except BaseException:
            opened.close()
            raise
        return cls(root, opened, made.blobs)

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

        if self.remote is None:
            return LocalBlobs(self.root)
        from sampan.store.s3 import S3Blobs

        return S3Blobs(self.root, self.remote)

    @cached_property
    def tables(self) -> Tables:
        """The store's tables, by content."""
        from sampan.store.tables import Tables

        return Tables(self.blobs, cache=self.root / "cache" / "tables")

    @cached_property
    def run_columns(self) -> RunColumns:
        """What searches ask of the store's runs."""
        from sampan.store.run_columns import RunColumns

        return RunColumns(self.database)

    @cached_property
    def segments(self) -> Segments:
        """The store's prediction logs."""
        from sampan.store.segments import Segments

        return Segments(self.root)


def _read_format(root: Path) -> StoreFormat | None:
    try:
        found = read_json((root / FORMAT_FILE).read_bytes(), StoreFormat)
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


def _match(root: Path, database: Database[Any], found: StoreFormat | None, blobs: S3Place | None) -> StoreFormat:
    """Bring the database up to date, and see that it and the folder belong together; a new folder takes the database's store."""
    if found is not None and found.database != database.dialect:
        raise StoreUnavailable(
            f"the store in {root} keeps its records in {found.database}, not in {database.dialect}",
            hint="leave the database's address out" if found.database == "sqlite" else "give the address of its database",
        )
    migrate(database)
    identity = _identity(database, found.store if found else os.urandom(16).hex())
    if found is None:
        described = StoreFormat(FORMAT if blobs else 1, identity, database.dialect, __version__, _first_use(blobs, identity))
        _write_format(root, described)
        return described
    if found.store != identity:
        raise IntegrityError(
            f"the folder {root} and its database are of different stores",
            expected=found.store,
            actual=identity,
            hint="give the address of the folder's own database",
        )
    if blobs is not None and (changed := _reached(root, found, blobs)) != found:
        _write_format(root, changed)
        return changed
    return found


def _write_format(root: Path, described: StoreFormat) -> None:
    with Batch(root / "tmp") as batch:
        batch.write(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n", root / FORMAT_FILE)


def _first_use(blobs: S3Place | None, identity: str) -> S3Place | None:
    """Try what a new store's bucket can do, and make it this store's."""
    if blobs is None:
        return None
    from sampan.store.s3_bucket import Bucket

    probed = Bucket(blobs).probe()
    Bucket(probed).belong_to(identity)
    return probed


def _reached(root: Path, found: StoreFormat, blobs: S3Place) -> StoreFormat:
    """Take over how a bucket is reached and cached; its address stays what it was."""
    if found.blobs is None or found.blobs.address != blobs.address:
        kept = found.blobs.address if found.blobs else "its folder"
        raise StoreUnavailable(
            f"the store in {root} keeps its content in {kept}, not in {blobs.address}",
            hint="mend [store] blobs in sampan.toml, or name another [store] folder for a new store",
        )
    place = msgspec.structs.replace(found.blobs, endpoint=blobs.endpoint, region=blobs.region, cache_bytes=blobs.cache_bytes)
    return msgspec.structs.replace(found, blobs=place)


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
