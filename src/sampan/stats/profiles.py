"""Profiles: what a table's columns hold, small enough to store, and exact to merge.

A number becomes an order-preserving code (sign, exponent and nine bits of its mantissa: relative width 2⁻⁹; whole numbers to 1,024 are
exact), a timestamp its hour, a date its day. Counts per code add up, so the profile of the whole is the merge of its parts' profiles, bit
for bit, in any order; quantiles and histograms come from the codes. Texts, and the number of distinct values, are kept by bottom-k
sampling: the k values with the smallest hashes, each text with its exact count; up to k distinct values that is everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from sampan.errors import ParameterError
from sampan.stats.stable_hash import NAME, hash_numbers, hash_texts

K_TEXTS = 4_096
K_NUMBERS = 1_024
_SHIFT = 43  # of 64 bits; 21 remain: sign, 11 of the exponent, 9 of the mantissa
_DENSE_SPAN = 8  # times the number of values: beyond that, sorting is cheaper than counting places
_HOUR_US = 3_600_000_000
_HASH_RANGE = float(2**64)

Codes = np.ndarray[Any, np.dtype[np.int64]]


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column. `codes` ascend and `counts` go with them; texts have `values` instead."""

    name: str
    kind: str  # number | timestamp | date | text | other
    whole: bool = False  # all integers by type
    n: int = 0
    n_null: int = 0
    n_nan: int = 0  # NaN or infinite; in no code
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    codes: list[int] = []
    counts: list[int] = []
    values: dict[str, int] = {}
    hashes: list[int] = []  # ascending, the smallest k

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
        return len(self.hashes) >= _k(self.kind)

    @property
    def n_distinct(self) -> int:
        """Distinct values: exact while all are kept, then estimated (standard error 1/√k), and never more than there are rows."""
        if not self.is_sampled:
            return len(self.hashes)
        return min(round((len(self.hashes) - 1) * _HASH_RANGE / self.hashes[-1]), self.n_present)

    def top(self, n: int = 5) -> list[tuple[str, int]]:
        """Return the most frequent texts (of those kept), most frequent first."""
        return sorted(self.values.items(), key=lambda item: (-item[1], item[0]))[:n]

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return quantiles of a number or time, accurate to the width of a code; [] for no values."""
        if not self.codes:
            return []
        cumulative = np.cumsum(self.counts)
        at = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left").clip(0, len(self.codes) - 1)
        middles = _middles(np.asarray(self.codes, dtype=np.int64), self.kind, whole=self.whole)[at]
        low, high = _bound(self.minimum), _bound(self.maximum)
        return [float(v) for v in np.clip(middles, low, high)]

    def histogram(self, n_bins: int = 24) -> tuple[list[float], list[int]]:
        """Return (edges, counts) of equally wide bins from minimum to maximum; ([], []) for no values."""
        if not self.codes:
            return [], []
        low, high = _bound(self.minimum), _bound(self.maximum)
        if low == high:
            return [low, high], [int(sum(self.counts))]
        middles = np.clip(_middles(np.asarray(self.codes, dtype=np.int64), self.kind, whole=self.whole), low, high)
        scale = 1.0 if math.isfinite(high - low) else 0.5  # the range of floats is twice what a float can hold
        counts, edges = np.histogram(middles * scale, bins=n_bins, range=(low * scale, high * scale), weights=np.asarray(self.counts))
        return [float(e) for e in edges / scale], [int(c) for c in counts]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A table's columns, in its order."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]
    hash_name: str = NAME

    def column(self, name: str) -> ColumnProfile | None:
        """Return a column by name."""
        return next((c for c in self.columns if c.name == name), None)


def profile_table(frame: pl.DataFrame, *, done: Callable[[str], None] = lambda _: None) -> Profile:
    """Profile every column; `done` is told the name of each that is."""
    columns = []
    for name in frame.columns:
        columns.append(_profile_column(frame[name]))
        done(name)
    return Profile(n_rows=frame.height, columns=tuple(columns))


def merge_profiles(a: Profile, b: Profile) -> Profile:
    """Return the profile of the rows of both. Every count is what profiling them together would have given.

    Raises
    ------
    ParameterError : other columns, a column of another kind, or hashed another way.
    """
    if a.hash_name != b.hash_name:
        raise ParameterError(f"profiles hashed as {a.hash_name} and {b.hash_name} cannot be merged", hint="profile the older data again")
    kinds_a, kinds_b = [(c.name, c.kind) for c in a.columns], [(c.name, c.kind) for c in b.columns]
    if kinds_a != kinds_b:
        odd = next((f"{x} and {y}" for x, y in zip(kinds_a, kinds_b, strict=False) if x != y), "their number of columns")
        raise ParameterError(f"profiles of different tables cannot be merged: {odd}", hint="profile tables of one schema")
    merged = tuple(_merge_columns(x, y) for x, y in zip(a.columns, b.columns, strict=True))
    return Profile(n_rows=a.n_rows + b.n_rows, columns=merged)


def _k(kind: str) -> int:
    return K_TEXTS if kind == "text" else K_NUMBERS


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    if dtype == pl.Date:
        return "date"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) else "other"


def _profile_column(values: pl.Series) -> ColumnProfile:
    kind = _kind(values.dtype)
    n, n_null = len(values), values.null_count()
    if kind == "text":
        return _profile_text(values.cast(pl.String), n, n_null)
    if kind == "other":
        return ColumnProfile(name=values.name, kind=kind, n=n, n_null=n_null)
    whole = values.dtype.is_integer() or kind in ("timestamp", "date")
    present = values.drop_nulls()
    if isinstance(values.dtype, pl.Datetime):
        present = present.dt.epoch("us")
    elif kind == "date":
        present = present.dt.epoch("d")
    numbers = present.cast(pl.Float64).to_numpy()
    finite = numbers[np.isfinite(numbers)]
    codes, counts = _count(_encode(finite, kind))
    hashes = np.sort(hash_numbers(np.unique(finite) if len(finite) < K_NUMBERS else pl.Series(finite).unique().to_numpy()))[:K_NUMBERS]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    return ColumnProfile(
        name=values.name,
        kind=kind,
        whole=whole,
        n=n,
        n_null=n_null,
        n_nan=len(numbers) - len(finite),
        minimum=int(low) if whole and low is not None else low,
        maximum=int(high) if whole and high is not None else high,
        codes=codes.tolist(),
        counts=counts.tolist(),
        hashes=hashes.tolist(),
    )


def _profile_text(values: pl.Series, n: int, n_null: int) -> ColumnProfile:
    counted = values.drop_nulls().rename("value").value_counts(name="n")
    texts, counts = counted["value"], counted["n"]
    hashes = hash_texts(texts)
    order = np.argsort(hashes, kind="stable")[:K_TEXTS]
    kept = dict(zip(texts.gather(order).to_list(), counts.gather(order).to_list(), strict=True))
    low, high = texts.min(), texts.max()
    return ColumnProfile(
        name=values.name,
        kind="text",
        n=n,
        n_null=n_null,
        minimum=str(low) if low is not None else None,
        maximum=str(high) if high is not None else None,
        values=kept,
        hashes=hashes[order].tolist(),
    )


def _encode(numbers: np.ndarray[Any, Any], kind: str) -> Codes:
    if kind == "timestamp":
        return np.asarray(np.floor_divide(numbers, _HOUR_US), dtype=np.int64)
    if kind == "date":
        return np.asarray(numbers, dtype=np.int64)
    magnitude = np.abs(numbers).view(np.int64) >> _SHIFT
    return np.asarray(np.where(numbers < 0, -magnitude, magnitude), dtype=np.int64)


def _middles(codes: Codes, kind: str, *, whole: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the value in the middle of each code."""
    if kind == "timestamp":
        return np.asarray(codes * float(_HOUR_US) + _HOUR_US / 2, dtype=np.float64)
    if kind == "date":
        return codes.astype(np.float64)
    low = (np.abs(codes) << _SHIFT).view(np.float64)
    high = ((np.abs(codes) + 1) << _SHIFT).view(np.float64)
    if whole:  # the whole numbers inside the code: exactly one up to 1,024
        low, high = np.ceil(low), np.maximum(np.ceil(high) - 1, np.ceil(low))
    middle = np.where(codes == 0, 0.0, low + (high - low) / 2)
    return np.asarray(np.where(codes < 0, -middle, middle), dtype=np.float64)


