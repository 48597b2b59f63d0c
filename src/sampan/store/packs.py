"""Packs: many small objects in one file of at most 64 MiB, so that 20,000 small files cost four inodes and four flushes.

`packs/<name>.pack` is the objects' bytes one after the other. `packs/<name>.index` says where each is:

    b"SPNPACK1" · number of entries (u64) · entries sorted by digest: digest (32 bytes), offset (u64), size (u64) · BLAKE3 of all before

The pack gets its name before its index does: data without an index is an orphan that `gc` removes, never a wrong answer.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sampan.core.digests import PREFIX, Digest
from sampan.core.times import Millis
from sampan.errors import BlobUnavailable, IntegrityError
from sampan.store.files import Batch

MAX_OBJECT_BYTES = 1 << 20
MAX_PACK_BYTES = 64 << 20
_MAGIC = b"SPNPACK1"
_HEAD = struct.Struct("<8sQ")
_ENTRY = struct.Struct("<32sQQ")
_CHECK_BYTES = 32
_LOOKUP = 16  # entries that are listed while one is looked up
_BUFFER_BYTES = 1 << 20  # small objects reach the disk a hundred at a time: half the cost of one at a time


class Place(NamedTuple):
    """Where an object's bytes stand."""

    pack: Path
    offset: int
    size: int


class PackIndex:
    """One index file in memory, searched by bisection."""

    def __init__(self, pack: Path, data: bytes) -> None:
        self.pack = pack
        self._data = data
        (self._n,) = struct.unpack_from("<Q", data, 8)
        self._keys = _Keys(data, self._n)

    @classmethod
    def load(cls, path: Path) -> PackIndex:
        """Read and check an index file. Raises IntegrityError if its bytes are not what was written."""
        data = path.read_bytes()
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(data) < _HEAD.size + _CHECK_BYTES or body[:8] != _MAGIC or _blake3(body) != check:
            raise IntegrityError(
                f"the pack index {path} is damaged",
                expected=check.hex(),
                actual=_blake3(body).hex(),
                hint="restore it from a copy of the store; `sampan fsck` names what needs it",
            )
        return cls(path.with_suffix(".pack"), data)

    def find(self, key: bytes) -> Place | None:
        """Return where the object with this raw digest stands."""
        position = bisect_left(self._keys, key)
        if position == self._n or self._keys[position] != key:
            return None
        _, offset, size = _ENTRY.unpack_from(self._data, _HEAD.size + position * _ENTRY.size)
        return Place(self.pack, offset, size)

    def among(self, keys: AbstractSet[bytes]) -> set[bytes]:
        """Return those of some raw digests that are in this pack; few are looked up, for many all are listed."""
        if len(keys) * _LOOKUP < self._n:
            return {key for key in keys if self.find(key)}
        return set(keys).intersection(map(self._keys.__getitem__, range(self._n)))

    def __iter__(self) -> Iterator[tuple[Digest, Place]]:
        for key, offset, size in _ENTRY.iter_unpack(memoryview(self._data)[_HEAD.size : -_CHECK_BYTES]):
            yield PREFIX + key.hex(), Place(self.pack, offset, size)


