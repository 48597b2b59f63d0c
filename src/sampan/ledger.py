"""The one writer: every change of state is an event; the tables are what the events add up to.

Each event is a row that carries the hash of the row before, with the changes it makes, and both are written in one transaction. So the
tables can be rebuilt from the ledger, and nobody can alter, drop or reorder a row unseen.

Not in the ledger, on purpose: metric points (measurements; folded from journals), leases on steps and outbox cursors (liveness: who is at
work now, who has read how far). Losing those loses no history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from sampan.core.changes import ActedThen, AnyChange
from sampan.core.decoding import decoder_of
from sampan.core.digests import canonical_json
from sampan.core.events import Event, RowsRedacted
from sampan.core.graph import NodeId, Recorded
from sampan.core.times import Clock, Millis, system_clock
from sampan.errors import AlreadyExists, IntegrityError, ParameterError, StaleState
from sampan.store import Store, chain
from sampan.store.chain import Link
from sampan.store.database import Session
from sampan.store.freed import require_kept
from sampan.store.projection import Projection

if TYPE_CHECKING:
    from sampan.store.erasure import Subject

_CHANGES = decoder_of(list[AnyChange])
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Receipt(msgspec.Struct, frozen=True):
    """What an append came to: the number of its last row, and the version numbers given to new nodes."""

    seq: int
    versions: dict[NodeId, int]


class Verified(msgspec.Struct, frozen=True):
    """What a check of the whole chain found; `first_bad` is None and `what` empty where every row is as it was written."""

    n_rows: int
    first_bad: int | None = None
    what: str = ""


class Ledger:
    """Appends events to a store in someone's name, and answers what happened."""

    def __init__(self, store: Store, *, actor: str, clock: Clock = system_clock) -> None:
        self.store = store
        self.actor = actor
        self._clock = clock

    def append(self, *events: Event, reason: str = "") -> Receipt:
        """Record events and do what they say, all or nothing.

        Raises
        ------
        NotFound, AlreadyExists, Immutable : a change of an event cannot be made; nothing was written.
        StaleState : the same, since others were faster; or content that an event names was erased meanwhile.
        ParameterError : an event has no type, holds what JSON cannot, or a text with a NUL character.
        """
        with self.store.database.write() as session:
            return self._append(session, events, reason)

    def append_folding(self, run: NodeId, *events: Event) -> Receipt:
        """Record events of a run and bring its journaled points into the tables, in one transaction."""
        with ExitStack() as after, self.store.database.write() as session:
            after.enter_context(self.store.folding.fold_within(session, run))
            return self._append(session, events, "")

    def append_erasing(self, *events: Event, subject: Subject, after: int, reason: str = "") -> Receipt:
        """Record an erasure and take the subject out of every earlier row, all or nothing.

        Parameters
        ----------
        after : the number of the ledger's last row when the erasure was planned.

        Raises
        ------
        StaleState : the ledger has gone on since; nothing was written.
        """
        from sampan.store.erasure.records import redact_records

        with self.store.database.write() as session:
            if (seq := chain.head(session)[0]) != after:
                raise StaleState("something was recorded while the erasure was prepared", expected=str(after), actual=str(seq))
            seals = {str(number): seal for number, seal in redact_records(session, subject).items()}
            return self._append(session, [*events, *([RowsRedacted(seals=seals)] if seals else [])], reason)

    @property
    def last(self) -> int:
        """The number of the newest row."""
        with self.store.database.read() as session:
            return chain.head(session)[0]

    def _append(self, session: Session, events: Sequence[Event], reason: str) -> Receipt:
        at = self._clock()
        projection = Projection(session)
        seq, prev = chain.head(session)
        links = []
        for event in events:
            link = _link(event, seq=seq + 1, at=at, actor=self.actor, reason=reason, prev=prev)
            _project(projection, link)
            links.append(link)
            seq, prev = link.seq, link.hash
        if links:
            require_kept(self.store, session, links, now=at)
            chain.extend(session, links)
        return Receipt(seq, projection.versions)

    def fold(self, run: NodeId) -> int:
        """Bring a run's journaled metric points into the tables; return how many were new. Repeating it changes nothing."""
        return self.store.folding.fold(run)

    def verify(self) -> Verified:
        """Read the whole chain and say which row is the first that is not as it was written."""
        with self.store.database.read() as session:
            return _verified(session)

    def replay(self, into: Store) -> None:
        """Rebuild the tables in an empty store from this ledger alone; its ledger becomes a copy of this one.

        Raises
        ------
        AlreadyExists : `into` is not empty.
        IntegrityError : a row of this ledger is not as it was written; it is named, and `into` stays empty.
        """
        with self.store.database.read() as source, into.database.write() as target:
            if chain.head(target)[0]:
                raise AlreadyExists(f"the store {into.root} has a ledger already", hint="replay into an empty store")
            if (found := _verified(source)).first_bad is not None:
                raise IntegrityError(found.what, hint="sampan audit verify")
            projection = Projection(target)
            for batch in chain.batches(source):
                for link in batch:
                    _project(projection, link)
                chain.extend(target, batch)

    def unsent(self, consumer: str, limit: int = 1000) -> list[Recorded]:
        """Return the oldest events this consumer has not marked as sent."""
        with self.store.database.read() as session:
            after = chain.cursor(session, consumer)
        return self.store.catalog.events(after=after, limit=limit)

    def sent(self, consumer: str, seq: int) -> None:
        """Note that a consumer has everything up to `seq`; a cursor never moves back."""
        with self.store.database.write() as session:
            chain.move_cursor(session, consumer, seq)


