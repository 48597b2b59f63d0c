"""Order-preserving integer codes: how a number or a moment becomes something that can be counted, and counts that add up exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Codes = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Counts = tuple[Codes, Codes]  # codes ascending, and how many values each has

_SHIFT = 43  # of 64 bits; 21 remain: sign, 11 of the exponent, 9 of the mantissa
_MAGNITUDE = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_DENSE_SPAN = 8  # times the number of values: beyond that, sorting is cheaper than counting places
HOUR_US = 3_600_000_000


def encode_numbers(numbers: Floats, out: Codes | None = None, spare: Codes | None = None) -> Codes:
    """Return the code of finite numbers: sign, exponent and nine bits of the mantissa, so that the order is kept and ±0 is 0."""
    bits = numbers.view(np.int64)
    sign = np.right_shift(bits, 63, out=spare)
    code = np.bitwise_and(bits, _MAGNITUDE, out=out)
    code >>= _SHIFT
    code ^= sign
    code -= sign
    return code


def encode_hours(microseconds: Codes, out: Codes | None = None) -> Codes:
    """Return the hour of moments in microseconds since 1970."""
    return np.asarray(np.floor_divide(microseconds, HOUR_US, out=out), dtype=np.int64)


def middles(codes: Codes, kind: str, *, whole: bool) -> Floats:
    """Return the value in the middle of each code of a column of some kind (number, timestamp, date)."""
    if kind == "timestamp":
        return np.asarray(codes * float(HOUR_US) + HOUR_US / 2, dtype=np.float64)
    if kind == "date":
        return codes.astype(np.float64)
    low = (np.abs(codes) << _SHIFT).view(np.float64)
    high = ((np.abs(codes) + 1) << _SHIFT).view(np.float64)
    if whole:  # the whole numbers inside the code: exactly one up to 1,024
        low, high = np.ceil(low), np.maximum(np.ceil(high) - 1, np.ceil(low))
    middle = np.where(codes == 0, 0.0, low + (high - low) / 2)
    return np.asarray(np.where(codes < 0, -middle, middle), dtype=np.float64)


def count_codes(codes: Codes, spare: Codes | None = None) -> Counts:
    """Count each code."""
    if not len(codes):
        return codes, codes
    low, high = int(codes.min()), int(codes.max())
    if high - low > _DENSE_SPAN * len(codes):
        found, counts = np.unique(codes, return_counts=True)
        return found, counts.astype(np.int64)
    dense = np.bincount(np.subtract(codes, low, out=spare))
    filled = np.flatnonzero(dense)
    return (filled + low).astype(np.int64), dense[filled].astype(np.int64)


def add_counts(parts: Sequence[Counts]) -> Counts:
    """Add counts up. The sum does not depend on how the parts are ordered or grouped."""
    if len(parts) == 1:
        return parts[0]
    codes = np.concatenate([part[0] for part in parts] or [np.empty(0, np.int64)])
    counts = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
    if not len(codes):
        return codes, counts
    low, high = int(codes.min()), int(codes.max())
    if high - low <= _DENSE_SPAN * len(codes) and int(counts.max()) * len(counts) < 2**53:
        # As weights, counts are floats: exact while their sum is below 2⁵³.
        dense = np.bincount(codes - low, weights=counts).astype(np.int64)
        filled = np.flatnonzero(dense)
        return (filled + low).astype(np.int64), dense[filled]
    order = np.argsort(codes, kind="stable")
    codes, counts = codes[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return codes[first], np.add.reduceat(counts, first)
