"""Free text cut into terms: words, runs of words, pieces of words. Where letters' case and Unicode's forms do not matter they are made one.

The same cuts are made by the graph (`text_graph.py`), character by character; so what is done here is defined for each character by itself:

- composed forms (NFC), then small letters. Final sigma is sigma, the Turkish capital İ is i: no other letter becomes more than one, or
  depends on its neighbors;
- a separator (`characters.py`) parts words, a symbol is a word of its own, everything else is of words: letters of any script, marks,
  digits, what Unicode has yet to name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final
from unicodedata import normalize

from sampan.features.characters import SEPARATORS, SYMBOLS

EDGE: Final = "_"  # begins and ends a word, in pieces of words; itself a separator, so in no word
LONGEST_WORD: Final = 40  # characters; what is longer is no word that anybody will write again
_LOW: Final = 0xFFFF
_PLAIN_WORDS: Final = re.compile(r"[a-z0-9]+")


def composed(text: str) -> str:
    """Return a text in Unicode's composed form, which is how the graph wants it."""
    return text if text.isascii() else normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text composed and in small letters."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", text).replace("İ", "i").lower().replace("ς", "σ")


def words_of(text: str) -> list[str]:
    """Cut a text into words and symbols, in their order."""
    small = folded(text)
    return _PLAIN_WORDS.findall(small) if small.isascii() else _words().findall(small)


def is_symbol(word: str) -> bool:
    """Say whether a word is a symbol."""
    return len(word) == 1 and not word.isalnum() and _symbol().match(word) is not None


def runs(words: Sequence[str], longest: int) -> Iterator[str]:
    """Yield words, and runs of up to `longest` neighbors; symbols stand alone, and neighbors are found across them."""
    yield from words
    if longest > 1:
        letters = [word for word in words if not is_symbol(word)]
        for length in range(2, longest + 1):
            yield from map(" ".join, zip(*(letters[at:] for at in range(length)), strict=False))


def pieces(words: Iterable[str], shortest: int, longest: int) -> Iterator[str]:
    """Yield the pieces of each word, its edges included; symbols have none."""
    for word in words:
        if is_symbol(word):
            continue
        whole = f"{EDGE}{word}{EDGE}"
        if shortest == 1:
            yield from word  # an edge alone says nothing
        for length in range(max(shortest, 2), longest + 1):
            for at in range(len(whole) - length + 1):
                yield whole[at : at + length]


@cache
def _words() -> re.Pattern[str]:
    # Sets of characters up to U+FFFF are tables, those beyond are looked through range by range: so they have sets of their own.
    low, high = ([each for each in (*SEPARATORS, *SYMBOLS) if (each[0] > _LOW) == beyond] for beyond in (False, True))
    word = f"(?:[^{_class(low)}\U00010000-\U0010ffff]+|[^\x00-\uffff{_class(high)}])+"
    symbols = (_class(each for each in SYMBOLS if (each[0] > _LOW) == beyond) for beyond in (False, True))
    return re.compile("|".join([word, *(f"[{each}]" for each in symbols)]))


@cache
def _symbol() -> re.Pattern[str]:
    return re.compile(f"[{_class(SYMBOLS)}]")


def _class(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
