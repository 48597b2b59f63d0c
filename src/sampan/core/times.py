"""Moments are whole milliseconds since 1970 UTC (`Millis`). Code that needs the present takes a `Clock` as argument."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Millis = int
Clock = Callable[[], Millis]


def system_clock() -> Millis:
    """Read the wall clock. Called at process edges only; everything below is handed a clock."""
    return time.time_ns() // 1_000_000


def to_millis(moment: datetime) -> Millis:
    """Convert an aware datetime; a naive one is a mistake, not local time."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment.isoformat()}; give it a time zone")
    return round(moment.timestamp() * 1000)


def iso(moment: Millis) -> str:
    """Write a moment as `2013-09-01T05:00:00Z` (milliseconds shown only where there are any)."""
    stamp = datetime.fromtimestamp(moment / 1000, UTC)
    text = stamp.isoformat(timespec="milliseconds" if moment % 1000 else "seconds")
    return text.replace("+00:00", "Z")
