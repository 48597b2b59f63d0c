"""SQLite: write-ahead log, readers never wait, writers queue."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sampan.errors import IntegrityError, StoreUnavailable
from sampan.store.database import BUSY_S, Database, Row, Session

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_PAUSE_S = 0.01
_CACHE_KIB = 64 << 10  # at most, a connection

Answer = TypeVar("Answer")


class SqliteSession:
    """A connection to one file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

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


class SqliteDatabase(Database[SqliteSession]):
    """A SQLite file, for any number of processes of one machine."""

    dialect: ClassVar[str] = "sqlite"

    def has_table(self, session: Session, name: str) -> bool:
        """Say whether a table of that name is there."""
        return session.one("select 1 from sqlite_master where type = 'table' and name = ?", name) is not None

    def _connect(self) -> SqliteSession:
        # check_same_thread: the pool hands a connection from thread to thread, to one at a time.
        connection = sqlite3.connect(self.address, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            # Several processes may be making the file at this moment, and SQLite does not wait for that by itself.
            (mode,) = _patiently(lambda: connection.execute("pragma journal_mode = wal").fetchone())
            if mode != "wal":
                hint = "keep the store on a local disk, or its records in PostgreSQL"
                raise StoreUnavailable(f"the file system of {self.address} cannot share a database among processes", hint=hint)
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return SqliteSession(connection)

    def _disconnect(self, session: SqliteSession) -> None:
        session.connection.close()

    def _is_usable(self, session: SqliteSession) -> bool:
        return not session.connection.in_transaction

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
            return StoreUnavailable(f"{self.address} cannot be used: {cause}", hint=hint.format(folder=Path(self.address).parent))
        return None


_HINTS = {
    sqlite3.SQLITE_FULL: "free some space on the disk of {folder}; nothing was half written",
    sqlite3.SQLITE_IOERR: "check the disk of {folder}, and the space left on it; nothing was half written",
    sqlite3.SQLITE_READONLY: "give yourself the right to write in {folder}",
    sqlite3.SQLITE_CANTOPEN: "check that {folder} exists and that you may write in it",
    sqlite3.SQLITE_PERM: "give yourself the right to write in {folder}",
}


def _patiently(action: Callable[[], Answer]) -> Answer:
    """Repeat an action that found the file locked, until it succeeds or BUSY_S are over."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as cause:
            if cause.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S * random.random())  # noqa: S311  # spreads the waiting processes; no secret