class Packs:
    """Every pack of a store. Indexes are loaded when first needed and again when new ones appear."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, PackIndex] = {}
        self._damaged: dict[str, IntegrityError] = {}
        self._lock = threading.Lock()

    def find(self, digest: Digest) -> Place | None:
        """Return where an object stands, or None. Raises IntegrityError if a damaged index may have known."""
        place = self.find_loaded(digest)
        if place is None and self.refresh():
            place = self.find_loaded(digest)
        if place is None and self._damaged:
            raise next(iter(self._damaged.values()))
        return place

    def find_loaded(self, digest: Digest) -> Place | None:
        """Look only into what is in memory; for callers that just refreshed."""
        key = bytes.fromhex(digest[len(PREFIX) :])
        for index in tuple(self._loaded.values()):
            if place := index.find(key):
                return place
        return None

    def has(self, name: str) -> bool:
        """Say whether a pack of this name was there when this was last refreshed."""
        return f"{name}.index" in self._loaded

    def path(self, name: str) -> Path:
        """Return where the pack of this name stands."""
        return self._folder / f"{name}.pack"

    def holding(self, digests: Iterable[Digest]) -> Iterator[tuple[Path, set[Digest]]]:
        """Iterate over the packs in memory that have some of these objects, with those they have."""
        wanted = {bytes.fromhex(digest[len(PREFIX) :]): digest for digest in digests}
        for index in tuple(self._loaded.values()):
            if found := index.among(wanted.keys()):
                yield index.pack, {wanted[key] for key in found}

    def refresh(self) -> bool:
        """Take notice of packs that appeared or vanished; say whether any did."""
        with self._lock:
            names = self._names()
            known = self._loaded.keys() | self._damaged.keys()
            if names == known:
                return False
            loaded = {name: index for name, index in self._loaded.items() if name in names}
            self._damaged = {name: error for name, error in self._damaged.items() if name in names}
            for name in names - known:
                self._load(name, loaded)
            self._loaded = loaded
            return True

    def _names(self) -> set[str]:
        try:
            return {name for name in os.listdir(self._folder) if name.endswith(".index")}  # noqa: PTH208  # at each put
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _load(self, name: str, loaded: dict[str, PackIndex]) -> None:
        try:
            loaded[name] = PackIndex.load(self._folder / name)
        except FileNotFoundError:
            import logging  # costs every command 3 ms, and is needed when something failed

            logging.getLogger(__name__).debug("pack index %s vanished while it was being read", name)
        except IntegrityError as error:
            self._damaged[name] = error

    def read(self, digest: Digest, place: Place) -> bytes:
        """Return an object's bytes, unchecked."""
        try:
            return self._read_at(place)
        except FileNotFoundError as cause:
            # A rewritten pack has a new name; look again before giving up.
            if self.refresh() and (again := self.find_loaded(digest)) and again.pack != place.pack:
                return self.read(digest, again)
            raise BlobUnavailable(f"{digest} is in the pack {place.pack.name}, which is not there", hint="sampan fsck") from cause

    def _read_at(self, place: Place) -> bytes:
        with place.pack.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.size)

    def modified(self, pack: Path) -> Millis:
        """Return when a pack was last put, or made young again. Raises FileNotFoundError."""
        return pack.stat().st_mtime_ns // 1_000_000

    def entries(self) -> Iterator[tuple[Digest, Place]]:
        """Iterate over everything in packs."""
        self.refresh()
        for index in tuple(self._loaded.values()):
            yield from index

    def damaged(self) -> list[IntegrityError]:
        """Return what is wrong with index files, one error each."""
        self.refresh()
        return list(self._damaged.values())

    def write(self, items: Sequence[tuple[Digest, bytes]], batch: Batch) -> Path:
        """Stage one pack with its index; return where the pack will stand."""
        entries, offset = [], 0
        with batch.create(buffer_bytes=_BUFFER_BYTES) as (temporary, file):
            for digest, data in items:
                file.write(data)
                entries.append((bytes.fromhex(digest[len(PREFIX) :]), offset, len(data)))
                offset += len(data)
        index = _index_bytes(entries)
        pack = self._folder / f"{index[-_CHECK_BYTES:].hex()[:32]}.pack"
        batch.place(temporary, pack)
        batch.write(index, pack.with_suffix(".index"))
        return pack

    def discard(self, digests: Collection[Digest], *, batch: Callable[[], Batch], stored_before: Millis | None = None) -> dict[Digest, int]:
        """Rewrite each pack without some objects, or those last put before a moment; return the bytes freed for each object.

        A pack's age stays what it was, where the place that keeps it can say so.
        """
        dead, freed = set(digests), {}
        self.refresh()
        for name, index in tuple(self._loaded.items()):
            gone = [(digest, place) for digest, place in index if digest in dead]
            if not gone or not self._is_old(index.pack, stored_before):
                continue
            self._rewrite(index, dead, batch)
            self._remove(name)
            freed.update({digest: place.size for digest, place in gone})
        self.refresh()
        return freed

    def _is_old(self, pack: Path, stored_before: Millis | None) -> bool:
        with suppress(FileNotFoundError):
            return stored_before is None or self.modified(pack) < stored_before
        return False

    def _rewrite(self, index: PackIndex, dead: Collection[Digest], batch: Callable[[], Batch]) -> None:
        live = [(digest, self.read(digest, place)) for digest, place in index if digest not in dead]
        if not live:
            return
        with batch() as files:
            pack = self.write(live, files)
        self._age_as(pack, index.pack)

    def _age_as(self, pack: Path, former: Path) -> None:
        age = former.stat().st_mtime_ns
        os.utime(pack, ns=(age, age))

    def _remove(self, name: str) -> None:
        index = self._folder / name
        index.unlink(missing_ok=True)
        index.with_suffix(".pack").unlink(missing_ok=True)

    def orphans(self) -> Iterator[Path]:
        """Iterate over pack data without an index: what a crash between the two leaves."""
        with suppress(FileNotFoundError):
            for path in sorted(self._folder.iterdir()):
                if path.suffix == ".pack" and not path.with_suffix(".index").exists():
                    yield path


class _Keys(Sequence[bytes]):
    """The digests of an index as a sorted sequence, read in place."""

    def __init__(self, data: bytes, n: int) -> None:
        self._data = data
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, position: int) -> bytes:  # type: ignore[override]  # bisection never slices
        start = _HEAD.size + position * _ENTRY.size
        return self._data[start : start + 32]


def _index_bytes(entries: Iterable[tuple[bytes, int, int]]) -> bytes:
    ordered = sorted(entries)
    body = _HEAD.pack(_MAGIC, len(ordered)) + b"".join(_ENTRY.pack(*entry) for entry in ordered)
    return body + _blake3(body)


def _blake3(data: bytes) -> bytes:
    from blake3 import blake3

    return bytes(blake3(data).digest())
