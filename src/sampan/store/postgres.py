"""PostgreSQL by psycopg 3: the same statements, for a team on several machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

from sampan.errors import IntegrityError, StoreUnavailable, StoreUnreachable
from sampan.plugins import require
from sampan.store.database import BUSY_S, Among, Database, Row, Session

_WRITER_LOCK = 0x73616D70  # "samp": whoever holds this advisory lock is the one writer of the database
# A network that swallows everything is noticed in half a minute, not after the hours that TCP waits by itself.
_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_TABLES_WITH_TEXTS = ("event", "asset", "node", "step", "run", "run_param", "tag", "artifact", "superseded")


class PostgresSession:
    """A connection to a server."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Run a query and return every row."""
        rows: list[Row] = self.connection.execute(_translated(sql), values).fetchall()
        return rows

    def one(self, sql: str, *values: Any) -> Row | None:
        """Run a query and return its first row, if any."""
        row: Row | None = self.connection.execute(_translated(sql), values).fetchone()
        return row

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        count: int = self.connection.execute(_translated(sql), values).rowcount
        return count

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values, in few round trips."""
        with self.connection.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)

    def among(self, column: str, values: Sequence[int] | Sequence[str]) -> Among:
        """Say that a column is one of any number of values."""
        return Among(f"{column} = any(?)", list(values))

    def listed(self, numbers: Sequence[int]) -> Among:
        """Return a table of whole numbers."""
        return Among("unnest(?::integer[]) as listed(value)", list(numbers))


class PostgresDatabase(Database[PostgresSession]):
    """A PostgreSQL database, for any number of processes and machines."""

    dialect: ClassVar[str] = "postgresql"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._psycopg = require("psycopg", extra="postgres")

    def has_table(self, session: Session, name: str) -> bool:
        """Say whether a table of that name is there."""
        return session.one("select to_regclass(?)", name) != (None,)

    def _connect(self) -> PostgresSession:
        connection = self._psycopg.connect(self.address, autocommit=True, application_name="sampan", **_NETWORK)
        # The default is of spinning disks: it makes a walk along the graph's indexes look dearer than reading every edge.
        connection.execute("set random_page_cost = 1.1")
        return PostgresSession(connection)

    def _disconnect(self, session: PostgresSession) -> None:
        session.connection.close()

    def _is_usable(self, session: PostgresSession) -> bool:
        status = self._psycopg.pq.TransactionStatus
        return bool(session.connection.info.transaction_status == status.IDLE)

    def _begin(self, session: PostgresSession) -> None:
        # The lock is taken before the first query, so that every later one sees what the writer before us committed.
        timeout = f"set local lock_timeout = '{BUSY_S * 1000:.0f}ms'"
        session.run(f"begin; {timeout}; select pg_advisory_xact_lock({_WRITER_LOCK})")

    def _commit(self, session: PostgresSession) -> None:
        session.run("commit")

    def _rollback(self, session: PostgresSession) -> None:
        if not session.connection.closed:
            session.run("rollback")

    def _scrub(self, session: PostgresSession) -> bool:
        for table in _TABLES_WITH_TEXTS:
            session.run(f"vacuum full {table}")
        return True

    def _driver_error(self) -> type[Exception]:
        return self._psycopg.Error  # type: ignore[no-any-return]  # psycopg is optional, so untyped here

    def _explain(self, cause: Exception) -> Exception | None:
        errors = self._psycopg.errors
        if isinstance(cause, errors.LockNotAvailable):
            return StoreUnavailable(f"{self.shown} was locked for {BUSY_S:.0f} s", hint="see what else writes to this store")
        if isinstance(cause, errors.DataCorrupted | errors.IndexCorrupted):
            return IntegrityError(f"{self.shown} is damaged: {cause}", hint="restore the database from a backup")
        if isinstance(cause, errors.DiskFull):
            return StoreUnavailable(f"the disk of {self.shown} is full", hint="free some space on the server; nothing was half written")
        if isinstance(cause, errors.ReadOnlySqlTransaction | errors.InsufficientPrivilege):
            return StoreUnavailable(f"{self.shown} may not be written: {cause}", hint="connect as a user who may, to a primary server")
        if isinstance(cause, self._psycopg.OperationalError):
            return StoreUnreachable(
                f"{self.shown} does not answer: {_first_line(cause)}", hint="check the address and that the server runs"
            )
        return None

    @property
    def shown(self) -> str:
        """The address without its password."""
        parts = urlsplit(self.address)
        return f"postgresql://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    """Write `?` as psycopg's `%s`. No statement of the store has a `?` inside quotes."""
    return sql.replace("%", "%%").replace("?", "%s")


def _first_line(cause: Exception) -> str:
    return (str(cause).strip().splitlines() or ["no reason given"])[0]
