"""Deletion vectors: which rows of a part are dead, as bytes.

Roaring's idea in its simplest form. Rows are cut into blocks of 65,536; of a block with d dead rows are stored

    d ≤ 4096    the rows' low 16 bits, ascending, u16 each
    d > 4096    one bit a row, 8 KiB

The file is `SPNDEAD1`, the number of blocks (u32), for each block its number (u32) and d (u32), then the blocks' data; all little-endian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.errors import IntegrityError

Positions = NDArray[np.int64]

NONE: Positions = np.empty(0, dtype=np.int64)
MAGIC = b"SPNDEAD1"
_BLOCK_ROWS = 1 << 16
_MAX_SPARSE = 4096


def encode(positions: Positions) -> bytes:
    """Write dead rows, shape (n,), ascending and distinct. Equal rows give equal bytes."""
    blocks, starts = np.unique(positions >> 16, return_index=True)
    heads: list[tuple[int, int]] = []
    bodies: list[bytes] = []
    for number, rows in zip(blocks.tolist(), np.split(positions & 0xFFFF, starts[1:]), strict=False):
        heads.append((number, len(rows)))
        bodies.append(_encode_block(rows))
    head = np.array(heads, dtype="<u4").reshape(-1, 2).tobytes()
    return MAGIC + len(heads).to_bytes(4, "little") + head + b"".join(bodies)


def decode(data: bytes) -> Positions:
    """Read dead rows, ascending. Raises IntegrityError if the bytes are no deletion vector."""
    if data[:8] != MAGIC:
        raise IntegrityError("an object that should be a deletion vector is none", hint="sampan fsck")
    n_blocks = int.from_bytes(data[8:12], "little")
    heads = np.frombuffer(data, dtype="<u4", count=2 * n_blocks, offset=12).reshape(-1, 2)
    offset, found = 12 + 8 * n_blocks, [np.empty(0, dtype=np.int64)]
    for number, n_rows in heads.tolist():
        rows, offset = _decode_block(data, offset, n_rows)
        found.append(rows + number * _BLOCK_ROWS)
    return np.concatenate(found)


def _encode_block(rows: Positions) -> bytes:
    if len(rows) <= _MAX_SPARSE:
        return rows.astype("<u2").tobytes()
    bits = np.zeros(_BLOCK_ROWS, dtype=bool)
    bits[rows] = True
    return np.packbits(bits, bitorder="little").tobytes()


def _decode_block(data: bytes, offset: int, n_rows: int) -> tuple[NDArray[Any], int]:
    if n_rows <= _MAX_SPARSE:
        rows = np.frombuffer(data, dtype="<u2", count=n_rows, offset=offset).astype(np.int64)
        return rows, offset + 2 * n_rows
    size = _BLOCK_ROWS // 8
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8, count=size, offset=offset), bitorder="little")
    return np.flatnonzero(bits).astype(np.int64), offset + size
