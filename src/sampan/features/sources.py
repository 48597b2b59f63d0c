"""The online tables of a view, indexed for single requests, and how they grow by `feed`. Polars is loaded for views that have some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sampan.core.refs import nearest
from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.features.expressions import FieldSpec
from sampan.features.history import Key, Newest, References, Row, Running
from sampan.features.nodes import AsOf, Column, Fetched, Kind, Lookup, Match, Node, Past, Planned, group_of, walk
from sampan.features.operations import kind_of
from sampan.features.pasts import past_units
from sampan.features.program import Program, key_list
from sampan.features.requests import Reader
from sampan.features.view import PLANNED, View

if TYPE_CHECKING:
    import polars as pl

Rows = Sequence[Mapping[str, Any]]
Event = tuple[Key, float, int]  # key, moment known, units
Columns = Sequence[tuple[str, Kind]]
Prepare = Callable[[Rows], Callable[[], None]]  # reads rows and returns what adds them: a faulty row must leave nothing half added


class OnlineSources:
    """What a view's programs fetch from."""

    def __init__(self, view: View, tables: Mapping[str, pl.DataFrame], *, known_until: Millis | None = None, whole: bool = False) -> None:
        self._view = view
        self._whole = whole  # whether the tables are whole versions, with their keys: an event of theirs that is fed does not count again
        self._known_until = float("-inf") if known_until is None else known_until
        self._tables = tables
        self._fetched = list(dict.fromkeys(n for f in view.features for n in walk(f.value) if isinstance(n, Fetched)))
        self._made: dict[Fetched, Any] = {}
        self._feeds: dict[str, list[Prepare]] = {}
        for node in self._fetched:  # those inside others come first in a walk
            self._make(group_of(node))
        self._tables = {}

    def group(self, node: Fetched) -> Fetched:
        """Return the group a part belongs to."""
        return group_of(node)

    def columns(self, group: Fetched) -> Columns:
        """Return the columns a group's rows hold."""
        return list(dict.fromkeys((n.column, n.kind) for n in self._fetched if isinstance(n, Lookup | AsOf) and group_of(n) == group))

    def store(self, group: Fetched) -> Any:
        """Return what holds a group's rows: References, Newest or Running."""
        return self._made[group]

    def gather(self, asked: Sequence[tuple[Any, Key, float]]) -> list[Row]:
        """Fetch a row of each of several stores by key and moment."""
        return [store.one(key, moment) for store, key, moment in asked]

    def references(self, group: Lookup) -> References:
        """Return rows by key."""
        found: References = self._made[group]
        return found

    def newest(self, group: AsOf) -> Newest:
        """Return rows by key and time."""
        found: Newest = self._made[group]
        return found

    def running(self, group: Past) -> Running:
        """Return running sums."""
        found: Running = self._made[group]
        return found

    def plan(self, group: Planned) -> References:
        """Return counts by key."""
        found: References = self._made[group]
        return found

    def feed(self, table: str, rows: Rows) -> None:
        """Add rows to a table."""
        if table not in self._feeds:
            close = nearest(table, self._feeds)
            known = ", ".join(sorted(self._feeds)) or "none"
            raise ParameterError(
                f"view {self._view.name!r} looks nothing up in {table!r}",
                hint=f"did you mean {' or '.join(close)}?" if close else f"tables: {known}",
            )
        for add in [prepare(rows) for prepare in self._feeds[table]]:
            add()

    def _make(self, group: Fetched) -> None:
        if group in self._made:
            return
        match group:
            case Lookup():
                self._make_references(group)
            case AsOf():
                self._make_newest(group)
            case Planned():
                self._make_plan(group)
            case Past():
                self._make_running(group)

    def _make_references(self, group: Lookup) -> None:
        from sampan.features.tables import canonical

        held = self.columns(group)
        frame = canonical(self._tables, group.table, _kinds(group.keys, held))
        keys, rows = _keys(frame, group.keys), _rows(frame, held)
        store = self._made[group] = References(zip(keys, rows, strict=True), _missing(held))
        read = _row_reader(group.keys, held)

        def prepare(given: Rows) -> Callable[[], None]:
            found = list(zip(*read(given), strict=True))
            return lambda: store.add_all(found)

        self._feeds.setdefault(group.table, []).append(prepare)

    def _make_newest(self, group: AsOf) -> None:
        from sampan.features.tables import canonical

        held = self.columns(group)
        time: tuple[str, Kind] = (group.time, "moment")
        timed = [*held, *([] if time in held else [time])]
        frame = canonical(self._tables, group.table, _kinds(group.keys, timed))
        rows = zip(_keys(frame, group.keys), _floats(frame[group.time]), _rows(frame, held), strict=True)
        store = self._made[group] = Newest(rows, _missing(held), group.tolerance_ms)
        read = _row_reader(group.keys, timed)
        place, n = timed.index(time), len(held)

        def prepare(given: Rows) -> Callable[[], None]:
            found = [(key, row[place], row[:n]) for key, row in zip(*read(given), strict=True)]
            return lambda: store.add_all(found)

        self._feeds.setdefault(group.table, []).append(prepare)

    def _make_plan(self, group: Planned) -> None:
        import polars as pl

        from sampan.features.tables import canonical

        name = group.table + PLANNED
        columns = _kinds(group.keys, [])
        if name in self._tables:
            frame = canonical(self._tables, name, columns | {"planned": "number"})
        else:
            frame = canonical(self._tables, group.table, columns).with_columns(pl.lit(1.0).alias("planned"))
        counts = frame.group_by([m.column for m in group.keys]).agg(pl.col("planned").sum())
        store = self._made[group] = References(zip(_keys(counts, group.keys), counts.select("planned").rows(), strict=True), (0.0,))
        read = _row_reader(group.keys, [])

        def prepare(given: Rows) -> Callable[[], None]:
            found = Counter(read(given)[0])
            return lambda: store.add_all((key, (store.one(key)[0] + n,)) for key, n in found.items())

        self._feeds.setdefault(name, []).append(prepare)

    def _make_running(self, group: Past) -> None:
        import polars as pl

        from sampan.features.batch import Batch

        windows = dict.fromkeys(n.window_ms for n in self._fetched if isinstance(n, Past) and group_of(n) == group)
        parts: list[Node] = [*group.by, group.value, group.known_at]
        names = [f"by{i}" for i in range(len(group.by))]
        used = [c for c in self._view.columns if c in {n.name for p in parts for n in walk(p) if isinstance(n, Column)}]
        work = Batch(self._tables, self._view.on, {c: self._view.columns[c].type for c in used})
        events = work.evaluate(dict(zip([*names, "value", "time"], parts, strict=True)))
        held = self._held(events) if self._whole else ()
        events = events.drop_nulls()
        events = events.with_columns(pl.Series("units", past_units(events["value"].to_numpy()))).sort("time")
        series = [(key[0] if len(key) == 1 else key, one["time"].to_list(), one["units"].to_list()) for key, one in events.group_by(names)]
        store = self._made[group] = Running(list(windows), series)
        self._feeds.setdefault(self._view.on, []).append(self._event_feed(store, parts, used, held))

    def _held(self, events: pl.DataFrame) -> Container[Key]:
        """Return the keys of the table's rows that are events."""
        import polars as pl

        from sampan.features.tables import find_table

        keys = find_table(self._tables, self._view.on).lazy().select(self._view.key).collect()
        return HeldKeys(keys.filter(events.select(pl.all_horizontal(pl.all().is_not_null())).to_series()))

    def _event_feed(self, store: Running, parts: list[Node], used: list[str], held: Container[Key]) -> Prepare:
        """Return how past events are fed. One that carries the view's key counts once, however often it is fed."""
        program = Program(parts, self)
        reader = Reader({c: self._view.columns[c] for c in used}, needed=used, exact=False)
        counted: set[Key] = set()

        def prepare(given: Rows) -> Callable[[], None]:
            n = len(given)
            *by, value, time = program.run(reader.read(given), n)
            values, times = np.broadcast_to(value, n), np.broadcast_to(time, n)
            units = past_units(np.nan_to_num(values))
            # What was known when the tables were cut is in them; a feed that overlaps must not count it twice.
            new = (values == values) & ~(times <= self._known_until)
            names = [_identity(row, self._view.key) for row in given]
            events = zip(names, key_list(n, *by), times.tolist(), units.tolist(), new.tolist(), strict=True)
            found = [(name, (key, time, unit)) for name, key, time, unit, there in events if there]
            # In time order a series grows at its end; an event in between costs a copy of the whole series.
            found.sort(key=lambda event: event[1][1])
            found = [(name, event) for name, event in found if name is None or name not in held]
            return lambda: store.add_all(_first_seen(found, counted))

        return prepare


