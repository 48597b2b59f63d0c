"""Asks a process that has imported everything to fork workers, and takes them as children of this one: `worker.py` is its other half."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Final

import msgspec

from sampan.errors import Unavailable
from sampan.web.inference.plan import ID_BYTES, NOT_FORKED, Worker

_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_PATIENCE_S: Final = 60.0  # the first is asked for while everything is being imported
_TRIES: Final = 2
_POLL_S: Final = 0.02


class Forked:
    """A worker: a child of this process, which another one forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, as a negative number by which signal; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def terminate(self) -> None:
        """Ask it to finish what it has and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; say whether it has."""
        deadline = time.monotonic() + timeout_s
        while self.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _signal(self, wish: signal.Signals) -> None:
        if self.poll() is None:  # not waited for, its number belongs to nobody else
            os.kill(self.pid, wish)


class Nursery:
    """Starts the process that forks, and another one where that died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket | None = None

    def fork(self, worker: Worker, listener: socket.socket) -> Forked:
        """Start a worker that answers on a socket. Raises Unavailable where none can be started."""
        for _ in range(_TRIES):
            if (pid := self._ask(msgspec.json.encode(worker), listener)) != NOT_FORKED:
                return Forked(pid)
            self.close()
        raise Unavailable("no worker process can be started", hint="the words above say why; `ulimit -u` and memory limit processes")

    def close(self) -> None:
        """End the process that forks; workers go on."""
        if self._ours is not None and self._process is not None:
            self._ours.close()
            self._process.kill()
            self._process.wait()
        self._ours = self._process = None

    def _ask(self, told: bytes, listener: socket.socket) -> int:
        """Return the process id of a new worker, NOT_FORKED where there is none."""
        ours = self._ours or self._open()
        # Only for the moment in which the worker's first parent ends: whatever else loses its parent is none of ours.
        _take_orphans(1)
        try:
            socket.send_fds(ours, [told], [listener.fileno()])
            return int.from_bytes(ours.recv(ID_BYTES))
        except OSError:
            return NOT_FORKED
        finally:
            _take_orphans(0)

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_PATIENCE_S)
        with theirs:
            command = [sys.executable, "-m", "sampan.web.inference.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        self._ours = ours
        return ours


def _take_orphans(wish: int) -> None:
    """Become the parent of processes below this one that lose theirs, or no longer."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, wish)
