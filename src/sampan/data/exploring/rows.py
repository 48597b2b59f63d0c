"""Rows that are there more than once or nearly so, and rows of another dataset that are here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from sampan.data.exploring.views import NearColumn, OverlapView, RepeatView
from sampan.stats.profiles import Profile

MOST_ROWS = 100_000
_ALL_ROWS = 1_000_000  # up to which every row is looked up
_PART = 64  # of a larger table's rows, one of so many is looked up
_DIGITS = 4
_FEWEST_COLUMNS = 3
_SHOWN = 8
_ROW = "row_"

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def view_repeats(sample: pl.DataFrame, profile: Profile, *, ignore: Sequence[str] = ()) -> RepeatView:
    """Describe repeated rows from the profile, and near-repeated ones in the sample; `ignore` are keys, which always differ.

    Two rows are near when they differ in one column only, or in nothing but letter case, blanks and the numbers' fourth digit.
    """
    columns = [name for name, dtype in sample.schema.items() if name not in ignore and not dtype.is_nested()]
    some = sample.head(MOST_ROWS).select(cs.by_name(*columns) if columns else cs.empty())
    n_near, near = (0, ()) if len(columns) < _FEWEST_COLUMNS or some.height < 2 else _near(some)  # a pair
    return RepeatView(
        repeated_share=profile.repeated_share,
        is_estimated=profile.rows_are_sampled,
        n_sampled=some.height,
        n_near=n_near,
        near=near,
    )


def _near(rows: pl.DataFrame) -> tuple[int, tuple[NearColumn, ...]]:
    """Hash every column; a row's hash is their sum, so that leaving a column out is a subtraction."""
    hashes = {name: _hashed(rows[name]) for name in rows.columns}
    with np.errstate(over="ignore"):
        whole: Hashes = np.sum(list(hashes.values()), axis=0, dtype=np.uint64)
        first = np.zeros(rows.height, dtype=bool)
        first[np.unique(whole, return_index=True)[1]] = True  # each distinct row once: repeats are counted elsewhere
        found = []
        is_near = np.zeros(int(first.sum()), dtype=bool)
        for name, own in hashes.items():
            repeated = _repeated((whole - own)[first])
            is_near |= repeated
            if repeated.any():
                found.append(NearColumn(name, int(repeated.sum())))
        loosely: Hashes = np.sum([_hashed(_loosened(rows[name]).alias(name)) for name in rows.columns], axis=0, dtype=np.uint64)
    is_near |= _repeated(loosely[first])
    return int(is_near.sum()), tuple(sorted(found, key=lambda one: -one.n)[:_SHOWN])


def _hashed(column: pl.Series) -> Hashes:
    seeds = pl.Series([column.name]).hash(seed=7)[0]
    return column.hash(seed=int(seeds) & 0x7FFF_FFFF).to_numpy().astype(np.uint64)


def _repeated(hashes: Hashes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    _, place, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[place] > 1)


def _loosened(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        return column.round_sig_figs(_DIGITS)
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return column.cast(pl.String).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return column


def view_overlap(rows: pl.LazyFrame, other: pl.LazyFrame, *, name: str, keys: Sequence[str] = (), n_rows: tuple[int, int]) -> OverlapView:
    """Look the other dataset's rows up among these, by all columns that both have; of large tables by one row in 64, chosen by its content.

    Parameters
    ----------
    name : the other dataset
    keys : columns that name a row; looked up by themselves too
    n_rows : how many rows there are, and in the other
    """
    schema, theirs = rows.collect_schema(), other.collect_schema()
    shared = [column for column, dtype in schema.items() if theirs.get(column) == dtype and not dtype.is_nested()]
    if not shared:
        return OverlapView(other=name, columns=(), n_other=n_rows[1], n_found=0)
    is_sampled = max(n_rows) > _ALL_ROWS
    n_other, n_found = _look_up(rows, other, shared, is_sampled=is_sampled)
    named = [key for key in keys if key in shared]
    whole_key = bool(named) and len(named) == len(keys)
    return OverlapView(
        other=name,
        columns=tuple(shared),
        n_other=n_other,
        n_found=n_found,
        keys=tuple(named) if whole_key else (),
        n_keys_found=_look_up(rows, other, named, is_sampled=is_sampled)[1] if whole_key else 0,
        is_sampled=is_sampled,
    )


def unseen_categories(mine: Profile, theirs: Profile) -> tuple[tuple[str, float], ...]:
    """Return for each column of categories the share of the other's rows whose value never occurs here, where that is any."""
    found = []
    for column in theirs.columns:
        own = mine.column(column.name)
        if own is None or column.kind != "text" or own.kind != "text" or own.is_sampled or column.is_sampled or not column.n_present:
            continue
        n = sum(count for text, count in column.values.items() if text not in own.values)
        if n:
            found.append((column.name, n / column.n_present))
    return tuple(sorted(found, key=lambda one: -one[1]))


def _look_up(rows: pl.LazyFrame, other: pl.LazyFrame, columns: Sequence[str], *, is_sampled: bool) -> tuple[int, int]:
    """Return how many of the other's rows were looked up by some columns, and how many of them are here."""
    mine, theirs = (_hashed_rows(frame, columns, is_sampled=is_sampled) for frame in (rows, other))
    return len(theirs), int(np.isin(theirs, np.unique(mine)).sum())


def _hashed_rows(frame: pl.LazyFrame, columns: Sequence[str], *, is_sampled: bool) -> Hashes:
    hashes = frame.select(pl.struct(cs.by_name(*columns)).hash(seed=11).alias(_ROW))
    if is_sampled:
        hashes = hashes.filter(pl.col(_ROW) % _PART == 0)
    return hashes.collect(engine="streaming")[_ROW].to_numpy()
