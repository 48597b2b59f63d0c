"""Metric points in memory and as a chunk: step, time and value columns, differences of the integers, zlib.

A chunk holds at most `CHUNK_POINTS` points in the order in which they were logged. Every float64 is kept bit for bit, also NaN and ±inf.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

Point = tuple[int, int, float]  # step, at, value

CHUNK_POINTS: Final = 16_384
CODEC: Final = 1  # of the text above; stored beside each chunk, so that a later release may choose another
_BYTES_PER_POINT = 24
_SPAN = 1 << 64
_HALF = 1 << 63


def pack(points: Sequence[Point]) -> bytes:
    """Encode points as a chunk."""
    n = len(points)
    steps, moments, values = zip(*points, strict=True)
    return zlib.compress(struct.pack(f"<{n}q{n}q{n}d", *_differences(steps), *_differences(moments), *values), 1)


def unpack(chunk: bytes) -> list[Point]:
    """Decode a chunk."""
    return list(zip(*unpack_columns(chunk), strict=True))


def unpack_columns(chunk: bytes) -> tuple[list[int], list[int], tuple[float, ...]]:
    """Decode a chunk as its columns: steps, times, values."""
    raw = zlib.decompress(chunk)
    n = len(raw) // _BYTES_PER_POINT
    columns = struct.unpack(f"<{n}q{n}q{n}d", raw)
    return _sums(columns[:n]), _sums(columns[n : 2 * n]), columns[2 * n :]


def _differences(numbers: Sequence[int]) -> list[int]:
    found = [b - a for a, b in zip((0, *numbers), numbers, strict=False)]
    return found if _fit(found) else [_wrapped(d) for d in found]


def _sums(differences: Sequence[int]) -> list[int]:
    found = list(accumulate(differences))
    return found if _fit(found) else [_wrapped(s) for s in found]


def _fit(numbers: Sequence[int]) -> bool:
    return min(numbers) >= -_HALF and max(numbers) < _HALF


def _wrapped(number: int) -> int:
    """Bring a number into 64 bits, as the hardware's own addition would."""
    return (number + _HALF) % _SPAN - _HALF
