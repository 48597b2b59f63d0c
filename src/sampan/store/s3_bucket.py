"""An S3 bucket, or a part of one below a prefix: bytes under keys, with errors a person can act on, and a probe of what it can do.

obstore does the talking. Credentials come from the usual AWS variables and are never written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from sampan.core.times import Millis
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, StoreUnavailable
from sampan.plugins import require
from sampan.store.places import S3Place

_CHUNK_BYTES = 8 << 20
_IDENTITY = "store.json"
_PROBE_BYTES = b"0123456789"


class Found(NamedTuple):
    """What a bucket says of an object."""

    key: str
    size: int
    modified: Millis
    etag: str


class Bucket:
    """Objects below a prefix. Safe to use from several threads."""

    def __init__(self, place: S3Place) -> None:
        if not place.address.startswith("s3://") or place.address.rstrip("/") == "s3:":
            raise ParameterError(f"{place.address!r} is no address of a bucket", hint="like s3://bucket/folder")
        self.place = place
        self._obstore = require("obstore", extra="s3")
        self._store = _connect(place)

    def put(self, key: str, data: bytes | Path) -> Found:
        """Store bytes or a file under a key; return what is there now."""
        with self._errors(key):
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            made = self._obstore.put(self._store, key, data, chunk_size=_CHUNK_BYTES, use_multipart=size > _CHUNK_BYTES)
            return Found(key, size, 0, made["e_tag"] or "")

    def create(self, key: str, data: bytes) -> bool:
        """Store bytes where there is nothing yet; say whether it was so. A bucket without conditional puts always says yes."""
        with self._errors(key):
            try:
                self._obstore.put(self._store, key, data, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def read(self, key: str) -> bytes:
        """Return an object's bytes. Raises BlobUnavailable if it is not there."""
        with self._errors(key):
            return bytes(self._obstore.get(self._store, key).bytes())

    def fetch(self, key: str, into: IO[bytes]) -> str:
        """Write an object's bytes to a file, never all in memory; return its ETag. Raises BlobUnavailable if it is not there."""
        with self._errors(key):
            found = self._obstore.get(self._store, key)
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                into.write(chunk)
            return str(found.meta["e_tag"] or "")

    def part(self, key: str, start: int, n_bytes: int) -> bytes:
        """Return some of an object's bytes, fewer at its end. Raises BlobUnavailable if it is not there."""
        if not n_bytes:
            return b""
        if not self.place.ranges:
            return self.read(key)[start : start + n_bytes]
        with self._errors(key):
            return bytes(self._obstore.get_range(self._store, key, start=start, length=n_bytes))

    def find(self, key: str) -> Found | None:
        """Say what is under a key; None if nothing is."""
        with suppress(BlobUnavailable), self._errors(key):
            return _found(key, self._obstore.head(self._store, key))
        return None

    def list(self, prefix: str) -> Iterator[Found]:
        """Iterate over the objects below a folder."""
        with self._errors(prefix):
            for batch in self._obstore.list(self._store, prefix=prefix):
                for meta in batch:
                    yield _found(str(meta["path"]), meta)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; what is not there is no error."""
        if not keys:
            return
        with suppress(BlobUnavailable), self._errors(keys[0]):
            self._obstore.delete(self._store, list(keys))

    def probe(self) -> S3Place:
        """Try what the bucket can do, with an object that is removed again; return its place with what was found.

        Raises
        ------
        StoreUnavailable : it cannot be reached or written, or does not show what was just written.
        """
        key = f"probe/{os.urandom(8).hex()}"
        try:
            return self._probed(key)
        except BlobUnavailable as cause:
            raise StoreUnavailable(
                f"{self.place.address} cannot be used: no such bucket, or it does not show what was just written",
                hint="check the bucket's name, [store] endpoint and region",
            ) from cause
        finally:
            with suppress(StoreUnavailable):
                self.delete([key])

    def _probed(self, key: str) -> S3Place:
        self.create(key, _PROBE_BYTES)
        conditional = not self.create(key, _PROBE_BYTES)
        with self._errors(key):
            keeps_versions = bool(self._obstore.put(self._store, key, _PROBE_BYTES)["version"])
        if self.read(key) != _PROBE_BYTES or key not in {found.key for found in self.list("probe/")}:
            raise BlobUnavailable(f"{key} is not in {self.place.address}")
        ranges = self._has_ranges(key)
        return msgspec.structs.replace(self.place, conditional_puts=conditional, ranges=ranges, keeps_versions=keeps_versions)

    def belong_to(self, store: str) -> None:
        """See that the bucket is this store's; a bucket that is nobody's becomes it. Raises IntegrityError if it is another's."""
        wanted = msgspec.json.encode({"store": store})
        try:
            found = self.read(_IDENTITY)
        except BlobUnavailable:
            self.create(_IDENTITY, wanted)
            found = self.read(_IDENTITY)
        if found != wanted:
            raise IntegrityError(
                f"{self.place.address} holds the content of another store",
                expected=wanted.decode(errors="replace"),
                actual=found[:200].decode(errors="replace"),
                hint="give this store a folder of its own in the bucket",
            )

    def _has_ranges(self, key: str) -> bool:
        try:
            found = self._obstore.get_range(self._store, key, start=2, length=3)
        except self._obstore.exceptions.BaseError:
            return False
        return bytes(found) == _PROBE_BYTES[2:5]

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        known = self._obstore.exceptions
        address = self.place.address
        try:
            yield
        except FileNotFoundError as cause:
            raise BlobUnavailable(f"{key} is not in {address}", hint="`sampan fsck` names what needs it") from cause
        except (known.PermissionDeniedError, known.UnauthenticatedError) as cause:
            raise StoreUnavailable(
                f"{address} refuses: {_first_line(cause)}",
                hint="give this process credentials that may read, write, list and delete there (AWS_ACCESS_KEY_ID, …)",
            ) from cause
        except (known.BaseError, OSError) as cause:
            raise StoreUnavailable(
                f"{address} cannot be used: {_first_line(cause)}",
                hint="check the bucket's name, [store] endpoint and region, and the network",
            ) from cause


def _connect(place: S3Place) -> Any:
    options: dict[str, Any] = {"client_options": {"allow_http": place.endpoint.startswith("http://") or _plain_endpoint()}}
    if place.endpoint:
        options["endpoint"] = place.endpoint
    if place.region:
        options["region"] = place.region
    store = require("obstore.store", extra="s3")
    try:
        return store.S3Store.from_url(place.address.rstrip("/"), **options)
    except Exception as cause:  # obstore raises several kinds; whatever it is, the address or a setting is what can be mended
        raise StoreUnavailable(
            f"{place.address} cannot be used: {_first_line(cause)}", hint="check the address and [store] region"
        ) from cause


def _plain_endpoint() -> bool:
    """Say whether the environment names an endpoint without TLS: a server of one's own, on this machine or in its network."""
    return any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"))


def _found(key: str, meta: Mapping[str, Any]) -> Found:
    return Found(key, int(meta["size"]), int(meta["last_modified"].timestamp() * 1000), str(meta["e_tag"] or ""))


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
