"""Another store, copied from elsewhere or on a shared disk: read as it is at this moment, and never written to.

Its records and journals are copied into a scratch folder; its content is read where it lies, and checked as it is copied. Which of its
ledger's rows are here already, and how its metric points get here, is answered here as well, since only the store speaks SQL.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sampan.core.digests import Digest
from sampan.core.graph import NodeId
from sampan.errors import IntegrityError, NotFound, StoreUnavailable
from sampan.store import chain
from sampan.store.bringing import bring_points
from sampan.store.chain import Link
from sampan.store.chunks import points_of
from sampan.store.packs import MAX_OBJECT_BYTES, MAX_PACK_BYTES
from sampan.store.scratch import scratch_folder
from sampan.store.store import FORMAT_FILE, SQLITE_FILE, Store

_CONTENT = ("objects", "packs")
_FEW = 400  # values named in one statement
_SQLITE_LOG = f"{SQLITE_FILE}-wal"


@contextmanager
def opened_copy(root: Path, *, scratch: Path, database: str = "") -> Iterator[Store]:
    """Open a copy of another store's records, with its content, for as long as the block lasts.

    Parameters
    ----------
    root : the folder with the other store's `store.json`.
    scratch : where the copy is made; it vanishes with the block.
    database : the address of its database, where that is not in the folder; then it is read where it is.

    Raises
    ------
    NotFound : there is no store in the folder.
    StoreUnavailable, IntegrityError : it cannot be read.
    """
    if not (root / FORMAT_FILE).is_file():
        raise NotFound(f"there is no store in {root}", hint="give the folder of a project, or its .sampan")
    with scratch_folder(scratch, "merge") as copy:
        shutil.copyfile(root / FORMAT_FILE, copy / FORMAT_FILE)
        if not database:
            _copy_records(root / SQLITE_FILE, copy / SQLITE_FILE)
        _lay_out(root, copy)
        with Store.open(copy, database=database, create=False) as store:
            yield store


def _copy_records(source: Path, target: Path) -> None:
    """Copy a SQLite file whole, also while somebody writes to it; where nothing can be written beside it, as it lies there."""
    # Without a log beside it nobody has the file open; then SQLite need not make one to share it.
    modes = ("mode=ro", "mode=ro&immutable=1") if source.with_name(_SQLITE_LOG).exists() else ("mode=ro&immutable=1", "mode=ro")
    for mode in modes:
        try:
            with (
                closing(sqlite3.connect(f"{source.absolute().as_uri()}?{mode}", uri=True)) as there,
                closing(sqlite3.connect(target)) as here,
            ):
                there.backup(here)
                return
        except sqlite3.DatabaseError as cause:
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise IntegrityError(f"{source} is damaged or is no SQLite database: {cause}", hint="copy the store again") from cause
            failed = cause
    raise StoreUnavailable(f"{source} cannot be read: {failed}", hint="check the file and your right to read it") from failed


def _lay_out(root: Path, copy: Path) -> None:
    """Bring along what runs had logged that no table has yet, and make the content reachable."""
    if (root / "journals").is_dir():
        shutil.copytree(root / "journals", copy / "journals")
    for name in _CONTENT:
        if (root / name).is_dir():
            (copy / name).symlink_to((root / name).absolute(), target_is_directory=True)


# -- content


def take_content(store: Store, other: Store, digests: Iterable[Digest], *, advance: Callable[[int], None]) -> tuple[int, int]:
    """Copy objects that are not here; return how many, and their bytes. Each is checked against its digest on the way."""
    n_objects = n_bytes = 0
    small: list[bytes] = []
    waiting = 0
    for digest in sorted(digests):
        size = other.blobs.size(digest)
        if not store.blobs.keep(digest):
            n_objects, n_bytes = n_objects + 1, n_bytes + size
            if size < MAX_OBJECT_BYTES:
                small.append(other.blobs.read(digest))
                waiting += size
            else:
                store.blobs.adopt_file(other.blobs.path(digest))
        if waiting > MAX_PACK_BYTES // 2:
            store.blobs.put_many(small)
            small, waiting = [], 0
        advance(size)
    store.blobs.put_many(small)
    return n_objects, n_bytes


# -- what is here already


def unknown(store: Store, links: Sequence[Link]) -> list[Link]:
    """Return those rows of another ledger that neither this one wrote nor a merge has brought here."""
    if not links:
        return []
    known: set[str] = set()
    hashes = [link.hash for link in links]
    with store.database.read() as session:
        for start in range(0, len(hashes), _FEW):
            some = hashes[start : start + _FEW]
            marks = ", ".join("?" * len(some))
            known.update(row[0] for row in session.all(f"select hash from adopted where hash in ({marks})", *some))  # noqa: S608  # marks
        # A row of a copy of this very ledger has the number it has here.
        own = session.all("select hash from event where seq >= ? and seq <= ?", links[0].seq, links[-1].seq)
    known.update(row[0] for row in own)
    return [link for link in links if link.hash not in known]


def holds_known(store: Store, link: Link) -> bool:
    """Say whether a row of another ledger only holds a row that is here: one that it got from here, or both from a third."""
    with store.database.read() as session:
        for held in chain.held_rows(link):
            if session.one("select 1 from adopted where hash = ?", held.hash):
                return True
            if session.one("select 1 from event where seq = ? and hash = ?", held.seq, held.hash):
                return True
    return False


def ledger_rows(store: Store) -> Iterator[list[Link]]:
    """Iterate over all rows of a store's ledger in order, some at a time."""
    with store.database.read() as session:
        yield from chain.batches(session)


def superseded(store: Store) -> dict[str, str]:
    """Return what content became when it was written again without a person: the digest before, and after ("": no more)."""
    with store.database.read() as session:
        return dict(session.all("select before, after from superseded"))


def has_step(store: Store, key: str) -> bool:
    """Say whether a step's outcome is here, or somebody is at work on it."""
    with store.database.read() as session:
        return bool(session.one("select 1 from step where key = ?", key) or session.one("select 1 from claim where key = ?", key))


# -- metric points


def runs_with_points(store: Store) -> list[NodeId]:
    """Return the runs that have metric points, once all journals are folded."""
    store.folding.fold_all()
    with store.database.read() as session:
        return [row[0] for row in session.all("select id from node where pk in (select distinct run from run_metric) order by pk")]


def take_points(store: Store, other: Store, runs: Iterable[NodeId], *, origin: str) -> int:
    """Bring those points of some runs here that are not here yet; return how many."""
    with other.database.read() as session:
        found = {run: points_of(session, run) for run in runs}
    return bring_points(store, found, origin=origin)
