"""Names of people in Vietnamese text that no rule is sure of: runs of capitalized words, weighed by what stands in and around them.

As in `english_names`, each candidate has signs, among them what the rules say, and a logistic regression's weights make a probability of
them: one set of weights for text with marks, another for text without. `benchmarks/fit_names.py` fitted them on VLSP 2016's development
part; nothing of it is kept but how much such words as "ơi", "nói" or "ở" beside a capitalized word say. Some place words were added after
reading PhoNER's training part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sampan.governance.english_names import Candidate, find_english_names, likelihood
from sampan.governance.lexicon import words as listed
from sampan.governance.name_tokens import Token, starts_sentence
from sampan.governance.name_weights import BARE_VIETNAMESE, VIETNAMESE
from sampan.governance.patterns import plain
from sampan.governance.vietnamese_names import (
    COMPOUNDS,
    GIVEN_NAMES,
    MARKED_PLACE_WORDS,
    MARKED_SURNAMES,
    MARKED_TITLES,
    NO_NAMES,
    PLACE_WORDS,
    PLACES,
    SURNAMES,
    TITLES,
    is_syllable,
)
from sampan.governance.vietnamese_rules import BARE_NO_NAMES, n_words_of_place, name_at

_LONGEST: Final = 5
_SURE: Final = 0.75
_SURE_WITHOUT_MARKS: Final = 0.8
_INITIAL: Final = re.compile(r"[A-ZĐ]\.|(?:Th|Tr|Nh|Ph|Kh|Ng|Ch|Gi|Qu)\.?")
_BARE_GIVEN_NAMES: Final = frozenset(map(plain, GIVEN_NAMES))
_BARE_COMPOUNDS: Final = frozenset(map(plain, COMPOUNDS))
_SIGNS: Final = frozenset(',:("-–).')


def find_vietnamese_names(text: str, tokens: Sequence[Token], *, marked: bool) -> dict[int, tuple[int, str]]:
    """Return by the first word of each name how many words it has and what speaks for it."""
    weights, sure = (VIETNAMESE, _SURE) if marked else (BARE_VIETNAMESE, _SURE_WITHOUT_MARKS)
    found = {}
    for at, n, signs in vietnamese_candidates(text, tokens, marked=marked):
        if likelihood(signs, weights) >= sure:
            told = sorted(signs, key=lambda sign: -weights.get(sign, 0.0))[:2]
            found[at] = n, "Vietnamese: " + ", ".join(told)
    return found


def vietnamese_candidates(text: str, tokens: Sequence[Token], *, marked: bool) -> Iterator[Candidate]:
    """Yield the runs of capitalized words, without a title at their beginning, with their signs."""
    english, titles = find_english_names(text, tokens), MARKED_TITLES if marked else TITLES
    at = 0
    while at < len(tokens):
        if not _is_capital(tokens[at]):
            at += 1
            continue
        stop, first = _run(text, tokens, at), at
        if not _is_place(tokens[at:stop]):
            first += n_words_of_place(tokens[at:stop])
        while first < stop - 1 and not _is_place(tokens[first:stop]) and _written(tokens[first], marked=marked) in titles:
            first += 1
        signs = [*_inside(text, tokens, first, stop, marked=marked), *_around(tokens, first, stop, marked=marked, titled=first > at)]
        if any(place in english for place in range(first, stop)):
            signs.append("English weights say so")
        if not _is_compound(tokens, stop, marked=marked):
            yield first, stop - first, tuple(signs)
        at = stop


def _is_place(words: Sequence[Token]) -> bool:
    return " ".join(word.bare for word in words) in PLACES


def _is_compound(tokens: Sequence[Token], stop: int, *, marked: bool) -> bool:
    """Say whether the last word and the small one behind are one thing or institution, as Hải quan or Thanh tra."""
    if stop >= len(tokens):
        return False
    both = f"{_written(tokens[stop - 1], marked=marked)} {_written(tokens[stop], marked=marked)}"
    return both in (COMPOUNDS if marked else _BARE_COMPOUNDS)


def _is_capital(token: Token) -> bool:
    return token.is_word and token.text[0].isupper()


def _written(token: Token, *, marked: bool) -> str:
    return token.text.lower().rstrip(".") if marked else token.bare


def _run(text: str, tokens: Sequence[Token], at: int) -> int:
    stop = at + 1
    while stop < min(len(tokens), at + _LONGEST):
        if text[tokens[stop - 1].end : tokens[stop].start] != " " or tokens[stop - 1].text.endswith(".") or not _is_capital(tokens[stop]):
            break
        stop += 1
    return stop


def _kind(token: Token, *, marked: bool) -> str:
    """Say what a capitalized word is."""
    if _INITIAL.fullmatch(token.text):
        return "initial"
    if len(token.text) == 1:
        return "letter"
    if not is_syllable(token.bare):
        if token.bare in listed("places"):
            return "foreign word"
        if token.bare in listed("given_names") or token.bare in listed("world_given_names"):
            return "foreign given name"
        return "foreign word" if token.bare in listed("english_words") or token.bare in listed("capital_words") else "foreign"
    word = _written(token, marked=marked)
    given = "given" if word in (GIVEN_NAMES if marked else _BARE_GIVEN_NAMES) else ""
    family = "family" if word in (MARKED_SURNAMES if marked else SURNAMES) else ""
    other = "office" if word in (NO_NAMES if marked else BARE_NO_NAMES) else ""
    return " ".join(part for part in (given, family, other) if part) or "syllable"


def _inside(text: str, tokens: Sequence[Token], first: int, stop: int, *, marked: bool) -> Iterator[str]:
    words = tokens[first:stop]
    kinds = [_kind(word, marked=marked) for word in words]
    place = "starts" if starts_sentence(text, words[0].start) else "inside"
    if rule := name_at(text, tokens, first, marked=marked, vietnamese=True):
        yield f"rule: {rule[1] or 'a place'}"
    yield place
    if len(words) == 1:
        yield f"one word: {kinds[0]}"
        yield f"one word, {place}: {kinds[0]}"
    else:
        yield f"first word: {kinds[0]}"
        yield f"last word: {kinds[-1]}"
        yield f"{min(len(words), 4)} words"
        if len(words) == 2 and "family" in kinds[0]:
            yield "two words, family name first"
    if _is_place(words):
        yield "a known place"
    if len(words[0].text) > 1 and all(word.text.isupper() for word in words):
        yield "capitals only"


def _around(tokens: Sequence[Token], first: int, stop: int, *, marked: bool, titled: bool) -> Iterator[str]:
    one = " (one word)" if stop - first == 1 else ""
    if titled:
        yield "a title before"
    elif first:
        before = tokens[first - 1]
        if before.is_word and before.text.islower():
            yield from _word_before(tokens[max(first - 2, 0) : first], marked=marked, one=one)
        elif not before.is_word:
            yield f"{before.text} before" if before.text in _SIGNS else "a sign before"
    if stop < len(tokens):
        behind = tokens[stop]
        if behind.is_word and behind.text.islower():
            yield f"“{behind.bare}” behind"
        elif not behind.is_word:
            yield f"{behind.text} behind" if behind.text in _SIGNS else "a number behind" if behind.text.isdigit() else "a sign behind"


def _word_before(before: Sequence[Token], *, marked: bool, one: str) -> Iterator[str]:
    last, both = _written(before[-1], marked=marked), " ".join(_written(word, marked=marked) for word in before)
    titles, places = (MARKED_TITLES, MARKED_PLACE_WORDS) if marked else (TITLES, PLACE_WORDS)
    if last in titles or both in titles:
        yield f"a title before{one}"
    elif last in places or both in places:
        yield "a word of places before"
    else:
        yield f"“{before[-1].bare}” before"
