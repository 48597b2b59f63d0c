"""Prediction logs: append-only Arrow streams in segment files, one writer each.

    segments/<stream>/0000000012.open     being written; its writer holds a lock on it
    segments/<stream>/0000000011.arrows   sealed: flushed to the disk, never written again
    segments/<stream>/ranges              how far the integers of sealed segments reach, see `segment_ranges.py`
    segments/<stream>/erased              rows that readers leave out, see `segment_erasing.py`

A reader takes every whole batch of every segment, also of those being written, and stops at a torn tail. What `flush` returned from
survives kill -9; what `seal` returned from survives a power failure. Segments of a stream are numbered in the order they were begun.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sampan.errors import ParameterError, UsageError
from sampan.store.files import locked, store_errors, sync_folder
from sampan.store.segment_files import OPEN, SEALED, Segment, segments_in
from sampan.store.segment_ranges import Ranges, note, widen
from sampan.store.segment_ranges import noted as noted_ranges
from sampan.table.arrow_blocks import END_OF_STREAM, Block, Schema

if TYPE_CHECKING:
    import pyarrow as pa

_LOCK = "lock"
_MAX_BUFFERED_BYTES = 8 << 20


class SegmentWriter:
    """Appends record batches to a segment of its own. Not for several threads at once.

    After a failed write the segment ends with the last batch that was written whole, and the writer may be used again.
    """

    def __init__(self, path: Path, schema: Schema, file: int) -> None:
        self.schema = schema
        self._path = path
        self._file = file
        self._end = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._n_batches = 0
        self._ranges: Ranges = {}
        self._append(schema.message())

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seal()

    def write(self, rows: Block) -> int:
        """Append rows; readers see them after the next `flush`. Return how many bytes they take.

        Raises
        ------
        ParameterError : the columns are not the stream's, or hold what their type cannot.
        StoreUnavailable : the disk refuses; what was written since the last flush is dropped.
        """
        if rows.schema != self.schema:
            raise ParameterError(f"rows with columns {rows.schema} for a log of {self.schema}")
        self._check_open()
        data = rows.message()
        widen(self._ranges, rows.integers())
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _MAX_BUFFERED_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand everything written so far to the operating system: readers see it, and kill -9 no longer loses it.

        Raises
        ------
        StoreUnavailable : the disk refuses; what was written since the last flush is dropped.
        """
        self._check_open()
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._append(b"".join(waiting))
            self._n_batches += len(waiting)

    def sync(self) -> None:
        """Flush to the disk: what was written so far survives a power failure. Raises StoreUnavailable."""
        self.flush()
        with store_errors(self._path):
            os.fsync(self._file)

    def seal(self) -> None:
        """Flush to the disk and give the segment its lasting name; an empty one vanishes. Sealing again does nothing."""
        if self._file < 0:
            return
        try:
            self.flush()
            if self._n_batches:
                self._append(END_OF_STREAM)
                _finish(self._path, self._file)
                note(self._path.parent, int(self._path.stem), self._ranges)
            else:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._file)
            self._file = -1

    def _append(self, data: bytes) -> None:
        with store_errors(self._path):
            try:
                _write_whole(self._file, data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, self._end)
                raise
        self._end += len(data)

    def _check_open(self) -> None:
        if self._file < 0:
            raise UsageError(f"the segment {self._path.name} is sealed", hint="open another writer")


