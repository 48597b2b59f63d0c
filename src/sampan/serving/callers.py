"""Who calls a prediction server, and how often each may: keys known by their hash alone, and a token bucket for every caller.

Time is an argument everywhere: a bucket knows no clock.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from sampan.core.times import Millis, iso
from sampan.errors import AccessDenied, NotSignedIn, TooManyRequests

PREFIX = "sampan_"
SHOWN = len(PREFIX) + 6  # of a key's text, in lists: enough to tell keys apart, too little to guess one
ANYONE = ""  # the caller of a server that asks for no key
_HINT = "send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`; sampan service key add CALLER makes one"


class Caller(msgspec.Struct, frozen=True):
    """Whom a key belongs to, and what it opens."""

    name: str
    services: tuple[str, ...] = ()  # none: every service
    rate: float = 0.0  # requests a second; 0: the server's own limit
    expires: Millis | None = None


def new_key() -> str:
    """Draw a key: 256 random bits, so that a plain hash of it cannot be searched backward."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """The valid keys of a server by their hash. Immutable; a change of keys is another ring."""

    def __init__(self, callers: Iterable[tuple[str, Caller]] = (), *, asked_for: bool = False) -> None:
        self._callers = dict(callers)
        self.asked_for = asked_for or bool(self._callers)  # with a single key in the project, everyone needs one

    def __len__(self) -> int:
        return len(self._callers)

    def caller(self, key: str, *, service: str, now: Millis) -> Caller:
        """Return whom a key belongs to.

        Raises
        ------
        NotSignedIn : there is no key, it is unknown or revoked, or it has expired.
        AccessDenied : it does not open this service.
        """
        if not self.asked_for:
            return Caller(ANYONE)
        if not key:
            raise NotSignedIn("this server answers with a key only", hint=_HINT)
        found = self._callers.get(hash_key(key))
        if found is None:
            raise NotSignedIn(f"the key {key[:SHOWN]}… is not known here, or was revoked", hint=_HINT)
        if found.expires is not None and found.expires <= now:
            raise NotSignedIn(f"the key {key[:SHOWN]}… of {found.name} expired {iso(found.expires)}", hint=_HINT)
        if found.services and service and service not in found.services:
            raise AccessDenied(f"the key of {found.name} does not open {service!r}", hint=f"it opens {', '.join(found.services)}")
        return found


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float  # when, in seconds


@dataclass(slots=True)
class RateLimiter:
    """A token bucket for each caller: `rate` requests a second on average, a second's worth (at least one) at once."""

    rate: float  # of callers who have no rate of their own; 0: no limit
    share: float = 1.0  # of each rate that this process grants: one part where several processes share the callers
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def admit(self, caller: Caller, *, now_s: float) -> None:
        """Take a token. Raises TooManyRequests, saying when there will be one."""
        rate = (caller.rate or self.rate) * self.share
        if rate <= 0:
            return
        depth = max(rate, 1.0)
        bucket = self._buckets.get(caller.name)
        if bucket is None:
            bucket = self._buckets[caller.name] = _Bucket(depth, now_s)
        bucket.tokens = min(depth, bucket.tokens + (now_s - bucket.filled) * rate)
        bucket.filled = now_s
        if bucket.tokens < 1:
            wait_s = (1 - bucket.tokens) / rate
            said = f"{caller.name or 'callers'} may send {caller.rate or self.rate:g} requests a second"
            raise TooManyRequests(said, retry_after_s=wait_s, hint=f"try again in {wait_s:.2g} s")
        bucket.tokens -= 1
