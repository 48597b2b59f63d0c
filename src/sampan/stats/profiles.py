"""Profiles: what a table holds, small enough to store, and exact to merge.

A number becomes an order-preserving code (sign, exponent and nine bits of its mantissa: relative width 2⁻⁹; whole numbers to 1,024 are
exact), a timestamp its hour, a date its day. Counts per code add up, so the profile of the whole is the merge of its parts' profiles, bit
for bit, in any order; quantiles and histograms come from the codes. Texts, the number of distinct values, rows and missing patterns are
kept by bottom-k sampling: the k with the smallest hashes, each with its exact count; up to k distinct ones that is everything. Co-moments
of the number columns are in `comoments.py`. `profile_building.py` builds profiles; reading and merging them needs neither Polars nor Arrow.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from sampan.errors import ParameterError
from sampan.stats.codes import Codes
from sampan.stats.column_profiles import ColumnProfile, merge_columns
from sampan.stats.comoments import CoMoments, levels_of, merge_comoments
from sampan.stats.smallest_hashes import CountedHashes
from sampan.stats.stable_hash import NAME, Hashes, hash_texts, mix

__all__ = ["ColumnProfile", "Profile", "merge_profiles"]

K_ROWS = 4_096
K_PATTERNS = 1_024


class Pattern(msgspec.Struct, frozen=True):
    """Columns that are missing together, and in how many rows exactly they and no others are."""

    columns: tuple[str, ...]
    n: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A table's columns, in its order, and what its rows have in common."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]
    hash_name: str = NAME
    row_hash_bytes: bytes = b""  # uint64, ascending, the smallest k of distinct rows
    row_count_bytes: bytes = b""  # int64, how often each of them occurs
    missing: tuple[Pattern, ...] = ()  # by the hash of what is missing
    comoments: CoMoments = CoMoments()

    def column(self, name: str) -> ColumnProfile | None:
        """Return a column by name."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def row_hashes(self) -> Hashes:
        """The k smallest hashes of distinct rows, ascending."""
        return np.frombuffer(self.row_hash_bytes, dtype=np.uint64)

    @property
    def row_counts(self) -> Codes:
        """How often each of these rows occurs."""
        return np.frombuffer(self.row_count_bytes, dtype=np.int64)

    @property
    def rows_are_sampled(self) -> bool:
        """Whether there are more distinct rows than hashes are kept of."""
        return len(self.row_hash_bytes) // 8 >= K_ROWS

    @property
    def repeated_share(self) -> float:
        """The share of rows that repeat an earlier one: exact up to k distinct rows, then estimated from k of them."""
        counts = self.row_counts
        return float((counts - 1).sum() / counts.sum()) if len(counts) else 0.0

    def merge(self, *others: Profile) -> Profile:
        """Return the profile of these rows and the others'."""
        return merge_profiles(self, *others)

    def pack(self) -> bytes:
        """Write it compactly, for a store."""
        return zlib.compress(msgspec.msgpack.encode(self), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> Profile:
        """Read what `pack` wrote."""
        return msgspec.msgpack.decode(zlib.decompress(packed), type=cls)


def merge_profiles(first: Profile, *others: Profile) -> Profile:
    """Return the profile of the rows of all. Every count is what profiling them together would have given.

    Raises
    ------
    ParameterError : other columns, a column of another kind, or hashed another way.
    """
    parts = [first, *others]
    for other in others:
        _check_mergeable(first, other)
    row_hashes, row_counts = _merge_counted(K_ROWS, [(part.row_hashes, part.row_counts) for part in parts])
    return Profile(
        n_rows=sum(part.n_rows for part in parts),
        columns=tuple(merge_columns(columns) for columns in zip(*(part.columns for part in parts), strict=True)),
        row_hash_bytes=row_hashes.tobytes(),
        row_count_bytes=row_counts.tobytes(),
        missing=_merge_patterns([part.missing for part in parts]),
        comoments=merge_comoments([part.comoments for part in parts], lowest=lowest_level(row_hashes)),
    )


def column_factors(names: Sequence[str] | Mapping[str, Any]) -> dict[str, np.uint64]:
    """Return an odd number for each column, by its name: a row's hash does not depend on the order of the columns."""
    import polars as pl

    hashes = hash_texts(pl.Series(list(names), dtype=pl.String))
    return {name: np.uint64(int(key) | 1) for name, key in zip(names, hashes.tolist(), strict=True)}


def lowest_level(row_hashes: Hashes) -> int:
    """Return the lowest level of rows that co-moments need, by the smallest hashes of rows."""
    return int(levels_of(row_hashes[K_ROWS - 1 : K_ROWS])[0]) if len(row_hashes) >= K_ROWS else 0


def _check_mergeable(a: Profile, b: Profile) -> None:
    if a.hash_name != b.hash_name:
        raise ParameterError(f"profiles hashed as {a.hash_name} and {b.hash_name} cannot be merged", hint="profile the older data again")
    kinds_a, kinds_b = [(c.name, c.kind) for c in a.columns], [(c.name, c.kind) for c in b.columns]
    if kinds_a != kinds_b:
        odd = next((f"{x} and {y}" for x, y in zip(kinds_a, kinds_b, strict=False) if x != y), "their number of columns")
        raise ParameterError(f"profiles of different tables cannot be merged: {odd}", hint="profile tables of one schema")


def _merge_counted(k: int, parts: Sequence[tuple[Hashes, Codes]]) -> tuple[Hashes, Codes]:
    counted = CountedHashes(k)
    for hashes, counts in parts:
        counted.add(hashes, counts)
    return counted.found()


def _merge_patterns(parts: Sequence[tuple[Pattern, ...]]) -> tuple[Pattern, ...]:
    names = sorted({name for part in parts for pattern in part for name in pattern.columns})
    factors = column_factors(names)
    counted = CountedHashes(K_PATTERNS)
    columns: dict[int, tuple[str, ...]] = {}
    sums, counts = [], []
    for pattern in (pattern for part in parts for pattern in part):
        sums.append(sum(int(factors[name]) for name in pattern.columns) % 2**64)
        counts.append(pattern.n)
        columns[sums[-1]] = pattern.columns
    hashes = mix(np.array(sums, dtype=np.uint64))
    of = dict(zip(hashes.tolist(), sums, strict=True))
    counted.add(hashes, np.array(counts, dtype=np.int64))
    found, totals = counted.found()
    return tuple(Pattern(columns[of[key]], n) for key, n in zip(found.tolist(), totals.tolist(), strict=True))
