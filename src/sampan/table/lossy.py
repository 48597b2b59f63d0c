"""Find numbers that a quick parser would read with a loss: 007 as 7, 0x1F as 31.

The whole text is looked over for a zero that begins a field and is followed by a digit or an x; most files have none. Only where one stands
in a column of numbers is that column read as text to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

_LOSSY = r"^\s*[+-]?0(\d+\s*$|[xX])"
Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
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
    if not text:
        return np.empty(0, dtype=np.int64)
    whole, rough = np.frombuffer(text, dtype=np.uint8), _Rough(ord(delimiter))
    places = np.concatenate([rough.places(whole, at) for at in range(0, len(whole), _STRIDE)])
    before = np.where(places > 0, whole[places - 1], ord("\n"))
    signed = (before == ord("-")) | (before == ord("+")) | (before == ord(" "))
    begins = np.where(signed, np.where(places > 1, whole[places - 2], ord("\n")), before)
    places = places[(begins == ord(delimiter)) | (begins == ord("\n")) | (begins == ord('"'))]
    after = whole[places + 1]
    found: Places = places[((after >= ord("0")) & (after <= ord("9"))) | (after == ord("x")) | (after == ord("X"))]
    return found


class _Rough:
    """A quick look for such zeros that finds a few others too, in memory taken once for all strides."""

    def __init__(self, delimiter: int) -> None:
        self._delimiter = delimiter
        self._bytes, self._found, self._more = np.empty(_STRIDE, np.uint8), np.empty(_STRIDE, np.bool_), np.empty(_STRIDE, np.bool_)

    def places(self, whole: Bytes, at: int) -> Places:
        """Look at the stride from `at` on.

        One comparison takes in the digits and x, another what may stand before a number: a line's end, a quote, a blank, a sign, most
        delimiters.
        """
        after = whole[at + 1 : at + _STRIDE + 1]
        n = len(after)
        found, more = self._found[:n], self._more[:n]
        np.less_equal(np.subtract(after, ord("0"), out=self._bytes[:n]), ord("x") - ord("0"), out=found)
        found &= np.equal(whole[at : at + n], ord("0"), out=more)
        before = whole[max(at - 1, 0) : at + n - 1]
        begins = np.less_equal(before, ord("-"), out=more[: len(before)])
        if self._delimiter > ord("-"):
            begins |= before == self._delimiter
        found[n - len(before) :] &= begins  # nothing stands before the first byte
        return np.flatnonzero(found) + at


def _columns_of(text: bytes, delimiter: str, places: Places) -> set[int]:
    mark = delimiter.encode()
    return {text.count(mark, text.rfind(b"\n", 0, place) + 1, place) for place in places.tolist()}
