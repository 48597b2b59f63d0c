"""One look over a block of delimited text before it is parsed: blank lines, fields without a byte, zeros that a number would lose.

All that a quick parser would pass over in silence is seen here, in a handful of comparisons that stay in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_STRIDE = 1 << 18  # with what is found in it, it stays in a processor's cache
_NEWLINE, _RETURN, _QUOTE, _ZERO = ord("\n"), ord("\r"), ord('"'), ord("0")
_NOWHERE: Places = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Quotes:
    """Where a block's quotes stand. The first of two opens, the second closes; a doubled quote closes and opens at once."""

    at: Places
    newlines: Places
    before: Bytes  # what stands before those that open
    after: Bytes  # what stands after those that close
    delimiter: int

    @classmethod
    def of(cls, whole: Bytes, delimiter: int) -> Quotes:
        """Find the quotes of whole lines."""
        at = np.flatnonzero(whole == _QUOTE)
        opening, closing = at[0::2], at[1::2]
        before = np.where(opening > 0, whole[opening - 1], _NEWLINE)
        after = np.where(closing < len(whole) - 1, whole[np.minimum(closing + 1, len(whole) - 1)], _NEWLINE)
        return cls(at, np.flatnonzero(whole == _NEWLINE), before, after, delimiter)

    def are_tidy(self) -> bool:
        """Say whether they enclose whole fields, and no line's end."""
        enclose = (self._are_edges(self.before) | (self.before == _QUOTE)).all() and (
            self._are_edges(self.after) | (self.after == _RETURN) | (self.after == _QUOTE)
        ).all()
        return len(self.at) % 2 == 0 and bool(enclose) and self.n_around(self.newlines) == 0

    def n_around(self, places: Places) -> int:
        """Count the places that stand between an opening and a closing quote."""
        return int((np.searchsorted(self.at, places) % 2).sum())

    def n_empty(self) -> int:
        """Count the fields that are two quotes and nothing between them."""
        n = len(self.at) // 2
        alone = self._are_edges(self.before[:n]) & (self._are_edges(self.after) | (self.after == _RETURN))
        return int((alone & (self.at[1::2] - self.at[0 : 2 * n : 2] == 1)).sum())

    def _are_edges(self, found: Bytes) -> NDArray[np.bool_]:
        edges: NDArray[np.bool_] = (found == self.delimiter) | (found == _NEWLINE)
        return edges


@dataclass(frozen=True, slots=True)
class Glance:
    """What a block looks like."""

    is_tidy: bool  # a line is a record: no NUL, no blank line; quotes enclose whole fields, and no line's end
    n_empty: int  # fields without a byte, or with two quotes and nothing between them; of a tidy block
    zeros: Places  # those that begin a number's text and are followed by a digit or an x


class Glancer:
    """Looks over the blocks of a file, in memory taken once."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = ord(delimiter)
        self._steps = np.empty(_STRIDE, np.uint8)
        self._newline, self._edge, self._return, self._found, self._more = (np.empty(_STRIDE + 3, np.bool_) for _ in range(5))

    def look(self, text: bytes) -> Glance:
        """Look over whole lines."""
        whole, zeros, empty = np.frombuffer(text, np.uint8), [_NOWHERE], [_NOWHERE]
        is_tidy, is_quoted, n_empty = b"\0" not in text, b'"' in text, 0
        for at in range(0, len(whole), _STRIDE):
            window = _window(whole, at)
            n = len(window) - 3
            returned = text.find(b"\r", max(0, at - 2), at + n + 1) >= 0
            self._find_edges(window, returned=returned)
            is_tidy = is_tidy and not self._has_blank_line(n, returned=returned)
            pairs = self._pairs(n)
            n_empty += int(np.count_nonzero(pairs))
            n_empty -= int(np.count_nonzero(self._return[1 : n + 1])) if returned else 0  # no field is between a line end's two bytes
            if is_quoted:
                empty.append(np.flatnonzero(pairs) + at)
                self._edge[: n + 3] |= window == _QUOTE
            found = self._find_zeros(window, n)
            if found.any():
                zeros.append(np.flatnonzero(found) + at)
        if is_quoted:
            quotes = Quotes.of(whole, self._delimiter)
            is_tidy = is_tidy and quotes.are_tidy()
            n_empty += quotes.n_empty() - quotes.n_around(np.concatenate(empty))
        n_empty += text.endswith(chr(self._delimiter).encode())  # the last line has no end
        return Glance(is_tidy, n_empty, self._surely(whole, np.concatenate(zeros)))

    def _find_edges(self, window: Bytes, *, returned: bool) -> None:
        """Find the bytes between which fields lie."""
        newline, edge = self._newline[: len(window)], self._edge[: len(window)]
        np.equal(window, _NEWLINE, out=newline)
        np.equal(window, self._delimiter, out=edge)
        edge |= newline
        if returned:
            edge |= np.equal(window, _RETURN, out=self._return[: len(window)])

    def _has_blank_line(self, n: int, *, returned: bool) -> bool:
        before, here = self._newline[1 : n + 1], self._newline[2 : n + 2]
        blank = bool(np.logical_and(before, here, out=self._found[:n]).any())
        return blank or (returned and bool((before & self._return[2 : n + 2]).any()))

    def _pairs(self, n: int) -> NDArray[np.bool_]:
        return np.logical_and(self._edge[1 : n + 1], self._edge[2 : n + 2], out=self._found[:n])

    def _find_zeros(self, window: Bytes, n: int) -> NDArray[np.bool_]:
        """Find such zeros and a few others: one comparison takes in the digits and x, another all that may stand before a number."""
        found, more, steps = self._found[:n], self._more[:n], self._steps[:n]
        np.less_equal(np.subtract(window[3:], _ZERO, out=steps), ord("x") - _ZERO, out=found)
        found &= np.equal(window[2:-1], _ZERO, out=more)
        begins = np.less_equal(window[1:-2], ord("-"), out=more)
        begins &= self._edge[:n]
        begins |= self._edge[1 : n + 1]
        found &= begins
        return found

    def _surely(self, whole: Bytes, places: Places) -> Places:
        """Leave out the zeros that begin no number or lose nothing. A sign or a blank may stand before."""
        if not len(places):
            return places
        before = np.where(places > 0, whole[places - 1], _NEWLINE)
        signed = ((before == ord("-")) | (before == ord("+")) | (before == ord(" "))) & (before != self._delimiter)
        begins = np.where(signed, np.where(places > 1, whole[places - 2], _NEWLINE), before)
        places = places[(begins == self._delimiter) | (begins == _NEWLINE) | (begins == _QUOTE)]
        after = whole[np.minimum(places + 1, len(whole) - 1)]
        found: Places = places[((after >= _ZERO) & (after <= ord("9"))) | (after == ord("x")) | (after == ord("X"))]
        return found


def _window(whole: Bytes, at: int) -> Bytes:
    """Return a stride with the two bytes before it and the one after it; before the text a line ends, and after it."""
    if at > 0 and at + _STRIDE < len(whole):
        return whole[at - 2 : at + _STRIDE + 1]
    before = whole[at - 2 : at] if at else np.array([_ZERO, _NEWLINE], np.uint8)
    after = np.array([_NEWLINE] if at + _STRIDE >= len(whole) else [], np.uint8)
    return np.concatenate([before, whole[at : at + _STRIDE + 1], after])
