"""Tables, indexed for single requests: what each group of a view fetches from. Whole tables, in Polars; `revising` follows changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from sampan.features.batch import Batch
from sampan.features.groups import Columns, Groups, event_parts, kinds, missing_row, zip_keys
from sampan.features.held_keys import HeldKeys
from sampan.features.history import Key, Newest, References, Row, Running
from sampan.features.nodes import AsOf, Fetched, Lookup, Match, Past, Planned
from sampan.features.pasts import past_units
from sampan.features.tables import Tables, canonical, find_table
from sampan.features.view import PLANNED

Stores = dict[Fetched, Any]  # group -> References, Newest or Running


def index(groups: Groups, tables: Mapping[str, pl.DataFrame]) -> Stores:
    """Index tables for all groups of a view."""
    return {group: index_group(groups, group, tables) for group in groups.all}


def index_group(groups: Groups, group: Fetched, tables: Tables) -> Any:
    """Index what one group fetches from."""
    match group:
        case Lookup():
            held = groups.columns(group)
            frame = canonical(tables, group.table, kinds(group.keys, held))
            return References(zip(keys_of(frame, group.keys), rows_of(frame, held), strict=True), missing_row(held))
        case AsOf():
            held = groups.columns(group)
            frame = canonical(tables, group.table, kinds(group.keys, [*held, (group.time, "moment")]))
            rows = zip(keys_of(frame, group.keys), floats(frame[group.time]), rows_of(frame, held), strict=True)
            return Newest(rows, missing_row(held), group.tolerance_ms)
        case Planned():
            return References(plan(group, tables).items(), (0.0,))
        case Past():
            events = events_of(groups, group, tables).drop_nulls()
            return Running(groups.windows(group), ((key, *series) for key, series in series_of(events).items()))


def held_keys(groups: Groups, tables: Tables) -> dict[Fetched, HeldKeys]:
    """Return for each past the keys of the rows that are its events, to be read when something is fed."""

    def of(group: Past) -> HeldKeys:
        return HeldKeys(lambda: keys_of_events(groups, events_of(groups, group, tables), tables))

    return {group: of(group) for group in groups.all if isinstance(group, Past)}


def plan(group: Planned, tables: Tables) -> dict[Key, Row]:
    """Count what is planned, by key."""
    name = group.table + PLANNED
    columns = kinds(group.keys, [])
    if name in tables:
        frame = canonical(tables, name, columns | {"planned": "number"})
    else:
        frame = canonical(tables, group.table, columns).with_columns(pl.lit(1.0).alias("planned"))
    counts = frame.group_by([m.column for m in group.keys]).agg(pl.col("planned").sum())
    return dict(zip(keys_of(counts, group.keys), counts.select("planned").rows(), strict=True))


def events_of(groups: Groups, group: Past, tables: Tables) -> pl.DataFrame:
    """Return what the rows of the view's table are as events, in their order; a row of which a part is missing is none."""
    view = groups.view
    work = Batch(tables, view.on, {name: view.columns[name].type for name in groups.columns_used(group)})
    return work.evaluate(event_parts(group))


def keys_of_events(groups: Groups, events: pl.DataFrame, tables: Tables) -> list[tuple[Any, ...]]:
    """Return the view's keys of the rows that are events."""
    keys = find_table(tables, groups.view.on).lazy().select(groups.view.key).collect()
    return keys.filter(events.select(pl.all_horizontal(pl.all().is_not_null())).to_series()).rows()


def series_of(events: pl.DataFrame) -> dict[Key, tuple[list[float], list[int]]]:
    """Return whole events by key, in time order: when, and how many units."""
    counted = events.with_columns(pl.Series("units", past_units(events["value"].to_numpy()))).sort("time")
    by = [name for name in events.columns if name.startswith("by")]
    found = counted.group_by(by, maintain_order=True).agg("time", "units").rows()
    return {key[0] if len(key) == 1 else key: (times, units) for *parts, times, units in found if (key := tuple(parts))}


def keys_of(frame: pl.DataFrame, keys: tuple[Match, ...]) -> list[Key]:
    """Return one key a row, None where a part is missing."""
    return zip_keys([frame[m.column].to_list() for m in keys])


def rows_of(frame: pl.DataFrame, held: Columns) -> list[Row]:
    """Return the columns held, as rows."""
    columns = [frame[n].to_list() if kind == "text" else floats(frame[n]) for n, kind in held]
    return list(zip(*columns, strict=True))


def floats(column: pl.Series) -> list[float]:
    """Return numbers, NaN where one is missing."""
    return column.fill_null(float("nan")).to_list()
