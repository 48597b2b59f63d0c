"""What an online evaluation fetches from: reference rows by key, newest rows as of a moment, running sums of the past.

Each holds two things. What a version of its table says is shared with the versions before and after it: a new version is made by `revised`,
which costs what changed. What was fed since lies over that, and belongs to one version alone. A reader needs no lock: a series that is fed
grows at its end in an order that keeps every prefix valid, and anything else replaces the series as a whole.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import accumulate
from operator import itemgetter
from typing import Any, Generic, Protocol, Self, TypeVar

from sampan.errors import IntegrityError

Key = Any  # one text or number, or a tuple of several
Row = tuple[Any, ...]
Timed = tuple[float, Any]  # when, and a row or units
Value = TypeVar("Value")
_NO_MOMENT = float("nan")
_CHANGED_SHARE = 0.25  # of the keys: beyond it the changes become part of what is shared, which costs a copy of the keys


class Held(Protocol):
    """What a version says, by key: in memory (`Layers`), or elsewhere."""

    gone: Any  # stands for a key that is no more

    @property
    def get(self) -> Callable[[Key], Any]:
        """What returns a key's value, or None."""
        ...

    def bring(self, keys: Iterable[Key], *, surely: bool = False) -> None:
        """Prepare for `get` of these keys: where they are held elsewhere, they come in one go.

        Where they cannot be had, a request may have to do without (`get` returns None); what is to be kept asks for them `surely`.
        """
        ...

    def revised(self, changes: Mapping[Key, Any]) -> Held:
        """Return what a later version has. Neither is changed by what happens to the other."""
        ...


class Layers(Generic[Value]):
    """Values by key: what a first version had, and over it what later ones changed. `gone` stands for a key that is no more."""

    __slots__ = ("_base", "_changed", "get", "gone")

    def __init__(self, base: dict[Key, Value], gone: Value, changed: dict[Key, Value] | None = None) -> None:
        self._base = base
        self._changed = changed or {}
        self.gone = gone
        self.get: Callable[[Key], Value | None] = self._get if changed else base.get

    def __len__(self) -> int:
        return len(self._base) + len(self._changed)

    def bring(self, keys: Iterable[Key], *, surely: bool = False) -> None:
        """Do nothing: all keys are at hand."""

    def revised(self, changes: Mapping[Key, Value]) -> Layers[Value]:
        """Return what a later version has. Neither is changed by what happens to the other."""
        if not changes:
            return self
        changed = {**self._changed, **changes}
        if len(changed) <= _CHANGED_SHARE * len(self._base):
            return Layers(self._base, self.gone, changed)
        return Layers({key: value for key, value in {**self._base, **changed}.items() if value is not self.gone}, self.gone)

    def items(self) -> Iterator[tuple[Key, Value]]:
        """Iterate over what there is."""
        for key, value in self._base.items():
            if key not in self._changed:
                yield key, value
        for key, value in self._changed.items():
            if value is not self.gone:
                yield key, value

    def _get(self, key: Key) -> Value | None:
        found = self._changed.get(key)
        return self._base.get(key) if found is None else found


class _Layered:
    """What a version says, and over it what was fed since."""

    layers: Held
    _get: Callable[[Key], Any]
    _fed: dict[Key, Any]

    def over(self, layers: Held) -> Self:
        """Return the same over what is held elsewhere, with nothing fed."""
        found = copy(self)
        found._hold(layers)
        return found

    def _hold(self, layers: Held) -> None:
        self.layers = layers
        self._get = layers.get
        self._fed = {}


