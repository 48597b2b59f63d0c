"""The shape of a text: which kinds of letters stand where, without saying which."""

from __future__ import annotations

import re
from functools import lru_cache

_MOST = 40
_RUN = re.compile(r"(.)\1{3,}")


@lru_cache(maxsize=65_536)
def shape_of(text: str) -> str:
    """Return a text's shape: A for a capital, a for another letter, 9 for a digit, other signs as they are; long runs as `a+`.

    >>> shape_of("N10156"), shape_of("2013-01-01T05:00"), shape_of("Hanoi"), shape_of("x y")
    ('A9+', '9+-99-99A99:99', 'Aa+', 'a a')
    """
    marks = "".join("9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign for sign in text[: _MOST * 4])
    return _RUN.sub(lambda run: run.group(1) + "+", marks)[:_MOST]
