"""What an image is built on: a root filesystem as folder or tar file, or another image in an OCI layout; and what can run on it.

No registry is asked. `skopeo copy docker://NAME oci:FOLDER` brings an image here, `mmdebstrap` makes a root filesystem.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.digests import digest_stream
from sampan.errors import ParameterError, Unsupported
from sampan.packaging.cache import Cache
from sampan.packaging.layers import Entry, Layer, copy_tar, write_layer
from sampan.packaging.layout import INDEX, Descriptor, Layout

_PYTHON = re.compile(r"((?:usr/local/|usr/|opt/[\w.-]+/)?bin/python3\.(\d+))\Z")
_STDLIB = re.compile(r"(?:.*/)?lib/python3\.(\d+)/asyncio/__init__\.py\Z")
_GLIBC_NAME = re.compile(r"libc-(\d+)\.(\d+)\.so\Z")
_GLIBC_TEXT = re.compile(rb"GNU C Library [^\n]{0,80}version (\d+)\.(\d+)")
_MACHINES: Final = {62: "amd64", 183: "arm64", 40: "arm", 243: "riscv64", 22: "s390x", 21: "ppc64le"}  # ELF's e_machine
_ELF_HEADER = 20


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a base offers a program."""

    python: str = ""  # path of the interpreter
    minor: int = 0  # of Python 3
    architecture: str = ""  # as OCI names them: amd64, arm64
    glibc: tuple[int, int] | None = None
    stdlib: bool = False  # not only the minimal part of it
    cxx: bool = False  # libstdc++, which ONNX Runtime needs

    def check(self, base: Path) -> None:
        """Raise Unsupported, naming everything that is lacking."""
        lacking = [
            word
            for word, there in (
                ("Python 3.11 or newer", self.minor >= 11),
                ("Python's standard library (libpython3-stdlib)", self.stdlib),
                ("a Python for a known kind of machine", self.minor == 0 or bool(self.architecture)),
                ("the GNU C library", self.glibc is not None),
                ("libstdc++ (libstdc++6)", self.cxx),
            )
            if not there
        ]
        if lacking:
            raise Unsupported(
                f"the base {base} lacks {', '.join(lacking)}",
                hint="docs/guide/containers.md shows how to make a base that has all of it",
            )


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base whose layers are in the layout that is being written."""

    layers: tuple[Layer, ...]
    grounds: Grounds
    config: dict[str, Any] = {}  # of the image it was, empty for a root filesystem


def add_base(base: Path, layout: Layout, cache: Cache, *, compression: int) -> Base:
    """Bring a base's layers into a layout and look at what the base offers.

    Raises
    ------
    ParameterError : it is neither a root filesystem nor an image.
    Unsupported : no package can be served on it.
    """
    if not base.exists():
        raise ParameterError(f"there is no {base}", parameter="base", hint="a folder or tar file with a root filesystem, or an OCI layout")
    if (base / "oci-layout").is_file():
        found = _add_image(base, layout, cache)
    elif base.is_dir():
        found = _add_folder(base, layout, cache, compression)
    else:
        found = _add_tar(base, layout, cache, compression)
    found.grounds.check(base)
    return found


def _add_tar(base: Path, layout: Layout, cache: Cache, compression: int) -> Base:
    try:
        with base.open("rb") as stream:
            about = {"tar": digest_stream(stream)[0]}
        grounds = _noted_grounds(about, cache, lambda: _tar_members(base))
        made_by = "sampan: base"

        def write(out: IO[bytes]) -> Layer:
            with _plain(base) as archive:
                return copy_tar(archive, out, made_by=made_by, compression=compression)

        layer = layout.add_layer(write, about={**about, "compression": compression}, cache=cache)
    except tarfile.TarError as cause:
        raise ParameterError(f"{base} is no tar file: {cause}", parameter="base", hint="give a root filesystem as folder or tar") from cause
    return Base(layers=(layer,), grounds=grounds)


def _add_folder(base: Path, layout: Layout, cache: Cache, compression: int) -> Base:
    stats = [(path, path.lstat()) for path in sorted(base.rglob("*"))]
    about = {"folder": [[str(path.relative_to(base)), s.st_mode, s.st_size, s.st_mtime_ns, s.st_ino] for path, s in stats]}
    grounds = _noted_grounds(about, cache, lambda: _folder_members(base, (path for path, _ in stats)))

    def write(out: IO[bytes]) -> Layer:
        entries = (_entry(base, path) for path, _ in stats)
        return write_layer((e for e in entries if e), out, made_by="sampan: base", compression=compression)

    layer = layout.add_layer(write, about={**about, "compression": compression}, cache=cache)
    return Base(layers=(layer,), grounds=grounds)


def _entry(base: Path, path: Path) -> Entry | None:
    """Describe what lies in a base's folder; devices, sockets and pipes are for whoever runs the image to make."""
    name, mode = path.relative_to(base).as_posix(), path.lstat().st_mode & 0o7777
    if path.is_symlink():
        return Entry(name, mode=0o777, target=str(path.readlink()))
    if path.is_dir():
        return Entry(name, mode=mode)
    return Entry(name, mode=mode, content=path) if path.is_file() else None