class References(_Layered):
    """The last row of each key."""

    def __init__(self, rows: Iterable[tuple[Key, Row]], missing: Row) -> None:
        self.missing = missing
        self._hold(Layers({key: row for key, row in rows if key is not None}, missing))

    def __contains__(self, key: Key) -> bool:
        return self.one(key) is not self.missing

    def add_all(self, rows: Iterable[tuple[Key, Row]]) -> None:
        """Feed rows; one of the same key is replaced."""
        for key, row in rows:
            if key is not None:
                self._fed[key] = row

    def revised(self, rows: Mapping[Key, Row | None]) -> References:
        """Return these rows as a later version has them; None for a key that it does not have."""
        return self.over(self.layers.revised({key: self.missing if row is None else row for key, row in rows.items()}))

    def one(self, key: Key, moment: float = _NO_MOMENT) -> Row:  # noqa: ARG002  # asked like the others, a row has no moment
        """Return a key's row, or missing values."""
        fed: Row | None = self._fed.get(key) if self._fed else None
        if fed is not None:
            return fed
        row: Row | None = self._get(key)
        return self.missing if row is None else row

    def of_version(self, key: Key) -> Row:
        """Return what the version says of a key, without what was fed."""
        row: Row | None = self._get(key)
        return self.missing if row is None else row

    def fetch(self, keys: Sequence[Key]) -> list[Row]:
        """Return each key's row, or missing values."""
        self.layers.bring(keys)
        return [self.one(key) for key in keys]


class Series:
    """One key's times in order, and for each what holds from then on."""

    __slots__ = ("times", "values")

    def __init__(self, times: list[float], values: list[Any]) -> None:
        self.times = times
        self.values = values


_NONE = Series([], [])


class Newest(_Layered):
    """Rows by key and time, to be read as of a moment."""

    def __init__(self, rows: Iterable[tuple[Key, float, Row]], missing: Row, tolerance_ms: float) -> None:
        self.missing = missing
        self.tolerance_ms = tolerance_ms
        held: dict[Key, Series] = {}
        _put_all(held, rows)
        self._hold(Layers(held, _NONE))

    def add_all(self, rows: Iterable[tuple[Key, float, Row]]) -> None:
        """Feed rows; one of the same key and time is replaced."""
        _put_all(self._fed, rows)

    def revised(self, rows: Mapping[tuple[Key, float], Row | None]) -> Newest:
        """Return these rows as a later version has them; None for a key and time that it does not have."""
        changed: dict[Key, Series] = {}
        self.layers.bring({key for key, _ in rows}, surely=True)
        for (key, time), row in rows.items():
            if key not in changed:
                before = self._get(key) or _NONE
                changed[key] = Series(before.times.copy(), before.values.copy())
            _set(changed[key], time, row)
        return self.over(self.layers.revised({key: series if series.times else _NONE for key, series in changed.items()}))

    def one(self, key: Key, moment: float) -> Row:
        """Return a key's newest row at a moment, or missing values where there is none fresh enough."""
        time, row = _as_of(self._get(key), moment)
        if self._fed:
            fed_time, fed = _as_of(self._fed.get(key), moment)
            if fed is not None and fed_time >= time:
                time, row = fed_time, fed
        return row if row is not None and moment - time <= self.tolerance_ms else self.missing

    def fetch(self, keys: Sequence[Key], at: Sequence[float]) -> list[Row]:
        """Return each key's newest row at its moment, or missing values where there is none fresh enough."""
        self.layers.bring(keys)
        return list(map(self.one, keys, at))


def _as_of(series: Series | None, moment: float) -> tuple[float, Row | None]:
    if series is None or moment != moment:
        return float("-inf"), None
    times = series.times
    place = bisect_right(times, moment) - 1
    return (times[place], series.values[place]) if place >= 0 else (float("-inf"), None)


def _put_all(held: dict[Key, Series], rows: Iterable[tuple[Key, float, Row]]) -> None:
    for key, time, row in rows:
        if key is not None and time == time:
            _put(held, key, time, row)


def _put(held: dict[Key, Series], key: Key, time: float, row: Row) -> None:
    series = held.get(key)
    if series is None:
        held[key] = Series([time], [row])
        return
    times, rows = series.times, series.values
    if time > times[-1]:
        rows.append(row)  # before its time: who reads now sees times that all have their row
        times.append(time)
        return
    place = bisect_right(times, time)
    if place and times[place - 1] == time:
        rows[place - 1] = row
        return
    held[key] = Series([*times[:place], time, *times[place:]], [*rows[:place], row, *rows[place:]])


def _set(series: Series, time: float, row: Row | None) -> None:
    """Put a row into a series that nobody reads yet, or take it out."""
    place = bisect_left(series.times, time)
    is_there = place < len(series.times) and series.times[place] == time
    if row is None:
        if is_there:
            del series.times[place], series.values[place]
    elif is_there:
        series.values[place] = row
    else:
        series.times.insert(place, time)
        series.values.insert(place, row)