def _link(event: Event, *, seq: int, at: Millis, actor: str, reason: str, prev: str) -> Link:
    if not event.type:
        raise ParameterError(f"the event {type(event).__name__} has no type", hint="give the class a `type`, its stable name in the ledger")
    try:
        body, changes = canonical_json(event).decode(), canonical_json(event.changes()).decode()
    except (TypeError, ValueError, OverflowError) as cause:
        raise ParameterError(f"the event {event.type} cannot be written as JSON: {cause}") from cause
    link = Link(seq, at, actor, event.type, event.subject(), body, changes, reason, prev, hash="")
    _check_texts(link)
    return link._replace(hash=link.seal())


def _check_texts(link: Link) -> None:
    """PostgreSQL has no NUL in a text, so no store takes one."""
    plain = (link.actor, link.subject, link.reason)
    if any("\x00" in text for text in plain) or any("\\u0000" in text and _NUL.search(text) for text in (link.body, link.changes)):
        raise ParameterError(f"a text of the event {link.type} holds a NUL character", hint="remove it, or store the bytes as an artifact")


def _project(projection: Projection, link: Link) -> None:
    # The stored text is what is applied, never the live object: so a replay cannot differ.
    at, actor = link.at, link.actor
    for change in _CHANGES.decode(link.changes):
        if isinstance(change, ActedThen):
            at, actor = change.at, change.actor
        else:
            projection.apply(change, at=at, actor=actor)


def _verified(session: Session) -> Verified:
    noted, sealed = chain.head(session)
    redacted, redacted_there = chain.redactions(session), chain.foreign_redactions(session)
    seq, prev = 0, chain.GENESIS
    for link in chain.links(session):
        if fault := _fault(link, seq=seq + 1, prev=prev, redacted=redacted.get(link.seq, "")):
            return Verified(seq, seq + 1, fault)
        if link.type == chain.MERGED and link.seq not in redacted and (fault := chain.foreign_fault(link, redacted_there)):
            return Verified(seq, seq + 1, fault)
        seq, prev = link.seq, link.hash
    if seq < noted:
        return Verified(seq, seq + 1, f"row {seq + 1} is missing: the ledger ends at row {seq}, but {noted} were written")
    if (seq, prev) != (noted, sealed):
        return Verified(
            seq, max(noted, 1), f"the rows up to {seq} are not those that were written: row {noted} had another hash, or was the last"
        )
    return Verified(seq)


def _fault(link: Link, *, seq: int, prev: str, redacted: str) -> str:
    if link.seq != seq:
        return f"row {seq} is missing: row {link.seq} follows row {seq - 1}"
    if link.seal() != (redacted or link.hash):
        return f"row {seq} ({link.type}) was changed after it was written: its content does not give its hash"
    if link.prev != prev:
        return f"row {seq} ({link.type}) does not follow row {seq - 1}: the row before it was replaced"
    return ""
