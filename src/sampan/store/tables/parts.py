"""Parts: cutting rows into Parquet files, and reading them back with dead rows left out and overlays laid over.

The bytes of a part depend on its rows alone, not on how they were chunked in memory: the same rows give the same digest.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl
from polars import selectors as cs

from sampan.core.digests import Digest
from sampan.errors import DataFormatError, ParameterError
from sampan.store.tables import deletions, layout
from sampan.store.tables.deletions import Positions
from sampan.store.tables.manifest import Part
from sampan.table.pieces import Frames, RowQueue, as_frame

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PART_ROWS = 1_000_000
MAX_PART_CELLS = 32_000_000  # a table of 5,000 columns has parts of 6,400 rows
_FEW_ROWS = 2_000


class Reader(Protocol):
    """What reading parts needs of a blob store."""

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, checked."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return a local file with these bytes."""
        ...


def part_rows(n_columns: int) -> int:
    """Return how many rows a full part has."""
    return max(1, min(MAX_PART_ROWS, MAX_PART_CELLS // max(1, n_columns)))


def encode(frame: pl.DataFrame) -> bytes:
    """Write rows as Parquet with statistics: many as `layout` says, few as Polars does, compressed by zstd at level 1."""
    if frame.height >= layout.MIN_ROWS and layout.suits(frame.dtypes):
        return layout.encode(frame)
    file = io.BytesIO()
    try:
        frame.rechunk().write_parquet(file, compression="zstd", compression_level=1, statistics=True, row_group_size=layout.ROW_GROUP_ROWS)
    except (pl.exceptions.PolarsError, NotImplementedError) as cause:
        raise ParameterError(f"these columns cannot be stored as Parquet: {cause}", hint="cast them to a plain type") from cause
    return file.getvalue()


def encode_ahead(pieces: Iterable[pl.DataFrame]) -> Iterator[tuple[int, bytes]]:
    """Encode pieces, each while the next one is being made; with its number of rows. A thread costs more than a small piece does."""
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as pool:
        waiting: tuple[int, Future[bytes]] | None = None
        for piece in pieces:
            if waiting is None and piece.height <= _FEW_ROWS:
                yield piece.height, encode(piece)
                continue
            following = piece.height, pool.submit(encode, piece)
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting:
            yield waiting[0], waiting[1].result()


def encode_parts(frame: pl.DataFrame | pl.LazyFrame | Pieces, n_rows: int) -> Iterator[tuple[int, bytes]]:
    """Encode rows in parts of `n_rows`, the last one shorter; with each part's number of rows. No rows, no parts."""
    if isinstance(frame, Pieces) and isinstance(frame.frames, Frames):
        return _encode_tables(RowQueue(frame.frames.tables(), step=layout.STEP_ROWS), n_rows)
    return encode_ahead(cut(frame, n_rows))


def _encode_tables(rows: RowQueue, n_rows: int) -> Iterator[tuple[int, bytes]]:
    """Encode a row group at a time, as its rows come: what was just read is written while the processor still has it at hand."""
    while (first := rows.take(min(layout.ROW_GROUP_ROWS, n_rows))) is not None:
        n_before = rows.n_taken - len(first)
        if len(first) >= layout.MIN_ROWS and layout.suits(as_frame(first.slice(0, 0)).dtypes):
            data = layout.encode_groups(chain([first], _groups(rows, n_rows - len(first))))
        else:
            rest = rows.take(n_rows - len(first))
            data = encode(as_frame(first) if rest is None else pl.concat([as_frame(first), as_frame(rest)]))
        yield rows.n_taken - n_before, data


def _groups(rows: RowQueue, n_left: int) -> Iterator[pa.Table]:
    while (group := rows.take(min(layout.ROW_GROUP_ROWS, n_left))) is not None:
        n_left -= len(group)
        yield group


def check_storable(schema: pl.Schema) -> None:
    """Refuse column types that have no Parquet form. Raises ParameterError naming them."""
    bad = [f"{name} ({dtype})" for name, dtype in schema.items() if isinstance(dtype, (pl.Object, pl.Unknown))]
    if bad:
        raise ParameterError("these columns hold Python objects: " + ", ".join(bad), hint="cast them to a plain type first")


@dataclass(frozen=True, slots=True)
class Pieces:
    """A table whose rows come in frames of any size, each once."""

    schema: pl.Schema
    frames: Iterator[pl.DataFrame]

    def collect_schema(self) -> pl.Schema:
        """Return the columns, as a frame does."""
        return self.schema


def cut(frame: pl.DataFrame | pl.LazyFrame | Pieces, n_rows: int) -> Iterator[pl.DataFrame]:
    """Cut rows into frames of `n_rows`, the last one shorter; a lazy frame is computed piece by piece. No rows, no frames."""
    if isinstance(frame, pl.DataFrame):
        yield from (frame.slice(start, n_rows) for start in range(0, frame.height, n_rows))
        return
    waiting: list[pl.DataFrame] = []
    n_waiting = 0
    for batch in frame.frames if isinstance(frame, Pieces) else frame.collect_batches(maintain_order=True, engine="streaming"):
        waiting.append(batch)
        n_waiting += batch.height
        while n_waiting >= n_rows:
            joined = pl.concat(waiting)
            yield joined.head(n_rows)
            waiting, n_waiting = [joined.slice(n_rows)], n_waiting - n_rows
    if n_waiting:
        yield pl.concat(waiting)


def read_schema(path: Path, *, source: str) -> pl.Schema:
    """Read a Parquet file's columns. Raises DataFormatError naming `source` if it is no Parquet file that Polars reads."""
    try:
        return pl.scan_parquet(path, glob=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise DataFormatError(f"{source} is not a readable Parquet file: {cause}", source=source) from cause


def encode_schema(schema: pl.Schema) -> bytes:
    """Write columns as a Parquet file without rows."""
    return encode(pl.DataFrame(schema=schema))


@lru_cache(maxsize=256)
def decode_schema(data: bytes) -> pl.Schema:
    """Read the columns of a Parquet file without rows. Raises DataFormatError if Polars has no type for one of them.

    The same columns give the same object, which is not to be changed: version after version has them.
    """
    try:
        return pl.Schema(pl.read_parquet_schema(io.BytesIO(data)))
    except pl.exceptions.PolarsError as cause:
        raise DataFormatError(f"the columns of this Parquet file cannot be read: {cause}", source="the table") from cause


def count_rows(path: Path) -> int:
    """Count a Parquet file's rows, from its footer."""
    return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())


def scan(parts: Sequence[Part], schema: pl.Schema, blobs: Reader) -> pl.LazyFrame:
    """Read parts lazily, in row order. Neighboring clean parts are one plain Parquet scan."""
    frames: list[pl.LazyFrame] = []
    for is_clean, group in groupby(parts, key=lambda part: part.is_clean):
        if is_clean:
            frames.append(pl.scan_parquet([blobs.path(part.base) for part in group], glob=False))
        else:
            frames += [_scan_edited(part, blobs) for part in group]
    if not frames:
        return pl.LazyFrame(schema=schema)
    frames = [frame.select(exactly(schema.names())) for frame in frames]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical")


def scan_with_dead(part: Part, blobs: Reader) -> pl.LazyFrame:
    """Read all rows of a part, dead ones too, overlays applied. Columns are in no particular order."""
    frame = pl.scan_parquet(blobs.path(part.base), glob=False)
    if not part.overlays:
        return frame
    pieces = [pl.scan_parquet(blobs.path(digest), glob=False).select(exactly(columns)) for digest, columns in _files(part, blobs)]
    return pl.concat(pieces, how="horizontal")


def _files(part: Part, blobs: Reader) -> list[tuple[Digest, list[str]]]:
    """Return the files of a part, each with the columns that are read from it: those that no later overlay hides."""
    hidden: set[str] = set()
    found: list[tuple[Digest, list[str]]] = []
    for overlay in reversed(part.overlays):
        shown = [name for name in overlay.columns if name not in hidden]
        if shown:
            found.append((overlay.data, shown))
        hidden.update(shown)
    own = [name for name in pl.read_parquet_schema(blobs.path(part.base)) if name not in hidden]
    return [(part.base, own), *found] if own else found


def dead_rows(part: Part, blobs: Reader) -> Positions:
    """Return a part's dead rows, ascending."""
    return deletions.decode(blobs.read(part.dead)) if part.dead else deletions.none()


def exactly(names: Sequence[str]) -> pl.Expr:
    """Select columns by name, also those whose names Polars would take for a pattern: `*`, `^a.*$`."""
    return cs.by_name(*names) if names else cs.empty()


def free_name(taken: Sequence[str], wanted: str) -> str:
    """Return a column name that is not taken."""
    while wanted in taken:
        wanted += "_"
    return wanted


def rows_at(part: Part, positions: Positions, schema: pl.Schema, blobs: Reader) -> pl.LazyFrame:
    """Read the rows of a part that stand at some positions of its file, ascending and at least one, dead or not."""
    return _numbered(part, blobs, _at(positions, part.n_rows)).select(exactly(schema.names()))


def overlays_at(part: Part, positions: Positions, blobs: Reader) -> list[pl.DataFrame]:
    """Read what overlays show at some positions, ascending and at least one."""
    shown = [(digest, columns) for digest, columns in _files(part, blobs) if digest != part.base]
    return [_numbered_file(blobs.path(digest), _at(positions, part.n_rows)).select(exactly(columns)).collect() for digest, columns in shown]


def _at(positions: Positions, n_rows: int) -> Callable[[pl.Expr], pl.Expr]:
    first, last = int(positions[0]), int(positions[-1])
    if first < layout.ROW_GROUP_ROWS and last >= n_rows - layout.ROW_GROUP_ROWS:
        return lambda row: row.is_in(_numbers(positions))
    # The range lets the reader skip row groups; membership alone does not.
    return lambda row: row.is_between(first, last) & row.is_in(_numbers(positions))


def _scan_edited(part: Part, blobs: Reader) -> pl.LazyFrame:
    if not part.dead:
        return scan_with_dead(part, blobs)
    dead = _numbers(dead_rows(part, blobs))
    return _numbered(part, blobs, lambda row: ~row.is_in(dead))


def _numbered(part: Part, blobs: Reader, wanted: Callable[[pl.Expr], pl.Expr]) -> pl.LazyFrame:
    """Read the rows whose position is wanted."""
    if not part.overlays:
        return _numbered_file(blobs.path(part.base), wanted)
    # Each file by itself, so that the reader leaves out what it can, and side by side what is left.
    files = [_numbered_file(blobs.path(digest), wanted).select(exactly(columns)) for digest, columns in _files(part, blobs)]
    return pl.concat(files, how="horizontal")


def _numbered_file(path: Path, wanted: Callable[[pl.Expr], pl.Expr]) -> pl.LazyFrame:
    schema = pl.read_parquet_schema(path)
    row = free_name(list(schema), "row")
    # The reader itself numbers the rows, so that this and other predicates skip row groups.
    return pl.scan_parquet(path, glob=False, row_index_name=row).filter(wanted(pl.col(row)) & _always(schema)).drop(row)


def _always(schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return a condition that every row meets, over some column of the file.

    A reader of numbered rows decodes all columns whole and then leaves rows out. Once a condition is over a column of the file, it decodes
    the other columns only where they are wanted: half the CPU for scattered rows, and for all but a few.
    """
    flat = next((exactly([name]) for name, dtype in schema.items() if not dtype.is_nested()), None)
    return pl.lit(value=True) if flat is None else flat.is_null() | flat.is_not_null()


def _numbers(positions: Positions) -> pl.Expr:
    return pl.lit(pl.Series(positions).cast(pl.UInt32).implode())
