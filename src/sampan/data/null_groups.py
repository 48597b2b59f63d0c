"""Which columns are missing in just the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from sampan.table.named import all_named, named

_FIRST_ROWS = 65_536


def null_groups(frame: pl.DataFrame | pl.LazyFrame, n_null: Mapping[str, int] | None = None) -> list[tuple[str, ...]]:
    """Return the groups of columns that are missing in exactly the same rows (and in some), largest count of such rows first.

    `n_null`, where known, holds the columns that are missing in some rows, not in all, with their counts. Only columns with equal counts
    are looked at again: once for fingerprints of where they are missing, once more for the proof where those agree.
    """
    lazy = frame.lazy()
    counts = _partly_missing(lazy) if n_null is None else n_null
    alike = _grouped((name, n) for name, n in counts.items())
    fingerprints = _fingerprints(lazy, [name for names in alike for name in names])
    candidates = _grouped((name, (counts[name], fingerprint)) for name, fingerprint in fingerprints.items())
    if not candidates:
        return []
    same = [(named(first).is_null() == named(other).is_null()).all().alias(other) for first, *rest in candidates for other in rest]
    proven = lazy.select(same).collect(engine="streaming").row(0, named=True)
    groups = [(first, *(other for other in rest if proven[other])) for first, *rest in candidates]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: -counts[group[0]])


@dataclass(frozen=True, slots=True)
class Absence:
    """Columns that are missing in the same rows, and those missing in these rows and in others."""

    columns: tuple[str, ...]
    also: tuple[str, ...]


class Absences:
    """Finds absences in a pass over the table that is made anyway.

    The table's first rows say what to look for; `cells` are what that pass has to compute, `found` reads them. Columns that the first rows
    tell nothing about are looked at on their own, which costs a pass over them.
    """

    def __init__(self, lazy: pl.LazyFrame) -> None:
        self._lazy = lazy
        first = lazy.head(_FIRST_ROWS).collect()
        self._expected = [Absence(group, _always_missing_too(first, group)) for group in null_groups(first)]
        self.cells = [
            ~pl.any_horizontal((named(one.columns[0]).is_null() != named(name).is_null()).any() for name in one.columns[1:])
            for one in self._expected
        ]
        self.cells += [(named(one.columns[0]).is_null() & named(n).is_not_null()).any().not_() for one in self._expected for n in one.also]

    def found(self, computed: list[bool], n_null: Mapping[str, int], n_rows: int) -> list[Absence]:
        """Return what holds in the whole table, from the values of the cells and each column's count of missing values."""
        sometimes = {name: n for name, n in n_null.items() if 0 < n < n_rows}
        values = iter(computed)
        proven = [next(values) for _ in self._expected]
        also = [tuple(name for name in one.also if next(values) and name in sometimes) for one in self._expected]
        kept = [Absence(one.columns, more) for one, holds, more in zip(self._expected, proven, also, strict=True) if holds]
        settled = {name for one in kept for name in one.columns}
        rest = {name: n for name, n in sometimes.items() if name not in settled}
        for group in null_groups(self._lazy, rest):
            kept.append(Absence(group, _always_missing_too(self._lazy.select(all_named(sometimes)), group)))
        return sorted((one for one in kept if one.columns[0] in sometimes), key=lambda one: -sometimes[one.columns[0]])


def _always_missing_too(frame: pl.DataFrame | pl.LazyFrame, group: tuple[str, ...]) -> tuple[str, ...]:
    """Return the other columns that are missing wherever the group is, and not everywhere."""
    absent = named(group[0]).is_null()
    others = [name for name in frame.lazy().collect_schema() if name not in group]
    cells = [((named(n).is_not_null() & absent).any().not_() & named(n).is_not_null().any()).alias(n) for n in others]
    computed = frame.lazy().select(cells).collect(engine="streaming")
    return tuple(name for name in others if computed[0, name])


def _grouped(pairs: Iterable[tuple[str, object]]) -> list[list[str]]:
    """Return the names that share a value with others."""
    groups: dict[object, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(value, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _partly_missing(lazy: pl.LazyFrame) -> dict[str, int]:
    names = lazy.collect_schema().names()
    counted = lazy.select(pl.len().alias("\0n"), *(named(n).null_count() for n in names)).collect(engine="streaming").row(0, named=True)
    return {name: counted[name] for name in names if 0 < counted[name] < counted["\0n"]}


def _fingerprints(lazy: pl.LazyFrame, names: list[str]) -> dict[str, int]:
    """Add up the squares of the numbers of the rows in which each column is missing (modulo 2⁶⁴)."""
    if not names:
        return {}
    row = pl.col("\0row").cast(pl.UInt64) + 1
    sums = [(row * row).filter(named(name).is_null()).sum().alias(name) for name in names]
    return dict(lazy.select(all_named(names)).with_row_index("\0row").select(sums).collect(engine="streaming").row(0, named=True))
