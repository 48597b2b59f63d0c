"""Content-addressed bytes in S3, with the store's folder as the cache. Keys are the paths of a local store: `objects/ab/cdef…`, `packs/…`.

What was put is in the bucket before the batch that put it ends; the copy that stays in the folder only saves fetching it again. Puts are
idempotent and never conditional, so any bucket will do that shows what was written to it. S3 cannot make an object young again without
writing it, so an empty object under `kept/` says when another was last needed. `gc` asks for both ages right before it removes an object;
in the milliseconds between, a put by another machine could be lost, which `fsck` names and putting the bytes again mends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from sampan.core.digests import PREFIX, Digest, digest_bytes, is_digest
from sampan.core.times import Millis
from sampan.errors import BlobUnavailable
from sampan.store.blobs import LocalBlobs
from sampan.store.files import Batch, Signature, hash_file, signature, store_errors
from sampan.store.packs import Packs, Place
from sampan.store.places import S3Place
from sampan.store.s3_bucket import Bucket, Found
from sampan.store.s3_cache import CopyFolders
from sampan.store.stat_cache import StatCache

_RENEWED_AFTER_MS = 15 * 60_000  # a quarter of `gc`'s usual grace
_KEPT = "kept/"
_WHOLE_PACK_SHARE = 8  # once an eighth of a pack was asked for, it is fetched whole


class Uploads(Batch):
    """New files that are in the bucket before they stand in the cache. The cache is never flushed: losing a copy loses nothing."""

    _flushes = False

    def __init__(self, root: Path, bucket: Bucket, copies: CopyFolders, known: StatCache) -> None:
        super().__init__(root / "tmp")
        self._root = root
        self._bucket = bucket
        self._copies = copies
        self._known = known

    def _commit(self) -> None:
        staged = [(Path(temporary), Path(target)) for temporary, target in self._staged]
        uploaded = {target: self._bucket.put(target.relative_to(self._root).as_posix(), file) for file, target in staged}
        with store_errors(self._root):
            for temporary, target in staged:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(target)
                self._copies.note_unused(target)
        for target, found in uploaded.items():
            digest = PREFIX + target.parent.name + target.name
            if is_digest(digest) and found.etag:
                _remember(self._known, found, digest)
        self._copies.added(sum(found.size for found in uploaded.values()))


class RemotePacks(Packs):
    """The packs of a bucket. Indexes are kept in the cache, and of packs what was needed."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._modified: dict[str, Millis] = {}
        self._asked: dict[Path, int] = {}

    def modified(self, pack: Path) -> Millis:
        """Return when a pack was last put. Raises FileNotFoundError."""
        found = self._bucket.find(f"packs/{pack.name}")
        if found is None:
            raise FileNotFoundError(pack.name)
        return needed_at(self._bucket, found)

    def keep(self, pack: Path) -> bool:
        """Make a pack young again, if the last listing says that `gc` might take it for old; say whether it is there."""
        key = f"packs/{pack.name}"
        if self._modified.get(pack.name, 0) < _now() - _RENEWED_AFTER_MS:
            found = self._bucket.find(key)
            if found is None:
                return False
            renew(self._bucket, found)
            self._modified[pack.name] = _now()
        return True

    def remove_orphans(self, stored_before: Millis) -> dict[str, int]:
        """Remove pack data without an index from the bucket, if it is old; return the bytes freed."""
        listed = {found.key: found for found in self._bucket.list("packs/")}
        dead = [
            found
            for key, found in listed.items()
            if key.endswith(".pack") and found.modified < stored_before and f"{key.removesuffix('.pack')}.index" not in listed
        ]
        self._bucket.delete([found.key for found in dead])
        return {found.key: found.size for found in dead}

    def _names(self) -> set[str]:
        listed = {Path(found.key).name: found for found in self._bucket.list("packs/")}
        self._modified = {name: found.modified for name, found in listed.items()}
        names = {name for name in listed if name.endswith(".index")}
        for name in names:
            if not (self._folder / name).exists():
                with suppress(BlobUnavailable):
                    _place(self._folder / name, self._bucket.read(f"packs/{name}"))
        for local in super()._names() - names:
            super()._remove(local)
        return names

    def _read_at(self, place: Place) -> bytes:
        with suppress(FileNotFoundError):
            return super()._read_at(place)
        key = f"packs/{place.pack.name}"
        asked = self._asked[place.pack] = self._asked.get(place.pack, 0) + place.size
        found = self._bucket.find(key)
        if found is None:
            raise FileNotFoundError(key)
        if asked * _WHOLE_PACK_SHARE < found.size:
            return self._bucket.part(key, place.offset, place.size)
        data = self._bucket.read(key)
        _place(place.pack, data)
        return data[place.offset : place.offset + place.size]

    def _age_as(self, pack: Path, former: Path) -> None:
        """Leave a rewritten pack young: S3 keeps no age but its own."""

    def _remove(self, name: str) -> None:
        # The index first: data without an index is an orphan, never a wrong answer.
        self._bucket.delete([f"packs/{name}"])
        pack = f"packs/{Path(name).stem}.pack"
        self._bucket.delete([pack, _KEPT + pack])
        super()._remove(name)