def _add_image(base: Path, layout: Layout, cache: Cache) -> Base:
    source = Layout(base)
    manifests = source.index()
    if len(manifests) != 1 or manifests[0].media_type == INDEX:
        raise ParameterError(
            f"{base} holds {len(manifests)} images or one for several machines", parameter="base", hint="skopeo copy brings one of them"
        )
    manifest = source.read(manifests[0])
    told = read_builtins(manifest, _Manifest)
    config = source.read(told.config)
    layers = []
    for described, diff_id, made_by in zip(told.layers, config["rootfs"]["diff_ids"], _history(config), strict=True):
        layer = Layer(digest=described.digest, size=described.size, diff_id=diff_id, made_by=made_by, media_type=described.media_type)
        layout.add_file(layer, source.blob(layer.digest))
        layers.append(layer)
    about = {"layers": [layer.digest for layer in layers]}
    grounds = _noted_grounds(about, cache, lambda: (m for layer in layers for m in _tar_members(source.blob(layer.digest))))
    return Base(layers=tuple(layers), grounds=grounds, config=config)


class _Manifest(msgspec.Struct, frozen=True):
    config: Descriptor
    layers: tuple[Descriptor, ...]


def _history(config: dict[str, Any]) -> list[str]:
    """Say of each layer what made it: the lines of the history that are not of settings alone."""
    told = [line.get("created_by", "") for line in config.get("history", []) if not line.get("empty_layer")]
    n_layers = len(config["rootfs"]["diff_ids"])
    return told if len(told) == n_layers else [""] * n_layers


# name in the root filesystem, and how to read its first bytes: None for links and folders
_Member = tuple[str, Callable[[int], bytes] | None]


def _noted_grounds(about: object, cache: Cache, members: Callable[[], Iterable[_Member]]) -> Grounds:
    about = {"grounds": about}
    if (known := cache.noted(about, Grounds)) is not None:
        return known
    found = _look(members())
    cache.note(about, found)
    return found


def _look(members: Iterable[_Member]) -> Grounds:
    pythons: dict[int, str] = {}
    libraries: set[int] = set()
    found = Grounds()
    for name, read in members:
        if match := _PYTHON.fullmatch(name):
            pythons.setdefault(int(match[2]), f"/{match[1]}")
            if read is not None:
                found = msgspec.structs.replace(found, architecture=_architecture(read(_ELF_HEADER)))
        elif match := _STDLIB.fullmatch(name):
            libraries.add(int(match[1]))
        elif name.rpartition("/")[2].startswith("libstdc++.so.6"):
            found = msgspec.structs.replace(found, cxx=True)
        elif (glibc := _glibc(name, read)) is not None:
            found = msgspec.structs.replace(found, glibc=glibc)
    if not pythons:
        return found
    # The newest with a whole library: Debian's own Python may be the minimal one, beside the one that was added.
    minor = max(pythons, key=lambda each: (each in libraries, each))
    return msgspec.structs.replace(found, python=pythons[minor], minor=minor, stdlib=minor in libraries)


def _glibc(name: str, read: Callable[[int], bytes] | None) -> tuple[int, int] | None:
    last = name.rpartition("/")[2]
    if match := _GLIBC_NAME.fullmatch(last):
        return int(match[1]), int(match[2])
    if last != "libc.so.6" or read is None:
        return None
    told = _GLIBC_TEXT.search(read(-1))
    return (int(told[1]), int(told[2])) if told else None


def _architecture(head: bytes) -> str:
    if head[:4] != b"\x7fELF":
        return ""
    order = "little" if head[5] == 1 else "big"
    return _MACHINES.get(int.from_bytes(head[18:20], order), "")  # type: ignore[arg-type]


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, "r:*") as archive:
        for info in archive:
            name = info.name.removeprefix("./").lstrip("/")
            if info.isreg():
                yield name, lambda n, info=info: _first(archive, info, n)  # type: ignore[misc]
            else:
                yield name, None


def _first(archive: tarfile.TarFile, info: tarfile.TarInfo, n: int) -> bytes:
    stream = archive.extractfile(info)
    assert stream is not None
    return stream.read(n)


def _folder_members(base: Path, paths: Iterable[Path]) -> Iterator[_Member]:
    for path in paths:
        name = path.relative_to(base).as_posix()
        if path.is_symlink() or not path.is_file():
            yield name, None
        else:
            yield name, lambda n, path=path: path.read_bytes()[: None if n < 0 else n]  # type: ignore[misc]


def _plain(path: Path) -> IO[bytes]:
    """Open a tar file without its compression."""
    import bz2
    import gzip
    import lzma

    with path.open("rb") as stream:
        head = stream.read(6)
    for mark, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if head.startswith(mark):
            return cast("IO[bytes]", opened(path, "rb"))
    return path.open("rb")
