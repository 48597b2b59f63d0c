"""Parts of plain tables, written and edited row by row without a Parquet library or NumPy; `plain_parquet.py` says what they may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from sampan.core.digests import Digest
from sampan.store.tables import deletions
from sampan.store.tables.manifest import Part
from sampan.store.tables.plain_parquet import Columns, encode_no_rows, encode_plain

__all__ = ["MAX_PART_ROWS", "Columns", "encode_no_rows", "without", "write_parts"]

MAX_PART_ROWS = 1_000_000


def write_parts(columns: Columns, put: Callable[[bytes], Digest]) -> list[Part]:
    """Write rows as parts; no rows, no parts."""
    n_rows = len(next(iter(columns.values()), ()))
    found = []
    for start in range(0, n_rows, MAX_PART_ROWS):
        rows = {name: values[start : start + MAX_PART_ROWS] for name, values in columns.items()}
        data = encode_plain(rows)
        found.append(Part(put(data), min(MAX_PART_ROWS, n_rows - start), len(data)))
    return found


def without(part: Part, rows: Sequence[int], read: Callable[[Digest], bytes], put: Callable[[bytes], Digest]) -> Part:
    """Leave rows of a part's file out."""
    if not rows:
        return part
    data, n_dead = deletions.with_rows(read(part.dead) if part.dead else b"", rows)
    return msgspec.structs.replace(part, dead=put(data), n_dead=n_dead, dead_bytes=len(data))
