"""Building profiles, batch by batch: the table is never held. What a profile is, and how profiles merge, is in `profiles.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sampan.stats.codes import Codes
from sampan.stats.column_counting import Flags, NumberCounter, Numbers, TextCounter
from sampan.stats.column_profiles import ColumnProfile, smallest_kept
from sampan.stats.comoments import MOST_COLUMNS, CoMomentCounter
from sampan.stats.profiles import K_PATTERNS, K_ROWS, Pattern, Profile, column_factors, lowest_level
from sampan.stats.smallest_hashes import CountedHashes
from sampan.stats.stable_hash import Hashes, float_bits, fold, mix, number_bits

_MOST_PATTERNS = 64 * K_PATTERNS  # that are remembered while counting
BATCH_ROWS = 1 << 17
_NULL = np.uint64(0xA0761D6478BD642F)


def profile_table(frame: pl.DataFrame | pl.LazyFrame, *, done: Callable[[str], None] = lambda _: None) -> Profile:
    """Profile every column, of a lazy frame batch by batch; `done` is told the name of each column at the end."""
    builder = ProfileBuilder(frame.collect_schema())
    batches = frame.iter_slices(BATCH_ROWS) if isinstance(frame, pl.DataFrame) else frame.collect_batches(chunk_size=BATCH_ROWS)
    for batch in batches:
        builder.add(batch)
    found = builder.profile()
    for column in found.columns:
        done(column.name)
    return found


class ProfileBuilder:
    """Builds a profile from batches of rows, in any order.

    Parameters
    ----------
    schema : the table's columns; every batch has them
    """

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.kinds = {name: _kind(dtype) for name, dtype in schema.items()}
        self._whole = {name: dtype.is_integer() or self.kinds[name] in ("timestamp", "date") for name, dtype in schema.items()}
        self._numbers = {n: NumberCounter(k, smallest_kept(k)) for n, k in self.kinds.items() if k not in ("text", "other")}
        self._texts = {name: TextCounter(smallest_kept("text")) for name, kind in self.kinds.items() if kind == "text"}
        self._n_null = dict.fromkeys(self.kinds, 0)
        self._n_rows = 0
        self._factors = column_factors(self.kinds)
        self._rows = CountedHashes(K_ROWS)
        self._missing = _PatternCounter(self._factors)
        numbers = [name for name, kind in self.kinds.items() if kind == "number"]
        self._comoments = CoMomentCounter(numbers[:MOST_COLUMNS])

    def add(self, batch: pl.DataFrame, texts: Mapping[str, pa.DictionaryArray] | None = None) -> None:
        """Count a batch. `texts` may hold the text columns as dictionaries, where they were read so; they then need not be in `batch`."""
        n = batch.height if batch.width else len(next(iter((texts or {}).values())))
        if not n:
            return
        self._n_rows += n
        rows = np.zeros(n, dtype=np.uint64)
        kept: dict[str, tuple[Numbers, Flags | None]] = {}
        nulls: dict[str, Flags] = {}
        for name, kind in self.kinds.items():
            if kind == "text":
                found = texts[name] if texts and name in texts else dictionary_of(batch[name])
                missing = self._add_texts(name, found, rows)
            elif kind == "other":
                missing = batch[name].is_null().to_numpy() if batch[name].null_count() else None
            else:
                values, missing = self._add_numbers(name, batch[name], rows)
                kept[name] = values, missing
            if missing is not None:
                nulls[name] = missing
                self._n_null[name] += int(missing.sum())
        self._missing.add(nulls, n)
        self._add_rows(mix(rows), kept)

    def profile(self) -> Profile:
        """Return the profile of what was added."""
        row_hashes, row_counts = self._rows.found()
        self._comoments.leave_out_below(lowest_level(row_hashes))
        return Profile(
            n_rows=self._n_rows,
            columns=tuple(self._column(name, kind) for name, kind in self.kinds.items()),
            row_hash_bytes=row_hashes.tobytes(),
            row_count_bytes=row_counts.tobytes(),
            missing=self._missing.found(),
            comoments=self._comoments.found(),
        )

    def _add_numbers(self, name: str, column: pl.Series, rows: Hashes) -> tuple[Numbers, Flags | None]:
        values, missing = _numbers_of(column, self.kinds[name])
        counter = self._numbers[name]
        counter.add(values, missing)
        bits = float_bits(values) if counter.fits_floats else number_bits(values)
        with np.errstate(over="ignore"):
            part = fold(bits)
            part *= self._factors[name]
            if missing is not None:
                part[missing] = _NULL * self._factors[name]
            rows += part
        return values, missing

    def _add_texts(self, name: str, column: pa.DictionaryArray, rows: Hashes) -> Flags | None:
        """Count texts; rows without one have the place past the dictionary's end."""
        dictionary, indices = column.dictionary, column.indices
        missing = _missing_of(indices) if indices.null_count else None
        places = np.frombuffer(indices.buffers()[1], dtype=str(indices.type))[indices.offset : indices.offset + len(indices)]
        if missing is not None:
            places = np.where(missing, len(dictionary), places)
        hashes = self._texts[name].add(dictionary, places)
        with np.errstate(over="ignore"):
            parts = np.append(hashes, _NULL) * self._factors[name]
            rows += parts[places]
        return missing

    def _add_rows(self, hashes: Hashes, kept: Mapping[str, tuple[Numbers, Flags | None]]) -> None:
        self._rows.add(hashes)
        self._comoments.leave_out_below(lowest_level(self._rows.smallest()))
        wanted = self._comoments.wanted(hashes)
        if not len(wanted) or not self._comoments.columns:
            return
        values = np.empty((len(self._comoments.columns), len(wanted)))
        for place, name in enumerate(self._comoments.columns):
            numbers, missing = kept[name]
            values[place] = numbers[wanted]
            if missing is not None:
                values[place, missing[wanted]] = np.nan
        self._comoments.add(hashes[wanted], values)

    def _column(self, name: str, kind: str) -> ColumnProfile:
        said: dict[str, Any] = {"name": name, "kind": kind, "n": self._n_rows, "n_null": self._n_null[name], "whole": self._whole[name]}
        if kind == "other":
            return ColumnProfile(**{**said, "whole": False})
        if kind == "text":
            texts = self._texts[name]
            values, hashes = texts.found()
            return ColumnProfile(**said, minimum=texts.minimum, maximum=texts.maximum, values=values, hash_bytes=hashes.tobytes())
        numbers = self._numbers[name]
        (codes, counts), hashes = numbers.found()
        return ColumnProfile(
            **said,
            n_nan=numbers.n_nan,
            minimum=numbers.minimum,
            maximum=numbers.maximum,
            code_bytes=codes.tobytes(),
            count_bytes=counts.tobytes(),
            hash_bytes=hashes.tobytes(),
        )


