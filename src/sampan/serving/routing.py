"""Which model answers a row: one immutable routing, replaced as a whole by a single assignment, so no request ever sees half a swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from sampan.ports import Predictor
from sampan.serving.outcomes import ZERO_OR_ONE, Expected

Role = Literal["live", "canary", "shadow"]

_SPAN = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Variant:
    """A loaded package in its role."""

    role: Role
    package: str  # node id of the package
    version: str  # what an answer calls it, e.g. "flights-late@v3"
    predictor: Predictor
    threshold: float | None = None  # a score at or above it is a positive decision
    fields: tuple[tuple[str, str], ...] = ()  # request fields and their type words
    keys: tuple[str, ...] = ()  # the fields that name a row
    slices: tuple[str, ...] = ()  # the fields quality is compared by
    labels: Expected = ZERO_OR_ONE  # what comes true later
    worth: tuple[tuple[float, ...], ...] = ()  # of classes: what deciding for each (inner) is worth where each (outer) is true


@dataclass(frozen=True, slots=True)
class Routing:
    """What answers, what answers a share of the keys, and what only listens."""

    live: Variant | None = None
    canary: Variant | None = None
    share: float = 0.0  # of keys that the canary answers, 0–1
    shadow: Variant | None = None

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Everything loaded, live first."""
        return tuple(v for v in (self.live, self.canary, self.shadow) if v is not None)

    def split(self, keys: Sequence[str], *, salt: str) -> tuple[list[int], list[int]]:
        """Return the rows for live and those for the canary. A key goes the same way each time, also after a restart."""
        if self.canary is None or self.share <= 0:
            return list(range(len(keys))), []
        live: list[int] = []
        canary: list[int] = []
        for index, key in enumerate(keys):
            (canary if position(key, salt=salt) < self.share else live).append(index)
        return live, canary


def position(key: str, *, salt: str) -> float:
    """Place a key on [0, 1), evenly and for good. `salt` (the service's name) keeps services from choosing the same unlucky keys."""
    digest = blake2b(key.encode(), digest_size=8, salt=salt.encode()[:16]).digest()
    return int.from_bytes(digest, "big") / _SPAN
