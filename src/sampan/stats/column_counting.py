"""Counting a column's values batch by batch: codes with exact counts, the smallest hashes, texts with exact counts.

What is counted depends on the values alone, never on how they were cut into batches: whole numbers close together are counted one by one,
others by code, and both ways end in the same codes, counts and hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sampan.stats.codes import Codes, Counts, add_counts, count_codes, encode_hours, encode_numbers
from sampan.stats.scratch import Flags, Scratch
from sampan.stats.smallest_hashes import ALL, SmallestHashes, smallest_distinct
from sampan.stats.stable_hash import EXACT_WHOLE, Hashes, float_bits, hash_arrow_texts, hash_numbers, mix, number_bits

_WINDOW = 1 << 16  # whole numbers within so many are counted one by one
_MOST_PENDING = 1 << 18  # codes of batches that wait to be added up
_MOST_WHOLE = 2**52
_PROBED = 256  # values of a batch are looked at before all are

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """Where a batch of a column has no value."""

    flags: Flags
    at: Codes  # their places, ascending

    @classmethod
    def of(cls, flags: Flags) -> Missing | None:
        """Return where flags are set; None if nowhere."""
        at = np.flatnonzero(flags)
        return cls(flags, at) if len(at) else None


class NumberCounter:
    """Counts a column of numbers, dates (as days) or moments (as microseconds)."""

    def __init__(self, kind: str, k: int) -> None:
        self.kind = kind
        self.n_nan = 0
        self.minimum: float | int | None = None
        self.maximum: float | int | None = None
        self._hashes = SmallestHashes(k)
        self._pending: list[Counts] = []
        self._n_pending = 0
        self._low = 0  # of the window in which whole numbers are counted one by one
        self._window = np.zeros(1, dtype=np.int64)  # and one place more, for rows without a value

    def add(self, values: Numbers, missing: Missing | None, scratch: Scratch) -> Codes | None:
        """Count values, whatever stands where one is missing.

        Returns the place of each in `window`, in memory of `scratch`; None if they were counted by code.
        """
        if missing is not None and len(missing.at) == len(values):
            return None
        whole = self._whole(values, missing, scratch)
        if whole is not None:
            return self._count_whole(whole, missing, scratch)
        there = values if missing is None else values[~missing.flags]
        low, high = there.min(), there.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = there[np.isfinite(there)]
            self.n_nan += len(there) - len(finite)
            if len(finite):
                self.add(finite, None, scratch.head(len(finite)))
            return None
        self._extend(low.item(), high.item())
        scratch = scratch.head(len(there))
        self._pend(count_codes(self._encode(there, scratch), scratch.spare))
        bits = float_bits(there, scratch.parts) if self.fits_floats else number_bits(there, scratch.parts)
        self._hashes.add(mix(bits, scratch.parts, scratch.spare.view(np.uint64)))
        return None

    @property
    def window(self) -> range:
        """The whole numbers that are counted one by one, in the order of their places."""
        return range(self._low, self._low + len(self._window) - 1)

    def found(self) -> tuple[Counts, Hashes]:
        """Return the codes with their counts, and the smallest hashes."""
        self._close_window()
        return add_counts(self._pending), self._hashes.found()

    @property
    def fits_floats(self) -> bool:
        """Whether every value so far is a float, or a whole number that a float holds exactly."""
        return isinstance(self.minimum, float) or self.minimum is None or -EXACT_WHOLE <= self.minimum <= (self.maximum or 0) <= EXACT_WHOLE

    def _extend(self, low: float | int, high: float | int) -> None:
        low, high = low + 0, high + 0  # -0.0 is 0.0
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)

    def _whole(self, values: Numbers, missing: Missing | None, scratch: Scratch) -> Codes | None:
        """Return the values as whole numbers if they are some, close together; where one is missing, another stands in for it."""
        if self.kind == "timestamp" or (values.dtype == np.uint64 and values.max() > _MOST_WHOLE):
            return None
        if missing is None and not _looks_whole(values[:: max(1, len(values) // _PROBED)]):
            return None
        whole = values
        if missing is not None or values.dtype != np.int64:
            whole = scratch.codes
            with np.errstate(invalid="ignore"):  # what is no number, or too large, turns into the smallest there is
                np.copyto(whole, values, casting="unsafe")
        if missing is not None:
            whole[missing.at] = whole[int(np.argmin(missing.flags))]
        low, high = int(whole.min()), int(whole.max())
        if high - low >= _WINDOW or abs(low) >= _MOST_WHOLE:
            return None
        if values.dtype.kind == "f":
            np.copyto(scratch.floats, whole, casting="unsafe")
            same = np.equal(scratch.floats, values, out=scratch.flags)
            if missing is not None:
                same[missing.at] = True
            if not same.all():
                return None
            self._extend(float(low), float(high))
        else:
            self._extend(low, high)
        self._make_room(low, high)
        return whole

    def _count_whole(self, whole: Codes, missing: Missing | None, scratch: Scratch) -> Codes:
        """Count whole numbers within the window one by one; return their places in it."""
        places = np.subtract(whole, self._low, out=scratch.codes) if self._low else whole
        if missing is not None:
            places[missing.at] = len(self._window) - 1
        found = np.bincount(places)
        self._window[: len(found)] += found
        self._window[-1] = 0
        return places

    def _make_room(self, low: int, high: int) -> None:
        """Widen the window so that it spans the range; begin another where it would become too wide."""
        first, last = min(low, self._low), max(high, self._low + len(self._window) - 2)
        if len(self._window) > 1 and last - first >= _WINDOW:
            self._close_window()
        if len(self._window) == 1:
            if low >= 0 and high < _WINDOW:
                low = 0  # costs empty places, and saves a pass over the values
            self._low, self._window = low, np.zeros(high - low + 2, dtype=np.int64)
        elif first < self._low or last > self._low + len(self._window) - 2:
            wider = np.zeros(last - first + 2, dtype=np.int64)
            wider[self._low - first : self._low - first + len(self._window)] = self._window
            self._low, self._window = first, wider

    def _close_window(self) -> None:
        places = np.flatnonzero(self._window)
        if not len(places):
            return
        values, counts = places + self._low, self._window[places]
        codes = self._encode(values, Scratch.of(len(values)))
        self._window = np.zeros(1, dtype=np.int64)
        self._hashes.add(hash_numbers(values))
        first = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))  # ascending, as the values are
        self._pend((codes[first], np.add.reduceat(counts, first)))

    def _encode(self, values: Numbers, scratch: Scratch) -> Codes:
        if self.kind == "timestamp":
            return encode_hours(values, scratch.codes)
        if self.kind == "date":
            return values.astype(np.int64)
        if values.dtype != np.float64:
            np.copyto(scratch.parts.view(np.float64), values, casting="unsafe")
            values = scratch.parts.view(np.float64)
        return encode_numbers(values, scratch.codes, scratch.spare)

    def _pend(self, counts: Counts) -> None:
        self._pending.append(counts)
        self._n_pending += len(counts[0])
        if self._n_pending > _MOST_PENDING:
            self._pending = [add_counts(self._pending)]
            self._n_pending = len(self._pending[0][0])


def _looks_whole(some: Numbers) -> bool:
    """Say whether some values of a batch leave it possible that all are whole numbers, close together: a look at all would be a waste."""
    if not some.max().item() - some.min().item() < _WINDOW:  # nor where one is no number
        return False
    return some.dtype.kind != "f" or bool((np.trunc(some) == some).all())


class TextCounter:
    """Counts a column of texts."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.minimum: str | None = None
        self.maximum: str | None = None
        self._most = ALL
        self._keys: Hashes = np.empty(0, np.uint64)
        self._counts: Codes = np.empty(0, np.int64)
        self._texts = np.empty(0, dtype=object)  # in the order of their hashes
        self._dictionary: pa.Array | None = None
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._places: Codes = np.zeros(1, dtype=np.int64)

    def add(self, dictionary: pa.Array, places: Codes) -> Hashes:
        """Count texts, given as places in a dictionary (one past its end: no text); returns the hash of each text of the dictionary."""
        if self._dictionary is None or not self._dictionary.equals(dictionary):
            self._close_dictionary()
            self._dictionary, self._hashes = dictionary, hash_arrow_texts(dictionary)
            self._places = np.zeros(len(dictionary) + 1, dtype=np.int64)
        self._places += np.bincount(places, minlength=len(self._places))
        return self._hashes

    def _close_dictionary(self) -> None:
        """Add the counts of one dictionary, which many batches may share, to those of all."""
        if self._dictionary is None:
            return
        occurs = np.flatnonzero(self._places[:-1])
        counts, hashes, dictionary = self._places[occurs], self._hashes[occurs], self._dictionary
        self._dictionary = None
        at = np.minimum(np.searchsorted(self._keys, hashes), max(len(self._keys) - 1, 0))
        known = self._keys[at] == hashes if len(self._keys) else np.zeros(len(hashes), dtype=bool)
        np.add.at(self._counts, at[known], counts[known])
        if not known.all():
            self._meet(_taken(pl.Series(_Lent(dictionary)), occurs[~known]), hashes[~known], counts[~known])

    def _meet(self, texts: pl.Series, hashes: Hashes, counts: Codes) -> None:
        """Count texts that were not kept so far: new ones, or ones whose hash is too great."""
        low, high = str(texts.min()), str(texts.max())
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        most = min(self._most, smallest_distinct(hashes, self.k)[-1]) if len(hashes) > self.k else self._most
        places = np.flatnonzero(hashes <= most)
        if not len(places):
            return
        added = np.array(_taken(texts, places).to_list(), dtype=object)
        found = np.concatenate([self._keys, hashes[places]])
        order = np.argsort(found)
        found, n = found[order], np.concatenate([self._counts, counts[places]])[order]
        first = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
        self._counts = np.add.reduceat(n, first)[: self.k]
        kept = first[: self.k]
        self._keys, self._texts = found[kept], np.concatenate([self._texts, added])[order[kept]]
        if len(self._keys) == self.k:
            self._most = self._keys[-1]

    def found(self) -> tuple[dict[str, int], Hashes]:
        """Return the kept texts with their counts, and their hashes, ascending."""
        self._close_dictionary()
        return dict(zip(self._texts.tolist(), self._counts.tolist(), strict=True)), self._keys


class _Lent:
    """An Arrow array that shows Polars nothing but its memory: asked for more, both import modules that cost more than a small table."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = self._array.__arrow_c_array__(requested_schema)
        return schema, array


def _taken(texts: pl.Series, places: Codes) -> pl.Series:
    """Return the texts at some places."""
    if len(places) == len(texts):
        return texts  # ascending places, so all of them
    return texts[pl.Series(_Lent(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])))]
