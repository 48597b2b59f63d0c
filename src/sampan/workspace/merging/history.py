"""What happened in another store, read as it was written there: the row that a merged row holds."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.core.graph import Recorded
from sampan.store.chain import MERGED


def as_it_happened(event: Recorded) -> Recorded:
    """Return an event as it happened, with its time, author and type there; one of this store's own as it is.

    Its number, what it is about and its hashes stay those of the row here, so that it is found again.
    """
    reasons = [event.reason]
    kind, at, actor, body = event.type, event.at, event.actor, event.body
    while kind == MERGED:
        row: dict[str, Any] = body["row"]
        kind, at, actor, body = row["type"], row["at"], row["actor"], row["body"]
        reasons.insert(0, row["reason"])
    told = "; ".join(reason for reason in reasons if reason)
    return msgspec.structs.replace(event, type=kind, at=at, actor=actor, body=body, reason=told)
