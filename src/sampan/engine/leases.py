"""Who may run what: leases on cache keys, kept alive by a heartbeat, and the one commit that each key's newest attempt may make."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.core.events import Event, StepCommitted, new_id
from sampan.core.times import Clock
from sampan.engine import processes
from sampan.errors import StaleState, Unavailable
from sampan.ledger import Ledger
from sampan.store.steps import LEASE_MS, Steps

if TYPE_CHECKING:
    import logging


class Lease(NamedTuple):
    """The right to run a step under a key; its token is the number of the attempt."""

    key: str
    step: str
    token: int


class Found(NamedTuple):
    """A committed outcome."""

    outcome: dict[str, Any]


class Leases:
    """One engine's leases. While it holds any, a thread renews them, also while this process is busy in a step."""

    def __init__(self, steps: Steps, ledger: Ledger, *, clock: Clock, lease_ms: int = LEASE_MS) -> None:
        self._steps = steps
        self._ledger = ledger
        self._clock = clock
        self._lease_ms = lease_ms
        self._owner = f"{processes.identity()} {new_id()[:8]}"
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self._beating: threading.Thread | None = None

    def found(self, key: str) -> Found | None:
        """Return the committed outcome of a key."""
        outcome = self._steps.outcome(key)
        return None if outcome is None else Found(outcome)

    def claim(self, key: str, step: str) -> Lease | Found | None:
        """Take the right to run a step, or learn its outcome; None while someone else runs it."""
        if found := self.found(key):
            return found
        token = self._claim(key, step)
        if token is None and self._free_from_the_dead(key):
            token = self._claim(key, step)
        if token is None:
            return None
        lease = Lease(key, step, token)
        if found := self.found(key):  # another attempt committed just before we claimed
            self._steps.release(key, token)
            return found
        self._hold(lease)
        return lease

    def commit(self, lease: Lease, outcome: dict[str, Any], *, beside: Sequence[Event] = ()) -> bool:
        """Record the outcome of an attempt; False if it is no longer the newest, so that its outcome counts for nothing.

        Events `beside` it are recorded in the same transaction, or not at all.
        """
        try:
            self._ledger.append(StepCommitted(key=lease.key, token=lease.token, step=lease.step, outcome=outcome), *beside)
        except StaleState:
            _log().warning("step %s: attempt %d was overtaken and is discarded", lease.step, lease.token)
            return False
        finally:
            self._drop(lease)
        return True

    def release(self, lease: Lease) -> None:
        """Give up an attempt, so that another can begin at once."""
        self._drop(lease)
        self._steps.release(lease.key, lease.token)

    def _claim(self, key: str, step: str) -> int | None:
        return self._steps.claim(key, step=step, owner=self._owner, now=self._clock(), lease_ms=self._lease_ms)

    def _free_from_the_dead(self, key: str) -> bool:
        """Release a lease whose process is known to be gone, rather than wait for its end; a token guards against a mistake."""
        holder = self._steps.holder(key)
        if holder is None or not processes.is_gone(holder[0]):
            return False
        _log().info("the process that held %s is gone; its lease ends now", key[:12])
        self._steps.release(key, holder[1])
        return True

    def _hold(self, lease: Lease) -> None:
        with self._lock:
            self._held[lease.key] = lease.token
            if self._beating is None:
                self._beating = threading.Thread(target=self._beat, name="sampan-leases", daemon=True)
                self._beating.start()

    def _drop(self, lease: Lease) -> None:
        with self._lock:
            self._held.pop(lease.key, None)

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._lease_ms / 3000)
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._beating = None
                    return
            for key, token in held.items():
                self._renew(key, token)

    def _renew(self, key: str, token: int) -> None:
        try:
            if not self._steps.renew(key, token, now=self._clock(), lease_ms=self._lease_ms) and key in self._held:
                _log().warning("the lease on %s was lost: another attempt has begun", key[:12])
        except Unavailable as error:
            _log().warning("a lease could not be renewed now: %s", error)


def _log() -> logging.Logger:
    import logging  # costs every command that asks for something computed before 7 ms

    return logging.getLogger(__name__)
