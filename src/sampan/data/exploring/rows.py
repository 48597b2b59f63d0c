"""Rows that are there more than once or nearly so, and rows of another dataset that are here too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from sampan.data.association import is_comparable
from sampan.data.exploring.views import NearColumn, OverlapView, RepeatView
from sampan.stats.profiles import Profile

MOST_ROWS = 100_000
_ALL_ROWS = 1_000_000  # up to which every row is looked up
_PART = 64  # of a larger table's rows, one of so many is looked up
_DIGITS = 4
_COUNTED_ROWS = 10_000  # whose pairs say how often two rows have the same value
_GREATEST = np.iinfo(np.uint64).max
_FEWEST_COLUMNS = 3
_SHOWN = 8
_ROW = "\0row"

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def view_repeats(sample: pl.DataFrame, profile: Profile, *, ignore: Sequence[str] = ()) -> RepeatView:
    """Describe repeated rows from the profile, and near-repeated ones in the sample; `ignore` are keys, which always differ.

    Two rows are near when they differ in one column only, or in nothing but letter case, blanks and the numbers' fourth digit.
    """
    columns = [name for name, dtype in sample.schema.items() if name not in ignore and is_comparable(dtype)]
    some = sample.head(MOST_ROWS).select(cs.by_name(*columns) if columns else cs.empty())
    hashes = {name: _hashed(some[name]) for name in some.columns}
    varying = [name for name, own in hashes.items() if own.min(initial=_GREATEST) < own.max(initial=0)]
    n_near, near = (0, ()) if len(varying) < _FEWEST_COLUMNS else _near(some.select(varying), {name: hashes[name] for name in varying})
    shares = [_alike(hashes[name][:: max(1, some.height // _COUNTED_ROWS)]) for name in varying]
    return RepeatView(
        repeated_share=profile.repeated_share,
        chance_share=_by_chance(shares, profile.n_rows) if set(ignore).isdisjoint(sample.columns) else 0.0,
        is_estimated=profile.rows_are_sampled,
        n_sampled=some.height,
        n_near=n_near,
        near_chance=max((_by_chance(shares[:k] + shares[k + 1 :], some.height) for k in range(len(shares))), default=0.0),
        near=near,
    )


def _alike(hashes: Hashes) -> float:
    """Return the chance that two rows have the same value."""
    sizes = np.unique(hashes, return_counts=True)[1].astype(np.float64)
    n = float(len(hashes))
    return float((sizes * (sizes - 1)).sum()) / (n * (n - 1)) if n > 1 else 1.0


def _by_chance(alike: Sequence[float], n_rows: int) -> float:
    """Return the share of rows that would equal another one if the columns knew nothing of each other."""
    return 1 - math.exp(-max(n_rows - 1, 0) * math.prod(alike))


def _near(rows: pl.DataFrame, hashes: Mapping[str, Hashes]) -> tuple[int, tuple[NearColumn, ...]]:
    """Count the rows near another one. A row's hash is the sum of its columns', so that leaving a column out is a subtraction."""
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

    Numbers of different types are compared as floats.

    Parameters
    ----------
    name : the other dataset
    keys : columns that name a row; looked up by themselves too
    n_rows : how many rows there are, and in the other
    """
    shared, unlike = _shared(rows.collect_schema(), other.collect_schema())
    rows, other = (frame.with_columns(cs.by_name(*unlike).cast(pl.Float64)) if unlike else frame for frame in (rows, other))
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
        chance_share=_by_chance(_all_alike(rows, shared), n_rows[0]),
        keys=tuple(named) if whole_key else (),
        n_keys_found=_look_up(rows, other, named, is_sampled=is_sampled)[1] if whole_key else 0,
        is_sampled=is_sampled,
    )


def _shared(mine: pl.Schema, theirs: pl.Schema) -> tuple[list[str], list[str]]:
    """Return the columns that both have, and those of them that are numbers of different types."""
    both = {name: (dtype, theirs[name]) for name, dtype in mine.items() if name in theirs and is_comparable(dtype)}
    unlike = [name for name, (one, other) in both.items() if one != other and one.is_numeric() and other.is_numeric()]
    return [name for name, (one, other) in both.items() if one == other or name in unlike], unlike


def _all_alike(rows: pl.LazyFrame, columns: Sequence[str]) -> list[float]:
    """Return for each column the chance that two rows have the same value."""
    some = rows.select(cs.by_name(*columns)).head(MOST_ROWS).collect(engine="streaming")
    some = some.gather_every(max(1, some.height // _COUNTED_ROWS))
    return [_alike(_hashed(some[name])) for name in columns]


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
