"""The libraries that serving needs, and nothing else: from this environment, or from a folder of wheels for another machine."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from sampan.core.digests import digest_bytes
from sampan.errors import NotFound, ParameterError, Unsupported
from sampan.packaging.answering import NATIVE
from sampan.packaging.bases import Grounds
from sampan.packaging.layers import Entry

_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBCS: Final = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)\Z")
# For people who build or test a library, and what libraries bring for jobs that a server does not do.
UNUSED = re.compile(
    r"(^|/)(__pycache__|tests?|include)/|\.(pyc|pyi|pyx|pxd|h|hpp|c|cc|cpp|a|lib)$|^\.\./|/(direct_url\.json|INSTALLER|RECORD|REQUESTED)$"
    r"|^pyarrow/(lib|_)(arrow_)?(flight|s3|s3fs)\b|^onnxruntime/(datasets|quantization|tools|transformers)/"
)


@dataclass(frozen=True, slots=True)
class Library:
    """A library that can be put into an image."""

    name: str
    version: str
    requires: tuple[Requirement, ...]
    tags: frozenset[Tag]
    identity: str  # what its content is known by
    files: Callable[[], Iterator[tuple[str, bytes | Path]]]  # by their paths below site-packages

    def entries(self, below: str) -> Iterator[Entry]:
        """List the files that a program needs, below a path of the image."""
        for path, content in self.files():
            if not UNUSED.search(path):
                yield Entry(f"{below}/{path}", content=content)


Find = Callable[[str], Library]


def native_libraries(flavor: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Name what loads a natively served model; of a flavor that another package brings, only that package knows.

    Raises
    ------
    Unsupported : the flavor is none of ours, and nobody says what it needs.
    """
    if flavor not in NATIVE and not more:
        raise Unsupported(f"nobody here knows what serves the flavor {flavor}", hint="name its packages: --setting libraries=NAME,NAME")
    return (*NATIVE.get(flavor, ()), *more)


def gather(names: Sequence[str], find: Find, marks: Mapping[str, str]) -> tuple[list[Library], list[str]]:
    """Gather libraries and those they require where markers have these values; also return the names of those that are not there."""
    found: dict[str, Library] = {}
    lost: list[str] = []
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name in lost:
            continue
        try:
            library = found[name] = find(name)
        except NotFound:
            lost.append(name)
            continue
        waiting += [canonicalize_name(r.name) for r in library.requires if r.marker is None or r.marker.evaluate({**marks, "extra": ""})]
    return sorted(found.values(), key=lambda library: library.name), sorted(lost)


def needed(names: Sequence[str], find: Find, grounds: Grounds) -> list[Library]:
    """Gather libraries and those they require, by name.

    Raises
    ------
    NotFound : naming every library that is not there.
    Unsupported : naming every library that was built for another Python, machine or C library than the base has.
    """
    found, lost = gather(names, find, _environment(grounds))
    if lost:
        raise NotFound(
            f"there is no {', '.join(lost)} to put into the image", hint="install it, or give its wheel: --setting wheels=FOLDER"
        )
    foreign = [misfit for library in found if (misfit := _misfit(library, grounds))]
    if foreign:
        raise Unsupported(
            f"the base has Python 3.{grounds.minor}, {grounds.architecture} and glibc {_dotted(grounds.glibc)}; "
            + "; ".join(sorted(foreign)),
            hint="give wheels for the base: --setting wheels=FOLDER",
        )
    return found


