"""Rules by which Vietnamese names of people are told: family names with given names, titles, single syllables, small letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sampan.governance.name_tokens import Token, starts_sentence
from sampan.governance.patterns import plain
from sampan.governance.vietnamese_names import (
    COMMON_SURNAMES,
    COMPOUNDS,
    GIVEN_NAMES,
    KIN,
    MARKED_PLACE_WORDS,
    MARKED_SURNAMES,
    MARKED_TITLES,
    MIDDLE_NAMES,
    NO_NAMES,
    PLACE_WORDS,
    PLACES,
    SURNAMES,
    TITLES,
    has_marks,
    is_syllable,
)

_LONGEST_NAME: Final = 5
_LIVES_IN: Final = frozenset(("ở", "tại", "ngụ", "quê", "o", "tai", "ngu", "que"))
NO_NAME: Final = ""  # the evidence of words that look like a name and are a place's
FULL_NAME: Final = "a Vietnamese family name and given names"
_INTRODUCES: Final = re.compile(
    r"(?:\bmy name is|\bname'?s|\bi am|\bi'm|\bthis is|\bnamed|\bcalled|\bdear|\bhi|\bhello|\bregards,|\bsincerely,|\bcheers,|\bsigned,?"
    r"|\battn:?|\bname:|\bcontact:?|\bbeneficiary|\bsays|\bsaid|\bten (?:toi )?la|\bten:|\bho (?:va )?ten:?|\btoi la|\bkinh gui|\bgui toi"
    r"|\bben [ab]:)\s*$",
    re.IGNORECASE,
)
_SURE_WITHOUT_MARKS: Final = frozenset(("nguyen", "tran", "huynh", "bui", "ngo", "trinh"))
_PARTICLES: Final = frozenset(("oi", "a", "nhe", "nha", "di", "voi", "la", "o", "va", "khong", "cho", "den", "se", "da", "dang", "thi"))
_TITLES: Final = (TITLES, MARKED_TITLES)
_KIN: Final = (frozenset(plain(title) for title in KIN) & TITLES, KIN)
BARE_NO_NAMES: Final = frozenset(map(plain, NO_NAMES))
_PLACES: Final = (PLACE_WORDS, MARKED_PLACE_WORDS)


def name_at(text: str, tokens: Sequence[Token], at: int, *, marked: bool, vietnamese: bool) -> tuple[int, str] | None:
    """Return how many words from here on are a name, and why; NO_NAME if they are a place's."""
    first = tokens[at]
    if not first.is_word or (first.text.endswith(".") and len(first.bare) == 1):
        return None
    words = _run(text, tokens, at, marked=marked)
    if not words:
        return None
    before = _words_before(tokens, at)
    titled, kin, placed = (_ends_in(before, lists, marked=marked) for lists in (_TITLES, _KIN, _PLACES))
    if vietnamese and (placed or _after_a_house_number(tokens, at) or _ends_a_place(before, first) or _lives_in(before)):
        return len(words), NO_NAME
    if n_placed := n_words_of_place(words):
        return n_placed, NO_NAME
    family = (first.text.lower() if marked else first.bare) in (MARKED_SURNAMES if marked else SURNAMES)
    name = " ".join(word.bare for word in words)
    if name in PLACES and not titled:
        return None
    if family and len(words) >= 2 and (marked or _sure_without_marks(words, titled=titled)):
        return len(words), FULL_NAME + ("" if marked else ", without marks")
    if (
        titled
        and vietnamese
        and (kin or len(words) >= 2)
        and first.text.lower() not in (NO_NAMES if marked else BARE_NO_NAMES)
        and name not in PLACES
    ):
        return len(words), "a name after a Vietnamese title"
    if marked and _is_single(text, tokens, at, words):
        return 1, "one capitalized syllable in a Vietnamese sentence"
    return None


def n_words_of_place(words: Sequence[Token]) -> int:
    """Return how many words at the beginning are a known place, where two or more come after: Hà Nội Nguyễn Khắc Hiền."""
    return next((n for n in (3, 2) if len(words) >= n + 2 and " ".join(word.bare for word in words[:n]) in PLACES), 0)


def _ends_a_place(before: Sequence[Token], first: Token) -> bool:
    """Say whether a word is the second of a place's name: Rịa in Bà Rịa."""
    return bool(before) and before[-1].is_capital and f"{before[-1].bare} {first.bare}" in PLACES


def _lives_in(before: Sequence[Token]) -> bool:
    """Say whether a word comes right before that only a place follows: ở, tại, ngụ, quê."""
    return bool(before) and before[-1].text in _LIVES_IN


