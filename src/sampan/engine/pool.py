"""An executor that runs tasks in worker processes, which stay warm between calls.

Workers are started afresh rather than forked (a fork copies locks that other threads hold), and by our own command rather than by
multiprocessing, which would import the user's script in each worker and so run it again where its author did not guard against that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Pipe, wait
from typing import Final

from sampan.engine.executors import THREAD_LIMITS, Outcome, run_all
from sampan.errors import ExecutorLost, ParameterError
from sampan.ports import Task

_START: Final = "import sys; sys.path[:], sys.argv[:] = {path!r}, {argv!r}; from sampan.engine.worker import serve; serve({fds})"
_GRACE_S: Final = 2.0


class Pool:
    """Runs tasks in worker processes that stay warm between calls.

    The machine's processors are shared out: each worker's numeric libraries get `processors // workers` threads for each slot that its task
    fills, unless the environment already says less.

    Parameters
    ----------
    workers : how many processes, and slots, ≥ 1
    """

    def __init__(self, workers: int = 2) -> None:
        if workers < 1:
            raise ParameterError(f"a pool of {workers} workers", hint="1 or more")
        self.slots = workers
        self._waiting: deque[Task] = deque()
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, task: Task) -> None:
        """Take a task on; it starts at once if there are slots for it."""
        self._waiting.append(task)
        self._start()

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Return the next outcome. A task whose worker died comes back as ExecutorLost."""
        self._start()
        busy = {worker.connection: worker for worker in self._workers if worker.task}
        for ready in wait(list(busy), timeout_s) if busy else []:
            worker = busy[ready]  # type: ignore[index]  # wait() returns what it was given
            outcome = worker.take()
            if worker.is_dead:
                self._workers.remove(worker)
            self._start()
            return outcome
        return None

    def map(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Run tasks in parallel; outcomes come in the order in which they end."""
        return run_all(self, tasks)

    def close(self) -> None:
        """Stop the workers; what they are doing is lost."""
        self._waiting.clear()
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def pids(self) -> list[int]:
        """Return the workers' process ids."""
        return [worker.pid for worker in self._workers]

    def _start(self) -> None:
        """Start what is waiting, first come first served: a wide task is not starved by narrow ones behind it."""
        while self._waiting:
            width = min(max(self._waiting[0].cpu, 1), self.slots)
            if sum(worker.width for worker in self._workers if worker.task) + width > self.slots:
                return
            task = self._waiting.popleft()
            worker = self._idle(width)
            worker.give(task)

    def _idle(self, width: int) -> _Worker:
        """Return an idle worker of this width; libraries fix their thread count when they load, so another width is another process."""
        idle = [worker for worker in self._workers if not worker.task]
        for worker in idle:
            if worker.width == width and worker.is_alive():
                return worker
        for worker in idle if len(self._workers) >= self.slots else [w for w in idle if not w.is_alive()]:
            worker.stop()
            self._workers.remove(worker)
            break
        fresh = _Worker(width, threads=max(1, (os.cpu_count() or 1) // self.slots) * width)
        self._workers.append(fresh)
        return fresh


class _Worker:
    """One process, a connection to it, and the task it has."""

    def __init__(self, width: int, *, threads: int) -> None:
        self.width = width
        self.task: Task | None = None
        self.is_dead = False
        self.connection, theirs = Pipe()
        # The worker watches this pipe: when we die, however we die, it ends, and so does the worker.
        life, self._life = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START.format(path=sys.path, argv=sys.argv, fds=f"{theirs.fileno()}, {life}")],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life),
                env={**os.environ, **{name: _fewer(os.environ.get(name), threads) for name in THREAD_LIMITS}},
            )
        finally:
            theirs.close()
            os.close(life)
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(BrokenPipeError, ConnectionResetError):  # take() finds the other end closed and says so
            self.connection.send((task.call, task.args))

    def take(self) -> Outcome:
        """Receive the outcome of the present task."""
        task, self.task = self.task, None
        assert task is not None
        try:
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self.stop()
            return task.key, ExecutorLost(f"the worker {self._end()}", hint="is memory short? try fewer workers, or smaller steps")
        except Exception as error:  # noqa: BLE001  # what came cannot be unpickled here, for whatever reason
            return task.key, error
        return task.key, outcome

    def stop(self) -> None:
        self.is_dead = True
        if self.connection.closed:
            return
        self.connection.close()
        os.close(self._life)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _end(self) -> str:
        code = self._process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _fewer(present: str | None, threads: int) -> str:
    return str(min(int(present), threads)) if present and present.isdigit() and int(present) > 0 else str(threads)
