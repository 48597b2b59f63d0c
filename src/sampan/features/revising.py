"""What a view fetches from, as a later version of its tables has it: the cost follows the rows that differ, not the tables.

A row that is gone may uncover one before it with the same key, so keys (and moments) of rows that are gone, or that changed where they
stand, are looked for in the new version, in Polars; what came at the table's end needs no look at the rest. Events are taken out of and
put into the sums of their key. Where the tables that stand now were cut at a moment, what lay behind the cut comes, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sampan.features.batch import Batch
from sampan.features.groups import Groups, kinds, tables_behind
from sampan.features.held_keys import HeldKeys
from sampan.features.history import Key, Newest, References, Row, Running
from sampan.features.indexing import events_of, floats, held_keys, index_group, keys_of, keys_of_events, plan, rows_of, series_of
from sampan.features.nodes import AsOf, Fetched, Kind, Lookup, Match, Node, Past, Planned
from sampan.features.sources import OnlineSources
from sampan.features.tables import Tables, canonical
from sampan.features.view import View


@dataclass(frozen=True, slots=True)
class TableChange:
    """How two versions of a table differ, in the columns a view reads: rows as they were and as they are."""

    gone: pl.DataFrame
    come: pl.DataFrame
    come_last: bool  # all that came stands, in its order, behind all that both versions have


def revise(sources: OnlineSources, changes: Mapping[str, TableChange], *, before: Tables, after: Tables) -> OnlineSources:
    """Return sources as a later version of their tables has them; those given stay as they are.

    Parameters
    ----------
    changes : of the tables that differ
    before, after : all tables, whole
    """
    work = _Revision(sources, changes, before, after)
    stores = {group: work.store(group) for group in sources.groups.all}
    return OnlineSources(sources.groups, stores, held=work.held(), shared=sources.shared)


class _Revision:
    def __init__(self, sources: OnlineSources, changes: Mapping[str, TableChange], before: Tables, after: Tables) -> None:
        self._sources = sources
        self._groups = sources.groups
        self._changes = changes
        self._after = after
        self._cut = None if sources.held is not None else sources.known_until
        on = self._groups.view.on
        self._gone: Tables = after
        self._come: Tables = after
        if any(isinstance(group, Past) for group in self._groups.all):
            change = changes.get(on) or _nothing(after[on])
            come = [change.come]
            if self._cut is not None:
                come.append(_behind(self._groups.view, self._cut, {**after, on: before[on]}).select(change.come.columns))
            self._gone = {**after, on: change.gone}
            self._come = {**after, on: pl.concat(come, how="vertical_relaxed")}

    def store(self, group: Fetched) -> Any:
        """Return a group's store as it is now."""
        store = self._sources.store(group)
        match group:
            case Lookup():
                return self._references(store, group)
            case AsOf():
                return self._newest(store, group)
            case Planned():
                return self._plan(store, group)
            case Past():
                return index_group(self._groups, group, self._after) if self._is_anew(group) else self._running(store, group)

    def held(self) -> dict[Fetched, HeldKeys]:
        """Return the keys of the events that the tables have now."""
        if self._sources.held is None:
            return held_keys(self._groups, self._after)
        return {group: self._held(group, keys) for group, keys in self._sources.held.items() if isinstance(group, Past)}

    def _held(self, group: Past, keys: HeldKeys) -> HeldKeys:
        if self._is_anew(group):
            return HeldKeys(keys_of_events(self._groups, events_of(self._groups, group, self._after), self._after))
        gone, come = (keys_of_events(self._groups, events_of(self._groups, group, some), some) for some in (self._gone, self._come))
        return keys.revised(gone, come)

    def _is_anew(self, group: Past) -> bool:
        """Say whether what its events look up has changed: then any of them may be another."""
        return not tables_behind(group).isdisjoint(self._changes)

    def _references(self, store: References, group: Lookup) -> References:
        change = self._changes.get(group.table)
        if change is None:
            return store.revised({})
        held = self._groups.columns(group)
        found = _slots(change, self._after, group.table, group.keys, kinds(group.keys, held))
        changed: dict[Key, Row | None] = dict.fromkeys(keys_of(found.touched, group.keys))
        changed |= zip(keys_of(found.now, group.keys), rows_of(found.now, held), strict=True)
        changed.pop(None, None)
        return store.revised(changed)

    def _newest(self, store: Newest, group: AsOf) -> Newest:
        change, held = self._changes.get(group.table), self._groups.columns(group)
        time: tuple[str, Kind] = (group.time, "moment")
        columns = kinds(group.keys, [*held, time])
        cut = self._cut if self._groups.is_cut(group) else None
        if change is None and cut is None:
            return store.revised({})
        found = _slots(
            change or _nothing(self._after[group.table]), self._after, group.table, group.keys, columns, time=group.time, cut=cut
        )
        changed = dict.fromkeys(_timed(found.touched, group), None) | dict(
            zip(_timed(found.now, group), rows_of(found.now, held), strict=True)
        )
        return store.revised({(key, moment): row for (key, moment), row in changed.items() if key is not None and moment == moment})

    def _plan(self, store: References, group: Planned) -> References:
        change = self._changes.get(group.table)
        if change is None:
            return store.revised({})
        gone, come = (plan(group, {group.table: rows}) for rows in (change.gone, change.come))
        keys = dict.fromkeys((*gone, *come))
        store.layers.bring(keys, surely=True)
        counts = {key: store.of_version(key)[0] + come.get(key, (0.0,))[0] - gone.get(key, (0.0,))[0] for key in keys if key is not None}
        return store.revised({key: (count,) if count else None for key, count in counts.items()})

    def _running(self, store: Running, group: Past) -> Running:
        gone, come = (_events(self._groups, group, some) for some in (self._gone, self._come))
        return store.revised(gone, come)


