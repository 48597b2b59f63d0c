"""Folders for work in progress. A lock says that the maker lives; the next maker removes what a killed one left."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sampan.store.files import store_errors


@contextmanager
def scratch_folder(home: Path, name: str) -> Iterator[Path]:
    """Make an empty folder in `home`; remove it when the block is left.

    Parameters
    ----------
    name : how the folder's own name begins.

    Raises
    ------
    StoreUnavailable : the disk is full, or the folder cannot be written.
    """
    with store_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        folder, lock = _make(home, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(home: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home.absolute()))
        # Between its making and its lock, another process may take the folder for a dead one's and remove it.
        if (lock := _locked(folder)) is not None:
            return folder, lock


def _sweep(home: Path) -> None:
    for folder in home.iterdir():
        if (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock a folder and return the lock; None if another holds it or the folder is no more."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.stat()  # its names are random: if there is a folder, it is the one we opened
        return handle
    os.close(handle)
    return None
