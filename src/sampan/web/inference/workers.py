"""Watches over the worker processes of a prediction server: starts them, replaces those that die, hang or eat memory, ends them.

Each worker has a listening socket of its own on the shared port, which this process keeps open: connections that wait there when a worker
is killed are answered by the one after it. What a worker was answering when it was killed is lost to its clients, as a closed connection.
This process loads no model, so nothing that a model does reaches it; it takes the turns of rollouts, and knows what ran when a worker died.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from mmap import PAGESIZE
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sampan.core.decoding import read_json
from sampan.errors import SampanError, Unavailable
from sampan.serving.merged_metrics import counters_only, merged
from sampan.web.inference.nursery import Forked, Nursery
from sampan.web.inference.pilot import Pilot
from sampan.web.inference.plan import GRACE_S, ServerPlan, Worker, listen
from sampan.workspace.services import process
from sampan.workspace.services.process import EVERY, Liveness, ServiceFiles, announce

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_LOOK_S = 0.1
_BEAT_S, _ANSWER_S = 1.0, 3.0
_STARVED = 6.0  # times as long as others may a worker be silent that gets no processor
_CLOSING_S = 30.0  # beyond the requests in hand: to write logs out
_READY_S = 60.0
_YOUNG_S = 10.0  # a worker that dies younger than this, and was never ready, is replaced after a pause, doubled each time
_MOST_PAUSE_S = 30.0
_STUCK = "\nsampan_stuck_requests{"
_PACKAGE = re.compile(r'^sampan_stuck_requests\{.*package="([^"]*)"', re.MULTILINE)


@dataclass(slots=True)
class _Slot:
    """A place for one worker, with its socket."""

    listener: socket.socket
    child: Forked | None = None
    number: int = -1
    started: float = 0.0
    heard: float = 0.0  # when it last answered
    asked: float = 0.0
    cpu_heard_s: float = 0.0  # what its event loop's thread had taken of a processor by then
    counts: str = ""  # what it counted, as of then
    early_ends: int = 0
    not_before: float = 0.0
    leaving: list[tuple[Forked, float]] = field(default_factory=list)  # being replaced, and until when it may take


class Supervisor:
    """Runs a server of several processes."""

    def __init__(self, workspace: Workspace, plan: ServerPlan, files: ServiceFiles) -> None:
        self._ws = workspace
        self._plan = plan
        self._files = files
        self._token = secrets.token_urlsafe(24)
        self._slots: list[_Slot] = []
        self._numbers = 0
        self._ended = False
        self._hang_s = workspace.project.serving.hang_s
        self._most_bytes = workspace.project.serving.worker_memory_mb << 20 or _machine_bytes() // 2
        self._nursery = Nursery()
        self._suspects: set[str] = set()  # packages that a worker hung on
        self._pilot = Pilot(workspace, self._names)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises
        ------
        Unavailable : the port is taken, or no worker becomes ready.
        """
        for wish in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wish, self._end)
        for path in (*self._files.workers(), self._files.departed):
            path.unlink(missing_ok=True)
        with ExitStack() as sockets:
            self._bind(sockets)
            try:
                for slot in self._slots:
                    self._start(slot)
                self._wait_until_ready()
                self._announce()
                self._pilot.start()
                while not self._ended:
                    time.sleep(_LOOK_S)
                    for slot in self._slots:
                        self._look(slot)
            finally:
                self._pilot.stop()
                self._stop_all()

    def _bind(self, sockets: ExitStack) -> None:
        first = sockets.enter_context(listen(self._plan.host, self._plan.port, shared=True))
        self._slots.append(_Slot(first))
        for _ in range(self._plan.workers - 1):
            self._slots.append(_Slot(sockets.enter_context(listen(self._plan.host, first.getsockname()[1], shared=True))))

    def _start(self, slot: _Slot) -> None:
        slot.number, self._numbers = self._numbers, self._numbers + 1
        told = Worker(
            plan=self._plan,
            number=slot.number,
            of=self._plan.workers,
            token=self._token,
            suspects=tuple(sorted(self._suspects)),
        )
        slot.child = self._nursery.fork(told, slot.listener)
        slot.started = slot.heard = time.monotonic()
        slot.counts = ""

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        waiting = list(self._slots)
        while waiting and not self._ended:
            for slot in tuple(waiting):
                assert slot.child is not None
                if (code := slot.child.poll()) is not None:
                    raise Unavailable(f"a worker ended with exit code {code} before it was ready", hint="its words are above")
                if (live := self._said(slot)) is not None and process.is_ready(live):
                    waiting.remove(slot)
            if time.monotonic() > deadline:
                raise Unavailable(f"{len(waiting)} of {len(self._slots)} workers were not ready after {_READY_S:.0f} s")
            time.sleep(0.02)

    def _announce(self) -> None:
        host, port = self._slots[0].listener.getsockname()[:2]
        live = Liveness(
            service=self._plan.name,
            pid=os.getpid(),
            host=host,
            port=port,
            token=self._token,
            started=self._ws.clock(),
            tls=bool(self._plan.tls_cert),
            grpc_port=self._plan.grpc_port or 0,
        )
        announce(self._files, live)

    def _look(self, slot: _Slot) -> None:
        now = time.monotonic()
        self._see_off(slot, now)
        if slot.child is None:
            if now >= slot.not_before:
                self._start(slot)
            return
        if (code := slot.child.poll()) is not None:
            self._bury(slot, code, now)
            return
        if now - slot.asked >= _BEAT_S:
            slot.asked = now
            self._listen_to(slot)
        if now - slot.heard > self._hang_s + (_READY_S if self._said(slot) is None else 0.0) and not self._is_starved(slot, now):
            logger.warning("worker %d says nothing for %.0f s and is replaced", slot.number, now - slot.heard)
            self._suspects.add(self._ran_last(slot))
            slot.child.kill()
        elif _resident_bytes(slot.child.pid) > self._most_bytes:
            logger.warning("worker %d takes over %d MB and is replaced", slot.number, self._most_bytes >> 20)
            self._note_loss(slot)
            self._relieve(slot, now)
        elif _STUCK in slot.counts and now - slot.started > _YOUNG_S:
            logger.warning("worker %d has calls of a model that do not end, and is replaced", slot.number)
            self._suspects.update(_PACKAGE.findall(slot.counts))
            self._relieve(slot, now)

    def _is_starved(self, slot: _Slot, now: float) -> bool:
        """Say whether a silent worker only waits for a processor: its loop wants to run, and has had less than half of one."""
        assert slot.child is not None
        state, cpu_s = _main_thread(slot.child.pid)
        return state == "R" and cpu_s - slot.cpu_heard_s < (now - slot.heard) / 2 and now - slot.heard < _STARVED * self._hang_s

    def _relieve(self, slot: _Slot, now: float) -> None:
        """Let another worker take a worker's place; it finishes what it has."""
        assert slot.child is not None
        slot.child.terminate()
        slot.early_ends = 0
        slot.leaving.append((slot.child, now + GRACE_S + _CLOSING_S))
        self._depart(slot)
        self._start(slot)

    def _listen_to(self, slot: _Slot) -> None:
        """Ask a worker for its counts: an answer says that its loop turns."""
        if (live := self._said(slot)) is None:
            return
        with suppress(Unavailable):
            status, body = process.ask(live, "GET", "/metrics", timeout_s=min(_ANSWER_S, self._hang_s))
            if status == 200:
                slot.heard, slot.counts = time.monotonic(), body.decode()
                slot.cpu_heard_s = _main_thread(live.pid)[1]

    def _bury(self, slot: _Slot, code: int, now: float) -> None:
        """Take note of a dead worker; another one takes its place."""
        logger.warning("worker %d ended with exit code %d", slot.number, code)
        if code < 0 and code != -signal.SIGTERM:
            self._note_loss(slot)
        was_ready = self._said(slot) is not None
        self._depart(slot)
        slot.child = None
        # Meanwhile nobody takes the connections that the system gave this socket: who pauses is one that cannot even start.
        if not was_ready and now - slot.started < _YOUNG_S:
            slot.early_ends += 1
            slot.not_before = now + min(_MOST_PAUSE_S, 0.25 * 2**slot.early_ends)
        else:
            slot.early_ends, slot.not_before = 0, 0.0

    def _depart(self, slot: _Slot) -> None:
        """Keep what a worker counted, so that the server's sums do not fall, and forget where it was."""
        self._files.worker(slot.number).unlink(missing_ok=True)
        self._files.marker(slot.number).unlink(missing_ok=True)
        if slot.counts:
            before = self._files.departed.read_text() if self._files.departed.exists() else ""
            part = self._files.departed.with_suffix(".part")
            part.write_text(merged([page for page in (before, counters_only(slot.counts)) if page]))
            part.replace(self._files.departed)

    def _note_loss(self, slot: _Slot) -> None:
        """Remember which package ran last in a worker that was lost: a rollout of it is sent back."""
        if package := self._ran_last(slot):
            self._pilot.lost[package] = self._pilot.lost.get(package, 0) + 1

    def _ran_last(self, slot: _Slot) -> str:
        """Return which package a worker noted last; "" where it noted none."""
        try:
            return self._files.marker(slot.number).read_bytes().decode().strip()
        except OSError:
            return ""

    def _see_off(self, slot: _Slot, now: float) -> None:
        staying = []
        for child, until in slot.leaving:
            if child.poll() is None:
                if now > until:
                    child.kill()
                staying.append((child, until))
        slot.leaving = staying

    def _stop_all(self) -> None:
        children = [child for slot in self._slots for child in (slot.child, *(one for one, _ in slot.leaving)) if child is not None]
        for child in children:
            child.terminate()
        deadline = time.monotonic() + GRACE_S + _CLOSING_S
        for child in children:
            if not child.wait(max(0.1, deadline - time.monotonic())):
                child.kill()
                child.wait(_ANSWER_S)
        self._nursery.close()
        for path in (*self._files.workers(), *self._files.folder.glob(self._files.marker(0).name[:-1] + "*"), self._files.departed):
            path.unlink(missing_ok=True)

    def _said(self, slot: _Slot) -> Liveness | None:
        """Return where a worker says that it answers; None before it does."""
        try:
            live = read_json(self._files.worker(slot.number).read_bytes(), Liveness)
        except (OSError, msgspec.DecodeError):
            return None
        return live if slot.child is not None and live.pid == slot.child.pid else None

    def _names(self) -> list[str]:
        if self._plan.name != EVERY:
            return [self._plan.name]
        try:
            return [asset.name for asset in self._ws.catalog.assets("service")]
        except SampanError:
            return []

    def _end(self, *_: object) -> None:
        self._ended = True


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGESIZE
    except (OSError, IndexError):
        return 0


def _main_thread(pid: int) -> tuple[str, float]:
    """Return the state of a process's first thread, and what it took of a processor, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0.0
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
