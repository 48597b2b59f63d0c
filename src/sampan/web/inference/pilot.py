"""Takes the turns of rollouts while a server runs: in a thread of the process that watches, so that a hanging model cannot stop it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from sampan.core.graph import NodeId
from sampan.errors import SampanError
from sampan.workspace.services.rollout_events import KIND, RUNNING

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

TURN_S = 1.0
SHARE = 0.05  # of a processor that turns may take: what they read grows with the traffic


class Pilot:
    """Advances the rollouts of the services that a server answers for, and takes up what they follow."""

    def __init__(self, workspace: Workspace, names: Callable[[], Iterable[str]], *, turn_s: float = TURN_S) -> None:
        self.lost: dict[NodeId, int] = {}  # package -> how many worker processes ended while it ran
        self._ws = workspace
        self._names = names
        self._turn_s = turn_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pilot", daemon=True)

    def start(self) -> None:
        """Begin to take turns."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the present turn, take no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def turn(self, lost: Mapping[NodeId, int]) -> None:
        """Take one turn for every service that has a rollout or follows an alias."""
        for name in self._due():
            try:
                state = self._ws.service.take_turn(name, lost)
            except SampanError as cause:  # the next turn tries again; the routing stays as it is
                logger.warning("the rollout of %s cannot go on: %s", name, cause)
                continue
            if state.changed:
                logger.info("%s: %s", name, state.did)

    def _due(self) -> list[str]:
        running = {node.name for node in self._ws.catalog.nodes(kind=KIND, state=RUNNING, limit=1000)}
        following = {name for name, rules in self._ws.project.services.items() if rules.follow}
        due = running | following
        return sorted(due & set(self._names())) if due else []

    def _work(self) -> None:
        wait_s = self._turn_s
        while not self._ended.wait(wait_s):
            begun = time.thread_time()
            try:
                self.turn(dict(self.lost))
            except SampanError as cause:  # the store may be away for a moment
                logger.warning("rollouts wait: %s", cause)
            except Exception:  # a thread's edge: rollouts must not end for one fault
                logger.exception("a turn of the rollouts failed")
            wait_s = max(self._turn_s, (time.thread_time() - begun) / SHARE)
