"""Find numbers that a quick parser would read with a loss: 007 as 7, 0x1F as 31.

A look over the whole text (`glance`) says where a zero begins a field and is followed by a digit or an x; most files have none. Only where
one stands in a column of numbers is that column read as text to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from sampan.table.glance import Places

_LOSSY = r"^\s*[+-]?0(\d+\s*$|[xX])"
_FEW = 200


def lossy_columns(
    text: bytes, delimiter: str, n_columns: int, zeros: Places, places: Sequence[int], read_text: Callable[[Sequence[int]], pl.DataFrame]
) -> list[int]:
    """Return which of the columns of numbers hold one that would lose something.

    Parameters
    ----------
    zeros : where such a number may begin
    places : the columns of numbers
    read_text : reads some columns as text
    """
    if not places or not len(zeros):
        return []
    suspects = places if b'"' in text else sorted(_columns_of(text, delimiter, n_columns, zeros) & set(places))
    if not suspects:
        return []
    found = read_text(suspects)
    return [place for place in suspects if found[str(place)].str.contains(_LOSSY).any()]


def _columns_of(text: bytes, delimiter: str, n_columns: int, places: Places) -> set[int]:
    """Return the columns in which some bytes stand; there are no quotes, and each line has all columns."""
    mark = delimiter.encode()
    if len(places) <= _FEW:
        return {text.count(mark, text.rfind(b"\n", 0, place) + 1, place) for place in places.tolist()}
    whole = np.frombuffer(text, np.uint8)
    delimiters, newlines = np.flatnonzero(whole == ord(mark)), np.flatnonzero(whole == ord("\n"))
    columns = np.searchsorted(delimiters, places) - np.searchsorted(newlines, places) * (n_columns - 1)
    return set(np.unique(columns).tolist())
