"""A folder of files as a table: one row a file, with its path, the digest of its content in the store, media type and size.

What was known of the newest version's rows is kept among the hints, so that adding the folder again costs its listing and the rows that
changed. Nothing here imports Polars: it would take longer than a folder of which one file changed.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import PREFIX, Digest
from sampan.errors import BlobUnavailable, DataFormatError, IntegrityError
from sampan.store.folder_files import HEAD_BYTES, FolderFiles, adopt_folder
from sampan.store.folder_state import DIGEST_BYTES, count, differing, one_by_one, remembered
from sampan.store.tables.plain import MAX_PART_ROWS
from sampan.table.file_types import sniff_type

if TYPE_CHECKING:
    from sampan.store.tables import TableVersion
    from sampan.store.tables.manifest import Part
    from sampan.store.tables.plain import Columns
    from sampan.workspace.workspace import Workspace

COLUMNS = {"path": "String", "folder": "String", "file": "String", "type": "String", "size_bytes": "Int64"}
KEY = ["path"]
_LISTED = 256  # digests in a list of contents, about
_DEAD_SHARE, _MOST_PARTS = 0.1, 64  # beyond these a version is written anew


class _Rows(msgspec.Struct, frozen=True):
    """The rows of a version, in the order in which the system listed the files."""

    table: Digest
    contents: Digest
    names: bytes  # the paths, see `in_one`
    digests: bytes  # 32 a file
    types: tuple[str, ...]
    type_of: bytes  # u32 a file, into `types`
    part_of: bytes  # u32 a file: in which part its row is
    row_of: bytes  # u32 a file: where in the part's file

    def is_whole(self) -> bool:
        """Say whether all columns are of one length."""
        n = count(self.names)
        return len(self.digests) == DIGEST_BYTES * n and len(self.type_of) == len(self.part_of) == len(self.row_of) == 4 * n


class FileTable:
    """A folder on its way to become a version of a dataset."""

    def __init__(self, ws: Workspace, folder: Path, name: str) -> None:
        self._ws, self._folder = ws, folder
        self._remembered = remembered(ws.store.root)
        self._name = f"rows of {name} from {folder.absolute()}"

    def take(self) -> FolderFiles:
        """Take the files into the store. What begins with a point is left out, what has not changed is not opened.

        Raises
        ------
        DataFormatError : there are none.
        """
        with self._ws.progress.stage(f"storing {self._folder.name}", unit="files") as stage:
            files = adopt_folder(self._ws.store.blobs, self._folder, done=stage.advance)
        if not files:
            hint = "name a folder with files, or one file"
            raise DataFormatError(f"the folder {self._folder} holds no file", source=str(self._folder), hint=hint)
        return files

    def columns(self, files: FolderFiles) -> Columns:
        """Return the files as columns, by path."""
        return _columns(files, files.by_path(), self._types(files, None))

    def version(self, files: FolderFiles, newest: Digest | None) -> tuple[TableVersion, Digest]:
        """Store the table, or the rows in which it differs from the newest version; return it and the list of its contents."""
        tables = self._ws.store.tables
        before = self._rows_of(newest)
        edit = _compare(before, files) if before is not None else None
        if before is not None and edit is not None and edit.is_nothing:
            return tables.info(before.table), before.contents
        types = self._types(files, before)
        if before is not None and edit is not None and edit.pays(tables.parts(before.table), len(files)):
            added = sorted(edit.added, key=files.paths.__getitem__)
            version = tables.replace_plain(before.table, edit.gone, _columns(files, added, types))
            edit.renumber(tables.parts(before.table), added)
            return version, self._remember(files, types, version.digest, edit.places, before)
        order = files.by_path()
        version = tables.create_plain(_columns(files, order, types))
        places = _Places(array("I", bytes(4 * len(files))), array("I", bytes(4 * len(files))))
        for row, at in enumerate(order):
            places.parts[at], places.rows[at] = divmod(row, MAX_PART_ROWS)
        return version, self._remember(files, types, version.digest, places, before)

    def _rows_of(self, newest: Digest | None) -> _Rows | None:
        """Return what is known of the newest version's rows, if it was this folder's."""
        found = self._remembered.get(self._name, _Rows)
        return found if found is not None and found.table == newest else None

    def _types(self, files: FolderFiles, before: _Rows | None) -> _Types:
        """Return each file's media type; of contents that were looked at before it is known."""
        types = _Types(list(before.types), array("I", before.type_of)) if before is not None else _Types([], array("I"))
        if before is not None and before.names == files.names:
            for at in differing(before.digests, files.digests, DIGEST_BYTES):
                types.of[at] = types.number(self._type(files, at))
            return types
        known = dict(zip(_each(before.digests), types.of, strict=True)) if before is not None else {}
        digests = _each(files.digests)
        for at, digest in enumerate(digests):
            if digest not in known:
                known[digest] = types.number(self._type(files, at))
        return types._replace(of=array("I", [known[digest] for digest in digests]))

    def _type(self, files: FolderFiles, at: int) -> str:
        head = files.heads.get(at)
        return sniff_type(self._ws.store.blobs.head(files.digest(at), HEAD_BYTES) if head is None else head)

    def _remember(self, files: FolderFiles, types: _Types, table: Digest, places: _Places, before: _Rows | None) -> Digest:
        """Keep what is known of a version's rows; return the list of its contents."""
        contents = self._put_contents(files.digests, before)
        rows = _Rows(
            table=table,
            contents=contents,
            names=files.names,
            digests=files.digests,
            types=tuple(types.names),
            type_of=types.of.tobytes(),
            part_of=places.parts.tobytes(),
            row_of=places.rows.tobytes(),
        )
        self._remembered.put(self._name, rows)
        return contents

    def _put_contents(self, digests: bytes, before: _Rows | None) -> Digest:
        """Store which contents the version needs: lists by the first bits of their digests, so that a change writes few of them anew."""
        n = len(digests) // DIGEST_BYTES
        bits = min(8, max(0, (n // _LISTED).bit_length()))
        lists: list[Digest | None] = [None] * (1 << bits)
        if before is not None and len(old := self._lists(before.contents)) == len(lists):
            touched = {first >> (8 - bits) for first in _first_bytes_of_differing(before.digests, digests)}
            lists = [None if number in touched else one for number, one in enumerate(old)]
        held: dict[int, set[Digest]] = {number: set() for number, known in enumerate(lists) if known is None}
        firsts = digests[::DIGEST_BYTES]
        for number, some in held.items():
            for first in range(number << (8 - bits), (number + 1) << (8 - bits)):
                some.update(_text(digests, at) for at in _places_of(first, firsts))
        with self._ws.store.blobs.batch() as batch:
            for number, some in held.items():
                lists[number] = batch.put_small(msgspec.json.encode(sorted(some)))
            return batch.put_small(msgspec.json.encode(lists))

    def _lists(self, contents: Digest) -> list[Digest]:
        with suppress(BlobUnavailable, IntegrityError, msgspec.DecodeError):
            return read_json(self._ws.store.blobs.read(contents), list[Digest])
        return []


class _Types(NamedTuple):
    """Each file's media type."""

    names: list[str]
    of: array[int]  # of each file, into `names`

    def number(self, name: str) -> int:
        """Return the number of a type, a new one where it is new."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class _Places(NamedTuple):
    """Where each file's row is."""

    parts: array[int]
    rows: array[int]


class _Edit(NamedTuple):
    """What makes a version's rows those of a folder."""

    added: list[int]  # places of files whose rows are new
    gone: dict[int, list[int]]  # by part, the rows of its file that are left out
    places: _Places

    @property
    def is_nothing(self) -> bool:
        """Whether the version already has these rows."""
        return not self.added and not self.gone

    def pays(self, parts: Sequence[Part], n_files: int) -> bool:
        """Say whether the version stays one that reads fast: few dead rows, few small parts."""
        n_dead = sum(part.n_dead for part in parts) + sum(map(len, self.gone.values()))
        return n_dead <= _DEAD_SHARE * n_files and len(parts) < _MOST_PARTS

    def renumber(self, parts: Sequence[Part], added: Sequence[int]) -> None:
        """Say where the rows are once the parts without a row have fallen away and the added ones stand at the end."""
        n_kept, number_of = 0, array("I")
        for number, part in enumerate(parts):
            number_of.append(n_kept)
            n_kept += part.n_live > len(self.gone.get(number, ()))
        if n_kept < len(parts):
            self.places.parts[:] = array("I", [number_of[number] for number in self.places.parts])
        for row, at in enumerate(added):
            self.places.parts[at], self.places.rows[at] = n_kept + row // MAX_PART_ROWS, row % MAX_PART_ROWS


def _compare(before: _Rows, files: FolderFiles) -> _Edit:
    """Return what a folder adds to a version's rows and takes away from them."""
    parts, rows = array("I", before.part_of), array("I", before.row_of)
    gone: dict[int, list[int]] = {}
    if before.names == files.names:
        added = list(differing(before.digests, files.digests, DIGEST_BYTES))
        for at in added:
            gone.setdefault(parts[at], []).append(rows[at])
        return _Edit(added, gone, _Places(parts, rows))
    added, kept = [], set[int]()
    place_of = {path: at for at, path in enumerate(one_by_one(before.names))}
    found = _Places(array("I", bytes(4 * len(files))), array("I", bytes(4 * len(files))))
    for at, path in enumerate(files.paths):
        old = place_of.get(path, -1)
        if old >= 0 and _raw(before.digests, old) == _raw(files.digests, at):
            found.parts[at], found.rows[at] = parts[old], rows[old]
            kept.add(old)
        else:
            added.append(at)
    for old in range(count(before.names)):
        if old not in kept:
            gone.setdefault(parts[old], []).append(rows[old])
    return _Edit(added, gone, found)


def _columns(files: FolderFiles, order: Sequence[int], types: _Types) -> Columns:
    paths = _as_text([files.paths[at] for at in order])
    return {
        "path": paths,
        "folder": [path.rpartition("/")[0] or "." for path in paths],
        "file": [files.digest(at) for at in order],
        "type": [types.names[types.of[at]] for at in order],
        "size_bytes": [files.size(at) for at in order],
    }


def _as_text(paths: list[str]) -> list[str]:
    r"""Return paths as a table can hold them: a byte that is not UTF-8 is written as \xe9."""
    try:
        "".join(paths).encode()
    except UnicodeEncodeError:
        return [os.fsencode(path).decode("utf-8", "backslashreplace") for path in paths]
    return paths


def _places_of(byte: int, column: bytes) -> Iterator[int]:
    at = column.find(byte)
    while at >= 0:
        yield at
        at = column.find(byte, at + 1)


def _first_bytes_of_differing(old: bytes, new: bytes) -> set[int]:
    if len(old) == len(new):
        places = list(differing(old, new, DIGEST_BYTES))
        return {one[at * DIGEST_BYTES] for one in (old, new) for at in places}
    return {digest[0] for digest in set(_each(old)) ^ set(_each(new))}


def _each(digests: bytes) -> list[bytes]:
    return [digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)]


def _raw(digests: bytes, at: int) -> bytes:
    return digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]


def _text(digests: bytes, at: int) -> Digest:
    return PREFIX + _raw(digests, at).hex()