class S3Blobs(LocalBlobs):
    """The Blobs port on a bucket. `root` is the cache. Safe for many threads, processes and machines at once."""

    def __init__(self, root: Path, place: S3Place) -> None:
        self.bucket = Bucket(place)
        super().__init__(root)
        self._copies = CopyFolders((root / "objects", root / "packs", root / "cache" / "unpacked"), place.cache_bytes)
        self._known = StatCache(root / "cache" / "bucket.jsonl")
        self._listed: dict[Digest, Found] = {}

    def _open_packs(self, folder: Path) -> Packs:
        return RemotePacks(folder, self.bucket)

    def _new_files(self) -> Batch:
        return Uploads(self.root, self.bucket, self._copies, self._known)

    # -- putting

    def keep(self, digest: Digest) -> bool:
        """Make an object young again, so that no `gc` under way removes it; say whether it is there, and known to be whole."""
        found = self.bucket.find(self._object_key(digest))
        if found is None:
            return self.keep_small(digest)
        if not self._is_known(digest, found):
            return False
        renew(self.bucket, found)
        return True

    def keep_small(self, digest: Digest) -> bool:
        """Look for an object in packs only: asking the bucket costs as much as putting a small object again."""
        place = self.packs.find_loaded(digest)
        return place is not None and self._keep_pack(place.pack)

    def _keep_pack(self, pack: Path) -> bool:
        assert isinstance(self.packs, RemotePacks)
        return self.packs.keep(pack)

    # -- reading

    def open(self, digest: Digest) -> IO[bytes]:
        """Open the local copy, fetched first if need be."""
        return self.path(digest).open("rb")

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, checked against the digest."""
        path = self.object_path(digest)
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            if digest_bytes(data) == digest:
                self._copies.note_use(path)
                return data
        place = self.packs.find_loaded(digest)
        if place is None:
            try:
                return self._fetch(digest).read_bytes()
            except BlobUnavailable:
                place = self.packs.find(digest)
                if place is None:
                    raise self._missing(digest) from None
        data = self.packs.read(digest, place)
        self._compare(digest, digest_bytes(data))
        return data

    def path(self, digest: Digest) -> Path:
        """Return the local copy, fetched first if need be."""
        path = self.object_path(digest)
        with suppress(FileNotFoundError):
            if self._is_whole(digest, path, signature(path)):
                if self._copies.note_use(path):
                    self._mark_checked(digest, signature(path))
                return path
        if self.packs.find_loaded(digest) is None:
            with suppress(BlobUnavailable):
                return self._fetch(digest)
        return self._unpack(digest)

    def has(self, digest: Digest) -> bool:
        """Say whether the bytes are in the bucket."""
        return self.bucket.find(self._object_key(digest)) is not None or self.packs.find(digest) is not None

    def size(self, digest: Digest) -> int:
        """Return the size in bytes. Raises BlobUnavailable if it is not there."""
        return self._where(digest)[0]

    def stored_at(self, digest: Digest) -> Millis:
        """Return when an object was last put. Raises BlobUnavailable if it is not there."""
        return self._where(digest)[1]

    def digests(self) -> Iterator[Digest]:
        """Iterate over everything stored, in no order."""
        self._listed = {}
        kept = {found.key.removeprefix(_KEPT): found.modified for found in self.bucket.list(f"{_KEPT}objects/")}
        for found in self.bucket.list("objects/"):
            digest = PREFIX + found.key.removeprefix("objects/").replace("/", "")
            if is_digest(digest):
                self._listed[digest] = found._replace(modified=max(found.modified, kept.get(found.key, 0)))
                yield digest
        for digest, _ in self.packs.entries():
            yield digest

    def verify(self, digest: Digest) -> None:
        """Fetch and hash what is in the bucket; the local copy does not count."""
        with suppress(BlobUnavailable):
            self._fetch(digest)
            return
        place = self.packs.find(digest)
        if place is None:
            raise self._missing(digest)
        self._compare(digest, digest_bytes(self.bucket.part(f"packs/{place.pack.name}", place.offset, place.size)))

    def head(self, digest: Digest, n_bytes: int) -> bytes:
        """Return the first bytes, unchecked."""
        with suppress(FileNotFoundError), self.object_path(digest).open("rb") as file:
            return file.read(n_bytes)
        if self.packs.find_loaded(digest) is None:
            with suppress(BlobUnavailable):
                found = self.bucket.find(self._object_key(digest))
                if found is not None:
                    return self.bucket.part(found.key, 0, min(n_bytes, found.size))
        return self.read(digest)[:n_bytes]

    # -- removing; only `gc` and erasing call these

    def discard(self, digests: Collection[Digest], *, stored_before: Millis | None = None) -> dict[Digest, int]:
        """Free many objects, or those of them last put before a moment; return the bytes freed for each."""
        freed: dict[Digest, int] = {}
        packed: list[Digest] = []
        for digest in digests:
            found = self.bucket.find(self._object_key(digest))
            if found is None:
                packed.append(digest)
            elif stored_before is None or needed_at(self.bucket, found) < stored_before:
                self.bucket.delete([found.key, _KEPT + found.key])
                freed[digest] = found.size
        freed.update(self.packs.discard(packed, batch=self._new_files, stored_before=stored_before) if packed else {})
        if stored_before is not None and isinstance(self.packs, RemotePacks):
            self.packs.remove_orphans(stored_before)
        for digest in freed:
            self._checked.pop(digest, None)
            self._listed.pop(digest, None)
            self.object_path(digest).unlink(missing_ok=True)
            (self._unpacked / digest[len(PREFIX) :]).unlink(missing_ok=True)
        return freed

    def leftovers(self) -> Iterator[Path]:
        """Iterate over local files no object needs: also copies of what another machine has removed from the bucket."""
        yield from super().leftovers()
        there = {found.key for found in self.bucket.list("objects/")}
        yield from (path for path in sorted(self._objects.glob("*/*")) if path.relative_to(self.root).as_posix() not in there)

    # -- inside

    def _object_key(self, digest: Digest) -> str:
        return self.object_path(digest).relative_to(self.root).as_posix()

    def _where(self, digest: Digest) -> tuple[int, Millis]:
        if listed := self._listed.get(digest):
            return listed.size, listed.modified
        if found := self.bucket.find(self._object_key(digest)):
            return found.size, needed_at(self.bucket, found)
        place = self.packs.find(digest)
        if place is None:
            raise self._missing(digest)
        with suppress(FileNotFoundError):
            return place.size, self.packs.modified(place.pack)
        raise self._missing(digest)

    def _is_known(self, digest: Digest, found: Found) -> bool:
        return self._known.get(*_known_as(found)) == digest

    def _fetch(self, digest: Digest) -> Path:
        """Bring an object into the cache, checked. Raises BlobUnavailable if it is no object of its own, IntegrityError if it changed."""
        target = self.object_path(digest)
        key = self._object_key(digest)
        with Batch(self._temporary) as batch:
            with batch.create() as (temporary, file):
                etag = self.bucket.fetch(key, file)
            actual = hash_file(temporary)
            if actual != digest:
                target.unlink(missing_ok=True)
                self._compare(digest, actual)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
        found = signature(target)
        _remember(self._known, Found(key, found.size, 0, etag), digest)
        self._mark_checked(digest, found)
        self._copies.added(found.size)
        return target

    def _unpack(self, digest: Digest) -> Path:
        path = self._unpacked / digest[len(PREFIX) :]
        if not path.exists() or hash_file(path) != digest:
            data = self.read(digest)
            _place(path, data)
            self._copies.added(len(data))
        self._copies.note_use(path)
        return path


def needed_at(bucket: Bucket, found: Found) -> Millis:
    """Return when an object was last put, or said to be needed."""
    kept = bucket.find(_KEPT + found.key)
    return max(found.modified, kept.modified if kept else 0)


def renew(bucket: Bucket, found: Found) -> None:
    """Say that an object is needed now, if that is not known yet."""
    if found.modified < _now() - _RENEWED_AFTER_MS:
        bucket.put(_KEPT + found.key, b"")


def _now() -> Millis:
    return time.time_ns() // 1_000_000


def _known_as(found: Found) -> tuple[Path, Signature]:
    """Say by what an object of the bucket is known again: writing to it changes its ETag."""
    return Path(found.key) / found.etag.strip('"'), Signature(found.size, 0, 0, 0)


def _remember(known: StatCache, found: Found, digest: Digest) -> None:
    known.remember_ours(*_known_as(found), digest)


def _place(target: Path, data: bytes) -> None:
    """Write a copy that appears whole or not at all; it is not flushed."""
    with store_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}")
        draft.write_bytes(data)
        draft.chmod(0o444)
        draft.replace(target)
