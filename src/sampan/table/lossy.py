"""Find numbers that a quick parser would read with a loss: 007 as 7, 0x1F as 31.

The whole text is looked over for a zero that begins a field and is followed by a digit or an x; most files have none. Only where one stands
in a column of numbers is that column read as text to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

_LOSSY = r"^\s*[+-]?0(\d+\s*$|[xX])"
Places = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_STRIDE = 1 << 18  # fits a processor's cache
_FEW = 200


def lossy_columns(text: bytes, delimiter: str, places: Sequence[int], read_text: Callable[[Sequence[int]], pl.DataFrame]) -> list[int]:
    """Return which of the columns of numbers hold one that would lose something. `read_text` reads some columns as text."""
    if not places:
        return []
    hits = _suspicious(text, delimiter)
    if not len(hits):
        return []
    if b'"' not in text and len(hits) <= _FEW and not _columns_of(text, delimiter, hits) & set(places):
        return []
    found = read_text(places)
    return [place for place in places if found[str(place)].str.contains(_LOSSY).any()]


def _suspicious(text: bytes, delimiter: str) -> Places:
    """Return where a field may begin with a zero that is followed by a digit or an x; a sign or a blank may stand before."""
    padded = np.frombuffer(b"\n\n" + text[: _STRIDE + 1], dtype=np.uint8)  # so that the first field, too, has something before it
    whole = np.frombuffer(text, dtype=np.uint8)
    later = [_hits(whole[at - 2 : at + _STRIDE + 1], delimiter, at - 2) for at in range(_STRIDE, len(whole), _STRIDE)]
    return np.concatenate([_hits(padded, delimiter, -2), *later])


def _hits(part: Bytes, delimiter: str, start: int) -> Places:
    zero, before, after = part[2:-1] == 48, part[1:-2], part[3:]
    zero &= ((after - np.uint8(48)) < 10) | (after == 120)
    ends = (part[:-2] == ord(delimiter)) | (part[:-2] == 10) | (part[:-2] == 34)
    zero &= ends[1:] | (((before == 45) | (before == 32)) & ends[:-1])
    found: Places = np.flatnonzero(zero) + (start + 2)
    return found


def _columns_of(text: bytes, delimiter: str, places: Places) -> set[int]:
    mark = delimiter.encode()
    return {text.count(mark, text.rfind(b"\n", 0, place) + 1, place) for place in places.tolist()}
