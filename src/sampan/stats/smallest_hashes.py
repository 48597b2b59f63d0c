"""Bottom-k samples of hashes: the k smallest of all distinct ones, and how often each was added."""

from __future__ import annotations

import numpy as np

from sampan.stats.codes import Codes
from sampan.stats.stable_hash import Hashes

ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_N_SLOTS = 1 << 14  # of hashes seen lately
_SLOT = np.uint64(_N_SLOTS - 1)
_BATCH = 1 << 13


class SmallestHashes:
    """The k smallest of all distinct hashes that were added."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._most = ALL  # what is greater cannot be among the smallest any more
        self._kept: list[Hashes] = []
        self._n_kept = 0
        self._lately = np.zeros(_N_SLOTS, dtype=np.uint64)

    def add(self, hashes: Hashes) -> None:
        """Add hashes, in any order and as often as they come."""
        first = 8 * self.k
        if self._most == ALL and len(hashes) > 2 * first:
            # What the first few say leaves most of the others out.
            self.add(hashes[:first])
            self._settle()
            hashes = hashes[first:]
        low = hashes[hashes <= self._most] if self._most != ALL else hashes
        if len(low) > self.k:
            slots = (low & _SLOT).astype(np.int64)
            low = low[self._lately[slots] != low]
            self._lately[(low & _SLOT).astype(np.int64)] = low
        if not len(low):
            return
        self._kept.append(low.copy() if low is hashes else low)  # whose memory is the caller's
        self._n_kept += len(low)
        if self._n_kept > max(_BATCH, 4 * self.k):
            self._settle()

    def found(self) -> Hashes:
        """Return them, ascending."""
        self._settle()
        return self._kept[0]

    def _settle(self) -> None:
        kept = np.concatenate(self._kept or [np.empty(0, np.uint64)])
        smallest = smallest_distinct(kept, self.k)
        self._kept, self._n_kept = [smallest], len(smallest)
        if len(smallest) == self.k:
            self._most = smallest[-1]


class CountedHashes:
    """The k smallest of all hashes that were added, and how often each was."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._most = ALL
        self._hashes: list[Hashes] = []
        self._counts: list[Codes] = []
        self._n_kept = 0

    def add(self, hashes: Hashes, counts: Codes | None = None) -> None:
        """Add hashes, each counted once or as often as `counts` says."""
        first = 8 * self.k
        if self._most == ALL and counts is None and len(hashes) > 2 * first:
            # What the first few say leaves most of the others out.
            for start in range(0, len(hashes), first):
                self.add(hashes[start : start + first])
            self._settle()
            return
        if self._most != ALL:
            low = np.flatnonzero(hashes <= self._most)
            hashes, counts = hashes[low], None if counts is None else counts[low]
        else:
            hashes = hashes.copy()  # whose memory is the caller's
        if not len(hashes):
            return
        self._hashes.append(hashes)
        self._counts.append(np.ones(len(hashes), np.int64) if counts is None else counts)
        self._n_kept += len(hashes)
        if self._n_kept > max(_BATCH, 4 * self.k):
            self._settle()

    def found(self) -> tuple[Hashes, Codes]:
        """Return the hashes, ascending, and their counts."""
        self._settle()
        return self._hashes[0], self._counts[0]

    def smallest(self) -> Hashes:
        """Return the hashes known to be among the smallest so far; fewer than k until k were settled."""
        return self._hashes[0] if self._hashes and self._most != ALL else np.empty(0, np.uint64)

    def _settle(self) -> None:
        hashes = np.concatenate(self._hashes or [np.empty(0, np.uint64)])
        counts = np.concatenate(self._counts or [np.empty(0, np.int64)])
        hashes, counts = count_smallest(hashes, counts, self.k)
        self._hashes, self._counts = [hashes], [counts]
        self._n_kept = len(self._hashes[0])
        if self._n_kept == self.k:
            self._most = self._hashes[0][-1]


def smallest_distinct(hashes: Hashes, k: int) -> Hashes:
    """Return the k smallest of the distinct hashes, ascending.

    >>> smallest_distinct(np.array([3, 1, 3, 2, 1], dtype=np.uint64), 2).tolist()
    [1, 2]
    """
    n = 2 * k
    while n < len(hashes):
        # Setting the smallest apart costs one pass; sorting all of them costs many.
        found = _distinct(np.partition(hashes, n)[:n])
        if len(found) > k:  # the last one may stand among the greater ones, too, but is none of the k
            return found[:k]
        n *= 8
    return _distinct(hashes)[:k]


def count_smallest(hashes: Hashes, counts: Codes, k: int) -> tuple[Hashes, Codes]:
    """Return the k smallest of the distinct hashes, ascending, and the sum of each one's counts."""
    smallest = smallest_distinct(hashes, k)
    if not len(smallest):
        return smallest, counts
    low = np.flatnonzero(hashes <= smallest[-1])
    # As weights, counts are floats: exact below 2⁵³.
    sums = np.bincount(np.searchsorted(smallest, hashes[low]), weights=counts[low], minlength=len(smallest))
    return smallest, sums.astype(np.int64)


def _distinct(hashes: Hashes) -> Hashes:
    # Not np.unique, which imports numpy.ma and hashes before it sorts.
    ordered = np.sort(hashes)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