def installed(name: str) -> Library:
    """Find a library of this environment. Raises NotFound."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as cause:
        raise NotFound(f"{name} is not installed") from cause
    record = distribution.read_text("RECORD") or ""
    wheel = distribution.read_text("WHEEL") or ""

    def files() -> Iterator[tuple[str, bytes | Path]]:
        for file in distribution.files or ():
            if (path := Path(str(distribution.locate_file(file)))).is_file():
                yield file.as_posix(), path

    return Library(
        name=canonicalize_name(name),
        version=distribution.version,
        requires=tuple(map(Requirement, distribution.requires or ())),
        tags=frozenset(tag for line in wheel.splitlines() if line.startswith("Tag:") for tag in parse_tag(line[4:].strip())),
        identity=digest_bytes(record.encode()),
        files=files,
    )


def wheels_of(folder: Path, grounds: Grounds) -> Find:
    """Return what finds libraries among a folder's wheels: the newest that fits the base.

    Raises
    ------
    ParameterError : there is no such folder.
    """
    if not folder.is_dir():
        raise ParameterError(f"there is no folder {folder}", parameter="wheels", hint="pip download --only-binary :all: --dest FOLDER …")
    by_name: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            by_name.setdefault(parse_wheel_filename(path.name)[0], []).append(path)
        except InvalidWheelFilename as cause:
            raise ParameterError(f"{path} is no wheel: {cause}", parameter="wheels") from cause

    def find(name: str) -> Library:
        libraries = [_wheel(path) for path in by_name.get(name, ())]
        if not libraries:
            raise NotFound(f"{folder} has no wheel of {name}")
        return max(libraries, key=lambda library: (not _misfit(library, grounds), parse_wheel_filename(library.identity)[1]))

    return find


def _wheel(path: Path) -> Library:
    name, version, _, tags = parse_wheel_filename(path.name)
    with zipfile.ZipFile(path) as archive:
        metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(archive.read(metadata).decode())

    def files() -> Iterator[tuple[str, bytes | Path]]:
        with zipfile.ZipFile(path) as archive:
            for inside in archive.namelist():
                place = _place(inside)
                if place and not inside.endswith("/"):
                    yield place, archive.read(inside)

    return Library(
        name=name,
        version=str(version),
        requires=tuple(map(Requirement, told.get_all("Requires-Dist") or ())),
        tags=tags,
        identity=path.name,
        files=files,
    )


def _place(inside: str) -> str:
    """Say where a wheel's file goes below site-packages; "" for what goes elsewhere, as scripts do."""
    first, _, rest = inside.partition("/")
    if not first.endswith(".data"):
        return inside
    kind, _, rest = rest.partition("/")
    return rest if kind in ("purelib", "platlib") else ""


def _misfit(library: Library, grounds: Grounds) -> str:
    """Say why a library cannot be imported on a base; "" if it can."""
    if not library.tags or any(_fits(tag, grounds) for tag in library.tags):
        return ""
    return f"{library.name} {library.version} is for {', '.join(sorted(map(str, library.tags)))}"


def _fits(tag: Tag, grounds: Grounds) -> bool:
    return _fits_python(tag, grounds.minor) and _fits_platform(tag.platform, grounds)


def _fits_python(tag: Tag, minor: int) -> bool:
    if tag.abi == "none":
        return tag.interpreter in ("py3", "py2.py3") or tag.interpreter == f"cp3{minor}"
    made_for = re.fullmatch(r"cp3(\d+)", tag.interpreter)
    if made_for is None:
        return False
    return int(made_for[1]) <= minor if tag.abi == "abi3" else tag.interpreter == tag.abi == f"cp3{minor}"


def _fits_platform(platform: str, grounds: Grounds) -> bool:
    if platform == "any":
        return True
    machine = _MACHINES.get(grounds.architecture, grounds.architecture)
    before, found, _ = platform.partition(f"_{machine}")
    if not found:
        return False
    if before == "linux":  # built on a machine such as this one, with no promise
        return True
    if (match := _MANYLINUX.fullmatch(before)) is not None:
        lowest = int(match[1]), int(match[2])
    elif before in _GLIBCS:
        lowest = _GLIBCS[before]
    else:
        return False
    return grounds.glibc is not None and lowest <= grounds.glibc


def _environment(grounds: Grounds) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": _MACHINES.get(grounds.architecture, grounds.architecture),
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"3.{grounds.minor}.0",
        "python_version": f"3.{grounds.minor}",
        "sys_platform": "linux",
    }


def _dotted(version: tuple[int, int] | None) -> str:
    return "unknown" if version is None else f"{version[0]}.{version[1]}"


def program(below: str) -> Iterator[Entry]:
    """List this program's own files."""
    folder = Path(sys.modules["sampan"].__path__[0])
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder.parent).as_posix()
        if path.is_file() and not UNUSED.search(inside):
            yield Entry(f"{below}/{inside}", content=path)
