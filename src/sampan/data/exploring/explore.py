"""An exploration put together: from a profile of all rows, a sample of them, and what was declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl
import polars.selectors as cs

from sampan.data.exploring import advice
from sampan.data.exploring.columns import count_complete, find_outliers, missing_together, role_of, spread_columns, view_columns
from sampan.data.exploring.drift import view_drift
from sampan.data.exploring.groups import N_ROWS, view_groups
from sampan.data.exploring.relations import associate
from sampan.data.exploring.rows import view_repeats
from sampan.data.exploring.target import read_label, view_target
from sampan.data.exploring.views import Exploration, OverlapView
from sampan.stats.profiles import Profile

SAMPLED_ROWS = 100_000
_ROW, _KEY = "\0row", 2_654_435_761  # Knuth's multiplier: row numbers are spread evenly, and chosen alike every time
_RANGE = 2**32


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a table, and what was declared of it."""

    ref: str
    target: pl.Expr | None = None
    target_name: str = ""
    target_is_declared: bool = False  # as the dataset's label
    time: str = ""
    key: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    reference: pl.DataFrame | None = None  # as `groups.read_reference` returns it
    reference_name: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    safe: Collection[str] = ()


def explore(rows: pl.LazyFrame, profile: Profile, asked: Question, *, overlap: OverlapView | None = None) -> Exploration:
    """Describe a table. The rows are read at most twice, by the engine in batches; what is kept of them is a sample.

    Raises
    ------
    ParameterError : the target cannot be computed.
    """
    schema = rows.collect_schema()
    sample = take_sample(rows, profile.n_rows)
    label = read_label(sample, asked.target, asked.target_name) if asked.target is not None else None
    spreads = spread_columns(profile, sample)
    types = {name: str(dtype) for name, dtype in schema.items()}
    columns = view_columns(profile, types, spreads=spreads, hidden=asked.hidden, safe=asked.safe)
    comparable = [c.name for c in profile.columns if role_of(c) not in ("constant", "identifier", "free text")]
    names, matrix, associations = associate(sample, comparable)
    unsafe = [view.name for view in columns if view.hidden]
    found = Exploration(
        ref=asked.ref,
        n_rows=profile.n_rows,
        n_columns=len(profile.columns),
        n_sampled=sample.height,
        n_complete=count_complete(profile),
        columns=columns,
        missing=missing_together(profile),
        outliers=tuple(one for one in find_outliers(profile, spreads) if one.column not in asked.hidden),
        names=names,
        matrix=tuple(tuple(line) for line in matrix),
        associations=associations,
        target=view_target(
            sample, label, asked.target, is_declared=asked.target_is_declared, moment=asked.time, known=asked.known, hidden=unsafe
        )
        if label is not None and asked.target is not None
        else None,
        drift=view_drift(sample, asked.time) if asked.time in schema and schema[asked.time].is_temporal() else None,
        groups=view_groups(
            _count(rows, asked.groups), asked.groups, reference=asked.reference, source=asked.reference_name, sample=sample, label=label
        )
        if asked.groups
        else (),
        repeats=view_repeats(sample, profile, ignore=asked.key),
        overlap=overlap,
    )
    return msgspec.structs.replace(
        found,
        warnings=advice.warn(found),
        rules=advice.suggest_rules(found),
        cleaning=advice.suggest_cleaning(found),
        features=advice.suggest_features(found),
    )


def take_sample(rows: pl.LazyFrame, n_rows: int, *, most: int = SAMPLED_ROWS) -> pl.DataFrame:
    """Return about `most` rows, the same ones every time, in their order; all where there are no more."""
    if n_rows <= most:
        return rows.collect(engine="streaming")
    chosen = (pl.col(_ROW).cast(pl.UInt64) * _KEY) % _RANGE < int(most / n_rows * _RANGE)
    return rows.with_row_index(_ROW).filter(chosen).drop(_ROW).collect(engine="streaming")


def _count(rows: pl.LazyFrame, columns: Collection[str]) -> pl.DataFrame:
    return rows.group_by(cs.by_name(*columns)).agg(pl.len().alias(N_ROWS)).collect(engine="streaming")
