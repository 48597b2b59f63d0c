"""Where steps' values lie: the store's bytes and tables, reachable from this process and, by address, from a worker's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampan.ports import Blobs
    from sampan.store.store import Store
    from sampan.store.tables import Tables


class Shelf:
    """A store's blobs and tables. Pickling one sends its address; the worker opens the same folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def blobs(self) -> Blobs:
        """Return the store's bytes."""
        return self._store.blobs

    @property
    def tables(self) -> Tables:
        """Return the store's tables; the first use imports the table engine."""
        return self._store.tables

    def scratch(self, name: str) -> AbstractContextManager[Path]:
        """Make a folder for work in progress, on the store's disk, and remove it afterwards."""
        from sampan.store.scratch import scratch_folder

        return scratch_folder(self._store.root / "scratch", name)

    def __reduce__(self) -> tuple[object, ...]:
        return _open, (self._store.root, self._store.database.address)


@cache
def _open(root: Path, address: str) -> Shelf:
    # A worker keeps the store open for its life: many steps, one connection.
    from sampan.store.store import Store

    return Shelf(Store.open(root, database=address, create=False))
