"""The ledger's rows: written once, in order, each sealed with the hash of the row before. What they say is the ledger's business."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import msgspec

from sampan.core.digests import canonical_json
from sampan.core.events import RowsRedacted
from sampan.core.times import Millis
from sampan.store.database import Session

GENESIS = "0" * 64  # `prev` of the first row
_COLUMNS = "seq, at, actor, type, subject, body, changes, reason, prev, hash"
_BATCH = 1000


class Link(NamedTuple):
    """One row of the ledger as it is stored; body and changes are canonical JSON."""

    seq: int
    at: Millis
    actor: str
    type: str
    subject: str
    body: str
    changes: str
    reason: str
    prev: str
    hash: str

    def seal(self) -> str:
        """Compute the hash this row must have: sha256(prev || canonical JSON of the row without its hashes)."""
        return hashlib.sha256(self.prev.encode() + canonical_json(tuple(self[:8]))).hexdigest()


def head(session: Session) -> tuple[int, str]:
    """Return the number and hash of the newest row, as noted beside the chain, so that a lost tail is seen."""
    row = session.one("select value from meta where key = 'head'")
    if row is None:
        return 0, GENESIS
    seq, _, sealed = row[0].partition(":")
    return int(seq), sealed


def extend(session: Session, links: list[Link]) -> None:
    """Write rows after the present head, and note the new head."""
    session.many(f"insert into event({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", links)  # noqa: S608  # a constant
    session.run(
        "insert into meta(key, value) values ('head', ?) on conflict (key) do update set value = excluded.value",
        f"{links[-1].seq}:{links[-1].hash}",
    )


def rewrite(session: Session, link: Link) -> None:
    """Replace the texts of a row whose hash stays: what an erasure takes out of the ledger."""
    session.run("update event set body = ?, changes = ?, reason = ? where seq = ?", link.body, link.changes, link.reason, link.seq)


def redactions(session: Session) -> dict[int, str]:
    """Return what redacted rows must hash to by themselves, as the newest event that redacted them says."""
    found: dict[int, str] = {}
    for (body,) in session.all("select body from event where type = ? order by seq", RowsRedacted.type):
        found.update({int(seq): seal for seq, seal in msgspec.json.decode(body)["seals"].items()})
    return found


def batches(session: Session) -> Iterator[list[Link]]:
    """Iterate over all rows in order, some at a time."""
    after = 0
    while rows := session.all(f"select {_COLUMNS} from event where seq > ? order by seq limit ?", after, _BATCH):  # noqa: S608  # a constant
        yield [Link(*row) for row in rows]
        after = rows[-1][0]


def links(session: Session) -> Iterator[Link]:
    """Iterate over all rows in order."""
    return chain.from_iterable(batches(session))


def cursor(session: Session, consumer: str) -> int:
    """Return up to which row a consumer has read."""
    row = session.one("select seq from outbox where consumer = ?", consumer)
    return row[0] if row else 0


def move_cursor(session: Session, consumer: str, seq: int) -> None:
    """Note up to which row a consumer has read; never back."""
    session.run(
        "insert into outbox(consumer, seq) values (?, ?)"
        " on conflict (consumer) do update set seq = excluded.seq where outbox.seq < excluded.seq",
        *(consumer, seq),
    )
