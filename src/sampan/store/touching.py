"""Noting that something about a node changed, for those who keep it in memory. Losing the notes loses nothing but their time."""

from __future__ import annotations

from sampan.store.database import Session

_TOUCH = (
    "insert into touched(node, seq) values (?, (select coalesce(max(seq), 0) + 1 from touched))"
    " on conflict (node) do update set seq = excluded.seq"
)


def touch(session: Session, node: int) -> None:
    """Note a change of a node, given by its internal number, in the transaction that makes it."""
    session.run(_TOUCH, node)


def newest_touch(session: Session) -> int:
    """Return the number of the newest note; 0 if there is none."""
    row = session.one("select coalesce(max(seq), 0) from touched")
    assert row is not None
    seq: int = row[0]
    return seq


def touched_since(session: Session, seq: int, most: int) -> list[int] | None:
    """Return the nodes noted after a number; None if there are more than `most`."""
    rows = session.all("select node from touched where seq > ? order by seq limit ?", seq, most + 1)
    return None if len(rows) > most else [row[0] for row in rows]
