"""Moments as float milliseconds since 1970 UTC, and the calendar of a time zone.

Local time is computed from the zone's offset changes, found once per zone and year, so that a single request and a million rows share one
arithmetic. Moments outside the years 1900 to 2199 have no local time: missing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError

SECOND = 1_000.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Floats = NDArray[np.float64]
_UNITS = {"s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
FIRST, LAST = -2_208_988_800_000.0, 7_258_118_400_000.0  # 1900-01-01, 2200-01-01


def duration(text: str | float) -> float:
    """Read a span like "90min", "3h" or "14d" (s, min, h, d, w) as milliseconds; a number is milliseconds already."""
    if isinstance(text, (int, float)):
        number, factor = float(text), 1.0
    else:
        unit = text.strip().lstrip("0123456789.")
        try:
            number, factor = float(text.strip()[: -len(unit) or None]), _UNITS[unit.strip()]
        except (ValueError, KeyError):
            raise ParameterError(
                f"{text!r} is no span of time", hint='write a number and a unit: "90s", "30min", "3h", "14d", "2w"'
            ) from None
    if not 0 <= number * factor < float("inf"):
        raise ParameterError(f"a span of time cannot be {text!r}", hint='write a number of at least 0 and a unit, as in "14d"')
    return number * factor


@lru_cache(maxsize=65_536)
def parse_moment(text: str) -> float:
    """Read an ISO 8601 date or date and time as milliseconds; without an offset it is UTC.

    Raises
    ------
    ValueError : `text` is none.
    """
    stamp = datetime.fromisoformat(text)
    return datetime_millis(stamp)


def datetime_millis(stamp: datetime) -> float:
    """Convert to whole milliseconds; without a time zone it is UTC."""
    since = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
    return float((since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000)


def day_number(day: date) -> float:
    """Number days from 0 = 1970-01-01."""
    return float(day.toordinal() - _EPOCH.toordinal())


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_zone(name: str) -> str:
    """Return `name` if it is a time zone this machine knows."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as cause:
        raise ParameterError(f"unknown time zone {name!r}", hint="write an IANA name such as America/New_York or UTC") from cause
    return name


def local(moments: Floats, zone: str) -> Floats:
    """Shift moments by the zone's offset then, so that calendar arithmetic on the result is local time. NaN stays NaN."""
    if hasattr(moments, "local"):  # an array that writes a graph (traced.py): it has no values to look at
        return moments.local(zone)  # type: ignore[no-any-return]
    inside = (moments >= FIRST) & (moments < LAST)
    if not inside.all():
        moments = np.where(inside, moments, np.nan)
        if not inside.any():
            return moments
    if zone == "UTC":
        return moments
    lowest, highest = float(np.fmin.reduce(moments, axis=None)), float(np.fmax.reduce(moments, axis=None))
    changes, shifts = offsets(zone, _year(lowest), _year(highest))
    return moments + shifts[np.searchsorted(changes, moments, side="right")]


def _year(moment: float) -> int:
    return (_EPOCH.fromtimestamp(moment // 1000, UTC)).year


@lru_cache(maxsize=256)
def offsets(zone: str, first: int, last: int) -> tuple[Floats, Floats]:
    """Return moments of change and the offsets before, between and after them, for whole UTC years."""
    changes: list[float] = []
    shifts = [_offset(zone, (datetime(first, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())]
    for year in range(first, last + 1):
        for change, offset in _changes(zone, year):
            changes.append(change)
            shifts.append(offset)
    return np.array(changes), np.array(shifts)


@lru_cache(maxsize=4096)
def _changes(zone: str, year: int) -> tuple[tuple[float, float], ...]:
    """Find a year's offset changes: days whose ends differ, then halving down to the second."""
    start = int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
    end = start + (366 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 365) * 86_400
    found = []
    before = _offset(zone, start)
    for midnight in range(start, end, 86_400):
        after = _offset(zone, min(midnight + 86_400, end))
        if after != before:
            low, high = midnight, min(midnight + 86_400, end)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            found.append((high * SECOND, after))
            before = after
    return tuple(found)


def _offset(zone: str, seconds: float) -> float:
    shift = datetime.fromtimestamp(seconds, ZoneInfo(zone)).utcoffset()
    return shift.total_seconds() * SECOND if shift is not None else 0.0


def month_and_year_day(days: Floats) -> tuple[Floats, Floats]:
    """Return month (1-12) and day of year (1-366) of day numbers, by the Gregorian calendar for all time."""
    # Years are counted from March, so that the leap day is the last; 719468 days lie between 0000-03-01 and 1970-01-01.
    shifted = days + 719_468
    era = np.floor(shifted / 146_097)
    of_era = shifted - era * 146_097
    year = np.floor((of_era - np.floor(of_era / 1_460) + np.floor(of_era / 36_524) - np.floor(of_era / 146_096)) / 365)
    of_year = of_era - (365 * year + np.floor(year / 4) - np.floor(year / 100))
    march_month = np.floor((5 * of_year + 2) / 153)
    month = march_month + np.where(march_month < 10, 3, -9)
    full_year = year + 400 * era
    leap = (full_year % 4 == 0) & ((full_year % 100 != 0) | (full_year % 400 == 0))
    return month, np.where(month > 2, of_year + 60 + leap, of_year - 305)
