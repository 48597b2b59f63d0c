"""Events of a program that goes on while the database does not: written when it answers again, in their order.

Metric points need none of this: they go to the run's journal, a file beside the program.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.errors import StoreUnreachable

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)
PATIENCE_S = 300.0  # how long the end of a run waits for the database
_AGAIN_S: Final = 2.0  # between attempts: one takes up to the connection's own timeout, and the program is not to stand still


def await_database(ws: Workspace) -> None:
    """Return when the database answers.

    Raises
    ------
    StoreUnreachable : it did not in all this time.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            ws.catalog.events(limit=1)
        except StoreUnreachable as cause:
            if time.monotonic() > until:
                raise
            logger.warning("%s; waiting to record the end of the run", cause)
            time.sleep(_AGAIN_S)
        else:
            return


class LateEvents:
    """Writes a run's events, or keeps them until they can be written. Safe to use from several threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._kept: list[tuple[Event, ...]] = []  # each is one transaction
        self._lock = threading.Lock()
        self._not_before = 0.0

    def append(self, *events: Event) -> None:
        """Write events now, or keep them if the database does not answer. Raises what writing them raises otherwise."""
        with self._lock:
            self._kept.append(events)
            if time.monotonic() < self._not_before:
                return
            try:
                self._write()
            except StoreUnreachable as cause:
                logger.warning("%s; this run goes on, and what it records is written when the database answers", cause)
                self._not_before = time.monotonic() + _AGAIN_S

    def append_folding(self, run: NodeId, *events: Event) -> None:
        """Write events and fold the run's points with them; else keep the events, and the points on the disk."""
        if not self._append_folding(run, *events):
            self._ws.store.journals.sync(run)
            self.append(*events)

    def _append_folding(self, run: NodeId, *events: Event) -> bool:
        with self._lock:
            if self._kept:
                return False
            try:
                self._ws.ledger.append_folding(run, *events)
            except StoreUnreachable:
                return False
            except BaseException:
                self._ws.store.journals.sync(run)
                raise
            return True

    def settle(self) -> bool:
        """Write all that is kept, and say whether anything was; wait for the database as long as that.

        Raises
        ------
        StoreUnreachable : it did not answer in all this time. What was kept is lost with this process; metric points are not.
        """
        with self._lock:
            if not self._kept:
                return False
            await_database(self._ws)
            self._write()
            return True

    def _write(self) -> None:
        while self._kept:
            try:
                self._ws.ledger.append(*self._kept[0])
            except StoreUnreachable:
                raise
            except BaseException:
                del self._kept[0]  # it would be refused again
                raise
            del self._kept[0]
