"""Work of pages that takes longer than a person waits: each piece once, one after the other, in a thread, with its progress kept.

What a job finds it leaves where the page looks first; here stands only what is under way, and why the last one failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sampan.web.progress import KeptProgress

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


class Jobs:
    """The jobs of one workspace."""

    def __init__(self, progress: object) -> None:
        self._progress = progress
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pages")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[object]] = {}
        self._thread = 0

    def run(self, name: str, work: Callable[[], object]) -> list[dict[str, Any]]:
        """Start a job if none of this name is under way; return the stages of the one that is being done.

        Raises
        ------
        Exception : what the job raised; asked again, it is started anew
        """
        with self._lock:
            job = self._under_way.get(name)
            if job is None:
                job = self._under_way[name] = self._worker.submit(self._do, work)
            elif job.done():
                del self._under_way[name]
        if job.done():
            job.result()
        return self._progress.stages(thread=self._thread) if isinstance(self._progress, KeptProgress) else []

    def _do(self, work: Callable[[], object]) -> object:
        self._thread = threading.get_ident()
        return work()


_LOCK = threading.Lock()
_JOBS: WeakKeyDictionary[Workspace, Jobs] = WeakKeyDictionary()


def jobs_of(workspace: Workspace) -> Jobs:
    """Return the jobs of a workspace."""
    with _LOCK:
        if workspace not in _JOBS:
            _JOBS[workspace] = Jobs(workspace.progress)
        return _JOBS[workspace]
