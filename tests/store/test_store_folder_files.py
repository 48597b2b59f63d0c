"""A folder's files in the store: what has not changed is not read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.core.digests import digest_bytes
from sampan.store.blobs import LocalBlobs
from sampan.store.folder_files import FolderFile, adopt_folder

LONG_AGO_NS = 1_600_000_000_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    for number in range(30):
        write(made / f"{number % 3}" / f"{number:02d}.txt", b"file %d" % number)
    write(made / "large.bin", os.urandom(2 << 20))
    write(made / ".hidden", b"not this")
    write(made / ".git" / "config", b"nor this")
    return made


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))  # a file written to in this moment is not trusted to stay


def test_every_file_is_stored_under_its_path_and_small_ones_share_a_pack(folder: Path, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    found = adopt_folder(blobs, folder).listed()

    assert [one.path for one in found] == sorted([f"{n % 3}/{n:02d}.txt" for n in range(30)] + ["large.bin"])
    assert found[0] == FolderFile("0/00.txt", digest_bytes(b"file 0"), 6, b"file 0")
    assert [blobs.read(one.digest) == (folder / one.path).read_bytes() for one in found] == [True] * 31
    assert len(list((tmp_path / "store" / "packs").iterdir())) == 2


def test_only_what_changed_is_opened_again(folder: Path, tmp_path: Path) -> None:
    first = adopt_folder(LocalBlobs(tmp_path / "store"), folder).listed()
    (folder / "1" / "04.txt").write_bytes(b"changed")
    (folder / "2" / "05.txt").unlink()
    write(folder / "new.txt", b"new")

    found = adopt_folder(LocalBlobs(tmp_path / "store"), folder).listed()
    assert [one.path for one in found if one.head is not None] == ["1/04.txt", "new.txt"]
    assert len(found) == len(first)
    assert {one.path: (one.digest, one.size) for one in found}["0/00.txt"] == (digest_bytes(b"file 0"), 6)


def test_what_the_store_has_lost_is_stored_again(folder: Path, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    lost = [one.digest for one in adopt_folder(blobs, folder).listed()[:5]]
    blobs.discard(lost)

    found = adopt_folder(LocalBlobs(tmp_path / "store"), folder).listed()
    assert [one.head is not None for one in found[:6]] == [True] * 5 + [False]
    assert blobs.read(lost[0]) == b"file 0"


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert adopt_folder(LocalBlobs(tmp_path / "store"), tmp_path / "empty").listed() == []
