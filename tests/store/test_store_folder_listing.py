"""A folder's listing: every file's path, and what says whether it has changed."""

from __future__ import annotations

import os
from pathlib import Path

from sampan.store.folder_listing import listed
from sampan.store.folder_state import SIGNATURE_BYTES


def test_every_file_is_listed_with_its_size_moments_and_inode(tmp_path: Path) -> None:
    for path in ("a.txt", "deep/er/b.bin", "deep/c", "deep/er/mehr/ü ö.txt"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * len(path))
    found = listed(str(tmp_path))

    assert sorted(found.paths) == ["a.txt", "deep/c", "deep/er/b.bin", "deep/er/mehr/ü ö.txt"]
    assert [found.paths[at] for at in found.by_path()] == sorted(found.paths)
    for at, path in enumerate(found.paths):
        told = (tmp_path / path).stat()
        signature = found.signatures[at * SIGNATURE_BYTES : (at + 1) * SIGNATURE_BYTES]
        assert (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino) == tuple(memoryview(signature).cast("q"))
        assert (found.size(at), found.changed_ns(at)) == (told.st_size, told.st_mtime_ns)
    assert (len(found), found.size_bytes()) == (4, sum(map(len, found.paths)))


def test_links_are_followed_to_files_and_what_is_hidden_or_no_file_is_left_out(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    (elsewhere / "inside").mkdir(parents=True)
    (elsewhere / "target").write_bytes(b"123")
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"")
    (folder / "link").symlink_to(elsewhere / "target")
    (folder / "to a folder").symlink_to(elsewhere / "inside")
    (folder / "to nowhere").symlink_to(elsewhere / "gone")
    os.mkfifo(folder / "pipe")
    found = listed(str(folder))

    assert (found.paths, found.size(0)) == (["link"], 3)


def test_a_name_that_is_no_text_is_listed_as_the_system_has_it(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.bin"))).write_bytes(b"x")
    found = listed(str(tmp_path))

    assert found.names == b"\xff\xfe.bin"
    assert (tmp_path / found.paths[0]).read_bytes() == b"x"


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = listed(str(tmp_path))

    assert (len(found), found.paths, found.size_bytes()) == (0, [], 0)
