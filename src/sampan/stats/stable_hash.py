"""64-bit hashes that are the same on every machine and in every release, for sketches that are stored and merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

NAME = "polynomial-splitmix64/1"  # sketches of another name must not be merged with ours
_FACTOR = np.uint64(0x100000001B3)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def hash_numbers(values: np.ndarray[Any, Any]) -> Hashes:
    """Hash numbers by their bits; -0.0 counts as 0.0 and integers up to 2^53 as the equal float."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    return _mix(bits)


def hash_texts(values: pl.Series) -> Hashes:
    """Hash texts, none of them null, by their UTF-8 bytes."""
    array = values.to_arrow().cast(pa.large_string())
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes = lengths.astype(np.uint64)
    filled = lengths > 0
    if filled.any():
        data = np.frombuffer(array.buffers()[2], dtype=np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64) + np.uint64(1)
        place = np.arange(len(data)) - np.repeat(starts - offsets[0], lengths)
        powers = np.ones(int(lengths.max()), dtype=np.uint64)
        with np.errstate(over="ignore"):
            np.multiply.accumulate(np.full(len(powers) - 1, _FACTOR), out=powers[1:])
            sums = np.add.reduceat(data * powers[place], (starts - offsets[0])[filled])
            hashes[filled] += sums
    return _mix(hashes)


def _mix(bits: Hashes) -> Hashes:
    """Spread bits evenly (the finalizer of splitmix64, S. Vigna 2015)."""
    with np.errstate(over="ignore"):
        z = bits + _GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