class _PatternCounter:
    """Counts which columns are missing together."""

    def __init__(self, factors: Mapping[str, np.uint64]) -> None:
        self._factors = factors
        self._counted = CountedHashes(K_PATTERNS)
        self._columns: dict[int, tuple[str, ...]] = {}

    def add(self, nulls: Mapping[str, Flags], n: int) -> None:
        if not nulls:
            self._count(np.zeros(1, dtype=np.uint64), np.array([n]), {0: ()})
            return
        sums = np.zeros(n, dtype=np.uint64)
        with np.errstate(over="ignore"):
            for name, missing in nulls.items():
                sums[missing] += self._factors[name]
        found, first, counts = _count_few(sums)
        self._count(
            found,
            counts,
            {
                k: tuple(name for name, missing in nulls.items() if missing[at])
                for k, at in zip(found.tolist(), first.tolist(), strict=True)
            },
        )

    def found(self) -> tuple[Pattern, ...]:
        hashes, counts = self._counted.found()
        return tuple(Pattern(self._columns[key], n) for key, n in zip(hashes.tolist(), counts.tolist(), strict=True))

    def _count(self, sums: Hashes, counts: Codes, columns: Mapping[int, tuple[str, ...]]) -> None:
        hashes = mix(sums)
        self._counted.add(hashes, counts)
        for key, pattern in zip(hashes.tolist(), sums.tolist(), strict=True):
            self._columns.setdefault(key, columns[pattern])
        if len(self._columns) > _MOST_PATTERNS:
            kept, _ = self._counted.found()
            self._columns = {key: self._columns[key] for key in kept.tolist()}


def _count_few(sums: Hashes) -> tuple[Hashes, Codes, Codes]:
    """Return the distinct sums, where each first stands, and how often; quick where almost all rows miss nothing."""
    some = np.flatnonzero(sums)
    found, first, counts = np.unique(sums[some], return_index=True, return_counts=True)
    places = some[first]
    if len(some) < len(sums):
        found, counts = np.append(found, np.uint64(0)), np.append(counts, len(sums) - len(some))
        places = np.append(places, int(np.argmin(sums != 0)))
    return found, places, counts.astype(np.int64)


def dictionary_of(column: pl.Series) -> pa.DictionaryArray:
    """Return a column of texts as a dictionary and places in it."""
    found = column.cast(pl.String).to_arrow().cast(pa.large_string()).dictionary_encode()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _numbers_of(column: pl.Series, kind: str) -> tuple[Numbers, Flags | None]:
    """Return a column as numbers (moments in microseconds, dates in days), and where it is missing; there another row's number stands."""
    if kind == "timestamp":
        column = column.dt.epoch("us")
    elif kind == "date":
        column = column.to_physical().cast(pl.Int64)
    elif column.dtype in (pl.Boolean, pl.Int128) or column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if not column.null_count():
        return column.to_numpy(), None
    array = column.to_arrow()  # its buffers, since Polars would start its engine for every one of these small steps
    missing = _missing_of(array)
    dtype = column.clear().to_numpy().dtype  # Arrow would import pandas to say it
    values = np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)].copy()
    values[missing] = 0 if missing.all() else values[np.argmin(missing)]
    return values, missing


def _missing_of(array: pa.Array) -> Flags:
    """Return where an Arrow array has no value, from its bits: its own conversions to numpy import pandas."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], dtype=np.uint8), bitorder="little")
    return np.asarray(bits[array.offset : array.offset + len(array)] == 0)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    if dtype == pl.Date:
        return "date"
    return "text" if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)) else "other"
