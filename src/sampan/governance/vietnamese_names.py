"""What Vietnamese names of people are made of, and what only looks like one: places, streets, institutions.

Family names and titles are common knowledge (the dozen most frequent names cover nine in ten people); the places are the provinces and the
cities and regions that begin with a word which is also a family name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from sampan.governance.lexicon import words
from sampan.governance.patterns import plain

MARKED_SURNAMES: Final = words("vietnamese_surnames")
# Without marks these are also English words, or too short to tell.
_NOT_BARE: Final = frozenset(("an", "kim", "hoa", "y", "ma", "la", "quan", "trang", "hang", "van", "thi", "giang"))
SURNAMES: Final = frozenset(map(plain, MARKED_SURNAMES)) - _NOT_BARE
# Frequent, and no English words.
_COMMON: Final = "nguyen tran pham hoang huynh phan vu vo dang bui ngo duong trinh truong dinh luong doan phung quach luu dao"
COMMON_SURNAMES: Final = frozenset(_COMMON.split(" "))
MIDDLE_NAMES: Final = words("vietnamese_middle_names")
KIN: Final = words("vietnamese_kin")
MARKED_TITLES: Final = words("vietnamese_titles")
TITLES: Final = frozenset(map(plain, MARKED_TITLES)) - frozenset(("em", "be", "cha", "co", "me", "bo", "di", "ten"))
MARKED_PLACE_WORDS: Final = words("vietnamese_place_words")
PLACE_WORDS: Final = frozenset(map(plain, MARKED_PLACE_WORDS))
NO_NAMES: Final = words("vietnamese_no_names")
GIVEN_NAMES: Final = words("vietnamese_given_names")
COMPOUNDS: Final = words("vietnamese_compounds")  # institutions and things that begin like a given name
PLACES: Final = frozenset(map(plain, words("vietnamese_places")))
_SYLLABLE: Final = re.compile(r"(?:ngh|ng|nh|th|tr|ch|ph|kh|gh|gi|qu|[bcdghklmnprstvx])?[aeiouy]{1,3}(?:ng|nh|ch|[cmnpt])?")


def is_syllable(bare: str) -> bool:
    """Say whether letters without marks can be a Vietnamese syllable.

    >>> [is_syllable(word) for word in ("nguyen", "thuy", "smith", "brown")]
    [True, True, False, False]
    """
    return len(bare) <= 7 and bool(_SYLLABLE.fullmatch(bare))


def has_marks(text: str) -> bool:
    """Say whether a text is written with Vietnamese marks; e-mails and forms often are not."""
    return any(letter in _MARKED for letter in unicodedata.normalize("NFC", text))


def looks_vietnamese(spoken: Sequence[str]) -> bool:
    """Say whether words without marks are Vietnamese: nearly all are its syllables, and its smallest words are among them.

    >>> looks_vietnamese("toi la nguyen van an o ha noi".split()), looks_vietnamese("the man is in the van".split())
    (True, False)
    """
    n_syllables = sum(map(is_syllable, spoken))
    return n_syllables >= 4 and n_syllables >= 0.85 * len(spoken) and not _SMALL.isdisjoint(spoken)


_SMALL_WORDS: Final = (
    "o tai tuoi ngay theo bi huyen tinh pho benh la va cua toi khong nguoi cho duoc mot nay voi nhung khi den trong nguyen"
    " cac ong anh chi em cung roi sinh"
)
_SMALL: Final = frozenset(_SMALL_WORDS.split(" "))
# Letters that no other widespread language uses; é or ô alone could be French.
_LETTERS: Final = "ăắằẳẵặấầẩẫậđếềểễệốồổỗộơớờởỡợưứừửữựảạẻẽẹỉĩịỏọủũụỷỹỵ"
_MARKED: Final = frozenset(_LETTERS + _LETTERS.upper())