@dataclass(frozen=True, slots=True)
class _Slots:
    """Keys (with a moment: keys and moments) that rows were changed under, and the last row under each in the version that is now."""

    touched: pl.DataFrame
    now: pl.DataFrame


def _slots(
    change: TableChange,
    after: Tables,
    table: str,
    keys: tuple[Match, ...],
    columns: Mapping[str, Kind],
    *,
    time: str = "",
    cut: float | None = None,
) -> _Slots:
    names = list(dict.fromkeys([*(match.column for match in keys), *([time] if time else [])]))
    gone, come = (canonical({table: rows}, table, columns) for rows in (change.gone, change.come))
    touched = pl.concat([gone.select(names), come.select(names)]).unique()
    unsettled = touched.join(come.select(names).unique(), on=names, how="anti") if change.come_last else touched
    found = [come] if change.come_last else []
    if unsettled.height or cut is not None:
        whole = canonical(after, table, columns)
        found.insert(0, whole.join(unsettled, on=names, how="semi", maintain_order="left"))
        if cut is not None:
            behind = whole.filter(pl.col(time) > cut)
            touched, found = pl.concat([touched, behind.select(names)]), [behind, *found]
    now = pl.concat(found).unique(names, keep="last", maintain_order=True) if found else come.clear()
    return _Slots(touched, now)


def _timed(frame: pl.DataFrame, group: AsOf) -> list[tuple[Key, float]]:
    return list(zip(keys_of(frame, group.keys), floats(frame[group.time]), strict=True))


def _events(groups: Groups, group: Past, tables: Tables) -> dict[Key, list[tuple[float, int]]]:
    series = series_of(events_of(groups, group, tables).drop_nulls())
    return {key: list(zip(*one, strict=True)) for key, one in series.items()}


def _behind(view: View, cut: float, tables: Tables) -> pl.DataFrame:
    """Return the rows of the view's table that a package which was cut at a moment does not carry; see `view_tables`."""
    known: dict[str, Node] = {str(place): part for place, part in enumerate({p.known_at for p in view.nodes() if isinstance(p, Past)})}
    times = Batch(tables, view.on, {name: view.columns[name].type for name in view.event_columns()}).evaluate(known)
    carried = times.select(pl.any_horizontal(pl.all() <= cut).fill_null(value=False)).to_series()
    return tables[view.on].lazy().collect().filter(~carried)


def _nothing(table: pl.DataFrame | pl.LazyFrame) -> TableChange:
    empty = table.lazy().head(0).collect()
    return TableChange(empty, empty, come_last=True)
