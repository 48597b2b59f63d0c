"""Names of people in English text: capitalized words, weighed by what the words are and by what stands around them.

A candidate is a run of capitalized words, without the words at its edges that are no names. Each says something: that a word is a frequent
given name, a family name, an everyday word; that a title, an introduction, "in" or "Hurricane" comes before, a verb of speech, an "Inc" or
a number behind. The weights are those of a logistic regression, so that what was found can be said in words and how sure it is is a
probability. `benchmarks/fit_names.py` fitted them, on the odd templates of presidio-research, the training part of WNUT 2017 and the
development part of Universal NER's EWT; nothing of these texts is kept here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from sampan.governance.lexicon import words as listed
from sampan.governance.name_letters import spelled_like
from sampan.governance.name_tokens import Token, starts_sentence
from sampan.governance.name_weights import ENGLISH
from sampan.governance.patterns import plain
from sampan.governance.vietnamese_names import has_marks

_LONGEST: Final = 5
_SURE: Final = 0.8
_FREQUENT: Final = 1000
_INITIAL: Final = re.compile(r"[A-Z]\.?")
TITLES: Final = listed("english_titles")
_INTRODUCES: Final = re.compile(
    r"(?:\bmy name is|\bname'?s|\bi am|\bi'm|\bthis is|\bnamed|\bcalled|\bcall (?:me|him|her)|\bdear|\bhi|\bhello|\bhey|\bregards,"
    r"|\bsincerely,"
    r"|\bcheers,|\bthanks,|\bsigned,?|\battn:?|\bname:|\buser:|\bcontact:?|\bbeneficiary|\bsays|\bsaid|\btold|\basked|\badded|\bexplained)\s*$",
    re.IGNORECASE,
)
_PARTICLES: Final = frozenset(
    ("de", "da", "dos", "del", "della", "di", "van", "von", "der", "den", "bin", "ibn", "al", "el", "la", "le", "ter")
)
_PLACED: Final = frozenset(("in", "at", "near", "around", "from", "outside", "throughout", "across", "visit", "visiting", "downtown"))
_CALLED: Final = listed("english_place_words")
_SPEAKS: Final = listed("english_verbs")
_PARTS: Final = frozenset((",", "and", "&", "or"))
_BEFORE: Final = {
    "by": "by",
    "with": "with",
    "and": "and",
    "&": "and",
    "to": "to",
    "of": "of",
    "the": "the",
    "a": "the",
    "an": "the",
    "for": "for",
    "on": "on",
    "@": "at sign",
    "#": "at sign",
    "/": "path",
    "_": "path",
    "<": "bracket",
    ">": "bracket",
    ",": "comma",
    "(": "opened",
}

Candidate = tuple[int, int, tuple[str, ...]]  # the first word, how many, and what speaks for or against it


def find_english_names(text: str, tokens: Sequence[Token]) -> dict[int, tuple[int, str]]:
    """Return by the first word of each name how many words it has and what speaks for it."""
    found = {}
    for at, n, signs in candidates(text, tokens):
        if likelihood(signs, ENGLISH) >= _SURE:
            told = sorted(signs, key=lambda sign: -ENGLISH.get(sign, 0.0))[:2]
            found[at] = n, "English: " + ", ".join(told)
    return found


def likelihood(signs: Sequence[str], weights: Mapping[str, float]) -> float:
    """Return how likely words with these signs are a person's name; the weight of "" is counted always."""
    return 1 / (1 + math.exp(-weights.get("", 0.0) - sum(weights.get(sign, 0.0) for sign in signs)))


def candidates(text: str, tokens: Sequence[Token]) -> Iterator[Candidate]:
    """Yield the runs of capitalized words that may be a name, with their signs."""
    at = 0
    while at < len(tokens):
        stop = _run(text, tokens, at)
        if stop == at:
            at += 1
            continue
        first, last = at, stop
        while first < last and _is_no_name(tokens[first]):
            first += 1
        while last > first and (_is_no_name(tokens[last - 1]) or tokens[last - 1].bare in _PARTICLES):
            last -= 1
        inner = next((i for i in range(first, last) if tokens[i].bare in listed("never_names")), last)
        cut_after, last = inner < stop, inner
        if first < last:
            yield first, last - first, tuple(_signs(text, tokens, first, last, cut_before=first > at, cut_after=cut_after))
        at = max(stop, at + 1)


def _run(text: str, tokens: Sequence[Token], at: int) -> int:
    """Return where a run of capitalized words ends that begins here; particles and initials belong to it."""
    if not _is_name_like(tokens[at]) or tokens[at].bare in TITLES:
        return at
    stop = at + 1
    while stop < len(tokens) and stop < at + _LONGEST:
        between = text[tokens[stop - 1].end : tokens[stop].start]
        dotted = tokens[stop - 1].text.endswith(".") and len(tokens[stop - 1].bare) > 2
        if between != " " or dotted:
            break
        particle = tokens[stop].bare in _PARTICLES and stop + 1 < len(tokens) and _is_name_like(tokens[stop + 1])
        if not (_is_name_like(tokens[stop]) or particle):
            break
        stop += 1
    return stop


def _is_name_like(token: Token) -> bool:
    return token.is_word and token.text[0].isupper() and not has_marks(token.text)


