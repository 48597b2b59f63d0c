"""A text's words as the search for people's names reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sampan.governance.patterns import plain

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?|\S")


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a sign of a text."""

    start: int
    end: int
    text: str
    bare: str  # lower case, without marks and the final dot

    @property
    def is_capital(self) -> bool:
        """Whether it begins with a capital and is no long word in capitals."""
        return self.text[0].isupper() and not (len(self.text) > 3 and self.text.isupper())

    @property
    def is_word(self) -> bool:
        """Whether it begins with a letter."""
        return self.text[0].isalpha()


def tokens_of(text: str) -> list[Token]:
    """Return the words and signs of a text in Unicode's composed form."""
    return [Token(m.start(), m.end(), m[0], plain(m[0]).lower().rstrip(".")) for m in _WORD.finditer(text)]


def starts_sentence(text: str, at: int) -> bool:
    """Say whether a place is the beginning of a sentence."""
    before = text[:at].rstrip()
    return not before or before[-1] in '.!?:\n"“('
