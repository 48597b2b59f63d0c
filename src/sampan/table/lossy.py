"""Find numbers that a quick parser would read with a loss: 007 as 7, 0x1F as 31.

A look over the whole text (`glance`) says where a zero begins a field and is followed by a digit or an x; most files have none. Only where
one stands in a column of numbers is that column read as text to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from sampan.table.glance import Places

_LOSSY = r"^\s*[+-]?0(\d+\s*$|[xX])"
_FEW = 200


def lossy_columns(
    text: bytes, delimiter: str, zeros: Places, places: Sequence[int], read_text: Callable[[Sequence[int]], pl.DataFrame]
) -> list[int]:
    """Return which of the columns of numbers hold one that would lose something. `read_text` reads some columns as text."""
    if not places or not len(zeros):
        return []
    if b'"' not in text and len(zeros) <= _FEW and not _columns_of(text, delimiter, zeros) & set(places):
        return []
    found = read_text(places)
    return [place for place in places if found[str(place)].str.contains(_LOSSY).any()]


def _columns_of(text: bytes, delimiter: str, places: Places) -> set[int]:
    mark = delimiter.encode()
    return {text.count(mark, text.rfind(b"\n", 0, place) + 1, place) for place in places.tolist()}
