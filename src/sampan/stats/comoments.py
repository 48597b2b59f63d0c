"""Co-moments of number columns, exact to add: how often two columns are both there, their sums, and the sums of their products.

Summing floats depends on the order, so values are rounded to a fixed grid and summed as integers: whole numbers below 2²⁴ are exact, others
keep ten bits of their mantissa; below 2⁻⁴⁰ a value counts as 0, beyond 2⁴⁸ as 2⁴⁸. Not every row is needed for a correlation. A row belongs
to a level by the leading zeros of its hash (of 16 distinct rows one is of a higher level). Kept are the levels from that of the 4,096th
smallest hash up: a sample of 4,096 to about 65,536 distinct rows that depends on the rows alone, and so merges exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sampan.stats.codes import Codes, Floats
from sampan.stats.scratch import Flags
from sampan.stats.stable_hash import Hashes

MOST_COLUMNS = 32
N_LEVELS = 16
LEVEL_BITS = 4
_N_WAITING, _N_ROWS = 32_768, 16_384  # rows that there is room for at first, and that are added up at a time
_LARGEST, _SMALLEST = 2.0**48, 2.0**-40
_WHOLE = 2.0**24
_ROUND = np.int64(-(1 << 43))
_SCALE = 49  # values are multiples of 2⁻⁴⁹, products of 2⁻⁹⁸
_LIMB = 16  # bits of a piece of a value: products of pieces stay exact in a float
_N_WORDS = 7  # of 32 bits, of a sum
_MOST_PIECES = 7  # of a column: 2⁴⁸ beside 2⁻⁴⁰ takes 98 bits
_SMALL_PRODUCT = 1 << 18
_FEW_ROWS = 1_024
_LOW = np.int64(0xFFFF_FFFF)

Sums = np.ndarray[Any, np.dtype[np.int64]]


class Level(msgspec.Struct, frozen=True):
    """The co-moments of a level's rows: for every two columns a, b over rows where both are there."""

    level: int
    n_rows: int
    n: bytes  # int64, columns x columns
    sums: bytes  # int64, 3 x columns x columns x words: Σa, Σa², Σab, each Σ word·2³²ⁱ⁻⁹⁸


class CoMoments(msgspec.Struct, frozen=True):
    """The co-moments of a table's first number columns, by level."""

    columns: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows they were taken from."""
        return sum(level.n_rows for level in self.levels)

    def correlations(self) -> Floats:
        """Return Pearson's correlation of every two columns; NaN where one does not vary or they are never there together."""
        p = len(self.columns)
        n, sums = np.zeros((p, p), dtype=np.int64), np.zeros((3, p, p, _N_WORDS), dtype=np.int64)
        for level in self.levels:
            n, sums = n + _n_of(level, p), sums + _sums_of(level, p)
        found = np.full((p, p), np.nan)
        exact = sum(sums[..., word].astype(object) << (32 * word) for word in range(_N_WORDS))
        for i in range(p):
            for j in range(i, p):
                found[i, j] = found[j, i] = _correlation(int(n[i, j]), exact, i, j)
        return found


