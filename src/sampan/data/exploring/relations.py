"""How much two columns say about each other, whatever their kinds, on a sample of rows.

Two ordered columns: Spearman's rank correlation; two of categories: Cramér's V, corrected for bias (W. Bergsma, Journal of the Korean
Statistical Society 42, 2013); one of each: the correlation ratio of the ranks, corrected as Kelley's epsilon. All are 0 to 1 in size, and
0 on average where there is no relation, so that one scale serves all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from sampan.data.association import to_floats
from sampan.data.exploring.views import Association

MOST_COLUMNS = 30
_MOST_ROWS = 20_000
_MOST_CATEGORIES = 60
_FEWEST_ROWS = 30
_WORTH_SAYING = 0.3

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A column ready to be compared: ranks (missing as NaN), or codes of categories (missing as -1)."""

    name: str
    ranks: Floats | None = None
    codes: Codes | None = None


def associate(sample: pl.DataFrame, columns: Sequence[str]) -> tuple[tuple[str, ...], list[list[float | None]], tuple[Association, ...]]:
    """Return the columns compared, the matrix of strengths, and the pairs worth a look, strongest first."""
    some = (
        sample.select(cs.by_name(*columns[:MOST_COLUMNS])).gather_every(max(1, math.ceil(sample.height / _MOST_ROWS)))
        if columns
        else sample.select()
    )
    prepared = [one for name in some.columns if (one := prepare(some[name])) is not None]
    names = tuple(one.name for one in prepared)
    matrix: list[list[float | None]] = [[1.0 if i == j else None for j in names] for i in names]
    found = []
    for i, j in combinations(range(len(prepared)), 2):
        association = compare(prepared[i], prepared[j])
        if association is None:
            continue
        matrix[i][j] = matrix[j][i] = association.strength
        if association.strength >= _WORTH_SAYING:
            found.append(association)
    return names, matrix, tuple(sorted(found, key=lambda one: -one.strength))


def prepare(column: pl.Series) -> Prepared | None:
    """Rank a column, or number its categories; None where neither makes sense."""
    if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
        numbers = to_floats(column.cast(pl.Float64) if column.dtype == pl.Boolean else column)
        ranked = pl.Series(numbers).fill_nan(None).rank("average").to_numpy()
        return Prepared(column.name, ranks=np.asarray(ranked, dtype=np.float64))
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    texts = column.cast(pl.String).alias("text")  # a column may be called count, as what counts it
    top = texts.drop_nulls().value_counts(sort=True).head(_MOST_CATEGORIES)
    if top.height < 2 or top["count"].sum() < texts.len() * 0.5:
        return None  # identifiers and free text
    place = {text: code for code, text in enumerate(top["text"].to_list())}
    codes = texts.replace_strict(place, default=len(place), return_dtype=pl.Int64)
    return Prepared(
        column.name, codes=np.asarray(pl.select(pl.when(texts.is_null()).then(-1).otherwise(codes)).to_series().to_numpy(), np.int64)
    )


def compare(a: Prepared, b: Prepared) -> Association | None:
    """Measure how much two columns say about each other; None where too few rows have both, or one does not vary."""
    if a.ranks is not None and b.ranks is not None:
        return _spearman(a, b)
    if a.codes is not None and b.codes is not None:
        there = (a.codes >= 0) & (b.codes >= 0)
        strength = _cramer(a.codes[there], b.codes[there])
        return None if strength is None else Association(a=a.name, b=b.name, strength=strength, measure="Cramér's V")
    numbers, categories = (a, b) if a.ranks is not None else (b, a)
    assert numbers.ranks is not None and categories.codes is not None  # noqa: PT018  # by the cases above
    there = (categories.codes >= 0) & np.isfinite(numbers.ranks)
    strength = _correlation_ratio(numbers.ranks[there], categories.codes[there])
    return None if strength is None else Association(a=a.name, b=b.name, strength=strength, measure="correlation ratio")


def _spearman(a: Prepared, b: Prepared) -> Association | None:
    assert a.ranks is not None and b.ranks is not None  # noqa: PT018  # the caller looked
    there = np.isfinite(a.ranks) & np.isfinite(b.ranks)
    x, y = a.ranks[there], b.ranks[there]
    if len(x) < _FEWEST_ROWS or x.min() == x.max() or y.min() == y.max():
        return None
    found = float(np.corrcoef(x, y)[0, 1])
    return Association(a=a.name, b=b.name, strength=round(min(abs(found), 1.0), 4), measure="Spearman", sign=int(math.copysign(1, found)))


def _cramer(a: Codes, b: Codes) -> float | None:
    if len(a) < _FEWEST_ROWS:
        return None
    table = np.bincount(a * (int(b.max()) + 1) + b, minlength=(int(a.max()) + 1) * (int(b.max()) + 1)).reshape(int(a.max()) + 1, -1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0].astype(np.float64)
    rows, columns = table.shape
    if min(rows, columns) < 2:
        return None
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum() / n) - (rows - 1) * (columns - 1) / (n - 1))
    effective = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return round(min(1.0, math.sqrt(phi / effective)), 4) if effective > 0 else None


def _correlation_ratio(ranks: Floats, codes: Codes) -> float | None:
    n = len(ranks)
    if n < _FEWEST_ROWS or ranks.min() == ranks.max():
        return None
    sizes = np.bincount(codes)
    groups = int((sizes > 0).sum())
    if groups < 2 or n <= groups:
        return None
    means = np.bincount(codes, weights=ranks) / np.maximum(sizes, 1)
    explained = float((sizes * (means - ranks.mean()) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum())
    return round(math.sqrt(max(0.0, 1 - (1 - explained) * (n - 1) / (n - groups))), 4)
