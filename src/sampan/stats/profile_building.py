"""Building profiles, batch by batch: the table is never held. What a profile is, and how profiles merge, is in `profiles.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sampan.stats.codes import Codes
from sampan.stats.column_counting import Missing, NumberCounter, Numbers, TextCounter
from sampan.stats.column_profiles import ColumnProfile, smallest_kept
from sampan.stats.comoments import MOST_COLUMNS, CoMomentCounter
from sampan.stats.profiles import K_PATTERNS, K_ROWS, Pattern, Profile, column_factors, lowest_level
from sampan.stats.scratch import Scratch
from sampan.stats.smallest_hashes import CountedHashes
from sampan.stats.stable_hash import Hashes, float_bits, fold, mix, number_bits

_MOST_PATTERNS = 64 * K_PATTERNS  # that are remembered while counting
BATCH_ROWS = 1 << 17
_NULL = np.uint64(0xA0761D6478BD642F)
_DTYPES: dict[str, str] = {"float": "f4", "double": "f8"} | {f"uint{8 * n}": f"u{n}" for n in (1, 2, 4, 8)}


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
        self._parts: dict[str, tuple[range, Hashes]] = {}
        self._scratch: Scratch | None = None

    def add(self, batch: pl.DataFrame, lent: Mapping[str, pa.Array] | None = None) -> None:
        """Count a batch.

        Parameters
        ----------
        lent : columns as Arrow arrays, where they were read so, texts as dictionaries; they then need not be in `batch`
        """
        lent = lent or {}
        n = batch.height if batch.width else len(next(iter(lent.values()), ()))
        if not n:
            return
        self._n_rows += n
        scratch = self._memory(n)
        rows = scratch.rows
        rows.fill(0)
        kept: dict[str, tuple[Numbers, Missing | None]] = {}
        gaps: dict[str, Missing] = {}
        for name, kind in self.kinds.items():
            if kind == "text":
                missing = self._add_texts(name, lent[name] if name in lent else dictionary_of(batch[name]), scratch)
            elif kind == "other":
                missing = Missing.of(batch[name].is_null().to_numpy()) if batch[name].null_count() else None
            else:
                kept[name] = values, missing = numbers_of(lent[name]) if name in lent else _series_numbers(batch[name], kind)
                self._add_numbers(name, values, missing, scratch)
            if missing is not None:
                gaps[name] = missing
                self._n_null[name] += len(missing.at)
        self._missing.add(gaps, scratch.parts)
        self._add_rows(mix(rows, rows, scratch.parts), kept)

    def _memory(self, n_rows: int) -> Scratch:
        if self._scratch is None or n_rows > len(self._scratch.codes):
            self._scratch = Scratch.of(n_rows)
        return self._scratch.head(n_rows)

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

    def _add_numbers(self, name: str, values: Numbers, missing: Missing | None, scratch: Scratch) -> None:
        counter, factor = self._numbers[name], self._factors[name]
        places = counter.add(values, missing, scratch)
        if places is not None:
            _add_parts(self._parts_of(name, counter.window), places, scratch)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            bits = float_bits(values, scratch.parts) if counter.fits_floats else number_bits(values, scratch.parts)
            part = fold(bits, scratch.spare.view(np.uint64))
            part *= factor
            if missing is not None:
                part[missing.at] = _NULL * factor
            np.add(scratch.rows, part, out=scratch.rows)

    def _parts_of(self, name: str, window: range) -> Hashes:
        """Return what the numbers of a window add to the rows' hashes, and past its end what no number adds."""
        known = self._parts.get(name)
        if known is None or known[0] != window:
            bits = float_bits(np.arange(window.start, window.stop))
            with np.errstate(over="ignore"):
                known = self._parts[name] = window, np.append(fold(bits), _NULL) * self._factors[name]
        return known[1]

    def _add_texts(self, name: str, column: pa.DictionaryArray, scratch: Scratch) -> Missing | None:
        """Count texts; rows without one have the place past the dictionary's end."""
        dictionary, indices = column.dictionary, column.indices
        missing, places = _missing_of(indices), scratch.codes
        np.copyto(places, _buffer_of(indices, str(indices.type)), casting="unsafe")
        if missing is not None:
            places[missing.at] = len(dictionary)
        hashes = self._texts[name].add(dictionary, places)
        with np.errstate(over="ignore"):
            _add_parts(np.append(hashes, _NULL) * self._factors[name], places, scratch)
        return missing

    def _add_rows(self, hashes: Hashes, kept: Mapping[str, tuple[Numbers, Missing | None]]) -> None:
        self._rows.add(hashes)
        self._comoments.leave_out_below(lowest_level(self._rows.smallest()))
        columns = [kept[name] for name in self._comoments.columns]
        self._comoments.add(hashes, [(numbers, None if missing is None else missing.flags) for numbers, missing in columns])

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

    def add(self, gaps: Mapping[str, Missing], sums: Hashes) -> None:
        """Count the rows of a batch, in memory that has a place for each."""
        if not gaps:
            self._count(np.zeros(1, dtype=np.uint64), np.array([len(sums)]), {0: ()})
            return
        sums.fill(0)
        with np.errstate(over="ignore"):
            for name, missing in gaps.items():
                sums[missing.at] += self._factors[name]
        found, first, counts = _count_few(sums)
        self._count(
            found,
            counts,
            {
                k: tuple(name for name, missing in gaps.items() if missing.flags[at])
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


def numbers_of(array: pa.Array) -> tuple[Numbers, Missing | None]:
    """Return an Arrow array of numbers, moments in microseconds or days as numbers, and where it is missing; there anything may stand."""
    return _buffer_of(array, _DTYPES.get(str(array.type)) or f"i{array.type.bit_width // 8}"), _missing_of(array)


def _series_numbers(column: pl.Series, kind: str) -> tuple[Numbers, Missing | None]:
    """Return a column as numbers (moments in microseconds, dates in days), and where it is missing; there anything may stand."""
    if kind == "timestamp":
        column = column.dt.epoch("us")
    elif kind == "date":
        column = column.to_physical()
    elif column.dtype in (pl.Boolean, pl.Int128) or column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if not column.null_count():
        return column.to_numpy(), None
    return numbers_of(column.to_arrow())  # its buffers, since Polars would start its engine for every one of these small steps


def _buffer_of(array: pa.Array, dtype: str) -> Numbers:
    return np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]


def _missing_of(array: pa.Array) -> Missing | None:
    """Return where an Arrow array has no value, from its bits: its own conversions to numpy import pandas."""
    if not array.null_count:
        return None
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], dtype=np.uint8), bitorder="little")
    return Missing.of(bits[array.offset : array.offset + len(array)] == 0)


def _add_parts(parts: Hashes, places: Codes, scratch: Scratch) -> None:
    """Add what is at their places to the rows' hashes."""
    np.take(parts, places, out=scratch.parts, mode="clip")  # its own check would take another array
    np.add(scratch.rows, scratch.parts, out=scratch.rows)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    if dtype == pl.Date:
        return "date"
    return "text" if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)) else "other"
