"""Who is at work on a step: leases with fencing tokens. Liveness, not history; the outcome itself is committed by the ledger.

A token is greater than every earlier one of its key. The ledger accepts an outcome (`StepCommitted`) only with the newest token, so an
attempt that was taken for dead, and comes back, cannot overwrite what its successor did.
"""

from __future__ import annotations

from typing import Any

from sampan.core.decoding import read_json
from sampan.core.times import Millis
from sampan.store.database import Database

LEASE_MS = 30_000


class Steps:
    """Committed outcomes and leases of one store."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database

    def outcome(self, key: str) -> dict[str, Any] | None:
        """Return the committed outcome of a cache key, if there is one."""
        with self._database.read() as session:
            row = session.one("select outcome from step where key = ?", key)
        return read_json(row[0], dict[str, Any]) if row else None

    def claim(self, key: str, *, step: str, owner: str, now: Millis, lease_ms: int = LEASE_MS) -> int | None:
        """Take a key for `lease_ms` and return the attempt's token; None while someone else's lease runs.

        Look for an outcome again after claiming: another attempt may have committed and released in between.
        """
        with self._database.write() as session:
            claimed = session.one("select token, until from claim where key = ?", key)
            if claimed and claimed[1] > now:
                return None
            done = session.one("select token from step where key = ?", key)
            token: int = max(claimed[0] if claimed else 0, done[0] if done else 0) + 1
            session.run(
                "insert into claim(key, token, step, owner, until) values (?, ?, ?, ?, ?) on conflict (key) do update"
                " set token = excluded.token, step = excluded.step, owner = excluded.owner, until = excluded.until",
                *(key, token, step, owner, now + lease_ms),
            )
        return token

    def renew(self, key: str, token: int, *, now: Millis, lease_ms: int = LEASE_MS) -> bool:
        """Extend an attempt's lease; False if the attempt was released or another has taken over."""
        with self._database.write() as session:
            return bool(session.run("update claim set until = ? where key = ? and token = ? and until > 0", now + lease_ms, key, token))

    def holder(self, key: str) -> tuple[str, int] | None:
        """Return owner and token of the newest attempt that was not released; its lease may have run out."""
        with self._database.read() as session:
            row = session.one("select owner, token from claim where key = ? and until > 0", key)
        return (row[0], row[1]) if row else None

    def release(self, key: str, token: int) -> None:
        """Give a key free. The token stays noted, so that the next one is greater."""
        with self._database.write() as session:
            session.run("update claim set until = 0 where key = ? and token = ?", key, token)
