"""How two profiles of a table differ, column by column, each with a size that can be ranked: no row is read again."""

from __future__ import annotations

import msgspec
import numpy as np

from sampan.stats.column_profiles import ColumnProfile
from sampan.stats.profiles import Profile

_SMALLEST = 1e-9


class ColumnShift(msgspec.Struct, frozen=True):
    """How a column's values differ between two profiles.

    `distance` is between 0 and 1: of numbers and times the Kolmogorov-Smirnov distance, of texts half the sum of the differences of
    shares; a missing value counts as a value of its own in both. It is an estimate where a profile holds a sample of the distinct values.
    """

    column: str
    distance: float
    null_share: tuple[float, float]
    n_distinct: tuple[int, int]
    median: tuple[float, float] | None = None  # numbers only
    most_frequent: tuple[str, str] | None = None  # texts only


def compare_profiles(before: Profile, after: Profile) -> tuple[ColumnShift, ...]:
    """Compare the columns that both profiles have with the same kind; those that differ, the most different first."""
    found = []
    for old in before.columns:
        new = after.column(old.name)
        if new is not None and new.kind == old.kind and (shift := _shift(old, new)) is not None:
            found.append(shift)
    return tuple(sorted(found, key=lambda shift: (-shift.distance, shift.column)))


def _shift(old: ColumnProfile, new: ColumnProfile) -> ColumnShift | None:
    nulls = old.null_share, new.null_share
    present = (1 - nulls[0]) * (1 - nulls[1]) > 0
    of_values = (_texts_apart if old.kind == "text" else _numbers_apart)(old, new) if present else 0.0
    # Missing is one more value: what differs among those present counts for the share that is present in both.
    distance = abs(nulls[0] - nulls[1]) + (1 - max(nulls)) * of_values
    distinct = old.n_distinct, new.n_distinct
    if distance < _SMALLEST and distinct[0] == distinct[1]:
        return None
    numbers = old.kind == "number" and present and len(old.code_array) and len(new.code_array)
    tops = (old.top(1), new.top(1)) if old.kind == "text" and present else ([], [])
    return ColumnShift(
        column=old.name,
        distance=min(1.0, float(distance)),
        null_share=nulls,
        n_distinct=distinct,
        median=(old.quantiles([0.5])[0], new.quantiles([0.5])[0]) if numbers else None,
        most_frequent=(tops[0][0][0], tops[1][0][0]) if tops[0] and tops[1] else None,
    )


def _numbers_apart(old: ColumnProfile, new: ColumnProfile) -> float:
    """Return the greatest difference of the two distributions. Codes stand in the order of their values."""
    sides = [(profile.code_array, profile.count_array.astype(np.float64)) for profile in (old, new)]
    if not all(len(codes) for codes, _ in sides):
        return 0.0
    codes = np.unique(np.concatenate([codes for codes, _ in sides]))
    shares = []
    for own, counts in sides:
        order = np.argsort(own)
        cumulated = np.concatenate([[0.0], np.cumsum(counts[order])]) / counts.sum()
        shares.append(cumulated[np.searchsorted(own[order], codes, side="right")])
    return float(np.abs(shares[0] - shares[1]).max())


def _texts_apart(old: ColumnProfile, new: ColumnProfile) -> float:
    totals = sum(old.values.values()), sum(new.values.values())
    if not all(totals):
        return 0.0
    words = old.values.keys() | new.values.keys()
    return sum(abs(old.values.get(word, 0) / totals[0] - new.values.get(word, 0) / totals[1]) for word in words) / 2
