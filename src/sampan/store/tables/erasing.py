"""Erasing a subject's rows for good: from every version that has them, while every version stays.

A deletion vector hides rows; erasing removes their bytes. A row stands in a part's file, and in the overlays and deletion vectors that
versions laid over that file since. Each such file is rewritten once, however many versions share it, and with the same rows taken out of
all that belong together, those already dead as well. Cells in which rows of others name the subject are written without it in the same
way. What has nothing of the subject is left as it is. The old objects are not freed here: the catalog must name the new versions first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import msgspec
import numpy as np
import polars as pl
from polars import selectors as cs

from sampan.core.digests import Digest
from sampan.store.tables import deletions, manifest, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.manifest import Manifest, Overlay, Part
from sampan.store.tables.mentions import Mentions

if TYPE_CHECKING:
    from sampan.store.tables.tables import Tables, Writes

Subject = Mapping[str, Sequence[Any]]  # a row is the subject's if any of these columns has one of the values


class Erased(msgspec.Struct, frozen=True):
    """What erasing came to in one version. The version is the same as before where it had none of the subject's rows."""

    new_version: Digest
    n_rows: int  # living rows that are gone
    n_left: int
    n_cells: int = 0  # cells of others that named the subject, dead ones that its files held included


def erase_rows(tables: Tables, version: Digest, *, key: str, values: Sequence[Any]) -> Erased:
    """Write a version again without the rows whose `key` is one of the values. For several versions at once, see `Erasing`."""
    return Erasing(tables, {key: values}).erase([version])[version]


def is_subject(schema: pl.Schema, subject: Subject) -> pl.Expr | None:
    """Return the condition that marks a subject's rows; None if none of its columns is in the schema.

    Values are compared as the column's own type, so that 000777 is not found in a column of numbers, and 777 is, be they whole numbers or
    (as a table with gaps has them) 777.0. Texts are compared in each way in which Unicode writes the same letters.
    """
    found = [_equals(name, schema[name], [str(value) for value in values]) for name, values in subject.items() if name in schema]
    return pl.any_horizontal(found).fill_null(value=False) if found else None


def _equals(name: str, dtype: pl.DataType, texts: Sequence[str]) -> pl.Expr:
    column = parts.exactly([name])
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return column.cast(pl.String).is_in(_as_written(texts))
    if isinstance(dtype, pl.Binary):
        return column.is_in([text.encode() for text in _as_written(texts)])
    if dtype.is_nested() or isinstance(dtype, pl.Null | pl.Object):
        return pl.lit(value=False)
    if dtype.is_float():
        return column.is_in(pl.Series([float(text) for text in texts if _is_number(text)], dtype=dtype).implode())
    # Compared as text: a number too large for the column is not an error, it is just not there.
    shown = column.cast(pl.String)
    return (shown.str.replace(r"\.?0+$", "") if isinstance(dtype, pl.Decimal) and dtype.scale else shown).is_in(texts)


def _as_written(texts: Iterable[str]) -> list[str]:
    """Return texts with their letters as one character each, and as letter and accents: programs write either."""
    return list(dict.fromkeys(normalize(form, text) for text in texts for form in ("NFC", "NFD")) | dict.fromkeys(texts))


