"""A workspace kept open between the runs of one program: opening and closing a database for each is most of what a short run costs.

Nothing waits in it: what a run recorded is durable before the workspace is handed back. It is closed when the program ends, when another
project is opened, or when the store's files are no longer those that were opened.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from weakref import WeakKeyDictionary

from sampan.core.project import FILE_NAME
from sampan.workspace.workspace import Workspace, current_actor, find_root

_Mark = tuple[int, ...]
_LOCK = threading.Lock()
_KEPT: list[tuple[Workspace, _Mark]] = []  # at most one
_LENT: WeakKeyDictionary[Workspace, _Mark] = WeakKeyDictionary()  # what those that were kept stand on


def borrow(folder: Path | str) -> Workspace:
    """Open the workspace of a folder, or take the one that is kept open."""
    with _LOCK:
        kept = _KEPT.pop() if _KEPT else None
    if kept is not None:
        ws, mark = kept
        if _is_of(ws, folder) and ws.actor == current_actor() and mark == _mark(ws):
            _LENT[ws] = mark
            return ws
        ws.close()
    return Workspace.open(folder)


def give_back(ws: Workspace) -> None:
    """Keep a workspace for the next run of this program; close the one that was kept."""
    with _LOCK:
        before = _KEPT.pop() if _KEPT else None
        _KEPT.append((ws, _LENT.pop(ws, ()) or _mark(ws)))
    if before is not None:
        before[0].close()


def close_kept() -> None:
    """Close what is kept open."""
    with _LOCK:
        kept = _KEPT.pop() if _KEPT else None
    if kept is not None:
        kept[0].close()


def _is_of(ws: Workspace, folder: Path | str) -> bool:
    """Say whether a folder belongs to the project of a workspace."""
    # Most programs name the project's own folder, which two looks tell; resolving a path takes many.
    start = ws.root if _is_folder(ws, folder) else Path(folder).expanduser().resolve()
    return ws.root == (find_root(start) or start)


def _is_folder(ws: Workspace, folder: Path | str) -> bool:
    try:
        return os.path.samefile(folder, str(ws.root))  # noqa: PTH121  # as texts, see below
    except OSError:
        return False  # not there yet, or written with a ~


def _mark(ws: Workspace) -> _Mark:
    """Tell the very files a workspace stands on: another process id, store or project file makes another mark."""
    found = [os.getpid()]
    store = str(ws.store_folder)
    # As texts: making paths would take longer than the looking.
    for file in (f"{ws.root}/{FILE_NAME}", f"{store}/store.json", f"{store}/sampan.db"):
        try:
            state = os.stat(file)  # noqa: PTH116  # see above
        except OSError:
            found.append(0)
        else:
            found += [state.st_ino, 0 if file.endswith(".db") else state.st_mtime_ns]
    return tuple(found)


atexit.register(close_kept)