class Running(_Layered):
    """Exact sums and counts of past events by key, over windows that end at a moment.

    `values[i]` of a series is the total of its first i events, so it has one more value than times.
    """

    def __init__(self, windows: Sequence[float | None], events: Iterable[tuple[Key, list[float], list[int]]]) -> None:
        """Take each key's events, in time order."""
        self.windows = tuple(windows)
        self._lost: Row = (float("nan"),) * (2 * len(self.windows))
        self._hold(Layers({key: Series(times, list(accumulate(units, initial=0))) for key, times, units in events}, _NO_EVENTS))

    def add_all(self, events: Iterable[tuple[Key, float, int]]) -> None:
        """Feed events, each known from its time on."""
        for key, time, units in events:
            if key is not None and time == time:
                self._add(key, time, units)

    def _add(self, key: Key, time: float, units: int) -> None:
        series = self._fed.setdefault(key, Series([], [0]))
        times, sums = series.times, series.values
        if not times or time >= times[-1]:
            sums.append(sums[-1] + units)
            times.append(time)
            return
        place = bisect_right(times, time)
        self._fed[key] = Series([*times[:place], time, *times[place:]], sums[: place + 1] + [total + units for total in sums[place:]])

    def revised(self, gone: Mapping[Key, Sequence[Timed]], come: Mapping[Key, Sequence[Timed]]) -> Running:
        """Return these events as a later version has them: by key, when and how many units.

        Raises
        ------
        IntegrityError : an event that is gone was never here.
        """
        keys = dict.fromkeys((*gone, *come))
        self.layers.bring(keys, surely=True)
        return self.over(self.layers.revised({key: self._changed(key, gone.get(key, ()), come.get(key, ())) for key in keys}))

    def _changed(self, key: Key, gone: Sequence[Timed], come: Sequence[Timed]) -> Series:
        before = self._get(key) or _NO_EVENTS
        # Only what lies behind the first change is added up anew.
        start = bisect_left(before.times, min(time for time, _ in (*gone, *come)))
        times, sums = before.times, before.values
        tail = zip(times[start:], (after - so_far for so_far, after in zip(sums[start:], sums[start + 1 :], strict=False)), strict=True)
        events = _without(gone, [*come, *tail], key) if gone else [*come, *tail]
        events.sort(key=_time_of)
        changed = Series(times[:start], sums[:start])
        changed.times.extend([time for time, _ in events])
        changed.values.extend(accumulate([units for _, units in events], initial=sums[start]))
        return changed if changed.times else _NO_EVENTS

    def one(self, key: Key, moment: float) -> Row:
        """Return sum and count of every window in turn; NaN without a key or a moment."""
        if key is None or moment != moment:
            return self._lost
        row = self._totals(self._get(key) or _NO_EVENTS, moment)
        if self._fed and (fed := self._fed.get(key)) is not None:
            row = [a + b for a, b in zip(row, self._totals(fed, moment), strict=True)]
        return tuple(row)

    def _totals(self, series: Series, moment: float) -> list[Any]:
        times, sums = series.times, series.values
        end = bisect_right(times, moment)
        row: list[Any] = []
        for window in self.windows:
            start = 0 if window is None else bisect_right(times, moment - window, 0, end)
            row += (sums[end] - sums[start], end - start)
        return row

    def fetch(self, keys: Sequence[Key], at: Sequence[float]) -> list[Row]:
        """Return sum and count of every window in turn, for each key and moment; NaN without a key or a moment."""
        self.layers.bring(keys)
        return list(map(self.one, keys, at))


_NO_EVENTS = Series([], [0])
_time_of = itemgetter(0)


def _without(gone: Sequence[Timed], events: Sequence[Timed], key: Key) -> list[Timed]:
    """Return events without one of each that is gone."""
    waiting, left = Counter(gone), []
    for event in events:
        if waiting[event]:
            waiting[event] -= 1
        else:
            left.append(event)
    if any(waiting.values()):
        raise IntegrityError(f"events of {key!r} are gone that were never here", hint="index the tables anew")
    return left
