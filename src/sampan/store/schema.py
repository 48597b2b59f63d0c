"""Numbered migrations: the files of `migrations/`, applied in order, once, under the writer's lock.

A database that a newer program has migrated is refused: this program cannot know what the new tables mean.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from sampan import __version__
from sampan.core.digests import sha256_hex
from sampan.core.times import system_clock
from sampan.errors import IntegrityError, StoreUnavailable
from sampan.store.database import Database, Session

_FOLDER = Path(__file__).parent / "migrations"
_HISTORY = (
    "create table if not exists migration"
    "(number integer primary key, name text not null, checksum text not null, at bigint not null, program text not null)"
)


class Migration(msgspec.Struct, frozen=True):
    """One file: `0001_graph.sql` is number 1, called graph."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The text's sha256: a migration never changes once it was released."""
        return sha256_hex(self.sql.encode())

    def statements(self) -> list[str]:
        """Return the statements without comments."""
        bare = "\n".join(line.partition("--")[0] for line in self.sql.splitlines())
        return [s.strip() for s in bare.split(";") if s.strip()]


@cache
def migrations(folder: Path = _FOLDER) -> tuple[Migration, ...]:
    """Read the migrations this program knows, in order."""
    files = sorted(folder.glob("[0-9]*.sql"))
    return tuple(Migration(int(f.stem.partition("_")[0]), f.stem.partition("_")[2], f.read_text("utf-8")) for f in files)


def migrate(database: Database[Any], known: tuple[Migration, ...] | None = None) -> None:
    """Bring a database to this program's schema, an empty one from nothing.

    Raises
    ------
    StoreUnavailable : a newer program has migrated it further.
    IntegrityError : a migration was applied with another text than this program's.
    """
    steps = migrations() if known is None else known
    with database.read() as session:
        if database.has_table(session, "migration") and not _missing(session, steps):
            return
    with database.write() as session:
        session.run(_HISTORY)
        for step in _missing(session, steps):
            for statement in step.statements():
                session.run(statement)
            session.run(
                "insert into migration(number, name, checksum, at, program) values (?, ?, ?, ?, ?)",
                *(step.number, step.name, step.checksum, system_clock(), __version__),
            )


def _missing(session: Session, steps: tuple[Migration, ...]) -> list[Migration]:
    """Return the migrations not yet applied, after checking those that are."""
    applied = {number: (checksum, program) for number, checksum, program in session.all("select number, checksum, program from migration")}
    newest = max(applied, default=0)
    if newest > len(steps):
        maker = applied[newest][1]
        raise StoreUnavailable(
            f"the database has schema {newest}, made by sampan {maker}; this is sampan {__version__}, which knows schema {len(steps)}",
            hint=f"upgrade sampan to {maker} or newer",
        )
    for step in steps:
        if step.number in applied and applied[step.number][0] != step.checksum:
            raise IntegrityError(
                f"migration {step.number} ({step.name}) was applied with another text than this program has",
                expected=step.checksum,
                actual=applied[step.number][0],
                hint="use the release of sampan that made this store",
            )
    return [step for step in steps if step.number not in applied]
