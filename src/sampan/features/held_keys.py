"""Which rows a version of a table has, by their keys: so that an event of its own that is fed, too, counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]


class HeldKeys:
    """The keys of many rows, as sorted hashes: eight bytes a row. What returns the keys is asked when the first one is looked for."""

    def __init__(self, keys: Iterable[tuple[Any, ...]] | Callable[[], Iterable[tuple[Any, ...]]] = ()) -> None:
        self._keys = keys

    @cached_property
    def _hashes(self) -> Hashes:
        keys = self._keys() if callable(self._keys) else self._keys
        self._keys = ()
        return _hashes(keys)

    def __contains__(self, key: object) -> bool:
        place = int(np.searchsorted(self._hashes, hash(key)))
        return place < len(self._hashes) and bool(self._hashes[place] == hash(key))

    def revised(self, gone: Sequence[tuple[Any, ...]], come: Sequence[tuple[Any, ...]]) -> HeldKeys:
        """Return the keys without one of each that is gone, and with those that came."""
        leaving = _hashes(gone)
        nth = np.arange(len(leaving)) - np.searchsorted(leaving, leaving)  # of several alike, one after the other leaves
        places = np.searchsorted(self._hashes, leaving) + nth
        there = places < len(self._hashes)
        places = places[there][self._hashes[places[there]] == leaving[there]]
        found = HeldKeys()
        found._hashes = np.sort(np.concatenate([np.delete(self._hashes, places), _hashes(come)]), kind="stable")
        return found


def _hashes(keys: Iterable[tuple[Any, ...]]) -> Hashes:
    return np.sort(np.fromiter((hash(key) for key in keys), np.int64))
