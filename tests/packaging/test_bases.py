"""Bases of images: what they are, what they offer, and what is said of one that lacks something."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest

from sampan.errors import NotFound, ParameterError, Unsupported
from sampan.packaging.bases import Base, Grounds, add_base
from sampan.packaging.cache import Cache
from sampan.packaging.closure import SERVING, TABLES
from sampan.packaging.distributions import installed, native_libraries, needed, wheels_of
from sampan.packaging.layout import Layout

X86 = b"\x7fELF\x02\x01\x01" + b"\0" * 11 + struct.pack("<H", 62)
LIBC = b"... GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\n"
FILES = {
    "usr/bin/python3.11": X86,
    "usr/lib/python3.11/asyncio/__init__.py": b"",
    "usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30": b"",
    "lib/x86_64-linux-gnu/libc.so.6": LIBC,
}
GROUNDS = Grounds(python="/usr/bin/python3.11", minor=11, architecture="amd64", glibc=(2, 36), stdlib=True, cxx=True)


def root_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def root_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def added(base: Path, tmp_path: Path) -> Base:
    (tmp_path / "out").mkdir(exist_ok=True)
    return add_base(base, Layout(tmp_path / "out"), Cache(tmp_path / "cache"), compression=1)


def test_a_folder_a_tar_file_and_a_gzipped_one_offer_the_same(tmp_path: Path) -> None:
    tar = root_tar(tmp_path / "base.tar", FILES)
    (tmp_path / "base.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))

    found = [added(base, tmp_path) for base in (root_folder(tmp_path / "root", FILES), tar, tmp_path / "base.tar.gz")]

    assert [GROUNDS] * 3 == [base.grounds for base in found]
    assert found[1].layers == found[2].layers


def test_of_two_pythons_the_one_with_a_whole_library_is_taken(tmp_path: Path) -> None:
    files = {**FILES, "usr/bin/python3.13": X86, "usr/local/bin/python3.12": X86, "usr/local/lib/python3.12/asyncio/__init__.py": b""}

    grounds = added(root_tar(tmp_path / "base.tar", files), tmp_path).grounds

    assert ("/usr/local/bin/python3.12", 12) == (grounds.python, grounds.minor)


def test_everything_that_a_base_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as refused:
        added(root_folder(tmp_path / "root", {"etc/passwd": b""}), tmp_path)

    lacking = "Python 3.11 or newer, Python's standard library (libpython3-stdlib), the GNU C library, libstdc++ (libstdc++6)"
    assert f"the base {tmp_path / 'root'} lacks {lacking}" == refused.value.message
    old = {name.replace("3.11", "3.9"): content for name, content in FILES.items()}
    with pytest.raises(Unsupported, match=r"lacks Python 3\.11 or newer$"):
        added(root_folder(tmp_path / "old", old), tmp_path)


def test_what_is_no_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no tar file\n")

    with pytest.raises(ParameterError, match="is no tar file"):
        added(tmp_path / "notes.txt", tmp_path)
    with pytest.raises(ParameterError, match="there is no"):
        added(tmp_path / "nothing", tmp_path)


def test_what_serving_needs_is_here_with_what_that_requires() -> None:
    found = {library.name: library for library in needed((*SERVING, *TABLES), installed, GROUNDS)}

    assert {"numpy", "onnxruntime", "polars-runtime-32", "protobuf", "h11"} <= set(found)
    assert "jinja2" not in found
    paths = [entry.path for entry in found["numpy"].entries("opt/x")]
    assert "opt/x/numpy/__init__.py" in paths
    assert not [path for path in paths if "/tests/" in path or path.endswith((".pyc", ".pyi"))]


def test_what_a_flavor_needs_is_known_or_said() -> None:
    assert ("scikit-learn",) == native_libraries("sklearn")
    assert ("hemp", "tar") == native_libraries("rope", ["hemp", "tar"])
    with pytest.raises(Unsupported, match="nobody here knows what serves the flavor rope"):
        native_libraries("rope")


def test_libraries_for_another_base_are_all_named_and_so_are_those_that_are_nowhere() -> None:
    ancient = msgspec.structs.replace(GROUNDS, glibc=(2, 12))
    with pytest.raises(Unsupported, match=r"glibc 2\.12; blake3 .*numpy .*onnxruntime .*pyarrow"):
        needed((*SERVING, *TABLES), installed, ancient)
    with pytest.raises(Unsupported, match=r"Python 3\.12, arm64"):
        needed(["numpy"], installed, msgspec.structs.replace(GROUNDS, minor=12, architecture="arm64"))
    with pytest.raises(NotFound, match="there is no flotsam, jetsam to put into the image"):
        needed(["jetsam", "flotsam", "click"], installed, GROUNDS)


def test_of_a_folder_of_wheels_the_newest_that_fits_is_taken(tmp_path: Path) -> None:
    for name in ("rope-1.0-py3-none-any.whl", "rope-1.10-py3-none-any.whl", "rope-2.0-cp312-cp312-manylinux_2_28_x86_64.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr("rope.py", "")
            wheel.writestr("rope-1.data/purelib/knot.py", "")
            wheel.writestr("rope-1.data/scripts/tie", "")
            wheel.writestr("rope-1.dist-info/METADATA", 'Name: rope\nRequires-Dist: hemp; extra == "strong"\n')

    (rope,) = needed(["rope"], wheels_of(tmp_path, GROUNDS), GROUNDS)

    assert "1.10" == rope.version
    assert ["x/rope.py", "x/knot.py", "x/rope-1.dist-info/METADATA"] == [entry.path for entry in rope.entries("x")]
    (tmp_path / "nonsense.whl").write_bytes(b"")
    with pytest.raises(ParameterError, match="is no wheel"):
        wheels_of(tmp_path, GROUNDS)