class Segments:
    """The logs of a store, by stream name."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "segments"

    def writer(self, stream: str, schema: Schema) -> SegmentWriter:
        """Begin a new segment of a stream."""
        folder = self._of(stream)
        with store_errors(folder), locked(folder / _LOCK, exclusive=True):
            number = max((found.number for found in segments_in(folder)), default=0) + 1
            # The lock is held before the segment has its name: a reader never takes a living writer for dead.
            draft = folder / f"{os.getpid()}.draft"
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            path = folder / f"{number:010d}{OPEN}"
            draft.rename(path)
        try:
            return SegmentWriter(path, schema, file)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise

    def read(self, stream: str, *, after: str = "") -> tuple[pa.Table, str]:
        """Return the rows written since a cursor ("" = all), and the new cursor. Every row comes exactly once.

        Rows of a segment are in the order written. Columns that only some segments have are null in the others. Without new rows
        the table is empty, and has the newest segment's columns if there is one.
        """
        import pyarrow as pa

        from sampan.store.segment_reading import read_segment, together

        cursor = _Cursor.parse(after)
        offsets: dict[int, int] = {}
        finished: set[int] = set()
        tables: list[pa.Table] = []
        newest: pa.Schema | None = None
        for found in segments_in(self._of(stream)):
            if found.number <= cursor.through:
                continue
            piece = read_segment(found, cursor.offsets.get(found.number, 0))
            newest = piece.schema or newest
            tables += [pa.Table.from_batches(piece.batches)] if piece.batches else []
            offsets[found.number] = piece.end
            if piece.is_finished:
                finished.add(found.number)
        if tables:
            return together(tables), str(cursor.advance(offsets, finished))
        return newest.empty_table() if newest else pa.table({}), str(cursor.advance(offsets, finished))

    def read_range(self, stream: str, column: str, low: int, high: int) -> pa.Table:
        """Return the rows with `low` <= column < `high`, reading only segments that can hold such rows; without any, an empty table."""
        import pyarrow as pa

        from sampan.store.segment_reading import read_segment, together, within

        wanted = set(self.covering(stream, column, low, high))
        tables = []
        for found in segments_in(self._of(stream)):
            if found.number in wanted:
                batches = [part for batch in read_segment(found, 0).batches if (part := within(batch, column, low, high)).num_rows]
                tables += [pa.Table.from_batches(batches)] if batches else []
        return together(tables) if tables else pa.table({})

    def read_newest(self, stream: str, n_rows: int) -> pa.Table:
        """Return at least the newest rows, as many as asked for if there are so many, whole segments of them, in the order written."""
        import pyarrow as pa

        from sampan.store.segment_reading import read_segment, together

        tables: list[pa.Table] = []
        for found in reversed(segments_in(self._of(stream))):
            batches = [batch for batch in read_segment(found, 0).batches if batch.num_rows]
            tables[:0] = [pa.Table.from_batches(batches)] if batches else []
            if sum(table.num_rows for table in tables) >= n_rows:
                break
        return together(tables) if tables else pa.table({})

    def expired(self, stream: str, column: str, before: int) -> list[tuple[int, Path]]:
        """Return the sealed segments, by number, of which every row has a column < `before`."""
        ranges = noted_ranges(self._of(stream), column)
        return [
            (number, path)
            for number, path in self.files(stream)
            if path.suffix == SEALED and number in ranges and ranges[number][1] < before
        ]

    def covering(self, stream: str, column: str, low: int, high: int) -> list[int]:
        """Return the numbers of the segments that can hold rows with `low` <= column < `high`: those being written always can."""
        folder = self._of(stream)
        ranges = noted_ranges(folder, column)
        found = []
        for segment in segments_in(folder):
            known = ranges.get(segment.number) if segment.path.suffix == SEALED else None
            if known is None or (known[0] < high and known[1] >= low):
                found.append(segment.number)
        return found

    def streams(self) -> list[str]:
        """Return the names of all streams."""
        with suppress(FileNotFoundError):
            return sorted(unquote(path.name) for path in self._folder.iterdir() if path.is_dir())
        return []

    def files(self, stream: str) -> list[tuple[int, Path]]:
        """Return a stream's segments, by number."""
        return [(found.number, found.path) for found in segments_in(self._of(stream))]

    def seal_abandoned(self) -> int:
        """Seal the segments whose writers died, without their torn tails; return how many. Only `gc` calls this."""
        n_sealed = 0
        for stream in self.streams():
            for found in segments_in(self._of(stream)):
                if found.path.suffix == OPEN and _seal_if_abandoned(found):
                    n_sealed += 1
        return n_sealed

    def _of(self, stream: str) -> Path:
        if not stream:
            raise ParameterError("a log needs a name")
        name = quote(stream, safe="")
        # A name made of dots is not quoted and would leave the folder.
        return self._folder / (name.replace(".", "%2E") if not name.strip(".") else name)


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a reader is: all segments up to a number, and for later ones the bytes read. As text: `12 14:4096 15:260`."""

    through: int
    offsets: dict[int, int]

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        try:
            through, *rest = text.split() or ["0"]
            pairs = (entry.split(":") for entry in rest)
            return cls(int(through), {int(number): int(offset) for number, offset in pairs})
        except ValueError as cause:
            raise ParameterError(f"{text!r} is no cursor of a log", hint="use the one that the last read returned, or none") from cause

    def advance(self, offsets: dict[int, int], finished: set[int]) -> _Cursor:
        through = self.through
        for number in sorted(offsets):
            if number not in finished:
                break
            through = number
        return _Cursor(through, {number: offset for number, offset in sorted(offsets.items()) if number > through})

    def __str__(self) -> str:
        rest = [f"{number}:{offset}" for number, offset in self.offsets.items()]
        return " ".join([str(self.through), *rest]) if rest or self.through else ""


def _seal_if_abandoned(found: Segment) -> bool:
    from sampan.store.segment_reading import integers, read_segment

    with store_errors(found.path):
        try:
            file = os.open(found.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            piece = read_segment(found, 0)
            if piece.batches:
                os.ftruncate(file, piece.end)
                _write_whole(file, END_OF_STREAM)
                _finish(found.path, file)
                ranges: Ranges = {}
                for batch in piece.batches:
                    widen(ranges, integers(batch))
                note(found.path.parent, found.number, ranges)
            else:
                found.path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
    return True


def _finish(path: Path, file: int) -> None:
    with store_errors(path):
        os.fsync(file)
        path.rename(path.with_suffix(SEALED))
        sync_folder(path.parent)


def _write_whole(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
