"""Names of people in text, in English and Vietnamese: by lists of names, by titles and by the words that introduce a person.

A Vietnamese name begins with one of few family names and goes on with capitalized syllables; without its marks it is told by the same list
without them, more carefully, since the bare letters are also English words. `english_names` weighs the rest. What was found can always be
said in words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from sampan.governance.english_names import find_english_names
from sampan.governance.found import Found
from sampan.governance.lexicon import words as listed
from sampan.governance.name_tokens import Token, tokens_of
from sampan.governance.patterns import plain
from sampan.governance.vietnamese_evidence import find_vietnamese_names
from sampan.governance.vietnamese_names import COMMON_SURNAMES, PLACES, SURNAMES, TITLES, has_marks, is_syllable, looks_vietnamese
from sampan.governance.vietnamese_rules import FULL_NAME, NO_NAME, name_at, small_name_at

_LONGEST_NAME: Final = 5
_INITIALS: Final = re.compile(r"(?<!\w)(?:[A-ZĐ]\.){1,5}[A-ZĐ]?(?!\w)")
_TITLE: Final = frozenset(
    ("mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "lady", "lord", "rev", "judge", "senator", "officer", "nurse", "captain", "sgt")
)
_NEVER: Final = listed("never_names")  # capitalized words that nobody is called, and that end the names of places and firms
_RATHER_WORDS: Final = listed("rather_words")  # given names that are first of all words, places or months
# How names of Vietnamese organizations begin; the syllables behind are often those of names. Without marks a word alone may be a surname
# (Trường, Trương), so that only those of several words count. What tells one wherever it stands comes last. Tuned on VLSP 2016's 170
# organizations, of which 4 are taken for people (59 before); of PhoNER's 421 it is 14 (76 before), and no person is lost in either.
_OPENINGS: Final = (
    "công ty|tổng công ty|tổng cục|tổng cuộc|tập đoàn|doanh nghiệp|ngân hàng|chi nhánh|hợp tác xã|xí nghiệp|nhà máy"
    "|nhà thuốc|nhà hàng|nhà sách|nhà xuất bản|nhà văn hóa|nhà văn hoá|phòng khám|bệnh viện|khách sạn|siêu thị|cửa hàng"
    "|tạp hóa|tạp hoá|quán cơm|quán ăn|quán cà phê|trạm y tế|trung tâm|bảo tàng|bộ|sở|cục|ban quản lý|ủy ban|uỷ ban|ubnd"
    "|hội|hiệp hội|hãng|liên đoàn|viện|học viện|đại học|trường đại học|trường tiểu học|trường trung học|trường mầm non"
    "|trường|báo|tờ|sứ quán|đại sứ quán|đảng ủy|đảng uỷ|câu lạc bộ|clb|quân đội|đội tuyển|đoàn ca kịch|tòa án|toà án"
)
_OPENS: Final = re.compile(rf"(?:{_OPENINGS})(?!\w)(?=.*\s\S+\s\S)")
_OPENS_PLAINLY: Final = re.compile(rf"(?:{'|'.join(plain(one) for one in _OPENINGS.split('|') if ' ' in one)})(?!\w)")
_ORGANIZED: Final = re.compile(r"\b(?:tnhh|cong ty (?:co phan|cp|hop danh|trach nhiem)|doanh nghiep tu nhan|tap doan)\b")


def find_names(text: str) -> Iterator[Found]:
    """Find names of people. `text` is in Unicode's composed form."""
    tokens = tokens_of(text)
    marked = has_marks(text)
    vietnamese = marked or looks_vietnamese([token.bare for token in tokens if token.is_word])
    english = find_english_names(text, tokens)
    weighed = find_vietnamese_names(text, tokens, marked=marked) if vietnamese else {}
    known: set[str] = set()
    taken = -1
    for at in range(len(tokens)):
        if at < taken:
            continue
        found = name_at(text, tokens, at, marked=marked, vietnamese=vietnamese)
        if vietnamese and (found is None or not found[1].startswith(FULL_NAME)):
            found = weighed.get(at) or (found if found and found[1] == NO_NAME else None)
        found = found or small_name_at(text, tokens, at)
        if found is None and not (
            vietnamese and at in english and any(is_syllable(token.bare) for token in tokens[at : at + english[at][0]])
        ):
            found = english.get(at)  # but not Ha Noi, Ben Tre: words of that language that an American list of names holds too
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
    for at, token in enumerate(tokens):
        word = token.text.removesuffix("'s").rstrip(".")
        if word not in known or not token.is_capital or word.lower() in _RATHER_WORDS or plain(word).lower() in SURNAMES:
            continue
        beside = [tokens[i] for i in (at - 1, at + 1) if 0 <= i < len(tokens)]
        if not any(is_syllable(token.bare) and other.is_capital and is_syllable(other.bare) for other in beside):  # Hà Nội is not Ms Nội
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


def _is_organization(value: str) -> bool:
    marked = unicodedata.normalize("NFC", value).lower().strip()
    bare = plain(marked)
    return any((_OPENS.match(marked), _OPENS_PLAINLY.match(bare), _ORGANIZED.search(bare)))


def is_name(value: str) -> bool:
    """Say whether a whole value of a column is a person's name, in whatever case and order: SMITH JOHN; Braund, Mr. Owen; nguyen van an.

    >>> [is_name(each) for each in ("SMITH JOHN", "Braund, Mr. Owen Harris", "nguyễn văn an", "Hà Nội", "Green Apple Juice")]
    [True, True, True, False, False]
    >>> is_name("Bệnh viện Nguyễn Tri Phương"), is_name("Cong ty TNHH Tran Gia"), is_name("Trương Thị Hội")
    (False, False, True)
    """
    if _is_organization(value):
        return False
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
