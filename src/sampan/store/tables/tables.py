"""Tables: every change makes a new version and writes only what changed; every version stays readable.

A version is the digest of its manifest (`manifest.py`), a manifest lists parts (`parts.py`). Nothing here knows names or histories:
which version is the newest of a dataset is the catalog's affair. What needs Polars or NumPy is imported when asked for: adopting a file,
naming objects and reading manifests do without, and Polars takes longer to import than such a command takes in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sampan.core.digests import Digest
from sampan.core.times import Millis
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, Unsupported
from sampan.ports import Blobs
from sampan.store.files import is_regular
from sampan.store.tables import manifest, plain
from sampan.store.tables.footers import read_footer
from sampan.store.tables.manifest import Manifest, Part
from sampan.store.tables.plain import Columns
from sampan.store.tables.versions import RowCounts, TableDiff, TableVersion

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables.cached import CachedTables
    from sampan.store.tables.changes import RowChanges
    from sampan.store.tables.delta import Publication
    from sampan.store.tables.diff import Side
    from sampan.store.tables.parts import Pieces

    Frame: TypeAlias = pl.DataFrame | pl.LazyFrame


# Beyond these, reading a version takes noticeably longer than reading its compacted self (benchmarks/edit_versions.py).
_DEAD_SHARE = 0.1
_MOST_OVERLAYS = 4
_MOST_SMALL, _SMALL_BYTES = 64, 8 << 20


class Writes(Protocol):
    """Puts that become durable together."""

    def put(self, data: bytes) -> Digest:
        """Store bytes as an object of their own."""
        ...

    def put_small(self, data: bytes) -> Digest:
        """Store bytes that may share a file with others."""
        ...


class TableBlobs(Blobs, Protocol):
    """What tables ask of a blob store beyond the port: batches, and taking a file in without copying it."""

    def batch(self) -> AbstractContextManager[Writes]:
        """Open a batch of puts."""
        ...

    def adopt_file(self, path: Path, *, link: str = "copy") -> tuple[Digest, int]:
        """Take a file into the store."""
        ...

    def head(self, digest: Digest, n_bytes: int) -> bytes:
        """Return the first bytes, unchecked."""
        ...


class Tables:
    """Versioned tables over a blob store."""

    def __init__(self, blobs: TableBlobs, *, cache: Path | None = None) -> None:
        self.blobs = blobs
        self._cache = cache  # where versions stand that are to be mapped instead of read; see `cached.py`

    # -- making versions

    def create(self, frame: Frame | Pieces) -> TableVersion:
        """Store a table. The same rows and columns always give the same version; a lazy frame is never in memory as a whole.

        Raises
        ------
        ParameterError : a column's type cannot be stored.
        """
        from sampan.store.tables import parts

        schema = frame.collect_schema()
        parts.check_storable(schema)
        with self.blobs.batch() as batch:
            written = self._write_parts(batch, frame, parts.part_rows(len(schema)))
            columns = parts.encode_schema(schema)
            return self._commit(batch, manifest.build(batch.put(columns), written, batch.put_small), columns)

    def create_plain(self, columns: Columns) -> TableVersion:
        """Store a table of texts and whole numbers, none missing and at least one row, without importing what other tables need."""
        with self.blobs.batch() as batch:
            written = plain.write_parts(columns, batch.put)
            described = plain.encode_no_rows(columns)
            return self._commit(batch, manifest.build(batch.put(described), written, batch.put_small), described)

    def replace_plain(self, base: Digest, dead: Mapping[int, Sequence[int]], columns: Columns) -> TableVersion:
        """Leave rows out and add others at the end, as cheaply as `create_plain`.

        Parameters
        ----------
        dead : by part, the rows of its file that are left out
        columns : the rows to add, if any
        """
        before = self._manifest(base)
        with self.blobs.batch() as batch:
            left = [plain.without(part, dead.get(at, ()), self.blobs.read, batch.put_small) for at, part in enumerate(self._parts(before))]
            kept = [part for part in left if part.n_live]
            after = manifest.build(before.schema, [*kept, *plain.write_parts(columns, batch.put)], batch.put_small)
            return self._commit(batch, after, self.blobs.read(before.schema))

    def adopt(self, path: Path, *, link: str = "copy") -> TableVersion:
        """Take an existing Parquet file as a table, its bytes unchanged. See `LocalBlobs.adopt_file` for `link` and errors.

        Raises
        ------
        DataFormatError : it is no Parquet file.
        """
        if is_regular(path):
            read_footer(path, source=str(path))
        base, size = self.blobs.adopt_file(path, link=link)
        footer = read_footer(self.blobs.path(base), source=str(path))
        with self.blobs.batch() as batch:
            columns = footer.without_rows()
            found = manifest.build(batch.put(columns), [Part(base, footer.n_rows, size)], batch.put_small)
            return self._commit(batch, found, columns)

    def append(self, base: Digest, frame: Frame) -> TableVersion:
        """Add rows at the end; only they are written. Columns may come in any order.

        Raises
        ------
        ParameterError : columns are missing, unknown or of another type; all are named.
        """
        from sampan.store.tables import parts
        from sampan.store.tables.conforming import conform

        before, described, schema = self._opened(base)
        added = conform(frame, schema)
        with self.blobs.batch() as batch:
            new = self._write_parts(batch, added, parts.part_rows(len(schema)))
            after = manifest.extend(before, new, self.blobs.read, batch.put_small)
            return self._commit(batch, after, described)

    def extend(self, base: Digest, other: Digest) -> TableVersion:
        """Add the rows of another version at the end. None is written: both share the parts.

        Raises
        ------
        ParameterError : the other's columns are not the same, in the same order.
        """
        before, described, schema = self._opened(base)
        if self._schema(other) != schema:
            raise ParameterError("the columns of the two versions differ", hint="bring one to the columns of the other first")
        with self.blobs.batch() as batch:
            after = manifest.extend(before, self.parts(other), self.blobs.read, batch.put_small)
            return self._commit(batch, after, described)

    def delete(self, base: Digest, rows: pl.Expr | Sequence[int]) -> TableVersion:
        """Leave rows out of a new version, writing only which ones.

        Parameters
        ----------
        rows : a Boolean expression over the table's columns (null keeps the row), or row numbers, in any order.

        Raises
        ------
        ParameterError : a row number is not in the table, or the expression cannot be computed.
        """
        from sampan.store.tables import edits

        before, described, _schema = self._opened(base)
        numbers = edits.numbers_of(rows, self.scan(base), before.n_rows)
        with self.blobs.batch() as batch:
            left = edits.without_rows(self._parts(before), numbers, self.blobs, batch.put_small)
            return self._commit(batch, manifest.build(before.schema, left, batch.put_small), described)

    def overlay(self, base: Digest, columns: pl.DataFrame) -> TableVersion:
        """Add or replace columns, row for row; only these columns are written.

        Parameters
        ----------
        columns : as many rows as the table, in its order. New columns come last.

        Raises
        ------
        ParameterError : the number of rows differs.
        """
        import polars as pl

        from sampan.store.tables import edits, parts

        before, _described, schema = self._opened(base)
        parts.check_storable(columns.schema)
        if columns.height != before.n_rows:
            raise ParameterError(
                f"{columns.height} rows of new columns for a table of {before.n_rows} rows",
                hint="give one value for each row, in the table's order (join on the key first)",
            )
        after = pl.Schema({**schema, **columns.schema})
        with self.blobs.batch() as batch:
            laid = edits.with_columns(self._parts(before), columns, self.blobs, batch.put)
            columns_after = parts.encode_schema(after)
            return self._commit(batch, manifest.build(batch.put(columns_after), laid, batch.put_small), columns_after)

    def join(self, base: Digest, columns: pl.DataFrame, *, key: Sequence[str]) -> TableVersion:
        """Add or replace columns by key; only these columns are written. Rows without a partner keep what they have, or get null.

        Raises
        ------
        ParameterError : the key is not made of columns of both, has other types, or several rows of `columns` have the same key.
        """
        from sampan.store.tables import edits

        schema = self._schema(base)
        edits.check_key(key, schema)
        columns = edits.fit_keys(columns, key, schema)
        return self.overlay(base, edits.columns_by_key(self.scan(base), columns, key))

    def upsert(self, base: Digest, frame: pl.DataFrame, *, key: Sequence[str]) -> TableVersion:
        """Replace the rows that have the same key, add the others. Replaced and added rows stand at the end.

        Raises
        ------
        ParameterError : the columns differ, the key is no column, or several rows have the same key.
        """
        from sampan.store.tables import edits, parts
        from sampan.store.tables.conforming import conform

        before, described, schema = self._opened(base)
        edits.check_key(key, schema)
        added = conform(frame, schema).lazy().collect()
        edits.check_unique(added, key, "the new rows")
        replaced = edits.rows_with_keys(self.scan(base), added.select(parts.exactly(key)), key)
        with self.blobs.batch() as batch:
            left = edits.without_rows(self._parts(before), replaced, self.blobs, batch.put_small)
            new = self._write_parts(batch, added, parts.part_rows(len(schema)))
            return self._commit(batch, manifest.build(before.schema, [*left, *new], batch.put_small), described)

    def compact(self, base: Digest) -> TableVersion:
        """Rewrite parts that have dead rows or overlays, join small neighbors, cut large files. The rows and their order stay the same."""
        from sampan.store.tables import edits, parts

        before, described, schema = self._opened(base)
        n_rows = parts.part_rows(len(schema))
        with self.blobs.batch() as batch:
            after: list[Part] = []
            for group, is_worth_it in edits.groups_to_compact(self._parts(before), n_rows):
                if is_worth_it:
                    rows = parts.scan(group, schema, self.blobs)
                    after += self._write_parts(batch, rows, n_rows)
                else:
                    after += group
            return self._commit(batch, manifest.build(before.schema, after, batch.put_small), described)

    # -- reading

    def scan(self, version: Digest) -> pl.LazyFrame:
        """Read a version lazily. Raises BlobUnavailable or IntegrityError, naming the part, before any row is read."""
        from sampan.store.tables import parts

        if (cached := self._cached(version)) and (frame := cached.read(version)) is not None:
            return frame.lazy()
        listed = self.parts(version)
        with _naming_parts(version, listed):
            return parts.scan(listed, self._schema(version), self.blobs)

    def rows_with(self, version: Digest, keys: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that have one of the keys, in the table's order. Of the others only the key is read.

        Raises
        ------
        ParameterError : a column of `keys` is no column of the table, or has another type there.
        """
        from sampan.store.tables import taking

        schema = self._schema(version)
        taking.check_keys(keys, schema)
        if cached := self._cached(version):
            frame = cached.read(version)
            found = None if frame is None else cached.take(version, taking.numbers_with(frame.lazy(), keys))
            if found is not None:
                return found
        listed = self.parts(version)
        with _naming_parts(version, listed):
            return taking.rows_with(listed, schema, keys, self.blobs)

    def take(self, version: Digest, numbers: Sequence[int]) -> pl.DataFrame:
        """Return rows by number, in the order asked for; a number may come again. Fast on a cached version.

        Raises
        ------
        ParameterError : a number is not in the table.
        """
        from sampan.store.tables import edits, taking

        found = self._manifest(version)
        ascending = edits.check_numbers(numbers, found.n_rows)
        rows = cached.take(version, ascending) if (cached := self._cached(version)) else None
        if rows is None:
            listed = self._parts(found)
            with _naming_parts(version, listed):
                rows = taking.take(listed, ascending, self._schema(version), self.blobs)
        return taking.in_order(rows, ascending, numbers)

    def cache(self, version: Digest) -> int:
        """Keep a version as a file that is mapped into memory, for those who read it often; return its size in bytes.

        Raises
        ------
        Unsupported : there is no folder for it.
        """
        if self._cache is None:
            raise Unsupported("these tables have no folder to cache versions in", hint="Tables(blobs, cache=FOLDER)")
        from sampan.store.tables.cached import CachedTables

        return CachedTables(self._cache).make(version, self.scan(version))

    def forget(self, versions: Sequence[Digest] | None = None) -> int:
        """Remove what `cache` made, of all or of some versions; return the bytes freed."""
        if self._cache is None or not self._cache.exists():
            return 0
        from sampan.store.tables.cached import CachedTables

        return CachedTables(self._cache).remove(versions)

    def read(self, version: Digest) -> pl.DataFrame:
        """Read a version whole."""
        return self.scan(version).collect(engine="streaming")

    def info(self, version: Digest) -> TableVersion:
        """Say what a version is, from its manifest alone."""
        found = self._manifest(version)
        return _describe(version, found, self.blobs.read(found.schema))

    def schema(self, version: Digest) -> pl.Schema:
        """Return a version's columns with their exact types."""
        return self._schema(version)

    def diff(self, before: Digest, after: Digest, *, key: Sequence[str]) -> TableDiff:
        """Say which rows and columns differ. What both versions share is never read beyond its key.

        Raises
        ------
        ParameterError : the key is no column of both, changed its type, or several rows of a version have the same key.
        """
        from sampan.store.tables import diff

        old, new = self._side(before), self._side(after)
        with _naming_parts(before, old.parts), _naming_parts(after, new.parts):
            return diff.compare(old, new, key=key, blobs=self.blobs)

    def count_rows(self, before: Digest, after: Digest, *, key: Sequence[str]) -> RowCounts:
        """Count the rows that a version adds, removes and changes. Of most columns nothing is read. Raises as `diff`."""
        from sampan.store.tables import diff

        old, new = self._side(before), self._side(after)
        with _naming_parts(before, old.parts), _naming_parts(after, new.parts):
            return diff.count_rows(old, new, key=key, blobs=self.blobs)

    def touched_keys(self, before: Digest, after: Digest, *, key: Sequence[str]) -> pl.DataFrame:
        """Return the keys of the rows that a version adds, removes or changes, each once; several rows may share one.

        Raises
        ------
        ParameterError : the key is no column of both, or changed its type.
        """
        from sampan.store.tables import diff

        old, new = self._side(before), self._side(after)
        with _naming_parts(before, old.parts), _naming_parts(after, new.parts):
            return diff.touched_keys(old, new, key=key, blobs=self.blobs)

    def row_changes(self, before: Digest, after: Digest, columns: Sequence[str], *, most_rows: int) -> RowChanges | None:
        """Return the rows by which versions differ in some columns; None where a column was retyped, or over `most_rows` may differ."""
        from sampan.store.tables.changes import row_changes

        old, new = self._side(before), self._side(after)
        with _naming_parts(before, old.parts), _naming_parts(after, new.parts):
            return row_changes(old, new, columns, self.blobs, most_rows=most_rows)

    def has_same_rows(self, one: Digest, other: Digest) -> bool:
        """Say whether two versions surely have the same rows in the same order, whatever columns were laid over them since."""
        return [(part.base, part.dead) for part in self.parts(one)] == [(part.base, part.dead) for part in self.parts(other)]

    def columns_written(self, before: Digest, after: Digest, names: Sequence[str]) -> list[str]:
        """Return which of these columns were added, taken away, retyped, or laid anew over rows that both versions have."""
        from sampan.store.tables import diff

        return diff.columns_written(self._side(before), self._side(after), names)

    def publish(self, version: Digest, folder: Path, *, ref: str, now: Millis) -> Publication:
        """Make a version the newest of a Delta table that other programs read. See `delta.publish` for errors."""
        from sampan.store.tables import delta

        listed = self.parts(version)
        with _naming_parts(version, listed):
            return delta.publish(folder, delta.Source(version, listed, self._schema(version), self.blobs), ref=ref, now=now)

    def objects(self, version: Digest) -> Iterator[Digest]:
        """Iterate over everything a version needs, itself included."""
        yield from self.outline(version)
        for part in self.parts(version):
            yield from part.objects()

    def outline(self, version: Digest) -> list[Digest]:
        """Return the objects that say which parts there are: the manifest, the columns, the lists of parts."""
        found = self._manifest(version)
        return [version, found.schema, *(entry.digest for entry in found.lists)]

    def parts(self, version: Digest) -> list[Part]:
        """Return the parts of a version, in row order."""
        return self._parts(self._manifest(version))

    def is_worn(self, version: Digest) -> bool:
        """Say whether edits left a version in such pieces that `compact` pays: many dead rows, overlays upon overlays, many small parts."""
        listed = self.parts(version)
        worn = any(part.n_dead > _DEAD_SHARE * part.n_rows or len(part.overlays) > _MOST_OVERLAYS for part in listed)
        return worn or sum(part.size_bytes < _SMALL_BYTES for part in listed) > _MOST_SMALL

    def is_version(self, digest: Digest) -> bool:
        """Say whether an object is a table version. False if it is not there."""
        try:
            return self.blobs.head(digest, len(manifest.MAGIC)) == manifest.MAGIC
        except BlobUnavailable:
            return False

    def check(self, version: Digest) -> None:
        """Compare a version's numbers with its parts. Raises IntegrityError naming the part in which they differ."""
        from sampan.store.tables import parts

        found = self._manifest(version)
        listed = self._parts(found)
        for number, part in enumerate(listed):
            counted = parts.count_rows(self.blobs.path(part.base)), len(parts.dead_rows(part, self.blobs))
            if counted != (part.n_rows, part.n_dead):
                raise IntegrityError(
                    f"part {number} of table {version} has {counted[0]} rows, {counted[1]} of them dead",
                    expected=f"{part.n_rows} rows, {part.n_dead} of them dead",
                    actual=f"{counted[0]} rows, {counted[1]} of them dead",
                )
        if sum(part.n_live for part in listed) != found.n_rows:
            raise IntegrityError(f"the parts of table {version} do not have {found.n_rows} rows in all")
        self.scan(version).collect_schema()

    # -- inside

    def _manifest(self, version: Digest) -> Manifest:
        return manifest.decode(self.blobs.read(version), version)

    def _parts(self, found: Manifest) -> list[Part]:
        return manifest.all_parts(found, self.blobs.read)

    def _cached(self, version: Digest) -> CachedTables | None:
        """Return the cache if a version may be in it; without importing what reads it, if there is nothing."""
        if self._cache is None or not (self._cache / f"{version.partition(':')[2]}.arrow").exists():
            return None
        from sampan.store.tables.cached import CachedTables

        return CachedTables(self._cache)

    def _side(self, version: Digest) -> Side:
        from sampan.store.tables.diff import Side

        found = self._manifest(version)
        return Side(version, self._parts(found), self._schema(version))

    def _schema(self, version: Digest) -> pl.Schema:
        from sampan.store.tables import parts

        return parts.decode_schema(self.blobs.read(self._manifest(version).schema))

    def _opened(self, version: Digest) -> tuple[Manifest, bytes, pl.Schema]:
        """Read what an edit begins with: the manifest, and the columns as they are stored and as Polars knows them."""
        from sampan.store.tables import parts

        found = self._manifest(version)
        described = self.blobs.read(found.schema)
        return found, described, parts.decode_schema(described)

    def _write_parts(self, batch: Writes, frame: Frame | Pieces, n_rows: int) -> list[Part]:
        from sampan.store.tables import parts

        return [Part(batch.put(data), n, len(data)) for n, data in parts.encode_parts(frame, n_rows)]

    def _commit(self, batch: Writes, found: Manifest, columns: bytes) -> TableVersion:
        return _describe(batch.put(manifest.encode(found)), found, columns)


@contextmanager
def _naming_parts(version: Digest, listed: Sequence[Part]) -> Iterator[None]:
    """Say of a damaged object which part of which table it belongs to."""
    try:
        yield
    except IntegrityError as error:
        for number, part in enumerate(listed):
            if error.expected in part.objects():
                message = f"part {number} of table {version} is damaged: {error.message}"
                raise IntegrityError(message, expected=error.expected, actual=error.actual, hint=error.hint) from error
        raise


def _describe(version: Digest, found: Manifest, columns: bytes) -> TableVersion:
    return TableVersion(version, found.n_rows, found.n_parts, found.size_bytes, columns)
