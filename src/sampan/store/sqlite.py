"""SQLite: write-ahead log, readers never wait, writers queue."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from sampan.errors import IntegrityError, StoreUnavailable
from sampan.store.database import BUSY_S, Among, Database, Row, Session

_UNWRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
_LITTLE_SPACE = 1 << 20  # bytes: below, SQLite may not find room for the files beside the database
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_PAUSE_S = 0.01
_SCRUB_S = 10.0
_CACHE_KIB = 64 << 10  # at most, a connection
_LOG_PAGES = 4000  # 16 MB: moved into the database four times more seldom than by default, each time with a flush

Answer = TypeVar("Answer")


class SqliteSession:
    """A connection to one file. A frozen one takes the file as it is: it can be opened where nothing can be written, and only read."""

    def __init__(self, connection: sqlite3.Connection, *, frozen: bool = False) -> None:
        self.connection = connection
        self.frozen = frozen

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Run a query and return every row."""
        return self.connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        """Run a query and return its first row, if any."""
        row: Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        self.connection.executemany(sql, rows)

    def among(self, column: str, values: Sequence[int] | Sequence[str]) -> Among:
        """Say that a column is one of any number of values."""
        return Among(f"{column} in (select value from json_each(?))", msgspec.json.encode(values).decode())  # noqa: S608  # columns are literals

    def listed(self, numbers: Sequence[int]) -> Among:
        """Return a table of whole numbers."""
        return Among("json_each(?) as listed", msgspec.json.encode(numbers).decode())


class SqliteDatabase(Database[SqliteSession]):
    """A SQLite file, for any number of processes of one machine."""

    dialect: ClassVar[str] = "sqlite"

    def has_table(self, session: Session, name: str) -> bool:
        """Say whether a table of that name is there."""
        return session.one("select 1 from sqlite_master where type = 'table' and name = ?", name) is not None

    def _connect(self) -> SqliteSession:
        before = self._is_at_rest()
        try:
            return self._connect_shared()
        except sqlite3.OperationalError as cause:
            # On a full or read-only disk SQLite cannot make the files by which processes share a database, not even to read it.
            if before and cause.sqlite_errorcode & 0xFF in _UNWRITABLE:
                return self._connect_frozen()
            raise

    def _is_at_rest(self) -> bool:
        """Say whether the file alone holds everything: no other process writes to it, and none died with records beside it."""
        file, beside = Path(self.address), Path(f"{self.address}-wal")
        try:
            return file.stat().st_size > 0 and not (beside.is_file() and beside.stat().st_size > 0)
        except OSError:
            return False

    def _connect_frozen(self) -> SqliteSession:
        address = f"{Path(self.address).absolute().as_uri()}?mode=ro&immutable=1"
        return SqliteSession(sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False), frozen=True)

    def _connect_shared(self) -> SqliteSession:
        # check_same_thread: the pool hands a connection from thread to thread, to one at a time.
        connection = sqlite3.connect(self.address, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            # Several processes may be making the file at this moment, and SQLite does not wait for that by itself.
            (mode,) = _patiently(lambda: connection.execute("pragma journal_mode = wal").fetchone())
            if mode != "wal":
                hint = "keep the store on a local disk, or its records in PostgreSQL"
                raise StoreUnavailable(f"the file system of {self.address} cannot share a database among processes", hint=hint)
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma wal_autocheckpoint = {_LOG_PAGES}")
            connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return SqliteSession(connection)

    def _disconnect(self, session: SqliteSession) -> None:
        session.connection.close()

    def _is_usable(self, session: SqliteSession) -> bool:
        # A frozen connection never sees what others write later, so the next reader gets a new one.
        return not session.frozen and not session.connection.in_transaction

    def _begin(self, session: SqliteSession) -> None:
        _patiently(lambda: session.connection.execute("begin immediate"))

    def _commit(self, session: SqliteSession) -> None:
        try:
            _patiently(lambda: session.connection.execute("commit"))
        except BaseException:
            self._rollback(session)
            raise

    def _rollback(self, session: SqliteSession) -> None:
        # After a full disk SQLite may have rolled back already.
        if session.connection.in_transaction:
            session.connection.execute("rollback")

    def _scrub(self, session: SqliteSession) -> bool:
        _patiently(lambda: session.connection.execute("vacuum"))
        deadline = time.monotonic() + _SCRUB_S
        # The log holds pages from before until every reader of them is done.
        while session.connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)
        return True

    def _driver_error(self) -> type[Exception]:
        return sqlite3.Error

    def _explain(self, cause: Exception) -> Exception | None:
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return StoreUnavailable(
                f"{self.address} was locked by another process for {BUSY_S:.0f} s", hint="see what else writes to this store"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return IntegrityError(f"{self.address} is damaged or is no SQLite database: {cause}", hint="restore the file from a backup")
        if hint := _HINTS.get(code):
            folder = Path(self.address).parent
            trouble, remedy = _disk_trouble(folder) or (str(cause), hint.format(folder=folder))
            return StoreUnavailable(f"{self.address} cannot be used: {trouble}", hint=remedy)
        return None


_HINTS = {
    sqlite3.SQLITE_FULL: "free some space on the disk of {folder}; nothing was half written",
    sqlite3.SQLITE_IOERR: "check the disk of {folder}, and the space left on it; nothing was half written",
    sqlite3.SQLITE_READONLY: "give yourself the right to write in {folder}",
    sqlite3.SQLITE_CANTOPEN: "check that {folder} exists and that you may write in it",
    sqlite3.SQLITE_PERM: "give yourself the right to write in {folder}",
}


def _disk_trouble(folder: Path) -> tuple[str, str] | None:
    """Look for what SQLite's own words leave open: a disk that is full, or one that is mounted to be read only."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    if disk.f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only", "it can still be read; to write, choose a store on a disk that can be written"
    if disk.f_bavail * disk.f_frsize < _LITTLE_SPACE:
        left = disk.f_bavail * disk.f_frsize // 1024
        return f"its disk is full ({left:,} kB left)", f"free some space on the disk of {folder}; nothing was half written"
    return None


def _patiently(action: Callable[[], Answer]) -> Answer:
    """Repeat an action that found the file locked, until it succeeds or BUSY_S are over."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as cause:
            if cause.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S * os.urandom(1)[0] / 255)  # spreads the waiting processes; `random` would cost their start