class CoMomentCounter:
    """Adds rows up to co-moments.

    Rows wait until all are there. Where they become many, those that repeat are kept once, with how often they came: a long table of few
    distinct rows costs no more than these do.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._level = 0  # the lowest that is still needed
        self._n = 0  # rows that wait, in the first places of what follows
        self._hashes = np.empty(_N_WAITING, dtype=np.uint64)
        self._counts = np.empty(_N_WAITING, dtype=np.int64)
        self._values = np.empty((len(columns), _N_WAITING))  # NaN where one is missing

    def leave_out_below(self, level: int) -> None:
        """Forget the levels below one, for good."""
        if level > self._level:
            self._level = level
            self._keep(np.flatnonzero(self._hashes[: self._n] < _bound(level)))

    def add(self, hashes: Hashes, columns: Sequence[tuple[np.ndarray[Any, Any], Flags | None]]) -> None:
        """Add the rows that count by their hashes; of each column its numbers, and where they are missing, if anywhere."""
        wanted = np.flatnonzero(hashes < _bound(self._level)) if self._level else np.arange(len(hashes))
        while len(wanted) and self.columns:
            rows = wanted[: len(self._hashes) - self._n]
            place = slice(self._n, self._n + len(rows))
            self._hashes[place], self._counts[place] = hashes[rows], 1
            _take(columns, rows, self._values[:, place])
            self._n += len(rows)
            wanted = wanted[len(rows) :]
            if len(wanted):
                self._make_room()

    def found(self) -> CoMoments:
        """Return what was added up."""
        levels = levels_of(self._hashes[: self._n])
        memory = np.empty((len(self.columns) * _MOST_PIECES, min(self._n, _N_ROWS)))
        present = np.flatnonzero(np.bincount(levels)).tolist()
        return CoMoments(self.columns, tuple(self._sum_up(level, np.flatnonzero(levels == level), memory) for level in present))

    def _make_room(self) -> None:
        """Keep rows that repeat once; where that is not enough, take more memory."""
        rows, self._counts[: self._n] = _distinct(self._hashes[: self._n], self._counts[: self._n])
        self._keep(rows)
        if 2 * self._n > len(self._hashes):
            self._hashes, self._counts, self._values = _doubled(self._hashes), _doubled(self._counts), _doubled(self._values)

    def _keep(self, rows: Codes) -> None:
        """Keep some of the rows that wait, ascending."""
        for kept in (self._hashes, self._counts, *self._values):
            kept[: len(rows)] = kept[rows]
        self._n = len(rows)

    def _sum_up(self, level: int, rows: Codes, memory: Floats) -> Level:
        """Add a level's rows up, each as often as it came: for each bit of their counts those that have it, times its power of two."""
        p, counts = len(self.columns), self._counts[rows]
        n, sums = np.zeros((p, p), dtype=np.int64), np.zeros((3, p, p, _N_WORDS), dtype=np.int64)
        for bit in range(int(counts.max()).bit_length()):
            some = rows[(counts >> bit) & 1 == 1]
            for start in range(0, len(some), _N_ROWS):
                part = some[start : start + _N_ROWS]
                np.take(self._values, part, axis=1, out=memory[:p, : len(part)], mode="clip")
                n_part, sums_part = _sum_products(memory[:, : len(part)], p)
                n += n_part << bit
                sums = _carry(sums + _shifted(sums_part, bit))
        return _as_level(level, int(counts.sum()), n, sums)


