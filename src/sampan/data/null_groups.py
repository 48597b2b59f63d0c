"""Which columns are missing in just the same rows."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl


def null_groups(frame: pl.DataFrame | pl.LazyFrame, n_null: Mapping[str, int] | None = None) -> list[tuple[str, ...]]:
    """Return the groups of columns that are missing in exactly the same rows (and in some), largest count of such rows first.

    `n_null`, where known, holds the columns that are missing in some rows, not in all, with their counts. Only columns with equal counts
    are looked at again: once for fingerprints of where they are missing, once more for the proof where those agree.
    """
    lazy = frame.lazy()
    counts = _partly_missing(lazy) if n_null is None else n_null
    alike: dict[int, list[str]] = {}
    for name, n in counts.items():
        alike.setdefault(n, []).append(name)
    fingerprints = _fingerprints(lazy, [name for names in alike.values() if len(names) > 1 for name in names])
    agreeing: dict[tuple[int, int], list[str]] = {}
    for name, fingerprint in fingerprints.items():
        agreeing.setdefault((counts[name], fingerprint), []).append(name)
    candidates = {names[0]: names[1:] for names in agreeing.values() if len(names) > 1}
    if not candidates:
        return []
    same = [(pl.col(first).is_null() == pl.col(other).is_null()).all().alias(other) for first, rest in candidates.items() for other in rest]
    proven = lazy.select(same).collect(engine="streaming").row(0, named=True)
    groups = [(first, *(other for other in rest if proven[other])) for first, rest in candidates.items()]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: -counts[group[0]])


def _partly_missing(lazy: pl.LazyFrame) -> dict[str, int]:
    names = lazy.collect_schema().names()
    counted = lazy.select(pl.len().alias("\0n"), *(pl.col(n).null_count() for n in names)).collect(engine="streaming").row(0, named=True)
    return {name: counted[name] for name in names if 0 < counted[name] < counted["\0n"]}


def _fingerprints(lazy: pl.LazyFrame, names: list[str]) -> dict[str, int]:
    """Add up the squares of the numbers of the rows in which each column is missing (modulo 2⁶⁴)."""
    if not names:
        return {}
    row = pl.col("\0row").cast(pl.UInt64) + 1
    sums = [(row * row).filter(pl.col(name).is_null()).sum().alias(name) for name in names]
    return dict(lazy.select(names).with_row_index("\0row").select(sums).collect(engine="streaming").row(0, named=True))
