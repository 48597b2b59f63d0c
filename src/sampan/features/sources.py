"""What a view's programs fetch from, and how it grows by `feed`. How it is made of tables: `indexing`; of a later version: `revising`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sampan.core.refs import nearest
from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.features.expressions import FieldSpec
from sampan.features.groups import Columns, Groups, event_parts, kinds, zip_keys
from sampan.features.history import Key, Newest, References, Row, Running
from sampan.features.nodes import AsOf, Fetched, Kind, Lookup, Match, Past, Planned, group_of
from sampan.features.pasts import past_units
from sampan.features.program import Program, key_list
from sampan.features.requests import Reader
from sampan.features.view import PLANNED, View

if TYPE_CHECKING:
    import polars as pl

    from sampan.features.held_keys import HeldKeys

Rows = Sequence[Mapping[str, Any]]
Event = tuple[Key, float, int]  # key, moment known, units
Prepare = Callable[[Rows], Callable[[], None]]  # reads rows and returns what adds them: a faulty row must leave nothing half added
_EARLIEST = float("-inf")


class Shared(Protocol):
    """Where values are that several servers look up."""

    def bring(self, asked: Sequence[tuple[Any, Iterable[Key]]]) -> None:
        """Fetch keys of several stores' layers in one go."""
        ...


class OnlineSources:
    """What a view's programs fetch from: for each group a store of `history`.

    Parameters
    ----------
    stores : by group
    held : by group of past events, the keys of those that whole tables have; fed again they do not count. None where the tables were cut:
        what was known by `known_until` is in them
    shared : where the stores' values are, if elsewhere
    """

    def __init__(
        self,
        groups: Groups,
        stores: Mapping[Fetched, Any],
        *,
        held: Mapping[Fetched, HeldKeys] | None,
        known_until: float = _EARLIEST,
        shared: Shared | None = None,
    ) -> None:
        self.groups = groups
        self.stores = stores
        self.held = held
        self.known_until = known_until
        self.shared = shared
        self._feeds: dict[str, list[Prepare]] = {}
        for group in groups.all:
            table, prepare = self._feed_of(group)
            self._feeds.setdefault(table, []).append(prepare)

    @classmethod
    def of_tables(cls, view: View, tables: Mapping[str, pl.DataFrame], *, known_until: Millis | None = None) -> OnlineSources:
        """Index the tables that a package carries, cut at a moment."""
        groups = Groups(view)
        if not groups.all:
            return cls(groups, {}, held=None)
        from sampan.features.indexing import index

        return cls(groups, index(groups, tables), held=None, known_until=_EARLIEST if known_until is None else known_until)

    @classmethod
    def of_versions(cls, view: View, tables: Mapping[str, pl.DataFrame]) -> OnlineSources:
        """Index whole versions of tables, with their keys."""
        from sampan.features.indexing import held_keys, index

        groups = Groups(view)
        return cls(groups, index(groups, tables), held=held_keys(groups, tables))

    def group(self, node: Fetched) -> Fetched:
        """Return the group a part belongs to."""
        return group_of(node)

    def columns(self, group: Fetched) -> Columns:
        """Return the columns a group's rows hold."""
        return self.groups.columns(group)

    def store(self, group: Fetched) -> Any:
        """Return what holds a group's rows: References, Newest or Running."""
        return self.stores[group]

    def gather(self, asked: Sequence[tuple[Any, Key, float]]) -> list[Row]:
        """Fetch a row of each of several stores by key and moment."""
        if self.shared is not None:
            self.shared.bring([(store.layers, (key,)) for store, key, _ in asked])
        return [store.one(key, moment) for store, key, moment in asked]

    def references(self, group: Lookup) -> References:
        """Return rows by key."""
        found: References = self.stores[group]
        return found

    def newest(self, group: AsOf) -> Newest:
        """Return rows by key and time."""
        found: Newest = self.stores[group]
        return found

    def running(self, group: Past) -> Running:
        """Return running sums."""
        found: Running = self.stores[group]
        return found

    def plan(self, group: Planned) -> References:
        """Return counts by key."""
        found: References = self.stores[group]
        return found

    def feed(self, table: str, rows: Rows) -> None:
        """Add rows to a table."""
        if table not in self._feeds:
            close = nearest(table, self._feeds)
            known = ", ".join(sorted(self._feeds)) or "none"
            raise ParameterError(
                f"view {self.groups.view.name!r} looks nothing up in {table!r}",
                hint=f"did you mean {' or '.join(close)}?" if close else f"tables: {known}",
            )
        for add in [prepare(rows) for prepare in self._feeds[table]]:
            add()

    def _feed_of(self, group: Fetched) -> tuple[str, Prepare]:
        """Return which table a group is fed by, and how."""
        match group:
            case Lookup():
                return group.table, _reference_feed(self.references(group), group, self.columns(group))
            case AsOf():
                return group.table, _newest_feed(self.newest(group), group, self.columns(group))
            case Planned():
                return group.table + PLANNED, _plan_feed(self.plan(group), group)
            case Past():
                return self.groups.view.on, self._event_feed(group)

    def _event_feed(self, group: Past) -> Prepare:
        """Return how past events are fed. One that carries the view's key counts once, however often it is fed."""
        store, view = self.running(group), self.groups.view
        held: Container[Key] = () if self.held is None else self.held[group]
        used = self.groups.columns_used(group)
        program = Program(list(event_parts(group).values()), self)
        reader = Reader({c: view.columns[c] for c in used}, needed=used, exact=False)
        counted: set[Key] = set()

        def prepare(given: Rows) -> Callable[[], None]:
            n = len(given)
            *by, value, time = program.run(reader.read(given), n)
            values, times = np.broadcast_to(value, n), np.broadcast_to(time, n)
            units = past_units(np.nan_to_num(values))
            # What was known when the tables were cut is in them; a feed that overlaps must not count it twice.
            new = (values == values) & ~(times <= self.known_until)
            names = [_identity(row, view.key) for row in given]
            events = zip(names, key_list(n, *by), times.tolist(), units.tolist(), new.tolist(), strict=True)
            found = [(name, (key, time, unit)) for name, key, time, unit, there in events if there]
            # In time order a series grows at its end; an event in between costs a copy of the whole series.
            found.sort(key=lambda event: event[1][1])
            found = [(name, event) for name, event in found if name is None or name not in held]
            return lambda: store.add_all(_first_seen(found, counted))

        return prepare


