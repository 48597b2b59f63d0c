"""Small objects share packs, and are found, checked and removed there like others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.digests import digest_bytes
from sampan.errors import BlobUnavailable, IntegrityError
from sampan.store.blobs import LocalBlobs
from sampan.store.packs import MAX_OBJECT_BYTES, PackIndex
from sampan.testing.blobs import flip_a_byte

SMALL = [f"object {i}".encode() for i in range(100)]


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "store")


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir()) if folder.exists() else []


def test_many_small_objects_are_one_pack(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(iter(SMALL))

    assert digests == [digest_bytes(data) for data in SMALL]
    assert files(blobs.root / "packs") == [".index", ".pack"]
    assert not (blobs.root / "objects").exists()
    for opened in (blobs, LocalBlobs(blobs.root)):
        assert [opened.read(digest) for digest in digests] == SMALL
        assert opened.size(digests[3]) == len(SMALL[3])
        assert sorted(opened.digests()) == sorted(digests)


def test_a_handful_and_large_ones_are_objects_of_their_own(blobs: LocalBlobs) -> None:
    blobs.put_many(SMALL[:3])
    large = os.urandom(MAX_OBJECT_BYTES)
    blobs.put_many([*SMALL[3:20], large])

    assert blobs.object_path(digest_bytes(SMALL[0])).exists()
    assert blobs.object_path(digest_bytes(large)).exists()
    assert not blobs.object_path(digest_bytes(SMALL[10])).exists()
    assert blobs.read(digest_bytes(large)) == large


def test_what_is_there_already_is_not_packed_again(blobs: LocalBlobs) -> None:
    blobs.put_many(SMALL)
    size = sum(path.stat().st_size for path in (blobs.root / "packs").iterdir())
    LocalBlobs(blobs.root).put_many(SMALL + SMALL)
    blobs.put(SMALL[0])

    assert sum(path.stat().st_size for path in (blobs.root / "packs").iterdir()) == size
    assert len(list(blobs.digests())) == len(SMALL)


def test_a_full_pack_is_followed_by_another(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.store.blobs.MAX_PACK_BYTES", 300)
    digests = blobs.put_many(SMALL)

    assert files(blobs.root / "packs").count(".pack") > 2
    assert [blobs.read(digest) for digest in digests] == SMALL


def test_a_packed_object_is_lent_as_a_file(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)

    path = blobs.path(digests[7])
    assert path.read_bytes() == SMALL[7]
    with blobs.open(digests[8]) as file:
        assert file.read() == SMALL[8]
    flip_a_byte(path)  # the copy is only a copy
    assert blobs.path(digests[7]).read_bytes() == SMALL[7]
    assert blobs.head(digests[7], 3) == SMALL[7][:3]


def test_a_flipped_byte_in_a_pack_names_the_object(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)
    flip_a_byte(next((blobs.root / "packs").glob("*.pack")), 0)

    with pytest.raises(IntegrityError, match=digests[0]):
        blobs.read(digests[0])
    with pytest.raises(IntegrityError, match=digests[0]):
        blobs.verify(digests[0])
    assert blobs.read(digests[1]) == SMALL[1]


def test_a_damaged_index_is_named_where_it_may_have_known(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)
    kept = blobs.put(b"kept")
    index = next((blobs.root / "packs").glob("*.index"))
    flip_a_byte(index, 20)
    again = LocalBlobs(blobs.root)

    assert again.read(kept) == b"kept"
    assert len(again.packs.damaged()) == 1
    with pytest.raises(IntegrityError, match=index.name):
        again.read(digests[0])


def test_data_without_an_index_is_an_orphan_and_an_index_without_data_is_told(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)
    (blobs.root / "packs" / "abc.pack").write_bytes(b"half a pack")

    assert [path.name for path in blobs.leftovers()] == ["abc.pack"]
    next(path for path in (blobs.root / "packs").glob("*.pack") if path.name != "abc.pack").unlink()
    with pytest.raises(BlobUnavailable, match=digests[0]):
        blobs.read(digests[0])


def test_removing_objects_rewrites_their_pack_and_keeps_its_age(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)
    for path in (blobs.root / "packs").iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    other = LocalBlobs(blobs.root)
    assert other.has(digests[0])

    freed = blobs.discard(digests[:60])
    assert freed == {digest: len(data) for digest, data in zip(digests[:60], SMALL[:60], strict=True)}
    assert files(blobs.root / "packs") == [".index", ".pack"]
    for opened in (blobs, other):
        assert [opened.read(digest) for digest in digests[60:]] == SMALL[60:]
        assert not opened.has(digests[0])
    assert blobs.stored_at(digests[70]) == 1_000_000_000_000
    assert blobs.delete(digests[99]) == len(SMALL[99])
    blobs.discard(digests)
    assert files(blobs.root / "packs") == []


def test_a_pack_is_as_old_as_its_last_put(blobs: LocalBlobs) -> None:
    digests = blobs.put_many(SMALL)
    for path in (blobs.root / "packs").iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    blobs.put(SMALL[5])

    assert blobs.discard(digests, stored_before=1_100_000_000_000) == {}
    assert blobs.has(digests[0])


@given(st.sets(st.binary(max_size=40), min_size=8, max_size=60))
def test_an_index_finds_what_is_in_it_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, items: set[bytes]) -> None:
    blobs = LocalBlobs(tmp_path_factory.mktemp("packs"))
    blobs.put_many(items)
    index = PackIndex.load(next((blobs.root / "packs").glob("*.index")))

    assert {digest for digest, _ in index} == {digest_bytes(data) for data in items}
    assert all(index.find(bytes.fromhex(digest_bytes(data)[3:])) for data in items)
    assert index.find(bytes.fromhex(digest_bytes(b"not" * 50)[3:])) is None
