"""A SQL database as the store sees it: pooled connections, short reads, one writer at a time.

Statements are written once, with `?` for values; `sqlite.py` and `postgres.py` know what differs. What the tables mean is not known here.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from sampan.errors import StoreUnavailable

Row = tuple[Any, ...]

_PARENTS: list[object] = []  # connections of the process this one was forked from, kept from being collected and so closed

BUSY_S = 60.0  # how long a writer waits for the others before it gives up


class Among(NamedTuple):
    """A condition with one place holder, and the value for it."""

    sql: str
    value: Any


class Session(Protocol):
    """One connection, inside `Database.read` or `Database.write`."""

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Run a query and return every row."""
        ...

    def one(self, sql: str, *values: Any) -> Row | None:
        """Run a query and return its first row, if any."""
        ...

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        ...

    def among(self, column: str, values: Sequence[int] | Sequence[str]) -> Among:
        """Say that a column is one of any number of values. The text is the same for every number of them, so it is planned once."""
        ...

    def listed(self, numbers: Sequence[int]) -> Among:
        """Return a table `listed(value)` of whole numbers to join from: by the index, one number after another, up to a limit."""
        ...


Connected = TypeVar("Connected", bound=Session)


class Database(ABC, Generic[Connected]):
    """A pool of connections to one database.

    Invariants: a write is atomic, durable once `write` is left, and never runs beside another write of the same database, whichever process
    it comes from; a read sees only whole writes. What goes wrong outside the program is StoreUnavailable, damage is IntegrityError.
    """

    dialect: ClassVar[str]

    def __init__(self, address: str) -> None:
        self.address = address
        self._idle: deque[Connected] = deque()
        self._pid = os.getpid()
        # Writers of one process queue here, where waiting is fair and free; the database's own lock is for other processes.
        self._writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Lend a connection for queries; each sees what was committed before it began."""
        self._forget_parent()
        with self._borrow() as session, self._explained():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Run a transaction as the only writer: committed when left, rolled back when an exception leaves it."""
        self._forget_parent()
        with self._writer, self._borrow() as session, self._explained():
            self._begin(session)
            try:
                yield session
            except BaseException:
                self._rollback(session)
                raise
            self._commit(session)

    def scrub(self) -> bool:
        """Let nothing stay in the files that was deleted or overwritten; say whether that could be done now, with others at work."""
        self._forget_parent()
        with self._writer, self._borrow() as session, self._explained():
            return self._scrub(session)

    def close(self) -> None:
        """Close all idle connections. The database may be used again afterwards."""
        if self._pid == os.getpid():
            while self._idle:
                self._disconnect(self._idle.pop())

    @contextmanager
    def _borrow(self) -> Iterator[Connected]:
        session = self._take()
        try:
            yield session
        except BaseException:
            self._give_back(session)
            raise
        self._give_back(session)

    def _forget_parent(self) -> None:
        """In a forked child, begin anew: it must not speak on its parent's connections, not even to close them."""
        if self._pid != os.getpid():
            _PARENTS.append(self._idle)
            self._idle, self._pid, self._writer = deque(), os.getpid(), threading.Lock()

    def _take(self) -> Connected:
        try:
            return self._idle.pop()
        except IndexError:
            with self._explained():
                return self._connect()

    def _give_back(self, session: Connected) -> None:
        if self._is_usable(session):
            self._idle.append(session)
        else:
            # What broke this connection, such as a restart of the server, broke those that lie idle as well.
            self._disconnect(session)
            self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._driver_error() as cause:
            if explained := self._explain(cause):
                raise explained from cause
            raise

    @abstractmethod
    def has_table(self, session: Session, name: str) -> bool:
        """Say whether a table of that name is there."""

    @abstractmethod
    def _connect(self) -> Connected: ...

    @abstractmethod
    def _disconnect(self, session: Connected) -> None: ...

    @abstractmethod
    def _is_usable(self, session: Connected) -> bool: ...

    @abstractmethod
    def _scrub(self, session: Connected) -> bool: ...

    @abstractmethod
    def _begin(self, session: Connected) -> None: ...

    @abstractmethod
    def _commit(self, session: Connected) -> None: ...

    @abstractmethod
    def _rollback(self, session: Connected) -> None: ...

    @abstractmethod
    def _driver_error(self) -> type[Exception]: ...

    @abstractmethod
    def _explain(self, cause: Exception) -> Exception | None: ...


def open_database(address: str) -> Database[Any]:
    """Open `postgresql://…` or the path of a SQLite file."""
    scheme, colon, _ = address.partition("://")
    if not colon:
        from sampan.store.sqlite import SqliteDatabase

        return SqliteDatabase(address)
    if scheme in ("postgresql", "postgres"):
        from sampan.store.postgres import PostgresDatabase

        return PostgresDatabase(address)
    raise StoreUnavailable(
        f"no database speaks {scheme}://", hint="give postgresql://user@host/name, or nothing for SQLite in the store's folder"
    )
