"""Whether a run that is recorded as running still has a process. One killed with signal 9 could not record its end."""

from __future__ import annotations

import os

from sampan.core.graph import RunRow
from sampan.store.journals import Journals


def is_dead(row: RunRow, journals: Journals) -> bool:
    """Say whether a running run's process died. A process of another machine counts as alive: from here nobody can tell."""
    if row.state != "running" or row.host != os.uname().nodename:
        return False
    return not journals.is_alive(row.node.id) and not _lives(row.pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