def _doubled(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array with as many places more in its last dimension."""
    n = array.shape[-1]
    doubled = np.empty((*array.shape[:-1], 2 * n), dtype=array.dtype)
    doubled[..., :n] = array
    return doubled


def _distinct(hashes: Hashes, counts: Codes) -> tuple[Codes, Codes]:
    """Return the places of distinct hashes, ascending, and the counts with those of all that are alike at the one that is kept."""
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], hashes[order][1:] != hashes[order][:-1]]))
    summed = counts.copy()
    summed[order[starts]] = np.add.reduceat(counts[order], starts)
    return np.sort(order[starts]), summed


def _take(columns: Sequence[tuple[np.ndarray[Any, Any], Flags | None]], rows: Codes, values: Floats) -> None:
    """Write down the numbers of some rows, NaN where they are missing."""
    for (numbers, missing), taken in zip(columns, values, strict=True):
        taken[:] = numbers[rows]
        if missing is not None:
            taken[missing[rows]] = np.nan


def _bound(level: int) -> np.uint64:
    """Return what the hashes of rows of a level, of 1 or more, and of those above are below."""
    return np.uint64(1 << (64 - LEVEL_BITS * level))


def _shifted(sums: Sums, times: int) -> Sums:
    """Return sums times a power of two, their words no larger than ever."""
    while times:
        step = min(times, _LIMB)
        sums, times = _carry(sums << step), times - step
    return sums


def merge_comoments(parts: Sequence[CoMoments], *, lowest: int) -> CoMoments:
    """Add co-moments of the same columns up, exactly; levels below `lowest` are left out."""
    p = len(parts[0].columns)
    rows: dict[int, int] = {}
    n: dict[int, Codes] = {}
    sums: dict[int, Sums] = {}
    for part in parts:
        for one in part.levels:
            rows[one.level] = rows.get(one.level, 0) + one.n_rows
            if one.level in n:
                n[one.level] += _n_of(one, p)
                sums[one.level] += _sums_of(one, p)
            else:
                n[one.level], sums[one.level] = _n_of(one, p).copy(), _sums_of(one, p).copy()
    kept = [level for level in sorted(rows) if level >= lowest]
    return CoMoments(columns=parts[0].columns, levels=tuple(_as_level(k, rows[k], n[k], _carry(sums[k])) for k in kept))


def levels_of(hashes: Hashes) -> Codes:
    """Return the level of rows by their hashes: the number of leading zeros, in fours.

    >>> levels_of(np.array([2**63, 2**59, 2**55, 0], dtype=np.uint64)).tolist()
    [0, 1, 2, 15]
    """
    bounds = np.array([1 << (64 - LEVEL_BITS * level) for level in range(N_LEVELS - 1, 0, -1)], dtype=np.uint64)
    return np.asarray(N_LEVELS - 1 - np.searchsorted(bounds, hashes, side="right"), dtype=np.int64)


def _sum_products(memory: Floats, p: int) -> tuple[Codes, Sums]:
    """Return for every two columns in how many rows both are, and Σa, Σa², Σab over those rows.

    Parameters
    ----------
    memory : shape (columns and room for pieces, rows); the first `p` are the columns, and none of it is of use afterwards
    """
    mask, mask_of = _masks(memory[:p])
    a, own, shift = _cut(memory, p)
    first, second = np.nonzero(own[:, None] == own[None, :])
    sums = np.zeros((3, p, p, _N_WORDS), dtype=np.int64)
    every = np.arange(p)[None, :]
    _add_words(sums[0], own[:, None], every, _products(a, mask)[:, mask_of], (shift + _SCALE)[:, None])
    pairs = _paired_products(a, first, second, mask)[:, mask_of]
    _add_words(sums[1], own[first][:, None], every, pairs, (shift[first] + shift[second])[:, None])
    _add_words(sums[2], own[:, None], own[None, :], _products(a, a), shift[:, None] + shift[None, :])
    return _products(mask, mask)[np.ix_(mask_of, mask_of)].astype(np.int64), _carry(sums)


def _masks(values: Floats) -> tuple[Floats, Codes]:
    """Return ones and zeros for where values are, and which of these masks each column has; put 0 where a value is not."""
    masks, mask_of = [np.ones(values.shape[1])], np.zeros(len(values), dtype=np.int64)
    for column, numbers in enumerate(values):
        there = np.isfinite(numbers)
        if not there.all():  # columns that miss nothing share one mask
            numbers[~there] = 0.0
            mask_of[column] = len(masks)
            masks.append(there.astype(np.float64))
    return np.stack(masks), mask_of


def _cut(memory: Floats, p: int) -> tuple[Floats, Codes, Codes]:
    """Cut values into pieces, in the same memory; return them, whose they are, and by how many bits to shift each, in units of 2⁻⁴⁹."""
    own, shifts = list(range(p)), [_SCALE] * p
    for column in range(p):
        pieces = _pieces(memory[column])
        if pieces is None:
            continue
        for k, (piece, shift) in enumerate(pieces):
            at = column if k == 0 else len(own)
            if k:
                own.append(column)
                shifts.append(shift)
            memory[at], shifts[at] = piece, shift
    return memory[: len(own)], np.array(own), np.array(shifts)


def _products(a: Floats, b: Floats) -> Floats:
    """Return abᵀ of whole numbers, exactly, in blocks of rows too small for the linear algebra to wake its threads, which cost more."""
    n = a.shape[1]
    block = int(np.clip(_SMALL_PRODUCT // (len(a) * len(b)), 16, n or 16))
    full = n // block * block
    left = a[:, full:] @ b[:, full:].T
    if not full:
        return np.asarray(left)
    blocks = a[:, :full].reshape(len(a), -1, block).transpose(1, 0, 2) @ b[:, :full].reshape(len(b), -1, block).transpose(1, 2, 0)
    return np.asarray(blocks.sum(axis=0) + left)


def _paired_products(a: Floats, first: Codes, second: Codes, b: Floats) -> Floats:
    """Return the products of pairs of a's rows, times bᵀ; a few columns at a time, since memory for all pairs costs more than they do."""
    found = np.zeros((len(first), len(b)))
    for start in range(0, a.shape[1], _FEW_ROWS):
        part = a[:, start : start + _FEW_ROWS]
        found += _products(part[first] * part[second], b[:, start : start + _FEW_ROWS])
    return found


def _pieces(values: Floats) -> list[tuple[Floats, int]] | None:
    """Round values and cut them into pieces; None for small whole numbers, which most columns hold: they are their own piece."""
    top = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if top < 1 << _LIMB and np.array_equal(np.trunc(values), values):
        return None
    return _split(_round(values)) or [(np.zeros(len(values)), _SCALE)]


def _round(values: Floats) -> Floats:
    """Round finite values to the grid."""
    size = np.abs(values)
    rounded = (values.view(np.int64) & _ROUND).view(np.float64)
    rounded = np.where((np.trunc(values) == values) & (size < _WHOLE), values, rounded)
    rounded = np.where(size < _SMALLEST, 0.0, rounded)
    return np.asarray(np.clip(rounded, -_LARGEST, _LARGEST))


def _split(values: Floats) -> list[tuple[Floats, int]]:
    """Cut rounded values into whole numbers below 2¹⁶ and the power of two each is to be multiplied with, in units of 2⁻⁴⁹."""
    size = np.abs(values)
    top = float(size.max(initial=0.0))
    if top == 0.0:
        return []
    whole = bool((np.trunc(values) == values).all())
    lowest = 0 if whole else int(np.frexp(size[size > 0].min())[1]) - 10
    found = []
    left = np.ldexp(values, -lowest)
    n_bits = int(np.frexp(top)[1]) - lowest
    for k in range((n_bits - 1) // _LIMB, -1, -1):
        piece = np.trunc(np.ldexp(left, -_LIMB * k))
        left = left - np.ldexp(piece, _LIMB * k)
        if piece.any():
            found.append((piece, lowest + _LIMB * k + _SCALE))
    return found


def _add_words(sums: Sums, rows: Codes, columns: Codes, found: Floats, shifts: Codes) -> None:
    """Add whole numbers, each shifted by some bits, to sums of words."""
    rows, columns, shifts = (np.broadcast_to(one, found.shape).ravel() for one in (rows, columns, shifts))
    values = found.astype(np.int64).ravel()
    word, bit = shifts // 32, shifts % 32
    low, high = (values & _LOW) << bit, (values >> 32) << bit
    for offset, part in ((0, low & _LOW), (1, low >> 32), (1, high & _LOW), (2, high >> 32)):
        place = word + offset
        # Beyond the last word stand only repeated signs: there everything is added modulo 2⁶⁴, which the sum is far from.
        added = np.where(place < _N_WORDS, part, np.where(place == _N_WORDS, part << 32, 0))
        there = added != 0
        np.add.at(sums, (rows[there], columns[there], np.minimum(place, _N_WORDS - 1)[there]), added[there])


def _carry(sums: Sums) -> Sums:
    """Bring every word but the last into 0 … 2³² - 1: each sum is written in one way only."""
    done = sums.copy()
    for word in range(_N_WORDS - 1):
        over = done[..., word] >> 32
        done[..., word] &= _LOW
        done[..., word + 1] += over
    return done


def _correlation(n: int, exact: Any, i: int, j: int) -> float:
    """Return the correlation from Σa, Σa², Σab in units of 2⁻⁹⁸ (with Σa·2⁹⁸, so that n·Σab - Σa·Σb needs the same scale)."""
    unit = 1 << (2 * _SCALE)
    both = n * exact[2, i, j] * unit - exact[0, i, j] * exact[0, j, i]
    own = n * exact[1, i, j] * unit - exact[0, i, j] ** 2
    other = n * exact[1, j, i] * unit - exact[0, j, i] ** 2
    if n < 2 or own <= 0 or other <= 0:
        return float("nan")
    scale = (own * other).bit_length() // 2
    down = max(scale - 500, 0)  # what a float can hold
    return max(-1.0, min(1.0, float(int(both) >> down) / math.sqrt(int(own * other) >> (2 * down))))


def _as_level(level: int, n_rows: int, n: Codes, sums: Sums) -> Level:
    return Level(level, n_rows, n.astype(np.int64).tobytes(), sums.astype(np.int64).tobytes())


def _n_of(level: Level, p: int) -> Codes:
    return np.frombuffer(level.n, dtype=np.int64).reshape(p, p)


def _sums_of(level: Level, p: int) -> Sums:
    return np.frombuffer(level.sums, dtype=np.int64).reshape(3, p, p, _N_WORDS)