def _count(codes: Codes) -> tuple[Codes, Codes]:
    if not len(codes):
        return codes, codes
    low, high = int(codes.min()), int(codes.max())
    if high - low > _DENSE_SPAN * len(codes):
        found, counts = np.unique(codes, return_counts=True)
        return found, counts.astype(np.int64)
    dense = np.bincount(codes - low)
    filled = np.flatnonzero(dense)
    return (filled + low).astype(np.int64), dense[filled].astype(np.int64)


def _bound(value: float | str | None) -> float:
    return float(value) if value is not None else float("nan")


def _merge_columns(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    codes = np.concatenate([np.asarray(a.codes, dtype=np.int64), np.asarray(b.codes, dtype=np.int64)])
    found, place = np.unique(codes, return_inverse=True)
    counts = np.zeros(len(found), dtype=np.int64)
    np.add.at(counts, place, np.asarray([*a.counts, *b.counts], dtype=np.int64))
    hashes = sorted({*a.hashes, *b.hashes})[: _k(a.kind)]
    return ColumnProfile(
        name=a.name,
        kind=a.kind,
        whole=a.whole and b.whole,
        n=a.n + b.n,
        n_null=a.n_null + b.n_null,
        n_nan=a.n_nan + b.n_nan,
        minimum=_least(a.minimum, b.minimum),
        maximum=_greatest(a.maximum, b.maximum),
        codes=found.tolist(),
        counts=counts.tolist(),
        values=_merge_values(a, b, hashes),
        hashes=hashes,
    )


def _merge_values(a: ColumnProfile, b: ColumnProfile, hashes: list[int]) -> dict[str, int]:
    """Add up the counts of the texts whose hashes are kept: a text among the smallest of both is among the smallest of each."""
    hash_of = {**dict(zip(a.values, a.hashes, strict=True)), **dict(zip(b.values, b.hashes, strict=True))} if a.kind == "text" else {}
    kept = set(hashes)
    ordered = sorted((h, text) for text, h in hash_of.items() if h in kept)
    return {text: a.values.get(text, 0) + b.values.get(text, 0) for _, text in ordered}


def _least(a: Any, b: Any) -> Any:
    return min((v for v in (a, b) if v is not None), default=None)


def _greatest(a: Any, b: Any) -> Any:
    return max((v for v in (a, b) if v is not None), default=None)
