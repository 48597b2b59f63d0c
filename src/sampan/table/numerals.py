"""How numbers are written: the decimal sign and the mark between thousands. 1.234,5 and 1,234.5 and 1'234.5 are one number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl


@dataclass(frozen=True, slots=True)
class Numerals:
    """A way to write numbers."""

    decimal: str = "."
    thousands: str = ""  # "", or one of , . ' and blanks


PLAIN: Final = Numerals()
_BLANKS = " \u00a0\u202f"
_APOSTROPHES = "'\u2019"  # typed, and as Windows writes it
# The ways in use, those that need less evidence first. SI and most of the world; English; continental Europe and Vietnam; Swiss.
_WAYS: Final = (Numerals(".", ","), Numerals(",", ""), Numerals(",", "."), Numerals(",", " "), Numerals(".", " "), Numerals(".", "'"))
_WORDS: Final = {",": "comma", ".": "point", " ": "blank", "'": "apostrophe"}
_ARTICLES: Final = {"'": "an"}
_MOSTLY = 0.5


def find_numerals(values: pl.Series, *, decimal: str = "", thousands: str = "") -> Numerals | None:
    """Find the one way in which most values are numbers; None where there is none, or two that read them differently.

    `decimal` and `thousands` settle what is ambiguous: they are declared, or how the file's other columns are written.
    """
    distinct = values.unique()
    fitting = [way for way in _WAYS if _share(distinct, way) > _MOSTLY]
    if decimal or thousands:
        fitting = [way for way in fitting if way.decimal == (decimal or way.decimal) and thousands in ("", way.thousands)]
    if not fitting:
        return None
    best = max(_share(distinct, way) for way in fitting)
    fitting = [way for way in fitting if _share(distinct, way) == best]
    if len({way.decimal for way in fitting if _marks_of(way) & {",", "."}}) > 1 and distinct.str.contains(r"[,.]").any():
        return None  # 1,234 in every value: thousands to some, a decimal to others
    return fitting[0]


def plain_numbers(text: pl.Series, numerals: Numerals) -> pl.Series:
    """Rewrite numbers with a decimal point and nothing between thousands; null for what is not written so."""
    if numerals == PLAIN:
        return text
    written = text.str.contains(_pattern(numerals))
    marks = _marks(numerals.thousands)
    plain = text.str.replace_all(marks, "") if numerals.thousands else text
    plain = plain.str.replace(numerals.decimal, ".", literal=True) if numerals.decimal != "." else plain
    return plain.set(~written.fill_null(value=False), None) if not written.all() else plain


def numeral_words(numerals: Numerals) -> str:
    """Say how numbers are written.

    >>> numeral_words(Numerals(",", "."))
    'decimal commas, a point between thousands'
    """
    said = [f"decimal {_WORDS[numerals.decimal]}s"] if numerals.decimal != "." else []
    return ", ".join(
        [
            *said,
            *([f"{_ARTICLES.get(numerals.thousands, 'a')} {_WORDS[numerals.thousands]} between thousands"] if numerals.thousands else []),
        ]
    )


def _share(values: pl.Series, way: Numerals) -> float:
    return float(values.str.contains(_pattern(way)).mean() or 0.0)  # type: ignore[arg-type]  # a share


def _marks_of(way: Numerals) -> set[str]:
    return {way.decimal, way.thousands}


def _marks(thousands: str) -> str:
    """Return a pattern of the signs that are one mark between thousands."""
    return {" ": f"[{_BLANKS}]", "'": f"[{_APOSTROPHES}]"}.get(thousands, re.escape(thousands))


def _pattern(way: Numerals) -> str:
    point = re.escape(way.decimal)
    if not way.thousands:
        return rf"^[+-]?(\d+{point}?\d*|{point}\d+)([eE][+-]?\d+)?$"
    mark = _marks(way.thousands)
    return rf"^[+-]?(\d{{1,3}}({mark}\d{{3}})+|\d+)({point}\d*)?$"
