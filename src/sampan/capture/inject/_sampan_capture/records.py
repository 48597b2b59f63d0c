"""The report of one watched program: JSON lines, each written by one call, so that a killed program leaves whole lines."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

_quiet = threading.local()


class Silence:
    """What happens inside is our own doing and is not reported. A finalizer may run inside it, so it nests."""

    def __enter__(self) -> None:
        _quiet.depth = getattr(_quiet, "depth", 0) + 1

    def __exit__(self, *_error: object) -> None:
        _quiet.depth -= 1


def is_silent() -> bool:
    """Say whether this thread is in a Silence."""
    return getattr(_quiet, "depth", 0) > 0


class Report:
    """Where a program's records go. Forked children write to the same file, each under its own process number."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        path = os.path.join(folder, f"{os.getpid()}-{os.urandom(4).hex()}.jsonl")
        with Silence():
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, **fields: Any) -> None:
        """Append a record. A full disk loses it; the program goes on."""
        with Silence():
            line = json.dumps({"kind": kind, "pid": os.getpid(), **fields}, default=repr, allow_nan=True)
            try:
                os.write(self._fd, line.encode("utf-8", "backslashreplace") + b"\n")
            except OSError:
                return
