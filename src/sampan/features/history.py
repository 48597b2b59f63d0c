"""What an online evaluation fetches from: reference rows by key, newest rows as of a moment, running sums of the past. All grow by `feed`.

Readers need no lock: a series grows at its end in an order that keeps every prefix valid, and anything else replaces the series as a whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

Key = Any  # one text or number, or a tuple of several
Row = tuple[Any, ...]


class References:
    """The last row of each key."""

    def __init__(self, rows: Iterable[tuple[Key, Row]], missing: Row) -> None:
        self.rows: dict[Key, Row] = {}
        self.missing = missing
        self.add_all(rows)

    def add_all(self, rows: Iterable[tuple[Key, Row]]) -> None:
        """Add rows, or replace those of the same key."""
        for key, row in rows:
            if key is not None:
                self.rows[key] = row

    def fetch(self, keys: Sequence[Key]) -> list[Row]:
        """Return each key's row, or missing values."""
        get, missing = self.rows.get, self.missing
        return [get(k, missing) for k in keys]


class Newest:
    """Rows by key and time, to be read as of a moment."""

    def __init__(self, missing: Row, tolerance_ms: float) -> None:
        self.missing = missing
        self.tolerance_ms = tolerance_ms
        self._series: dict[Key, tuple[list[float], list[Row]]] = {}

    def add_all(self, rows: Iterable[tuple[Key, float, Row]]) -> None:
        """Add rows; one of the same key and time is replaced."""
        for key, time, row in rows:
            self._add(key, time, row)

    def _add(self, key: Key, time: float, row: Row) -> None:
        if key is None or time != time:
            return
        times, rows = self._series.setdefault(key, ([], []))
        if not times or time > times[-1]:
            rows.append(row)
            times.append(time)
            return
        place = bisect_right(times, time)
        if place and times[place - 1] == time:
            rows[place - 1] = row
            return
        self._series[key] = ([*times[:place], time, *times[place:]], [*rows[:place], row, *rows[place:]])

    def fetch(self, keys: Sequence[Key], at: Sequence[float]) -> list[Row]:
        """Return each key's newest row at its moment, or missing values where there is none fresh enough."""
        get, missing, tolerance = self._series.get, self.missing, self.tolerance_ms
        found = []
        for key, moment in zip(keys, at, strict=True):
            series = get(key)
            if series is None or moment != moment:
                found.append(missing)
                continue
            times = series[0]
            place = bisect_right(times, moment) - 1
            found.append(series[1][place] if place >= 0 and moment - times[place] <= tolerance else missing)
        return found


class _Sums:
    """One key's events in time order with running totals; totals[i] covers the first i events."""

    __slots__ = ("sums", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.sums: list[int] = [0]


class Running:
    """Exact sums and counts of past events by key, over windows that end at a moment."""

    def __init__(self, windows: Sequence[float | None]) -> None:
        self.windows = tuple(windows)
        self._series: dict[Key, _Sums] = {}
        self._lost: Row = (float("nan"),) * (2 * len(self.windows))
        self._none: Row = (0.0,) * (2 * len(self.windows))

    def extend(self, key: Key, times: list[float], units: list[int]) -> None:
        """Add a key's first events, in time order."""
        series = _Sums()
        total = 0
        for unit in units:
            total += unit
            series.sums.append(total)
        series.times = times
        self._series[key] = series

    def add_all(self, events: Iterable[tuple[Key, float, int]]) -> None:
        """Add events, each known from its time on."""
        for key, time, units in events:
            self._add(key, time, units)

    def _add(self, key: Key, time: float, units: int) -> None:
        if key is None or time != time:
            return
        series = self._series.setdefault(key, _Sums())
        times = series.times
        if not times or time >= times[-1]:
            series.sums.append(series.sums[-1] + units)
            times.append(time)
            return
        place = bisect_right(times, time)
        grown = _Sums()
        grown.sums = series.sums[: place + 1] + [s + units for s in series.sums[place:]]
        grown.times = [*times[:place], time, *times[place:]]
        self._series[key] = grown

    def fetch(self, keys: Sequence[Key], at: Sequence[float]) -> list[Row]:
        """Return sum and count of every window in turn, for each key and moment; NaN without a key or a moment."""
        get, windows, lost, none = self._series.get, self.windows, self._lost, self._none
        found: list[Row] = []
        for key, moment in zip(keys, at, strict=True):
            if key is None or moment != moment:
                found.append(lost)
                continue
            series = get(key)
            if series is None:
                found.append(none)
                continue
            times, sums = series.times, series.sums
            end = bisect_right(times, moment)
            row: list[float] = []
            for window in windows:
                start = 0 if window is None else bisect_right(times, moment - window, 0, end)
                row += (sums[end] - sums[start], end - start)
            found.append(tuple(row))
        return found
