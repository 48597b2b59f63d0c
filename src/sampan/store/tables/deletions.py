"""Deletion vectors: which rows of a part are dead, as bytes.

Roaring's idea in its simplest form. Rows are cut into blocks of 65,536; of a block with d dead rows are stored

    d ≤ 4096    the rows' low 16 bits, ascending, u16 each
    d > 4096    one bit a row, 8 KiB

The file is `SPNDEAD1`, the number of blocks (u32), for each block its number (u32) and d (u32), then the blocks' data; all little-endian.
NumPy is imported when a vector is met: most tables have none, and every command that reads one would pay for it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from sampan.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Positions: TypeAlias = "NDArray[np.int64]"

MAGIC = b"SPNDEAD1"
_BLOCK_ROWS = 1 << 16
_MAX_SPARSE = 4096


def none() -> Positions:
    """Return no rows."""
    import numpy as np

    return np.empty(0, dtype=np.int64)


def encode(positions: Positions) -> bytes:
    """Write dead rows, shape (n,), ascending and distinct. Equal rows give equal bytes."""
    import numpy as np

    blocks, starts = np.unique(positions >> 16, return_index=True)
    heads: list[tuple[int, int]] = []
    bodies: list[bytes] = []
    for number, rows in zip(blocks.tolist(), np.split(positions & 0xFFFF, starts[1:]), strict=False):
        heads.append((number, len(rows)))
        if len(rows) <= _MAX_SPARSE:
            bodies.append(rows.astype("<u2").tobytes())
        else:
            bits = np.zeros(_BLOCK_ROWS, dtype=bool)
            bits[rows] = True
            bodies.append(np.packbits(bits, bitorder="little").tobytes())
    head = np.array(heads, dtype="<u4").reshape(-1, 2).tobytes()
    return MAGIC + len(heads).to_bytes(4, "little") + head + b"".join(bodies)


def with_rows(data: bytes, rows: Iterable[int]) -> tuple[bytes, int]:
    """Return what `encode` gives of a vector's rows and some more, and how many are dead then. For few rows: NumPy is not imported.

    Parameters
    ----------
    data : a deletion vector; none of it is b""
    """
    blocks = _blocks(data)
    for row in rows:
        blocks.setdefault(row >> 16, set()).add(row & 0xFFFF)
    heads, bodies = array("I"), []
    for number, dead in sorted(blocks.items()):
        heads.extend((number, len(dead)))
        bodies.append(_sparse(dead) if len(dead) <= _MAX_SPARSE else _dense(dead))
    return MAGIC + len(bodies).to_bytes(4, "little") + _little(heads) + b"".join(bodies), sum(map(len, blocks.values()))


def _blocks(data: bytes) -> dict[int, set[int]]:
    if not data:
        return {}
    _check(data)
    n_blocks = int.from_bytes(data[8:12], "little")
    heads = array("I", _little(array("I", data[12 : 12 + 8 * n_blocks])))
    offset, found = 12 + 8 * n_blocks, dict[int, set[int]]()
    for number, n_rows in zip(heads[::2], heads[1::2], strict=True):
        size = 2 * n_rows if n_rows <= _MAX_SPARSE else _BLOCK_ROWS // 8
        body = data[offset : offset + size]
        offset += size
        found[number] = set(array("H", _little(array("H", body)))) if n_rows <= _MAX_SPARSE else set(_set_bits(body))
    return found


def _sparse(rows: set[int]) -> bytes:
    return _little(array("H", sorted(rows)))


def _dense(rows: set[int]) -> bytes:
    bits = bytearray(_BLOCK_ROWS // 8)
    for row in rows:
        bits[row >> 3] |= 1 << (row & 7)
    return bytes(bits)


def _set_bits(data: bytes) -> list[int]:
    return [at * 8 + bit for at, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1]


def _little(numbers: array[int]) -> bytes:
    """Return numbers as little-endian bytes, or, of such bytes, the numbers as this machine has them."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _check(data: bytes) -> None:
    if data[:8] != MAGIC:
        raise IntegrityError("an object that should be a deletion vector is none", hint="sampan fsck")


def decode(data: bytes) -> Positions:
    """Read dead rows, ascending. Raises IntegrityError if the bytes are no deletion vector."""
    import numpy as np

    _check(data)
    n_blocks = int.from_bytes(data[8:12], "little")
    heads = np.frombuffer(data, dtype="<u4", count=2 * n_blocks, offset=12).reshape(-1, 2)
    offset, found = 12 + 8 * n_blocks, [none()]
    for number, n_rows in heads.tolist():
        if n_rows <= _MAX_SPARSE:
            rows = np.frombuffer(data, dtype="<u2", count=n_rows, offset=offset).astype(np.int64)
            offset += 2 * n_rows
        else:
            bits = np.frombuffer(data, dtype=np.uint8, count=_BLOCK_ROWS // 8, offset=offset)
            rows = np.flatnonzero(np.unpackbits(bits, bitorder="little")).astype(np.int64)
            offset += _BLOCK_ROWS // 8
        found.append(rows + number * _BLOCK_ROWS)
    return np.concatenate(found)
