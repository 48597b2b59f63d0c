"""Content-addressed bytes on a local disk.

    objects/ab/cdef…   one object each, read-only; the name is its BLAKE3 digest
    packs/             small objects together, see `packs.py`
    tmp/               what is being written; `gc` removes what crashes leave
    cache/             signatures of files already hashed, and packed objects that someone needed as a file

A put that returned has been flushed to the disk. Everything handed out was hashed since its file last changed.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from sampan.core.digests import PREFIX, Digest, digest_bytes, is_digest
from sampan.core.times import Millis
from sampan.errors import BlobUnavailable, IntegrityError, NotFound, ParameterError, StaleState, Unsupported
from sampan.store.files import (
    PIPELINED_BYTES,
    Batch,
    Signature,
    flush_in_background,
    hash_file,
    is_regular,
    locked,
    signature,
    store_errors,
)
from sampan.store.packs import MAX_OBJECT_BYTES, MAX_PACK_BYTES, Packs
from sampan.store.stat_cache import StatCache

_MIN_PACKED = 8


class BlobBatch:
    """Puts that become durable and visible together, when the batch that made them is left without an error."""

    def __init__(self, blobs: LocalBlobs, files: Batch) -> None:
        self._blobs = blobs
        self._files = files
        self._seen: set[Digest] = set()
        self._small: list[tuple[Digest, bytes]] = []
        self._small_bytes = 0
        self.large: list[Digest] = []  # new ones that would take time to hash again

    def put(self, data: bytes) -> Digest:
        """Store bytes as an object of their own."""
        digest = digest_bytes(data)
        if self._is_new(digest, self._blobs.keep):
            self._files.write(data, self._blobs.object_place(digest))
            self.large += [digest] if len(data) >= MAX_OBJECT_BYTES else []
        return digest

    def put_small(self, data: bytes) -> Digest:
        """Store bytes that may share a pack with others."""
        if len(data) >= MAX_OBJECT_BYTES:
            return self.put(data)
        digest = digest_bytes(data)
        if self._is_new(digest, self._blobs.keep_small):
            if self._small_bytes + len(data) > MAX_PACK_BYTES:
                self._write_pack()
            self._small.append((digest, data))
            self._small_bytes += len(data)
        return digest

    def finish(self) -> None:
        """Stage what still waits for a pack. A handful of objects is not worth one."""
        if len(self._small) >= _MIN_PACKED:
            self._write_pack()
        for digest, data in self._small:
            self._files.write(data, self._blobs.object_place(digest))
        self._small.clear()

    def _is_new(self, digest: Digest, keep: Callable[[Digest], bool]) -> bool:
        if digest in self._seen or keep(digest):
            return False
        self._seen.add(digest)
        return True

    def _write_pack(self) -> None:
        self._blobs.packs.write(self._small, self._files)
        self._small.clear()
        self._small_bytes = 0


class LocalBlobs:
    """The Blobs port on a folder. Safe for many threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packs = self._open_packs(root / "packs")
        self._objects = root / "objects"
        self._temporary = root / "tmp"
        self._unpacked = root / "cache" / "unpacked"
        self._lock_file = root / "tmp" / "objects.lock"
        self._stats = StatCache(root / "cache" / "files.jsonl")
        self._checked: dict[Digest, Signature] = {}
        self._checked_lock = threading.Lock()

    # -- putting

    def put(self, data: bytes) -> Digest:
        """Store bytes; storing them again changes nothing."""
        with self.batch() as batch:
            return batch.put(data)

    def put_many(self, items: Iterable[bytes]) -> list[Digest]:
        """Store many at once, small ones (< 1 MiB) together in packs; one flush for all."""
        with self.batch() as batch:
            return [batch.put_small(data) for data in items]

    @contextmanager
    def batch(self) -> Iterator[BlobBatch]:
        """Open a batch of puts that become durable and visible together."""
        self.packs.refresh()
        with self._new_files() as files:
            batch = BlobBatch(self, files)
            yield batch
            batch.finish()
        for digest in batch.large:
            with suppress(FileNotFoundError):
                self._mark_checked(digest, signature(self.object_path(digest)))

    def _open_packs(self, folder: Path) -> Packs:
        return Packs(folder)

    def _new_files(self) -> Batch:
        return Batch(self._temporary)

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a copy of a file; return its digest and size in bytes."""
        return self.adopt_file(path)

    def adopt_file(self, path: Path, *, link: str = "copy") -> tuple[Digest, int]:
        """Take a file into the store; return its digest and size in bytes. A file that did not change costs one `stat`.

        Parameters
        ----------
        path : a plain file.
        link : `copy`; `reflink` shares the blocks where the file system can; `hardlink` shares the file itself, which becomes
            read-only, and must not be written again.

        Raises
        ------
        NotFound, ParameterError : there is no such file, or it is no plain file.
        Unsupported : the file system cannot link so.
        StaleState : the file was written to meanwhile.
        """
        path = path.absolute()
        before = self._source_signature(path)
        known = self._stats.get(path, before)
        if known is not None and self.keep(known):
            return known, before.size
        with self._new_files() as batch:
            if link == "copy" and before.size >= PIPELINED_BYTES:
                temporary, digest = batch.copy_and_digest(path)
            else:
                temporary = self._linked(batch, path, link)
                flushing = flush_in_background(temporary)
                digest = hash_file(temporary)
                flushing.join()
            after = signature(path)
            if (after.size, after.mtime_ns, after.inode) != (before.size, before.mtime_ns, before.inode):
                raise StaleState(f"{path} was written to while it was being read", hint="run it again once the file is complete")
            if not self.keep(digest):
                batch.place(temporary, self.object_path(digest))
        self._stats.remember(path, signature(path), digest)
        with suppress(FileNotFoundError):
            self._mark_checked(digest, signature(self.object_path(digest)))
        return digest, before.size

    def _source_signature(self, path: Path) -> Signature:
        if not path.exists():
            raise NotFound(f"no file {path}")
        if not is_regular(path):
            raise ParameterError(f"{path} is not a file", hint="name a plain file")
        return signature(path)

    def _linked(self, batch: Batch, path: Path, link: str) -> Path:
        if link == "copy":
            return batch.copy(path)
        if link not in ("hardlink", "reflink"):
            raise ParameterError(f"link={link!r}", hint="use copy, hardlink or reflink")
        try:
            return batch.hardlink(path) if link == "hardlink" else batch.reflink(path)
        except OSError as cause:
            reason = cause.strerror or str(cause)
            raise Unsupported(f"cannot {link} {path} into the store at {self.root}: {reason}", hint="use link='copy'") from cause

    def keep(self, digest: Digest) -> bool:
        """Make an object young again, so that no `gc` under way removes it; say whether it is there, and whole."""
        # Most objects are new or in a pack: for these no path is made, which would cost more than looking.
        if not os.access(self.object_place(digest), os.F_OK):
            place = self.packs.find_loaded(digest)
            return place is not None and self._keep_pack(place.pack)
        path = self.object_path(digest)
        try:
            found = signature(path)
        except FileNotFoundError:
            return False
        # What was damaged is not there: a put then replaces it.
        if not self._is_whole(digest, path, found) or not self._touch(path):
            return False
        with suppress(FileNotFoundError):
            self._mark_checked(digest, signature(path))
        return True

    def keep_small(self, digest: Digest) -> bool:
        """Keep what may lie in a pack."""
        return self.keep(digest)

    def keep_many(self, digests: Collection[Digest]) -> set[Digest]:
        """Keep many objects, each pack once; return those that are there, and whole."""
        kept: set[Digest] = set()
        for pack, held in self.packs.holding(digests):
            if not held <= kept and self._keep_pack(pack):
                kept |= held
        return kept | {digest for digest in set(digests) - kept if self.keep(digest)}

    def keep_pack(self, name: str) -> bool:
        """Keep all objects of a pack; say whether it is there."""
        return self.packs.has(name) and self._keep_pack(self.packs.path(name))

    def _keep_pack(self, pack: Path) -> bool:
        return self._touch(pack)

    def _touch(self, path: Path) -> bool:
        with store_errors(self.root), locked(self._lock_file, exclusive=False):
            try:
                os.utime(path)
            except (FileNotFoundError, PermissionError):
                return False  # vanished, or another user's file: written anew, which replaces it
            return True

    # -- reading

    def open(self, digest: Digest) -> IO[bytes]:
        """Open for reading. Raises BlobUnavailable if it is not there, IntegrityError if its bytes changed."""
        if self._is_object(digest):
            return self._checked_path(digest).open("rb")
        return io.BytesIO(self.read(digest))

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, checked against the digest. Raises IntegrityError naming the digest if they differ."""
        try:
            with open(self.object_place(digest), "rb", buffering=0) as file:  # noqa: PTH123  # as text: see `object_place`
                data = file.readall()
        except FileNotFoundError:
            return self._read_packed(digest)
        self._compare(digest, digest_bytes(data))
        return data

    def _read_packed(self, digest: Digest) -> bytes:
        place = self.packs.find(digest)
        if place is None:
            raise self._missing(digest) from None
        data = self.packs.read(digest, place)
        self._compare(digest, digest_bytes(data))
        return data

    def path(self, digest: Digest) -> Path:
        """Return a local read-only file with these bytes; a packed object is unpacked into the cache."""
        if self._is_object(digest):
            return self._checked_path(digest)
        path = self._unpacked / digest[len(PREFIX) :]
        if not path.exists() or hash_file(path) != digest:
            with Batch(self._temporary) as batch:
                batch.write(self.read(digest), path)
        return path

    def has(self, digest: Digest) -> bool:
        """Say whether the bytes are there."""
        return self._is_object(digest) or self.packs.find(digest) is not None

    def size(self, digest: Digest) -> int:
        """Return the size in bytes. Raises BlobUnavailable if it is not there."""
        try:
            return self.object_path(digest).stat().st_size
        except FileNotFoundError:
            place = self.packs.find(digest)
            if place is None:
                raise self._missing(digest) from None
            return place.size

    def digests(self) -> Iterator[Digest]:
        """Iterate over everything stored, in no order."""
        with suppress(FileNotFoundError):
            for folder in self._objects.iterdir():
                for file in folder.iterdir():
                    digest = PREFIX + folder.name + file.name
                    if is_digest(digest):
                        yield digest
        for digest, _ in self.packs.entries():
            yield digest

    def verify(self, digest: Digest) -> None:
        """Re-read and re-hash. Raises IntegrityError or BlobUnavailable."""
        if self._is_object(digest):
            self._compare(digest, hash_file(self.object_path(digest)))
        else:
            self.read(digest)

    def head(self, digest: Digest, n_bytes: int) -> bytes:
        """Return the first bytes, unchecked: enough to see what kind of object it is."""
        try:
            with open(self.object_place(digest), "rb", buffering=0) as file:  # noqa: PTH123  # as text: see `object_place`
                return file.read(n_bytes)
        except FileNotFoundError:
            return self._read_packed(digest)[:n_bytes]

    # -- removing; only `gc` calls these

    def stored_at(self, digest: Digest) -> Millis:
        """Return when an object was last put. Raises BlobUnavailable if it is not there."""
        try:
            return os.stat(self.object_place(digest)).st_mtime_ns // 1_000_000  # noqa: PTH116  # as text: see `object_place`
        except FileNotFoundError:
            place = self.packs.find(digest)
            if place is None:
                raise self._missing(digest) from None
            return self.packs.modified(place.pack)

    def delete(self, digest: Digest) -> int:
        """Free the bytes; return how many were freed, 0 if it was not there."""
        return sum(self.discard([digest]).values())

    def discard(self, digests: Collection[Digest], *, stored_before: Millis | None = None) -> dict[Digest, int]:
        """Free many objects, or those of them last put before a moment; return the bytes freed for each."""

        def is_old(path: Path) -> bool:
            try:
                return stored_before is None or path.stat().st_mtime_ns // 1_000_000 < stored_before
            except FileNotFoundError:
                return False

        freed: dict[Digest, int] = {}
        with ExitStack() as stack:
            stack.enter_context(store_errors(self.root))
            # Exclusive: between asking for an object's age and removing it, nobody may make it young again.
            stack.enter_context(locked(self._lock_file, exclusive=True))
            for digest in digests:
                freed.update(self._unlink(digest, is_old))
            packed = [digest for digest in digests if digest not in freed and not self._is_object(digest)]
            freed.update(self.packs.discard(packed, batch=self._new_files, stored_before=stored_before) if packed else {})
        for digest in freed:
            self._checked.pop(digest, None)
            (self._unpacked / digest[len(PREFIX) :]).unlink(missing_ok=True)
        return freed

    def leftovers(self) -> Iterator[Path]:
        """Iterate over files no object needs: temporary ones, pack data without an index, unpacked copies."""
        for folder in (self._temporary, self._unpacked):
            with suppress(FileNotFoundError):
                yield from (path for path in sorted(folder.iterdir()) if path != self._lock_file)
        yield from self.packs.orphans()

    def _unlink(self, digest: Digest, is_old: Callable[[Path], bool]) -> dict[Digest, int]:
        path = self.object_path(digest)
        if not path.exists() or not is_old(path):
            return {}
        size = path.stat().st_size
        path.unlink(missing_ok=True)
        return {digest: size}

    # -- what is known to be whole

    def object_path(self, digest: Digest) -> Path:
        """Return where an object of its own stands or would stand."""
        return Path(self.object_place(digest))

    def object_place(self, digest: Digest) -> str:
        """Return the same as a text, which costs a tenth."""
        if not is_digest(digest):
            raise ParameterError(f"{digest!r} is not a digest", hint="a digest is b3: and 64 hex digits")
        return f"{self._objects}/{digest[3:5]}/{digest[5:]}"

    def _is_object(self, digest: Digest) -> bool:
        return os.access(self.object_place(digest), os.F_OK)

    def _checked_path(self, digest: Digest) -> Path:
        """Return the object's file, re-hashed if anything touched it since it was last known to be whole."""
        path = self.object_path(digest)
        try:
            found = signature(path)
        except FileNotFoundError:
            raise self._missing(digest) from None
        if not self._is_whole(digest, path, found):
            self._compare(digest, hash_file(path))
        return path

    def _is_whole(self, digest: Digest, path: Path, found: Signature) -> bool:
        """Say whether an object is what it should be, without reading it if nothing touched it since it was last read."""
        if self._checked.get(digest) == found:
            return True
        if found.size < MAX_OBJECT_BYTES or self._stats.get(path, found) != digest:
            if hash_file(path) != digest:
                return False
            self._mark_checked(digest, found)
        with self._checked_lock:
            self._checked[digest] = found
        return True

    def _mark_checked(self, digest: Digest, found: Signature) -> None:
        with self._checked_lock:
            self._checked[digest] = found
        if found.size >= MAX_OBJECT_BYTES:
            self._stats.remember_ours(self.object_path(digest), found, digest)

    def _compare(self, digest: Digest, actual: Digest) -> None:
        if actual != digest:
            raise IntegrityError(
                f"the bytes of {digest} in the store at {self.root} have changed",
                expected=digest,
                actual=actual,
                hint="restore this object from a copy of the store, or put the same bytes again; `sampan fsck` names what needs it",
            )

    def _missing(self, digest: Digest) -> BlobUnavailable:
        return BlobUnavailable(f"{digest} is not in the store at {self.root}", hint="`sampan fsck` names what needs it")
