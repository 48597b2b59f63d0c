"""The environment a run ran in, kept once however many runs share it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.core.digests import Digest

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_FRESH_S: Final = 3.0  # nobody edits code, starts a run, and edits and starts again within this
_LATEST: dict[tuple[int, str, str], tuple[float, Digest]] = {}


def record_environment(ws: Workspace, folder: Path) -> Digest:
    """Store this process's environment, and the commit and uncommitted changes of a folder; return the stored bytes' digest.

    Runs that begin within a few seconds of each other in one process share what was found for the first.
    """
    key, now = (os.getpid(), str(ws.store.root), str(folder)), time.monotonic()
    found = _LATEST.get(key)
    if found is None or now - found[0] > _FRESH_S:
        _LATEST.clear()
        found = _LATEST[key] = (now, ws.store.blobs.put(_captured(folder if folder.is_dir() else None)))
    return found[1]


def _captured(folder: Path | None) -> bytes:
    from sampan.engine.environment import capture

    return msgspec.json.format(msgspec.json.encode(capture(folder)))
