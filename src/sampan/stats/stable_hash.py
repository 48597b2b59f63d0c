"""64-bit hashes that are the same on every machine and in every release, for sketches that are stored and merged."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

NAME = "polynomial-splitmix64/2"  # sketches of another name must not be merged with ours
EXACT_WHOLE = 2**53  # a float holds every whole number up to here
_FACTOR = 0x100000001B3
_INVERSE = pow(_FACTOR, -1, 2**64)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_WIDE = 8  # bytes of the integers that may not fit into a float
_CHUNK_BYTES = 1 << 15  # of text at a time: what fits into a processor's cache
_FEW_BYTES = 1 << 12
_HALF, _30, _27, _31 = np.uint64(32), np.uint64(30), np.uint64(27), np.uint64(31)


def number_bits(values: np.ndarray[Any, Any], out: Hashes | None = None) -> Hashes:
    """Return what identifies each number: the bits of the equal float, with -0.0 as 0.0; integers beyond 2^53 are their own bits."""
    bits = float_bits(values, out)
    if values.dtype.kind not in "iu" or values.dtype.itemsize < _WIDE or not len(values):
        return bits
    if values.max() <= EXACT_WHOLE and values.min() >= -EXACT_WHOLE:
        return bits
    wide = (values > EXACT_WHOLE) | (values < -EXACT_WHOLE)
    np.copyto(bits, values, casting="unsafe", where=wide)
    return bits


def float_bits(values: np.ndarray[Any, Any], out: Hashes | None = None) -> Hashes:
    """Return the bits of numbers as floats, for numbers that a float holds exactly; into `out` where memory is lent."""
    bits = np.empty(len(values), dtype=np.uint64) if out is None else out
    # Adding 0.0 turns -0.0 into 0.0.
    np.add(values, 0.0, out=bits.view(np.float64), casting="unsafe", dtype=np.float64)
    return bits


def hash_numbers(values: np.ndarray[Any, Any]) -> Hashes:
    """Hash numbers by what `number_bits` says of them."""
    return mix(number_bits(np.asarray(values)))


def hash_texts(values: pl.Series) -> Hashes:
    """Hash texts, none of them null, by their UTF-8 bytes."""
    return hash_arrow_texts(values.to_arrow())


def hash_arrow_texts(values: pa.Array) -> Hashes:
    """Hash the texts of an Arrow array, none of them null, by their UTF-8 bytes.

    A text's hash is Σ (byte + 1)·factorⁱ modulo 2⁶⁴, mixed with its length. All texts of a chunk share one running sum of their bytes times
    the factor's powers; what a text adds to it, times the inverse power of where it begins, is its own sum.
    """
    import pyarrow as pa

    array = values if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) else values.cast(pa.large_string())
    width = np.int32 if pa.types.is_string(array.type) else np.int64
    offsets = np.frombuffer(array.buffers()[1], dtype=width)[array.offset : array.offset + len(array) + 1].astype(np.int64, copy=False)
    hashes = np.diff(offsets).astype(np.uint64)
    if not len(hashes) or offsets[-1] == offsets[0]:
        return mix(hashes)
    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    first = 0
    while first < len(hashes):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _CHUNK_BYTES, side="right")) - 1)
        last = min(last, len(hashes))
        begin, end = int(offsets[first]), int(offsets[last])
        powers, inverses = _powers(max(1 << (end - begin).bit_length(), _FEW_BYTES))
        sums = np.empty(end - begin + 1, dtype=np.uint64)
        sums[0] = 0
        with np.errstate(over="ignore"):
            terms = (data[begin:end].astype(np.uint64) + np.uint64(1)) * powers[: end - begin]
            np.cumsum(terms, out=sums[1:])
            starts, ends = offsets[first:last] - begin, offsets[first + 1 : last + 1] - begin
            hashes[first:last] += (sums[ends] - sums[starts]) * inverses[starts]
        first = last
    return mix(hashes)


@lru_cache(maxsize=8)
def _powers(n: int) -> tuple[Hashes, Hashes]:
    """Return the factor's powers 0 … n - 1, and those of its inverse modulo 2⁶⁴; n is a power of two."""
    found = np.ones((2, n), dtype=np.uint64)
    steps = np.array([[_FACTOR], [_INVERSE]], dtype=np.uint64)
    there = 1
    with np.errstate(over="ignore"):
        while there < n:
            np.multiply(found[:, :there], steps, out=found[:, there : 2 * there])
            steps, there = steps * steps, 2 * there
    return found[0], found[1]


def mix(bits: Hashes, out: Hashes | None = None, spare: Hashes | None = None) -> Hashes:
    """Spread bits evenly (the finalizer of splitmix64, S. Vigna 2015); into `out`, by way of `spare`, where memory is lent."""
    with np.errstate(over="ignore"):
        z = np.add(bits, _GAMMA, out=out)
        other = np.right_shift(z, _30, out=spare)
        z ^= other
        z *= np.uint64(0xBF58476D1CE4E5B9)
        np.right_shift(z, _27, out=other)
        z ^= other
        z *= np.uint64(0x94D049BB133111EB)
        np.right_shift(z, _31, out=other)
        z ^= other
    return z


def fold(bits: Hashes, out: Hashes | None = None) -> Hashes:
    """Bring the upper half of the bits into the lower one: floats of whole numbers have nothing there."""
    folded = np.right_shift(bits, _HALF, out=out)
    folded ^= bits
    return folded
