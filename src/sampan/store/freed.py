"""What erasures freed of late: content that somebody was about to name, as it was put before and named after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.digests import Digest, digests_in
from sampan.core.times import Millis
from sampan.errors import StaleState
from sampan.store.chain import Link
from sampan.store.database import Session

if TYPE_CHECKING:
    from sampan.store.store import Store

SUBJECT_ERASED: Final = "subject_erased"  # the type of the event that says what an erasure frees
_LONGEST_WORK_MS: Final = 24 * 3_600_000  # between putting an object and committing what names it


def require_kept(store: Store, session: Session, links: Iterable[Link], *, now: Millis) -> None:
    """Refuse rows that name content which an erasure freed since it was put. Costs one look where nobody was erased of late.

    An erasure frees while it is the only writer, so what is there now is not freed before these rows name it.

    Raises
    ------
    StaleState : something is not there any more.
    """
    freed = {digest for body in _lately(session, now) for digest in msgspec.json.decode(body)["freed"]}
    for digest in _needed(store, links) if freed else ():
        if digest in freed and not store.blobs.has(digest):
            raise StaleState(
                "a person was erased while this was being written, and some of it had rows of theirs; nothing was recorded",
                hint="do it again",
            )


def _lately(session: Session, now: Millis) -> list[str]:
    rows = session.all("select body from event where type = ? and at > ? order by seq", SUBJECT_ERASED, now - _LONGEST_WORK_MS)
    return [body for (body,) in rows]


def _needed(store: Store, links: Iterable[Link]) -> Iterator[Digest]:
    """Iterate over what rows cannot do without: tables and what they are made of, attached files, steps' outcomes."""
    for change in (change for link in links for change in msgspec.json.decode(link.changes)):
        for digest in _named(change):
            yield digest
            if store.tables.is_version(digest):
                yield from store.tables.objects(digest)


def _named(change: dict[str, Any]) -> list[Digest]:
    """Return the content that has to be there for a change; what else has a digest, such as a file that was read, may never have been."""
    kind = change["do"]
    if kind == "add_artifact" or (kind == "add_node" and change["kind"] == "dataset"):
        return [change["digest"]]
    return digests_in(msgspec.json.encode(change["outcome"]).decode()) if kind == "finish_step" else []
