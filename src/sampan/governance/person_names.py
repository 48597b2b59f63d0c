"""Names of people in text, in English and Vietnamese: by lists of names, by titles and by the words that introduce a person.

A Vietnamese name begins with one of few family names and goes on with capitalized syllables; without its marks it is told by the same list
without them, more carefully, since the bare letters are also English words. `english_names` weighs the rest. What was found can always be
said in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sampan.governance.english_names import find_english_names
from sampan.governance.found import Found
from sampan.governance.lexicon import words as listed
from sampan.governance.name_tokens import Token, starts_sentence, tokens_of
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
    looks_vietnamese,
)

_LONGEST_NAME: Final = 5
NO_NAME: Final = ""  # the evidence of words that look like a name and are a place's
_INITIALS: Final = re.compile(r"(?<!\w)(?:[A-ZĐ]\.){1,5}[A-ZĐ]?(?!\w)")
_TITLE: Final = frozenset(
    ("mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "lady", "lord", "rev", "judge", "senator", "officer", "nurse", "captain", "sgt")
)
_INTRODUCES: Final = re.compile(
    r"(?:\bmy name is|\bname'?s|\bi am|\bi'm|\bthis is|\bnamed|\bcalled|\bdear|\bhi|\bhello|\bregards,|\bsincerely,|\bcheers,|\bsigned,?"
    r"|\battn:?|\bname:|\bcontact:?|\bbeneficiary|\bsays|\bsaid|\bten (?:toi )?la|\bten:|\bho (?:va )?ten:?|\btoi la|\bkinh gui|\bgui toi"
    r"|\bben [ab]:)\s*$",
    re.IGNORECASE,
)
_NEVER: Final = listed("never_names")  # capitalized words that nobody is called, and that end the names of places and firms
_RATHER_WORDS: Final = listed("rather_words")  # given names that are first of all words, places or months


def find_names(text: str) -> Iterator[Found]:
    """Find names of people. `text` is in Unicode's composed form."""
    tokens = tokens_of(text)
    marked = has_marks(text)
    vietnamese = marked or looks_vietnamese([token.bare for token in tokens if token.is_word])
    english = find_english_names(text, tokens)
    known: set[str] = set()
    taken = -1
    for at in range(len(tokens)):
        if at < taken:
            continue
        found = _vietnamese_at(text, tokens, at, marked=marked, vietnamese=vietnamese) or _small_at(text, tokens, at) or english.get(at)
        if found and vietnamese and found is english.get(at) and all(is_syllable(token.bare) for token in tokens[at : at + found[0]]):
            continue  # Ha Noi, Ben Tre: words of that language that an American list of names holds too
        if found is None:
            continue
        n_tokens, evidence = found
        taken = at + n_tokens
        if evidence == NO_NAME:
            continue
        last = tokens[taken - 1]
        end = last.end - 1 if last.text.endswith(".") and len(last.bare) > 1 else last.end
        known.update(token.text.rstrip(".") for token in tokens[at:taken] if len(token.bare) > 2)
        yield Found(tokens[at].start, end, "name", evidence)
    yield from _again(tokens, known)
    yield from _initials(text, marked=marked)


def _again(tokens: Sequence[Token], known: set[str]) -> Iterator[Found]:
    """Find a part of a name that stands whole elsewhere in the text."""
    for token in tokens:
        word = token.text.removesuffix("'s").rstrip(".")
        if word in known and token.is_capital and word.lower() not in _RATHER_WORDS and plain(word).lower() not in SURNAMES:
            yield Found(token.start, token.start + len(word), "name", "part of a name that stands whole elsewhere")


def _initials(text: str, *, marked: bool) -> Iterator[Found]:
    """Find people told by initials: several in a Vietnamese text (N.V.T.), or one after a title (ông H.)."""
    for match in _INITIALS.finditer(text):
        if marked and match[0].count(".") >= 2:
            yield Found(match.start(), match.end(), "name", "initials in a Vietnamese text")
            continue
        before = plain(text[max(match.start() - 14, 0) : match.start()]).lower().split()
        if before and (before[-1] in TITLES or " ".join(before[-2:]) in TITLES):
            yield Found(match.start(), match.end(), "name", "initials after a title")


