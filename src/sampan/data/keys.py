"""Which columns name a row: the smallest sets of columns in which no two rows agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from sampan.data.columnwise import Columnwise, Frame, columnwise
from sampan.data.uniqueness import repeated
from sampan.table.named import all_named, named

_PROBE_ROWS = 5_000
_MAX_COLUMNS = 16  # of the table that may be part of a key
_MAX_SIZE = 4
_MAX_TESTS = 40  # sets tested on all rows, a size
_NAME_HINTS = ("id", "key", "code", "no", "nr", "num", "number", "uuid")

Codes = np.ndarray[Any, np.dtype[np.int64]]


def find_keys(table: Frame | Columnwise, *, max_size: int = _MAX_SIZE) -> list[tuple[str, ...]]:
    """Find the minimal keys of the smallest size that has any, the most natural first; [] if there is none.

    Only columns without missing values that are not floating-point can be part of a key. Sets are first tried on rows chosen to hold
    duplicates (neighbors, and rows that share a value), then on all rows.
    """
    frame = columnwise(table)
    if frame.height < 2:
        return []
    codes = _Counts(frame)
    candidates = _candidates(frame, codes)
    if not candidates:
        return []
    order = {name: (_naturalness(name, dtype), i) for i, (name, dtype) in enumerate(frame.schema.items())}
    probes = _probes(frame, candidates, codes)
    for size in range(1, min(max_size, len(candidates)) + 1):
        promising = [
            names
            for names in itertools.combinations(candidates, size)
            if math.prod(codes.n_distinct(name) for name in names) >= frame.height and _unique_in_probes(names, probes)
        ]
        promising.sort(key=lambda names: (sum(order[n][0] for n in names), [order[n][1] for n in names]))
        found = [names for names in promising[:_MAX_TESTS] if is_unique(frame.lazy, names)]
        if found:
            return found
    return []


def is_unique(frame: Frame, columns: Sequence[str]) -> bool:
    """Say whether no two rows agree in all of `columns`; rows with a missing value among them are not compared."""
    return repeated(frame.lazy(), columns).is_empty()


class _Counts:
    """How many values each column has; counted when first needed."""

    def __init__(self, frame: Columnwise) -> None:
        self._frame = frame
        self._counts: dict[str, int] = {}

    def n_distinct(self, name: str) -> int:
        if name not in self._counts:
            self._counts[name] = self._frame[name].n_unique()
        return self._counts[name]


def _candidates(frame: Columnwise, codes: _Counts) -> list[str]:
    nulls = frame.select(pl.all().null_count()).row(0)
    usable = [
        name
        for (name, dtype), n_null in zip(frame.schema.items(), nulls, strict=True)
        if n_null == 0 and not dtype.is_float() and not dtype.is_nested() and dtype != pl.Boolean
    ]
    varying = [name for name in usable[: 4 * _MAX_COLUMNS] if codes.n_distinct(name) > 1]
    return varying[:_MAX_COLUMNS]


def _naturalness(name: str, dtype: pl.DataType) -> int:
    """Rank how natural a column is in a key; 0 is best."""
    words = name.lower().replace("-", "_").split("_")
    if dtype.is_temporal() or any(word in _NAME_HINTS for word in words):
        return 0
    return 1 if dtype == pl.String else 2


def _probes(frame: Columnwise, candidates: list[str], codes: _Counts) -> list[dict[str, Codes]]:
    neighbors = frame.lazy.select(all_named(candidates)).head(_PROBE_ROWS).collect()
    widest = max(candidates, key=lambda name: codes.n_distinct(name) if codes.n_distinct(name) < frame.height else 0)
    # Rows that share a value of a column with many values are where a near-key shows its duplicates.
    share = max(1, math.ceil(codes.n_distinct(widest) * _PROBE_ROWS / frame.height))
    some = frame[widest].alias("v").unique().sort().gather_every(max(1, codes.n_distinct(widest) // share))
    sharing = frame.lazy.select(all_named(candidates)).filter(named(widest).is_in(pl.lit(some.implode()))).head(_PROBE_ROWS).collect()
    return [{name: _encode(part[name]) for name in candidates} for part in (neighbors, sharing)]


def _encode(values: pl.Series) -> Codes:
    return values.alias("v").rank("dense").to_numpy().astype(np.int64)


def _unique_in_probes(names: tuple[str, ...], probes: list[dict[str, Codes]]) -> bool:
    for probe in probes:
        combined = probe[names[0]]
        for name in names[1:]:
            combined = combined * (int(probe[name].max(initial=0)) + 1) + probe[name]
        if len(np.unique(combined)) < len(combined):
            return False
    return True
