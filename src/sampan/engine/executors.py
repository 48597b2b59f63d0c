"""What executors take, and the simplest of them: one task after the other in this process. The pool of workers is in pool.py.

Executors report outcomes and never record them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sampan.ports import Executor, Task

# The environment variables by which numeric libraries are told how many threads to use, read when they load.
THREAD_LIMITS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)

Outcome: TypeAlias = tuple[str, Any | BaseException]


@dataclass(frozen=True, slots=True)
class Job:
    """A call of an importable function, under a key that its outcome comes back with."""

    key: str
    call: Callable[..., Any]
    args: tuple[Any, ...] = ()
    cpu: int = 1


class Inline:
    """Runs one task after the other in this process."""

    slots = 1

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Take a task on; `wait` runs it."""
        self._waiting.append(task)

    def wait(self, timeout_s: float | None = None) -> Outcome | None:  # noqa: ARG002  # the port's signature; a call cannot be cut short
        """Run the next task to its end, however long it takes."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        try:
            return task.key, task.call(*task.args)
        except Exception as error:  # noqa: BLE001  # whatever a task raises is its outcome
            return task.key, error

    def map(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Run tasks in order."""
        return run_all(self, tasks)

    def close(self) -> None:
        """Forget what has not run."""
        self._waiting.clear()


def run_all(executor: Executor, tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Submit all tasks and yield each outcome as it comes."""
    for task in tasks:
        executor.submit(task)
    for _ in tasks:
        outcome = executor.wait()
        assert outcome is not None
        yield outcome