_SURE_WITHOUT_MARKS: Final = frozenset(("nguyen", "tran", "huynh", "bui", "ngo", "trinh"))
_PARTICLES: Final = frozenset(("oi", "a", "nhe", "nha", "di", "voi", "la", "o", "va", "khong", "cho", "den", "se", "da", "dang", "thi"))
_TITLES: Final = (TITLES, MARKED_TITLES)
_KIN: Final = (frozenset(plain(title) for title in KIN) & TITLES, KIN)
_BARE_NO_NAMES: Final = frozenset(map(plain, NO_NAMES))
_PLACES: Final = (PLACE_WORDS, MARKED_PLACE_WORDS)

# -- Vietnamese -------------------------------------------------------------------------------------------------------------------------


def _vietnamese_at(text: str, tokens: Sequence[Token], at: int, *, marked: bool, vietnamese: bool) -> tuple[int, str] | None:
    first = tokens[at]
    if not first.is_word or (first.text.endswith(".") and len(first.bare) == 1):
        return None
    before = _words_before(tokens, at)
    titled, kin, placed = (_ends_in(before, lists, marked=marked) for lists in (_TITLES, _KIN, _PLACES))
    words = _run(text, tokens, at, marked=marked)
    if not words:
        return None
    if vietnamese and (placed or _after_a_house_number(tokens, at)):
        return len(words), NO_NAME
    family = (first.text.lower() if marked else first.bare) in (MARKED_SURNAMES if marked else SURNAMES)
    name = " ".join(word.bare for word in words)
    if name in PLACES and not titled:
        return None
    if family and len(words) >= 2 and (marked or _sure_without_marks(words, titled=titled)):
        return len(words), "a Vietnamese family name and given names" + ("" if marked else ", without marks")
    if (
        titled
        and vietnamese
        and (kin or len(words) >= 2)
        and first.text.lower() not in (NO_NAMES if marked else _BARE_NO_NAMES)
        and name not in PLACES
    ):
        return len(words), "a name after a Vietnamese title"
    if marked and _is_single(text, tokens, at, words):
        return 1, "one capitalized syllable in a Vietnamese sentence"
    return None


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


def _small_at(text: str, tokens: Sequence[Token], at: int) -> tuple[int, str] | None:
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


def is_name(value: str) -> bool:
    """Say whether a whole value of a column is a person's name, in whatever case and order: SMITH JOHN; Braund, Mr. Owen; nguyen van an.

    >>> [is_name(each) for each in ("SMITH JOHN", "Braund, Mr. Owen Harris", "nguyễn văn an", "Hà Nội", "Green Apple Juice")]
    [True, True, True, False, False]
    """
    words = [plain(word).lower().strip(".") for word in re.findall(r"[^\W\d_]+\.?", value)]
    if not 2 <= len(words) <= 7 or any(letter.isdigit() for letter in value):
        return False
    if words[0] in SURNAMES and all(map(is_syllable, words)) and len(words) <= _LONGEST_NAME and " ".join(words) not in PLACES:
        return len(words) >= 3 or words[0] in COMMON_SURNAMES
    if any(word in _NEVER - {"may", "june", "april"} and word not in _TITLE for word in words):
        return False
    untitled = [word for word in words if word not in _TITLE and len(word) > 1]
    given, surnames = listed("given_names"), listed("surnames")
    known = [word for word in untitled if word in given and word not in _RATHER_WORDS]
    if len(untitled) < len(words) and any(word in _TITLE for word in words):
        return bool(untitled)
    return bool(known) and len(untitled) >= 2 and any(word in surnames or word in given for word in untitled if word is not known[0])