def _is_number(text: str) -> bool:
    """Say whether a text is how a number is written; 007 is how a code is."""
    try:
        number = float(text)
    except ValueError:
        return False
    return isfinite(number) and text in {repr(number), repr(number).removesuffix(".0")}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a part's old file, and the file that has those which stay."""

    start: int
    stop: int
    gone: Positions  # within the old file
    base: Digest
    size_bytes: int

    @property
    def n_rows(self) -> int:
        return self.stop - self.start - len(self.gone)

    def moved(self, positions: Positions) -> Positions:
        """Say where rows of the old file stand in the new one; those that are gone, or in another piece, are left out."""
        here = positions[(positions >= self.start) & (positions < self.stop)]
        here = np.setdiff1d(here, self.gone, assume_unique=True)
        moved: Positions = here - self.start - np.searchsorted(self.gone, here)
        return moved

    def split(self, path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Read the rows of a file that has as many as the old one: those that stay, and those that go."""
        n_rows = self.stop - self.start
        rows = pl.scan_parquet(path, glob=False).slice(self.start, n_rows).collect()
        if not len(self.gone):
            return rows, rows.clear()
        stays = np.ones(n_rows, dtype=bool)
        stays[self.gone - self.start] = False
        return rows.filter(pl.Series(stays)), rows[self.gone - self.start]


class Erasing:
    """One erasure over many versions. What they share is read and written once."""

    def __init__(self, tables: Tables, subject: Subject, mentions: Mentions | None = None) -> None:
        self._tables = tables
        self._blobs = tables.blobs
        self._subject = subject
        self._mentions = mentions
        self._columns: dict[Digest, pl.Schema] = {}
        self._gone: dict[Digest, Positions] = {}  # base -> rows to take out of it
        self._cells: dict[Digest, dict[str, int]] = {}  # file -> by column, the cells that name the subject
        self._pieces: dict[Digest, list[_Piece]] = {}
        self._overlays: dict[tuple[Digest, Digest, int], tuple[Digest, int]] = {}
        self._dead: dict[tuple[Digest, Digest, int], tuple[Digest, int, int]] = {}
        self.removed: dict[str, set[str]] = {}  # by column, the texts in the rows that were taken out

    def find(self, versions: Iterable[Digest]) -> dict[Digest, int]:
        """Count the subject's rows of each version, dead ones that its files still hold included; only versions that have any."""
        listed = {version: self._tables.parts(version) for version in versions}
        self._look(part for found in listed.values() for part in found)
        counts = {version: sum(len(self._gone[part.base]) for part in found) for version, found in listed.items()}
        return {version: n for version, n in counts.items() if n}

    def mentioned(self, versions: Iterable[Digest]) -> dict[Digest, dict[str, int]]:
        """Count the cells that name the subject in the files of each version, by column; only versions that have any."""
        listed = {version: self._tables.parts(version) for version in versions}
        self._look(part for found in listed.values() for part in found)
        counts = {version: self._cells_of(found) for version, found in listed.items()}
        return {version: dict(cells) for version, cells in counts.items() if cells}

    def texts(self, version: Digest) -> dict[str, set[str]]:
        """Return the texts in the subject's living rows of a version, by column."""
        condition = is_subject(self._tables.schema(version), self._subject)
        if condition is None:
            return {}
        found = self._tables.scan(version).filter(condition).select(cs.string()).collect(engine="streaming")
        return {column.name: set(column.drop_nulls().to_list()) for column in found.iter_columns()}

    def erase(self, versions: Iterable[Digest]) -> dict[Digest, Erased]:
        """Write versions again without the subject's rows; everything written becomes durable together.

        Raises
        ------
        IntegrityError, BlobUnavailable : a version cannot be read; nothing was written.
        """
        manifests = {version: manifest.decode(self._blobs.read(version), version) for version in dict.fromkeys(versions)}
        listed = {version: manifest.all_parts(found, self._blobs.read) for version, found in manifests.items()}
        self._look(part for found in listed.values() for part in found)
        with self._blobs.batch() as batch:
            return {version: self._erase(version, found, listed[version], batch) for version, found in manifests.items()}

    # -- looking

    def _look(self, found: Iterable[Part]) -> None:
        """Find which rows go, file by file: a row goes if its file or any overlay that a version laid over it says so."""
        over: dict[Digest, dict[Digest, None]] = {}
        for part in found:
            over.setdefault(part.base, {}).update(dict.fromkeys(overlay.data for overlay in part.overlays))
        for base, overlays in over.items():
            rows = [self._positions(digest) for digest in (base, *overlays)]
            known = self._gone.get(base, deletions.none())
            self._gone[base] = np.unique(np.concatenate([known, *rows]))
            for digest in (base, *overlays):
                if self._mentions and digest not in self._cells:
                    self._cells[digest] = self._mentions.count(pl.scan_parquet(self._blobs.path(digest), glob=False))

    def _cells_of(self, found: Iterable[Part]) -> Counter[str]:
        counts = Counter[str]()
        for digest in {digest for part in found for digest in _files_of(part)}:
            counts.update(self._cells.get(digest, {}))
        return counts

    def _positions(self, digest: Digest) -> Positions:
        path = self._blobs.path(digest)
        if digest not in self._columns:
            self._columns[digest] = parts.read_schema(path, source=digest)
        schema = self._columns[digest]
        condition = is_subject(schema, self._subject)
        if condition is None:
            return deletions.none()
        row = parts.free_name(schema.names(), "row")
        found = pl.scan_parquet(path, glob=False, row_index_name=row).filter(condition).select(pl.col(row).cast(pl.Int64))
        return found.collect(engine="streaming")[row].to_numpy()

    # -- writing

    def _erase(self, version: Digest, before: Manifest, listed: Sequence[Part], batch: Writes) -> Erased:
        n_rows = 0
        after: list[Part] = []
        for part in listed:
            gone = self._gone[part.base]
            n_rows += len(np.setdiff1d(gone, parts.dead_rows(part, self._blobs), assume_unique=True))
            after += self._rewritten(part, batch) if len(gone) or self._cells_of([part]) else [part]
        if list(listed) == after:
            return Erased(version, 0, before.n_rows)
        made = manifest.build(before.schema, after, batch.put_small)
        return Erased(batch.put(manifest.encode(made)), n_rows, made.n_rows, self._cells_of(listed).total())

    def _rewritten(self, part: Part, batch: Writes) -> list[Part]:
        dead = parts.dead_rows(part, self._blobs)
        found = []
        for number, piece in enumerate(self._pieces_of(part, batch)):
            vector, n_dead, dead_bytes = self._dead_of(part, number, piece, dead, batch)
            if piece.n_rows > n_dead:
                overlays = tuple(self._overlay_of(part, number, piece, overlay, batch) for overlay in part.overlays)
                found.append(Part(piece.base, piece.n_rows, piece.size_bytes, vector, n_dead, dead_bytes, overlays))
        return found

    def _pieces_of(self, part: Part, batch: Writes) -> list[_Piece]:
        """Write a part's file without the rows that go, a file of more rows than a part should have in pieces."""
        if part.base not in self._pieces:
            path = self._blobs.path(part.base)
            step = parts.part_rows(len(self._columns[part.base]))
            pieces = []
            for start in range(0, part.n_rows, step):
                stop = min(start + step, part.n_rows)
                gone = self._gone[part.base]
                gone = gone[(gone >= start) & (gone < stop)]
                data = self._written(_Piece(start, stop, gone, "", 0), path)
                pieces.append(_Piece(start, stop, gone, batch.put(data), len(data)))
            self._pieces[part.base] = pieces
        return self._pieces[part.base]

    def _written(self, piece: _Piece, path: Path) -> bytes:
        left, gone = piece.split(path)
        for column in gone.select(cs.string()).iter_columns():
            self.removed.setdefault(column.name, set()).update(column.drop_nulls().unique().to_list())
        return parts.encode(self._mentions.without(left) if self._mentions else left)

    def _overlay_of(self, part: Part, number: int, piece: _Piece, overlay: Overlay, batch: Writes) -> Overlay:
        key = (overlay.data, part.base, number)
        if key not in self._overlays:
            data = self._written(piece, self._blobs.path(overlay.data))
            self._overlays[key] = batch.put(data), len(data)
        digest, size = self._overlays[key]
        return Overlay(digest, overlay.columns, size)

    def _dead_of(self, part: Part, number: int, piece: _Piece, dead: Positions, batch: Writes) -> tuple[Digest, int, int]:
        key = (part.dead, part.base, number)
        if key not in self._dead:
            moved = piece.moved(dead)
            data = deletions.encode(moved) if len(moved) else b""
            self._dead[key] = (batch.put_small(data) if data else ""), len(moved), len(data)
        return self._dead[key]


def _files_of(part: Part) -> tuple[Digest, ...]:
    return part.base, *(overlay.data for overlay in part.overlays)
