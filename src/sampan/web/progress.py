"""Progress of a server's long work, kept for whoever asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sampan.ports import Stage


@dataclass(slots=True)
class _Kept:
    title: str
    total: int | None
    unit: str
    n: int = 0
    note: str = ""
    began: float = field(default_factory=time.monotonic)
    thread: int = field(default_factory=threading.get_ident)

    def advance(self, n: int = 1, note: str = "") -> None:
        self.n += n
        self.note = note or self.note


class KeptProgress:
    """Holds the stages that are open now; safe to use from several threads."""

    def __init__(self) -> None:
        self._open: dict[int, _Kept] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, title: str, *, total: int | None = None, unit: str = "") -> Iterator[Stage]:
        """Open a stage; leaving it removes it."""
        stage = _Kept(title, total, unit)
        with self._lock:
            self._open[id(stage)] = stage
        try:
            yield stage
        finally:
            with self._lock:
                del self._open[id(stage)]

    def stages(self, *, thread: int | None = None) -> list[dict[str, Any]]:
        """Return the open stages, of all threads or of one, oldest first, with the seconds each has taken."""
        now = time.monotonic()
        with self._lock:
            found = [stage for stage in self._open.values() if thread is None or stage.thread == thread]
            told = [{**asdict(stage), "seconds": round(now - stage.began, 1)} for stage in found]
        return [{name: value for name, value in one.items() if name not in ("began", "thread")} for one in told]
