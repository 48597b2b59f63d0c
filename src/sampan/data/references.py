"""Which columns of a table name rows of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sampan.data.columnwise import Columnwise, Frame, columnwise
from sampan.data.contract import Reference
from sampan.table.named import all_named

_CONTAINED_BY_NAME = 0.5  # share of distinct values found, where the column names agree too
_CONTAINED_BY_VALUES = 0.9  # where only the values speak for it
_MIN_DISTINCT = 2


def find_references(
    source: Frame | Columnwise, tables: Mapping[str, Frame | Columnwise], keys: Mapping[str, Sequence[tuple[str, ...]]]
) -> tuple[Reference, ...]:
    """Find references from a table to the keys of other tables.

    Columns that bear the key's names refer to it if at least half of their distinct values are found there. A text column of another name
    refers to a one-column text key if 90 % are. Numbers of other names never do: small whole numbers are contained everywhere.
    """
    frame = columnwise(source)
    found: list[Reference] = []
    for table, read in tables.items():
        other = columnwise(read)
        named = _by_name(frame, table, other, keys.get(table, ()))
        found.extend(named)
        taken = {r.columns for r in named}
        found.extend(r for r in _by_values(frame, table, other, keys.get(table, ())) if r.columns not in taken)
    return _best_per_column(found, frame)


def _by_name(frame: Columnwise, table: str, other: Columnwise, keys: Sequence[tuple[str, ...]]) -> list[Reference]:
    found = []
    for key in keys[:4]:
        if all(name in frame.columns and frame.schema[name] == other.schema[name] for name in key):
            share, evidence = _containment(frame, key, other, key)
            if share >= _CONTAINED_BY_NAME:
                found.append(_reference(key, table, key, evidence, "the columns have the names of the key"))
                break
    return found


def _by_values(frame: Columnwise, table: str, other: Columnwise, keys: Sequence[tuple[str, ...]]) -> list[Reference]:
    target = next((key for key in keys if len(key) == 1 and other.schema[key[0]] == pl.String), None)
    if target is None:
        return []
    lengths = _lengths(other[target[0]])
    found = []
    for name, dtype in frame.schema.items():
        if dtype != pl.String or name == target[0]:
            continue
        span = _lengths(frame[name])
        if span[0] < lengths[0] or span[1] > lengths[1]:
            continue
        share, evidence = _containment(frame, (name,), other, target)
        if share >= _CONTAINED_BY_VALUES and frame[name].n_unique() >= _MIN_DISTINCT:
            found.append(_reference((name,), table, target, evidence, "its values are those of the key"))
    return found


def _lengths(values: pl.Series) -> tuple[int, int]:
    lengths = values.str.len_chars()
    low, high = lengths.min(), lengths.max()
    return (int(low), int(high)) if isinstance(low, int) and isinstance(high, int) else (1, 0)


def _containment(frame: Columnwise, columns: tuple[str, ...], other: Columnwise, to: tuple[str, ...]) -> tuple[float, str]:
    distinct = frame.lazy.select(all_named(columns)).drop_nulls().unique().collect(engine="streaming")
    if distinct.is_empty():
        return 0.0, ""
    known = other.lazy.select(all_named(to)).drop_nulls().unique().collect(engine="streaming")
    n_found = distinct.join(known, left_on=all_named(columns), right_on=all_named(to), how="semi").height
    return n_found / distinct.height, f"{n_found:,} of {distinct.height:,} distinct values found"


def _reference(columns: tuple[str, ...], table: str, to: tuple[str, ...], evidence: str, why: str) -> Reference:
    return Reference(columns=columns, table=table, to_columns=to, level="warn", evidence=evidence, why=why)


def _best_per_column(found: list[Reference], frame: Columnwise) -> tuple[Reference, ...]:
    """Keep one reference for each set of columns: the one named alike, else the first."""
    kept: dict[tuple[str, ...], Reference] = {}
    for reference in found:
        held = kept.get(reference.columns)
        if held is None or (reference.columns == reference.to_columns and held.columns != held.to_columns):
            kept[reference.columns] = reference
    position = {name: i for i, name in enumerate(frame.columns)}
    return tuple(sorted(kept.values(), key=lambda r: [position[c] for c in r.columns]))
