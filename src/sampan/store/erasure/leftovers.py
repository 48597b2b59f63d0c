"""The other files of a store's folder: hints, caches, logs of servers, what crashes left. None of them holds anything that must stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sampan.store.erasure.subjects import Subject
from sampan.store.files import store_errors

_CONTENT = ("objects", "packs", "segments")  # looked at object by object, row by row
_DATABASE = ("sampan.db", "sampan.db-wal", "sampan.db-shm", "store.json")
_REMADE = ("hints", "cache", "scratch", "tmp")  # what is there saves time, or belongs to work that ended


def erase_from_leftovers(root: Path, subject: Subject) -> int:
    """Remove or overwrite every other file of a store that mentions a subject; return how many."""
    n_files = 0
    for path in other_files(root):
        with suppress(FileNotFoundError), store_errors(path):
            n_files += _erase_from(path, path.relative_to(root).parts[0], subject)
    return n_files


def other_files(root: Path) -> Iterator[Path]:
    """Iterate over the files of a store's folder that are neither content nor the database."""
    with suppress(FileNotFoundError):
        for entry in sorted(root.iterdir()):
            if entry.is_dir() and entry.name not in _CONTENT:
                yield from (path for path in sorted(entry.rglob("*")) if path.is_file() and not path.is_symlink())
            elif entry.is_file() and entry.name not in _DATABASE:
                yield entry


def remove_copies(root: Path) -> None:
    """Remove copies of packed objects and of tables, and what processes that live no more left half written."""
    copies = [path for name in ("unpacked", "tables") for path in (root / "cache" / name).rglob("*") if path.is_file()]
    for path in (*copies, *(path for path in (root / "tmp").glob("[0-9]*-*") if not _is_being_written(path))):
        with suppress(OSError):
            path.unlink()


def _is_being_written(path: Path) -> bool:
    """Say whether a file is a temporary one of a process that lives."""
    pid = path.name.partition("-")[0]
    return path.parent.name == "tmp" and pid.isdigit() and (int(pid) == os.getpid() or Path(f"/proc/{pid}").exists())


def _erase_from(path: Path, folder: str, subject: Subject) -> bool:
    data = path.read_bytes()
    # Without what it is writing, a writer would fail. Made of what is erased, its edit begins anew, and what it wrote is abandoned.
    if _is_being_written(path) or not subject.is_in(data):
        return False
    if folder in _REMADE:
        path.unlink()
        return True
    assert subject.bytes_pattern is not None
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # In place and no shorter: a server may be writing to the end of it.
        for found in subject.bytes_pattern.finditer(data):
            os.pwrite(file, b"x" * (found.end() - found.start()), found.start())
        os.fsync(file)
    finally:
        os.close(file)
    return True