def _is_single(text: str, tokens: Sequence[Token], at: int, words: Sequence[Token]) -> bool:
    """Say whether a syllable is a given name alone: capitalized inside a sentence, between words that are not."""
    first = words[0]
    if len(words) != 1 or not at or first.text.lower().rstrip(".") not in GIVEN_NAMES:
        return False
    before, after = tokens[at - 1], tokens[at + 1] if at + 1 < len(tokens) else None
    inside = before.is_word and before.text.islower() and before.end + 1 == first.start and before.bare not in PLACE_WORDS
    alone = after is None or not (after.text[0].isupper() or after.text[0].isdigit() or after.text in "-–/&")
    alone = alone and (after is None or f"{first.text.lower()} {after.text}" not in COMPOUNDS)
    return inside and alone and not starts_sentence(text, first.start)


def small_name_at(text: str, tokens: Sequence[Token], at: int) -> tuple[int, str] | None:
    """Find a name typed in small letters, as in chats: a frequent family name, a middle name and one or two syllables more."""
    words = tokens[at : at + 4]
    if len(words) < 3 or words[0].bare not in COMMON_SURNAMES or words[1].bare not in MIDDLE_NAMES:
        return None
    marked = has_marks(text)
    if text[words[0].start : words[2].end].count(" ") != 2 or not all(_is_small_syllable(word) for word in words[:3]):
        return None
    introduced = bool(_INTRODUCES.search(plain(text[max(words[0].start - 24, 0) : words[0].start])))
    called = introduced or _ends_in(_words_before(tokens, at), _KIN, marked=marked)
    sure = words[1].text in ("văn", "thị") if marked else words[1].bare in ("van", "thi") and words[0].bare in _SURE_WITHOUT_MARKS
    if not (called or sure) or (marked and words[0].text not in MARKED_SURNAMES):
        return None
    longer = len(words) == 4 and words[2].bare in MIDDLE_NAMES and _is_small_syllable(words[3]) and words[3].start == words[2].end + 1
    return (4 if longer else 3), "a Vietnamese name in small letters"


def _is_small_syllable(token: Token) -> bool:
    return (
        token.is_word
        and token.text.rstrip(".").islower()
        and is_syllable(token.bare)
        and (token.bare not in _PARTICLES or token.text in ("thị", "thi"))
    )


def _after_a_house_number(tokens: Sequence[Token], at: int) -> bool:
    """Say whether a number comes right before, as in 277D Lê Thánh Tôn: a street called after someone."""
    if not at:
        return False
    one, two = tokens[at - 1], tokens[at - 2] if at > 1 else None
    letter = two is not None and two.text.isdigit() and len(one.text) == 1 and one.start == two.end
    return one.text[-1].isdigit() or letter


def _words_before(tokens: Sequence[Token], at: int) -> tuple[Token, ...]:
    """Return the one or two words right before a place, with nothing between."""
    found: list[Token] = []
    for token in reversed(tokens[max(at - 2, 0) : at]):
        if not token.is_word:
            break
        found.insert(0, token)
    return tuple(found)


def _ends_in(before: Sequence[Token], lists: tuple[frozenset[str], frozenset[str]], *, marked: bool) -> bool:
    """Say whether the words before end in one of a list; in a text with marks, as it is written there."""
    bare, written = lists
    if not marked and len(before) == 2 and before[-1].is_capital:
        return False  # Ba Dinh: the word is the beginning of a name itself
    words = [(token.text.lower().rstrip(".") if marked and not token.text.isupper() else token.bare) for token in before]
    known = written if marked else bare
    return bool(words) and (words[-1] in known or " ".join(words) in known or (before[-1].text.isupper() and words[-1] in bare))


def _run(text: str, tokens: Sequence[Token], at: int, *, marked: bool) -> list[Token]:
    """Return the capitalized Vietnamese syllables from here on."""
    words: list[Token] = []
    for token in tokens[at : at + _LONGEST_NAME]:
        if words and text[words[-1].end : token.start] != " ":
            break
        bare = token.text.rstrip(".")
        capital = bare[:1].isupper() and (len(bare) == 1 or not bare[1:].isupper() or tokens[at].text.isupper())
        if not token.is_word or not capital or not is_syllable(token.bare) or (marked and len(bare) == 1 and bare not in "AÁÝY"):
            break
        words.append(token)
        if token.text.endswith("."):
            break
    return words


def _sure_without_marks(words: Sequence[Token], *, titled: bool) -> bool:
    """Say whether bare letters are surely a Vietnamese name: a frequent family name, and more than one other syllable or a title."""
    common = words[0].bare in COMMON_SURNAMES
    middle = len(words) >= 3 and words[1].bare in MIDDLE_NAMES
    return middle or (common and (len(words) >= 2 or titled))
