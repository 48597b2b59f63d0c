"""The environment a run ran in, kept once however many runs share it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sampan.core.digests import Digest

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def record_environment(ws: Workspace, folder: Path) -> Digest:
    """Store this process's environment, and the commit and uncommitted changes of a folder; return the stored bytes' digest."""
    from sampan.engine.environment import capture

    captured = capture(folder if folder.is_dir() else None)
    return ws.store.blobs.put(msgspec.json.format(msgspec.json.encode(captured)))
