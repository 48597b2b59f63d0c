"""An OCI image layout: the folder that registries' tools read, written without any of them.

    oci-layout              which format this is
    index.json              names the manifest
    blobs/sha256/<digest>   manifest, configuration and layers, each under the name of its content

Source: the OCI image format specification, version 1.1 (image-layout, manifest, config).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from sampan.core.decoding import read_builtins, read_json
from sampan.core.digests import canonical_json
from sampan.errors import IntegrityError
from sampan.packaging.cache import Cache
from sampan.packaging.layers import SHA, Layer

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
REF_NAME: Final = "org.opencontainers.image.ref.name"
EPOCH: Final = "1970-01-01T00:00:00Z"  # an image that says when it was made is another image each time


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How one blob speaks of another."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: dict[str, str] = {}


class Layout:
    """A layout that is being written, or read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"

    def blob(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.blobs / digest.removeprefix(SHA)

    def add_layer(self, write: Callable[[IO[bytes]], Layer], *, about: object, cache: Cache) -> Layer:
        """Take a layer from the cache, by a JSON-able value of what it is made from; else let `write` write its blob."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        known = cache.noted({"layer": about}, Layer)
        if known is not None and (kept := cache.blob(known.digest)) is not None:
            self.add_file(known, kept)
            return known
        layer = self.write_layer(write)
        cache.keep(layer.digest, self.blob(layer.digest))
        cache.note({"layer": about}, layer)
        return layer

    def write_layer(self, write: Callable[[IO[bytes]], Layer]) -> Layer:
        """Let `write` write a layer's blob, then give the blob its name."""
        descriptor, temporary = tempfile.mkstemp(dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                layer = write(stream)
            Path(temporary).chmod(0o644)
            Path(temporary).rename(self.blob(layer.digest))
        finally:
            Path(temporary).unlink(missing_ok=True)
        return layer

    def add_file(self, layer: Layer, blob: Path) -> None:
        """Copy a layer's blob from elsewhere."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(blob, self.blob(layer.digest))

    def add_image(self, config: Mapping[str, Any], layers: Sequence[Layer], *, name: str, annotations: Mapping[str, str]) -> str:
        """Write configuration, manifest and index of an image whose layers are here; return the manifest's digest."""
        told = self._add_json(config, CONFIG)
        inside = [Descriptor(layer.media_type, layer.digest, layer.size) for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": told, "layers": inside, "annotations": dict(annotations)}
        described = self._add_json(manifest, MANIFEST)
        platform = {key: config[key] for key in ("architecture", "os", "variant") if key in config}
        entry = msgspec.structs.replace(described, annotations={REF_NAME: name}, platform=platform)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        (self.folder / "index.json").write_bytes(canonical_json(index))
        (self.folder / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
        return described.digest

    def index(self) -> list[Descriptor]:
        """Read what manifests there are."""
        found = self._read_json(self.folder / "index.json")
        return read_builtins(found["manifests"], list[Descriptor])

    def read(self, descriptor: Descriptor) -> dict[str, Any]:
        """Read a JSON blob, checked against its digest."""
        path = self.blob(descriptor.digest)
        if not path.is_file() or SHA + hashlib.sha256(path.read_bytes()).hexdigest() != descriptor.digest:
            raise IntegrityError(f"{path} does not hold what its name says", hint="make the layout again")
        return self._read_json(path)

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            return read_json(path.read_bytes(), dict[str, Any])
        except (OSError, msgspec.DecodeError) as cause:
            raise IntegrityError(f"{path} is no JSON file of an image layout: {cause}", hint="make the layout again") from cause

    def _add_json(self, value: Mapping[str, Any], media_type: str) -> Descriptor:
        data = canonical_json(value)
        descriptor = Descriptor(media_type, SHA + hashlib.sha256(data).hexdigest(), len(data))
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.blob(descriptor.digest).write_bytes(data)
        return descriptor