class HeldKeys:
    """The keys of many rows, as sorted hashes: eight bytes a row."""

    def __init__(self, keys: pl.DataFrame) -> None:
        rows = zip(*(column.to_list() for column in keys), strict=True)
        self._hashes = np.sort(np.fromiter((hash(key) for key in rows), np.int64, keys.height if keys.width else 0))

    def __contains__(self, key: object) -> bool:
        place = int(np.searchsorted(self._hashes, hash(key)))
        return place < len(self._hashes) and bool(self._hashes[place] == hash(key))


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
    fields = {name: FieldSpec(kind) for name, kind in _kinds(keys, held).items()}
    reader = Reader(fields, needed=list(fields), exact=False)

    def read(given: Rows) -> tuple[list[Key], list[Row]]:
        columns = reader.read(given)
        lists = {n: c if isinstance(c, list) else c.tolist() for n, c in columns.items()}
        rows = list(zip(*(lists[n] for n, _ in held), strict=True)) if held else [()] * len(given)
        return _zip_keys([lists[m.column] for m in keys]), rows

    return read


def _kinds(keys: tuple[Match, ...], held: Columns) -> dict[str, Kind]:
    return {m.column: kind_of(m.value) for m in keys} | dict(held)


def _missing(held: Columns) -> Row:
    return tuple(None if kind == "text" else float("nan") for _, kind in held)


def _floats(column: pl.Series) -> list[float]:
    return column.fill_null(float("nan")).to_list()


def _rows(frame: pl.DataFrame, held: Columns) -> list[Row]:
    columns = [frame[n].to_list() if kind == "text" else _floats(frame[n]) for n, kind in held]
    return list(zip(*columns, strict=True))


def _keys(frame: pl.DataFrame, keys: tuple[Match, ...]) -> list[Key]:
    return _zip_keys([frame[m.column].to_list() for m in keys])


def _zip_keys(columns: list[list[Any]]) -> list[Key]:
    """Make one key a row, None where a part is missing."""
    if len(columns) == 1:
        return [k if k == k else None for k in columns[0]]
    return [None if any(p is None or p != p for p in key) else key for key in zip(*columns, strict=True)]
