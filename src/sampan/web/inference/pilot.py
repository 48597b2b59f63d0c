"""Has the turns of rollouts taken while a server runs: looks in a thread what is due, and asks a process of its own to judge it.

That process (`judge.py`) is there only while something is due: what it loads to read the prediction log never burdens the one that answers.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from sampan.core.decoding import decoder_of
from sampan.core.graph import NodeId
from sampan.errors import SampanError, Unavailable
from sampan.web.inference.judge import Taken, Turn
from sampan.workspace.services.rollout_events import KIND, RUNNING

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

TURN_S = 1.0
SHARE = 0.05  # of a processor that turns may take: what they read grows with the traffic
_MOST = 1000  # rollouts at a time
_PATIENCE_S = 5.0


class Pilot:
    """Advances the rollouts of the services that a server answers for, and takes up what they follow."""

    def __init__(self, workspace: Workspace, names: Callable[[], Iterable[str]], *, turn_s: float = TURN_S) -> None:
        self.lost: dict[NodeId, int] = {}  # package -> how many worker processes ended while it ran
        self._ws = workspace
        self._names = names
        self._turn_s = turn_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pilot", daemon=True)
        self._judge: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to take turns."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the present turn, take no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._dismiss()

    def turn(self) -> float:
        """Have a turn taken for every service that has a rollout or follows an alias; return what it took of a processor."""
        if not (due := self._due()):
            self._dismiss()
            return 0.0
        return self._ask(Turn(tuple(due), dict(self.lost)))

    def _due(self) -> Sequence[str]:
        running = {node.name for node in self._ws.catalog.nodes(kind=KIND, state=RUNNING, limit=_MOST)}
        following = {name for name, rules in self._ws.project.services.items() if rules.follow} - running
        due = running | {name for name in following if self._ws.service.takes_up(name)}
        return sorted(due & set(self._names())) if due else ()

    def _ask(self, turn: Turn) -> float:
        """Raises Unavailable where nobody judges; the next turn asks another process."""
        judge = self._judge = self._judge or self._summon()
        assert judge.stdin is not None
        assert judge.stdout is not None
        try:
            judge.stdin.write(msgspec.json.encode(turn) + b"\n")
            judge.stdin.flush()
            said = judge.stdout.readline()
        except OSError:
            said = b""
        if not said:
            self._dismiss()
            raise Unavailable(f"the process that judges rollouts ended with {judge.returncode}", hint="the words above say why")
        return decoder_of(Taken).decode(said).cpu_s

    def _summon(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sampan.web.inference.judge", str(self._ws.root)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _dismiss(self) -> None:
        """Let the process that judges end: nothing is due."""
        judge, self._judge = self._judge, None
        if judge is None:
            return
        with judge:  # closes its input, at which it ends, and waits
            try:
                judge.communicate(timeout=_PATIENCE_S)
            except (subprocess.TimeoutExpired, OSError):
                judge.kill()

    def _work(self) -> None:
        wait_s = self._turn_s
        while not self._ended.wait(wait_s):
            taken_s = 0.0
            try:
                taken_s = self.turn()
            except SampanError as cause:  # the store may be away for a moment
                logger.warning("rollouts wait: %s", cause)
            except Exception:  # a thread's edge: rollouts must not end for one fault
                logger.exception("a turn of the rollouts failed")
            wait_s = max(self._turn_s, taken_s / SHARE)
