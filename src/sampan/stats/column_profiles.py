"""What is kept of one column: exact counts of its codes or texts, the smallest hashes, and what can be read from them without the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sampan.stats.codes import Codes, add_counts, middles
from sampan.stats.smallest_hashes import smallest_distinct
from sampan.stats.stable_hash import Hashes
from sampan.stats.text_shapes import shape_of

K_TEXTS = 4_096
K_NUMBERS = 1_024
_HASH_RANGE = float(2**64)


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column. Codes ascend and counts go with them; texts have `values` instead."""

    name: str
    kind: str  # number | timestamp | date | text | other
    whole: bool = False  # all integers by type
    n: int = 0
    n_null: int = 0
    n_nan: int = 0  # NaN or infinite; in no code
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    values: dict[str, int] = {}  # by ascending hash
    code_bytes: bytes = b""  # int64
    count_bytes: bytes = b""  # int64
    hash_bytes: bytes = b""  # uint64, ascending, the smallest k

    @property
    def code_array(self) -> Codes:
        """The codes, ascending: of numbers see `codes.py`; a timestamp's is its hour, a date's its day since 1970."""
        return np.frombuffer(self.code_bytes, dtype=np.int64)

    @property
    def count_array(self) -> Codes:
        """How many values each code has."""
        return np.frombuffer(self.count_bytes, dtype=np.int64)

    @property
    def hash_array(self) -> Hashes:
        """The k smallest hashes of the distinct values, ascending."""
        return np.frombuffer(self.hash_bytes, dtype=np.uint64)

    @property
    def codes(self) -> list[int]:
        """The codes as a list."""
        return list(map(int, self.code_array.tolist()))

    @property
    def counts(self) -> list[int]:
        """The codes' counts as a list."""
        return list(map(int, self.count_array.tolist()))

    @property
    def hashes(self) -> list[int]:
        """The hashes as a list."""
        return list(map(int, self.hash_array.tolist()))

    @property
    def null_share(self) -> float:
        """The share of rows without a value; 0 for no rows."""
        return self.n_null / self.n if self.n else 0.0

    @property
    def n_present(self) -> int:
        """Rows with a finite value."""
        return self.n - self.n_null - self.n_nan

    @property
    def is_sampled(self) -> bool:
        """Whether there are more distinct values than are kept."""
        return len(self.hash_bytes) // 8 >= smallest_kept(self.kind)

    @property
    def n_distinct(self) -> int:
        """Distinct values: exact while all are kept, then estimated (standard error 1/√k), and never more than there are rows."""
        hashes = self.hash_array
        if not self.is_sampled:
            return len(hashes)
        return min(round((len(hashes) - 1) * _HASH_RANGE / float(hashes[-1])), self.n_present)

    def top(self, n: int = 5) -> list[tuple[str, int]]:
        """Return the most frequent texts (of those kept), most frequent first."""
        return sorted(self.values.items(), key=lambda item: (-item[1], item[0]))[:n]

    def shapes(self, n: int = 5) -> list[tuple[str, int]]:
        """Return the most frequent shapes of texts, such as `A99-9`, with their rows; of the texts kept, which are a sample when many."""
        found: dict[str, int] = {}
        for text, count in self.values.items():
            shape = shape_of(text)
            found[shape] = found.get(shape, 0) + count
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:n]

    def lengths(self) -> list[tuple[int, int]]:
        """Return the lengths of texts, ascending, with their rows; of the texts kept."""
        found: dict[int, int] = {}
        for text, count in self.values.items():
            found[len(text)] = found.get(len(text), 0) + count
        return sorted(found.items())

    def middle_values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the value in the middle of each code, none beyond the extremes."""
        found = middles(self.code_array, self.kind, whole=self.whole)
        return np.clip(found, _bound(self.minimum), _bound(self.maximum)) if len(found) else found

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return quantiles of a number or time, accurate to the width of a code; [] for no values."""
        if not self.code_bytes:
            return []
        cumulative = np.cumsum(self.count_array)
        at = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left").clip(0, len(cumulative) - 1)
        return [float(v) for v in self.middle_values()[at]]

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation of a number or time, accurate to the width of a code; NaN for no values."""
        if not self.code_bytes:
            return float("nan"), float("nan")
        values, weights = self.middle_values(), self.count_array.astype(np.float64)
        scale = max(float(np.abs(values).max()), 1e-300)  # squares of the largest floats would not fit
        mean = float(np.average(values / scale, weights=weights))
        spread = math.sqrt(float(np.average((values / scale - mean) ** 2, weights=weights)))
        return mean * scale, spread * scale

    def histogram(self, n_bins: int = 24) -> tuple[list[float], list[int]]:
        """Return (edges, counts) of equally wide bins from minimum to maximum; ([], []) for no values."""
        return self.histogram_between(_bound(self.minimum), _bound(self.maximum), n_bins) if self.code_bytes else ([], [])

    def histogram_between(self, low: float, high: float, n_bins: int = 24) -> tuple[list[float], list[int]]:
        """Return (edges, counts) of equally wide bins from `low` to `high`; what lies outside is not counted."""
        if low == high:
            return [low, high], [int(self.count_array.sum())]
        scale = 1.0 if math.isfinite(high - low) else 0.5  # the range of floats is twice what a float can hold
        counts, edges = np.histogram(self.middle_values() * scale, bins=n_bins, range=(low * scale, high * scale), weights=self.count_array)
        return [float(e) for e in edges / scale], [int(c) for c in counts]


def smallest_kept(kind: str) -> int:
    """Return how many of the smallest hashes are kept of a column of some kind."""
    return K_TEXTS if kind == "text" else K_NUMBERS


def merge_columns(parts: Sequence[ColumnProfile]) -> ColumnProfile:
    """Return the profile of one column's values in all parts, whose name and kind are the same."""
    first = parts[0]
    if len(parts) == 1:
        return first
    hashes = smallest_distinct(np.concatenate([part.hash_array for part in parts]), smallest_kept(first.kind))
    codes, counts = add_counts([(part.code_array, part.count_array) for part in parts])
    return ColumnProfile(
        name=first.name,
        kind=first.kind,
        whole=all(part.whole for part in parts),
        n=sum(part.n for part in parts),
        n_null=sum(part.n_null for part in parts),
        n_nan=sum(part.n_nan for part in parts),
        minimum=min((part.minimum for part in parts if part.minimum is not None), default=None),
        maximum=max((part.maximum for part in parts if part.maximum is not None), default=None),
        values=_merge_values(parts, hashes) if first.kind == "text" else {},
        code_bytes=codes.tobytes(),
        count_bytes=counts.tobytes(),
        hash_bytes=hashes.tobytes(),
    )


def _merge_values(parts: Sequence[ColumnProfile], hashes: Hashes) -> dict[str, int]:
    """Add up the counts of the texts whose hashes are kept: a text among the smallest of all is among the smallest of each part."""
    most = int(hashes[-1]) if len(hashes) else 0
    counts: dict[str, int] = {}
    hash_of: dict[str, int] = {}
    for part in parts:
        for (text, n), key in zip(part.values.items(), part.hashes, strict=True):
            if key > most:
                break  # they ascend
            counts[text] = counts.get(text, 0) + n
            hash_of[text] = key
    return {text: counts[text] for _, text in sorted((key, text) for text, key in hash_of.items())}


def _bound(value: float | str | None) -> float:
    return float(value) if value is not None else float("nan")
