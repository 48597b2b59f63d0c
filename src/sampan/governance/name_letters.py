"""Whether a word nobody listed is spelled like a name or like an everyday word, by its letters in threes."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Final

from sampan.governance.lexicon import words as listed

_SMOOTHING: Final = 0.5
_SHORTEST: Final = 4
_CLEAR: Final = 0.35  # mean difference of the logarithms a letter


def spelled_like(bare: str) -> str:
    """Say what a word of small letters without marks is spelled like: "a name", "a word" or neither ("").

    >>> [spelled_like(word) for word in ("kadiev", "mehrudina", "antipsychotics", "mobil")]
    ['a name', 'a name', 'a word', '']
    """
    if len(bare) < _SHORTEST:
        return ""
    score = _likelier(bare)
    return "a name" if score > _CLEAR else "a word" if score < -_CLEAR else ""


@cache
def _likelier(bare: str) -> float:
    """Return how much likelier a name's letters follow each other so than a word's, as the mean logarithm of the ratio."""
    names, words = _names(), _everyday()
    bounded = f"^^{bare}$"
    ratios = [_share(names, bounded[i : i + 3]) - _share(words, bounded[i : i + 3]) for i in range(len(bounded) - 2)]
    return sum(ratios) / len(ratios)


def _share(of: tuple[Counter[str], Counter[str]], three: str) -> float:
    threes, twos = of
    return math.log((threes[three] + _SMOOTHING) / (twos[three[:2]] + 27 * _SMOOTHING))


@cache
def _names() -> tuple[Counter[str], Counter[str]]:
    return _counted(frozenset().union(*(listed(name) for name in ("given_names", "world_given_names", "surnames", "world_surnames"))))


@cache
def _everyday() -> tuple[Counter[str], Counter[str]]:
    return _counted(listed("english_words"))


def _counted(words: frozenset[str]) -> tuple[Counter[str], Counter[str]]:
    threes: Counter[str] = Counter()
    twos: Counter[str] = Counter()
    for word in words:
        bounded = f"^^{word}$"
        for i in range(len(bounded) - 2):
            threes[bounded[i : i + 3]] += 1
            twos[bounded[i : i + 2]] += 1
    return threes, twos
