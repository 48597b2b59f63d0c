"""Dates that are not ISO 8601: the layout of a column, and its values. Day and month are not guessed: a value must show which is which."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

TIMED: Final = "%M"  # in the layout of a time, and in no other
_MOSTLY = 0.5
_SAMPLE = 20_000
_TIME = r"(?:[ T](\d{1,2}):(\d{2})(:\d{2})?( ?[AaPp][Mm])?)?"
_NUMBERS: Final = re.compile(rf"^(\d{{1,2}})([./-])(\d{{1,2}})\2(\d{{4}}){_TIME}$")
_YEAR_FIRST: Final = re.compile(rf"^(\d{{4}})([./])(\d{{1,2}})\2(\d{{1,2}}){_TIME}$")
_NAMED: Final = re.compile(rf"^(\d{{1,2}})([ -])([A-Za-z]{{3,9}})\2(\d{{4}}){_TIME}$")
_MONTH_FIRST: Final = re.compile(r"^([A-Za-z]{3,9}) \d{1,2}, \d{4}$")
_VIETNAMESE: Final = re.compile(r"^([Nn]gày )?\d{1,2}( [Tt]háng )\d{1,2}(,? |, năm | năm )\d{4}$")
_WORDS: Final = {
    "%d": "DD",
    "%m": "MM",
    "%Y": "YYYY",
    "%b": "Mon",
    "%B": "Month",
    "%H": "hh",
    "%I": "hh",
    "%M": "mm",
    "%S": "ss",
    "%p": "AM",
}


def find_layout(values: pl.Series, *, day_first: bool | None = None) -> str:
    """Return the strptime layout that most values have; "" where there is none, or two that read them differently.

    `day_first` settles what is ambiguous: it is how the file's other columns are written.
    """
    distinct = values.head(_SAMPLE).unique().to_list()
    for pattern in (_NUMBERS, _YEAR_FIRST, _NAMED):
        matches = [found for found in map(pattern.match, distinct) if found]
        if len(matches) <= _MOSTLY * len(distinct):
            continue
        mark, order = matches[0][2], "%Y{0}%m{0}%d"
        if pattern is _NAMED:
            order = "%d{0}%b{0}%Y" if max(len(found[3]) for found in matches) == 3 else "%d{0}%B{0}%Y"
        elif pattern is _NUMBERS:
            order = _order(matches, mark, day_first)
        return order.format(mark) + _time(matches) if order else ""
    return _layout_of_words(distinct)


def is_day_first(layout: str) -> bool | None:
    """Say whether a layout of numbers has the day before the month; None where it does not show."""
    return layout.startswith("%d") if re.match(r"%[dm][/-]%[dm]", layout) else None


def parse_dates(text: pl.Series, layout: str, dtype: pl.DataType) -> pl.Series:
    """Parse dates or times of one layout; null for what is not written so. Each distinct text is parsed once. Times are UTC."""
    distinct = text.drop_nulls().unique()
    if dtype == pl.Date:
        parsed = distinct.str.to_date(layout, strict=False)
    elif "%z" in layout:
        parsed = distinct.str.to_datetime(layout, time_unit="us", time_zone="UTC", strict=False)
    else:
        parsed = distinct.str.to_datetime(layout, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    lookup = pl.DataFrame({"text": distinct, "at": parsed}, schema={"text": pl.String, "at": dtype})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["at"].rename(text.name)


def layout_words(layout: str) -> str:
    """Write a layout as a person would.

    >>> layout_words("%d.%m.%Y %H:%M")
    'DD.MM.YYYY hh:mm'
    """
    return re.sub(r"%\w", lambda found: _WORDS.get(found[0], found[0]), layout)


def _layout_of_words(distinct: list[str]) -> str:
    """Return the layout of dates with words: March 14, 2024; ngày 14 tháng 3 năm 2024."""
    for pattern in (_MONTH_FIRST, _VIETNAMESE):
        matches = [found for found in map(pattern.match, distinct) if found]
        if len(matches) <= _MOSTLY * len(distinct):
            continue
        if pattern is _MONTH_FIRST:
            return "%b %d, %Y" if max(len(found[1]) for found in matches) == 3 else "%B %d, %Y"
        day, month, year = (word or "" for word in matches[0].groups())
        return f"{day}%d{month}%m{year}%Y"
    return ""


def _order(matches: list[re.Match[str]], mark: str, day_first: bool | None) -> str:
    first, second = max(int(m[1]) for m in matches), max(int(m[3]) for m in matches)
    if first > 12 and second > 12:
        return ""
    if first > 12 or mark == ".":  # nobody writes the month first with points
        return "%d{0}%m{0}%Y"
    if second > 12:
        return "%m{0}%d{0}%Y"
    if day_first is None:
        return ""
    return "%d{0}%m{0}%Y" if day_first else "%m{0}%d{0}%Y"


def _time(matches: list[re.Match[str]]) -> str:
    timed = [m for m in matches if m[5]]
    if len(timed) <= _MOSTLY * len(matches):
        return ""
    half = any(m[8] for m in timed)
    seconds = ":%S" if any(m[7] for m in timed) else ""
    blank = " " if any((m[8] or "").startswith(" ") for m in timed) else ""
    sep = "T" if "T" in timed[0][0] else " "
    return f"{sep}%{'I' if half else 'H'}:%M{seconds}" + (f"{blank}%p" if half else "")