def _reference_feed(store: References, group: Lookup, held: Columns) -> Prepare:
    read = _row_reader(group.keys, held)

    def prepare(given: Rows) -> Callable[[], None]:
        found = list(zip(*read(given), strict=True))
        return lambda: store.add_all(found)

    return prepare


def _newest_feed(store: Newest, group: AsOf, held: Columns) -> Prepare:
    time: tuple[str, Kind] = (group.time, "moment")
    timed = [*held, *([] if time in held else [time])]
    read = _row_reader(group.keys, timed)
    place, n = timed.index(time), len(held)

    def prepare(given: Rows) -> Callable[[], None]:
        found = [(key, row[place], row[:n]) for key, row in zip(*read(given), strict=True)]
        return lambda: store.add_all(found)

    return prepare


def _plan_feed(store: References, group: Planned) -> Prepare:
    read = _row_reader(group.keys, [])

    def prepare(given: Rows) -> Callable[[], None]:
        found = Counter(read(given)[0])
        return lambda: store.add_all((key, (store.one(key)[0] + n,)) for key, n in found.items())

    return prepare


def _identity(row: Mapping[str, Any], key: Sequence[str]) -> Key | None:
    """Return the row's key, or None where it does not carry it whole."""
    values = tuple(row.get(name) for name in key)
    return None if None in values else values


def _first_seen(events: Sequence[tuple[Key | None, Event]], counted: set[Key]) -> Iterator[Event]:
    """Iterate over the events that were not counted before, and note them."""
    for name, event in events:
        if name is not None and name in counted:
            continue
        counted.add(name)
        yield event


def _row_reader(keys: tuple[Match, ...], held: Columns) -> Callable[[Rows], tuple[list[Key], list[Row]]]:
    fields = {name: FieldSpec(kind) for name, kind in kinds(keys, held).items()}
    reader = Reader(fields, needed=list(fields), exact=False)

    def read(given: Rows) -> tuple[list[Key], list[Row]]:
        columns = reader.read(given)
        lists = {n: c if isinstance(c, list) else c.tolist() for n, c in columns.items()}
        rows = list(zip(*(lists[n] for n, _ in held), strict=True)) if held else [()] * len(given)
        return zip_keys([lists[m.column] for m in keys]), rows

    return read
