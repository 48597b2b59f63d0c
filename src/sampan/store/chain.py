"""The ledger's rows: written once, in order, each sealed with the hash of the row before. What they say is the ledger's business."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import canonical_json, sha256_hex
from sampan.core.events import RowsRedacted
from sampan.core.times import Millis
from sampan.store.database import Session

GENESIS = "0" * 64  # `prev` of the first row
_COLUMNS = "seq, at, actor, type, subject, body, changes, reason, prev, hash"
_BATCH = 1000
MERGED: Final = "merged"  # the type of a row that holds a row of another ledger
_N_ADDED: Final = 2  # changes before those of the row itself: that it is adopted, and when and by whom it was made


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
        return sha256_hex(self.prev.encode() + canonical_json(tuple(self[:8])))


_THE_SAME: Final = msgspec.Raw(b"null")


class ForeignRow(msgspec.Struct, frozen=True):
    """A row of another ledger as it stands there, within a row of this one.

    `changes` is null where the row here makes the same ones, after saying where they come from.
    """

    seq: int
    at: Millis
    actor: str
    type: str
    subject: str
    body: msgspec.Raw  # as it was written, since its hash is of the text
    reason: str
    prev: str
    hash: str
    changes: msgspec.Raw = _THE_SAME

    @classmethod
    def of(cls, link: Link, made: str) -> ForeignRow:
        """Keep a row; `made` are the changes that are made of it here."""
        changes = _THE_SAME if made == link.changes else msgspec.Raw(link.changes)
        return cls(
            link.seq, link.at, link.actor, link.type, link.subject, msgspec.Raw(link.body), link.reason, link.prev, link.hash, changes
        )

    def link(self, made: str) -> Link:
        """Return the row as it was written; `made` are the changes of the row here."""
        own = b",".join(bytes(each) for each in read_json(made, list[msgspec.Raw])[_N_ADDED:])
        texts = bytes(self.body).decode(), (b"[" + own + b"]" if self.changes == _THE_SAME else bytes(self.changes)).decode()
        return Link(self.seq, self.at, self.actor, self.type, self.subject, *texts, self.reason, self.prev, self.hash)


class _Holding(msgspec.Struct, frozen=True):
    """The body of a row that holds another ledger's."""

    origin: str
    row: ForeignRow


def foreign_redactions(session: Session) -> dict[tuple[str, int], str]:
    """Return what rows of other ledgers that were redacted there must hash to by themselves, by origin and number."""
    found: dict[tuple[str, int], str] = {}
    sql = "select body from event where type = ? and body like ? order by seq"
    for (body,) in session.all(sql, MERGED, f'%"type":"{RowsRedacted.type}"%'):
        held = read_json(body, _Holding)
        if held.row.type == RowsRedacted.type:
            found.update({(held.origin, int(seq)): seal for seq, seal in msgspec.json.decode(held.row.body)["seals"].items()})
    return found


def held_rows(link: Link) -> Iterator[ForeignRow]:
    """Iterate over the row of another ledger that a row holds, the row that one holds, and so on."""
    kind, body = link.type, link.body.encode()
    while kind == MERGED:
        held = read_json(body, _Holding).row
        yield held
        kind, body = held.type, bytes(held.body)


def foreign_fault(link: Link, redacted: dict[tuple[str, int], str]) -> str:
    """Say what is wrong with the row of another ledger that a row holds; "" if nothing is."""
    held = read_json(link.body, _Holding)
    there = held.row.link(link.changes)
    if there.seal() != redacted.get((held.origin, there.seq), there.hash):
        return f"row {link.seq} holds row {there.seq} of another ledger, whose content does not give its hash"
    return ""


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