def _is_no_name(token: Token) -> bool:
    """Say whether a capitalized word is an everyday one that nobody is called, or a title."""
    bare = _owner(token.bare)
    if bare in listed("never_names") or bare in TITLES:
        return True
    return bare in listed("english_words") and bare not in _given() and bare not in _surnames() and not _INITIAL.fullmatch(token.text)


def _owner(bare: str) -> str:
    return re.sub(r"['’]s?$", "", bare)


@cache
def _given() -> frozenset[str]:
    return listed("given_names") | listed("world_given_names")


@cache
def _surnames() -> frozenset[str]:
    return listed("surnames") | listed("world_surnames")


def kind_of(token: Token) -> str:
    """Say what a word is: a given name, a family name, an everyday word."""
    bare = _owner(token.bare)
    if _INITIAL.fullmatch(token.text):
        return "initial"
    given = "frequent given" if bare in listed("given_names", _FREQUENT) else "given" if bare in _given() else ""
    family = "family" if bare in _surnames() else ""
    word = "everyday" if bare in listed("english_words") or bare in listed("rather_words") or bare in listed("places") else ""
    if not given and not family and bare in listed("capital_words"):
        return "a place or firm"
    known = " ".join(part for part in (given, "" if given else family, word) if part)
    return known or f"unknown, like {spelled_like(bare)}".removesuffix(", like ")


def _signs(text: str, tokens: Sequence[Token], first: int, last: int, *, cut_before: bool, cut_after: bool) -> Iterator[str]:
    words = [token for token in tokens[first:last] if token.bare not in _PARTICLES] or list(tokens[first:last])
    kinds = [kind_of(word) for word in words]
    starts = starts_sentence(text, tokens[first].start)
    if len(words) == 1:
        yield f"one word: {kinds[0]}"
        yield f"one word {'at the start' if starts else 'inside'}{': everyday' if 'everyday' in kinds[0] else ''}"
    else:
        yield f"first word: {kinds[0]}"
        yield f"last word: {kinds[-1]}"
        yield "two words" if len(words) == 2 else "more words"
        if "initial" in kinds:
            yield "an initial"
        if all(kind.startswith("unknown") or kind == "initial" for kind in kinds):
            yield "only unknown words"
    if all(word.text.isupper() for word in words):
        yield "capitals only"
    elif any(word.text.isupper() and len(word.bare) > 1 for word in words):
        yield "a word in capitals"
    if _has_given_beside(tokens, first, last):
        yield f"a given name beside{' (one word)' if len(words) == 1 else ''}"
    if cut_before:
        yield "an everyday word before"
    if cut_after:
        yield "an everyday word behind"
    single = " (one word)" if len(words) == 1 else ""
    if len(words) > 1 and " ".join(_owner(word.bare) for word in words) in listed("places"):
        yield "a place's whole name"
    yield from (f"{sign}{single}" for sign in _before(text, tokens, first, starts=starts))
    yield from (f"{sign}{single}" for sign in _behind(tokens, last))


def _has_given_beside(tokens: Sequence[Token], first: int, last: int) -> bool:
    """Say whether a comma or "and" parts the words from a given name, as in a list of people."""
    beside = [first - 2] if first > 1 and tokens[first - 1].bare in _PARTS else []
    beside += [last + 1] if last + 1 < len(tokens) and tokens[last].bare in _PARTS else []
    return any(tokens[i].is_capital and tokens[i].is_word and kind_of(tokens[i]) in ("frequent given", "given") for i in beside)


def _before(text: str, tokens: Sequence[Token], first: int, *, starts: bool) -> Iterator[str]:
    start = tokens[first].start
    if _INTRODUCES.search(plain(text[max(start - 24, 0) : start])):
        yield "introduced"
    if not first:
        yield "begins the text"
        return
    before = tokens[first - 1]
    if before.bare in TITLES:
        yield "a title before"
    elif before.bare in _CALLED and before.text[0].isupper():
        yield "a word of places before"
    elif before.bare in _PLACED:
        yield "in, at or from before"
    elif before.text[0].isdigit():
        yield "a number before"
    elif before.bare in _BEFORE:
        yield f"{_BEFORE[before.bare]} before"
    elif starts:
        yield "begins a sentence"
    elif before.is_word and before.text[0].isupper():
        yield "a capital before"


def _behind(tokens: Sequence[Token], last: int) -> Iterator[str]:
    if tokens[last - 1].text.endswith(("'s", "’s")):
        yield "owns something"
    if last == len(tokens):
        yield "ends the text"
        return
    behind = tokens[last]
    near = behind.start - tokens[last - 1].end <= 1
    if behind.bare in _SPEAKS and behind.text.islower():
        yield "a verb behind"
    elif behind.text in ("'", "’") and last + 1 < len(tokens) and tokens[last + 1].bare == "s":
        yield "owns something"
    elif behind.text[0].isdigit() and near:
        yield "a number behind"
    elif behind.text in ",;":
        yield "a comma behind"
    elif behind.text in ":_/&@-":
        yield f"{behind.text} behind"
    elif behind.text in ".!?":
        yield "ends the sentence"
    elif behind.is_word and behind.text[0].isupper() and near:
        yield "a capital behind"
    elif behind.is_word and behind.text.islower():
        yield "a small word behind"
