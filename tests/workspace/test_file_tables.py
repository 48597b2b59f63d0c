"""A folder's versions: each has the rows of a table made anew, and writes only what changed."""

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.digests import digest_bytes
from sampan.workspace.workspace import Workspace

LONG_AGO_NS = 1_600_000_000_000_000_000
DIGEST = re.compile(r"b3:[0-9a-f]{64}")


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "sampan.toml").write_text("[project]\nname = 'files'\n")
    with Workspace.open(tmp_path) as workspace:
        yield workspace


def write(path: Path, data: bytes, moment: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(LONG_AGO_NS + moment, LONG_AGO_NS + moment))  # a file written to in this moment is not trusted to stay


def rows_of(folder: Path) -> dict[str, tuple[str, str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {}
    for path in files:
        within = path.relative_to(folder)
        found[within.as_posix()] = (within.parent.as_posix(), digest_bytes(path.read_bytes()), path.stat().st_size)
    return found


def listed(ws: Workspace, digest: str) -> set[str]:
    """Return the contents that a version's list names, through the lists it names."""
    found = set(json.loads(ws.store.blobs.read(digest)))
    deeper = [one for one in found if ws.store.blobs.read(one)[:5] == b'["b3:']
    return (found - set(deeper)) | {one for name in deeper for one in listed(ws, name)}


def assert_holds(ws: Workspace, ref: str, folder: Path) -> None:
    node = ws.catalog.resolve(ref, kind="dataset")
    table = ws.store.tables.read(node.digest)
    expected = rows_of(folder)
    assert expected == {path: (where, file, size) for path, where, file, _, size in table.rows()}
    assert {file for _, file, _ in expected.values()} == listed(ws, node.facts["contents"])
    ws.store.tables.check(node.digest)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_edits_of_a_folder_give_the_rows_of_the_folder(ws: Workspace, seed: int) -> None:
    rng = random.Random(seed)
    folder = ws.root / "pictures"
    for number in range(40):
        write(folder / f"{number % 4}" / f"{number}.txt", b"file %d" % (number % 30))
    assert_holds(ws, ws.data.add(folder).ref, folder)
    for turn in range(1, 14):
        for _ in range(rng.choice([0, 1, 1, 3, 12])):
            number = rng.randrange(50)
            path = folder / f"{number % 4}" / f"{number}.txt"
            if path.exists() and rng.random() < 0.3:
                path.unlink()
            else:
                write(path, b"turn %d, file %d" % (rng.randrange(turn + 1), number % 30), turn)
        assert_holds(ws, ws.data.add(folder).ref, folder)


@pytest.mark.slow
def test_one_changed_file_writes_its_row_and_one_list(ws: Workspace) -> None:
    folder = ws.root / "pictures"
    for number in range(3_000):
        write(folder / f"{number % 7}" / f"{number:04d}.txt", b"file %d" % number)
    first = ws.catalog.resolve(ws.data.add(folder).ref, kind="dataset")
    before = set(ws.store.blobs.digests())
    write(folder / "3" / "0003.txt", b"changed", 5)
    second = ws.catalog.resolve(ws.data.add(folder).ref, kind="dataset")

    diff = ws.store.tables.diff(first.digest, second.digest, key=["path"])
    added = set(ws.store.blobs.digests()) - before
    assert (0, 0, 1, 2_999) == (diff.n_added, diff.n_removed, diff.n_changed, diff.n_same)
    assert len(added) <= 7
    assert sum(ws.store.blobs.size(one) for one in added) < 60_000
    assert_holds(ws, second.ref, folder)


def test_what_is_remembered_may_be_lost(ws: Workspace) -> None:
    folder = ws.root / "pictures"
    for number in range(20):
        write(folder / f"{number}.png", b"\x89PNG\r\n\x1a\n%d" % number)
    first = ws.data.add(folder)
    for file in (ws.store.root / "cache" / "folders").iterdir():
        file.write_bytes(b"torn")

    assert ws.data.add(folder).unchanged
    write(folder / "0.png", b"\x89PNG\r\n\x1a\nother", 5)
    assert_holds(ws, ws.data.add(folder).ref, folder)
    assert ["image/png"] == ws.store.tables.read(ws.catalog.resolve(first.ref, kind="dataset").digest)["type"].unique().to_list()


def test_two_datasets_of_one_folder_do_not_meet(ws: Workspace) -> None:
    folder = ws.root / "pictures"
    write(folder / "a.txt", b"a")
    write(folder / "b.txt", b"b")
    ws.data.add(folder, name="one")
    ws.data.add(folder, name="two")
    write(folder / "c.txt", b"c")
    second = ws.data.add(folder, name="one").ref
    write(folder / "a.txt", b"another", 5)

    assert_holds(ws, ws.data.add(folder, name="two").ref, folder)
    assert 3 == ws.store.tables.info(ws.catalog.resolve(second, kind="dataset").digest).n_rows


def test_gc_keeps_what_versions_name_and_a_profile_is_made_when_asked_for(ws: Workspace) -> None:
    folder = ws.root / "pictures"
    for number in range(600):
        write(folder / f"{number}.txt", b"file %d" % number)
    ws.data.add(folder)
    write(folder / "7.txt", b"other", 5)
    ref = ws.data.add(folder).ref
    ws.home.gc(grace_minutes=0)

    assert_holds(ws, ref, folder)
    assert [] == list(ws.home.fsck().faults)
    assert 600 == ws.data.profile(ref).n_rows
