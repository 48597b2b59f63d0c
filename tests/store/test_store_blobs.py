"""Objects on a local disk: the contract, linking, the stat cache, what crashes and full disks leave."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sampan.core.digests import digest_bytes
from sampan.errors import IntegrityError, ParameterError, StaleState, StoreUnavailable, Unsupported
from sampan.ports import Blobs
from sampan.store.blobs import LocalBlobs
from sampan.store.files import hash_file
from sampan.testing.blobs import BlobsContract, flip_a_byte


class TestLocalBlobs(BlobsContract):
    def open_blobs(self, folder: Path) -> Blobs:
        return LocalBlobs(folder)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that was last written long ago."""
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(3 << 20))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been hashed."""
    paths: list[Path] = []

    def hash_and_note(path: Path) -> str:
        paths.append(path)
        return hash_file(path)

    monkeypatch.setattr("sampan.store.blobs.hash_file", hash_and_note)
    return paths


def test_objects_are_read_only_and_nothing_else_stays(blobs: LocalBlobs) -> None:
    path = blobs.path(blobs.put(b"data"))

    assert path.stat().st_mode & 0o777 & ~0o444 == 0
    assert list(blobs.leftovers()) == []


def test_a_copy_is_independent_of_its_source(blobs: LocalBlobs, source: Path) -> None:
    data = source.read_bytes()
    digest, size = blobs.adopt_file(source)
    source.write_bytes(b"changed")

    assert (digest, size) == (digest_bytes(data), 3 << 20)
    assert blobs.read(digest) == data


def test_a_hard_link_shares_the_file_and_makes_it_read_only(blobs: LocalBlobs, source: Path) -> None:
    digest, _ = blobs.adopt_file(source, link="hardlink")

    assert blobs.path(digest).samefile(source)
    assert source.stat().st_mode & 0o222 == 0


def test_writing_through_a_hard_link_is_noticed(blobs: LocalBlobs, source: Path) -> None:
    digest, _ = blobs.adopt_file(source, link="hardlink")
    blobs.path(digest)
    flip_a_byte(source)
    os.utime(source, (1_000_000_000, 1_000_000_000))

    for opened in (blobs, LocalBlobs(blobs.root)):
        with pytest.raises(IntegrityError, match=digest):
            opened.path(digest)


def test_a_link_that_the_file_system_cannot_make_is_an_error(blobs: LocalBlobs, source: Path) -> None:
    other_device = Path("/dev/shm") / f"sampan-test-{os.getpid()}"
    other_device.write_bytes(b"elsewhere")
    try:
        if other_device.stat().st_dev == source.stat().st_dev:  # pragma: no cover
            pytest.fail("this test needs /dev/shm on a device of its own")
        with pytest.raises(Unsupported, match="cannot hardlink"):
            blobs.adopt_file(other_device, link="hardlink")
        with pytest.raises(Unsupported, match="cannot reflink") as caught:
            blobs.adopt_file(other_device, link="reflink")
        assert "link='copy'" in caught.value.hint
    finally:
        other_device.unlink()
    assert list(blobs.digests()) == []
    assert list(blobs.leftovers()) == []


def test_an_unknown_way_of_linking_and_a_folder_are_refused(blobs: LocalBlobs, source: Path) -> None:
    with pytest.raises(ParameterError, match="'symlink'"):
        blobs.adopt_file(source, link="symlink")
    with pytest.raises(ParameterError, match="is not a file"):
        blobs.adopt_file(source.parent)


def test_an_unchanged_file_is_not_read_again_not_even_by_another_process(blobs: LocalBlobs, source: Path, hashed: list[Path]) -> None:
    digest, _ = blobs.adopt_file(source)
    assert len(hashed) == 1

    assert LocalBlobs(blobs.root).adopt_file(source) == (digest, 3 << 20)
    assert LocalBlobs(blobs.root).adopt_file(source) == (digest, 3 << 20)
    assert len(hashed) == 1


def test_a_file_changed_within_its_time_stamp_is_read_again(blobs: LocalBlobs, source: Path) -> None:
    blobs.adopt_file(source)
    data = bytearray(source.read_bytes())
    data[5] ^= 1
    source.write_bytes(data)
    os.utime(source, (1_000_000_000, 1_000_000_000))

    assert blobs.adopt_file(source)[0] == digest_bytes(bytes(data))


def test_a_remembered_file_whose_object_is_gone_is_stored_again(blobs: LocalBlobs, source: Path) -> None:
    digest, _ = blobs.adopt_file(source)
    blobs.delete(digest)

    assert blobs.adopt_file(source)[0] == digest
    assert blobs.read(digest) == source.read_bytes()


def test_a_torn_stat_cache_is_only_slower(blobs: LocalBlobs, source: Path) -> None:
    digest, _ = blobs.adopt_file(source)
    with (blobs.root / "cache" / "files.jsonl").open("ab") as file:
        file.write(b'["/torn",12')

    assert LocalBlobs(blobs.root).adopt_file(source)[0] == digest


def test_the_stat_cache_is_shortened_when_most_lines_are_outdated(blobs: LocalBlobs, source: Path) -> None:
    blobs.adopt_file(source)
    cache = blobs.root / "cache" / "files.jsonl"
    cache.write_bytes(cache.read_bytes() * 2000)
    before = cache.stat().st_size

    LocalBlobs(blobs.root).adopt_file(source)
    assert cache.stat().st_size < before / 100


def test_a_file_written_to_meanwhile_is_refused(blobs: LocalBlobs, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = LocalBlobs._linked

    def copy_and_disturb(self: LocalBlobs, *args: object) -> object:
        copied = copy(self, *args)  # type: ignore[arg-type]
        with source.open("ab") as file:
            file.write(b"more")
        return copied

    monkeypatch.setattr(LocalBlobs, "_linked", copy_and_disturb)
    with pytest.raises(StaleState, match=r"source\.bin"):
        blobs.adopt_file(source)
    assert list(blobs.digests()) == []


def test_a_large_object_is_hashed_once_whatever_process_asks(blobs: LocalBlobs, source: Path) -> None:
    digest, _ = blobs.adopt_file(source)
    LocalBlobs(blobs.root).path(digest)
    again = LocalBlobs(blobs.root)
    again.path(digest)
    # The signature is checked, not the bytes: only fsck reads everything again. What changes a file changes its signature.
    flip_a_byte(blobs.object_path(digest))

    with pytest.raises(IntegrityError):
        again.path(digest)


def test_a_large_put_is_not_hashed_again_by_the_next_process(blobs: LocalBlobs, hashed: list[Path]) -> None:
    large, small = blobs.put(os.urandom(3 << 20)), blobs.put(b"small")
    again = LocalBlobs(blobs.root)
    for _ in range(3):
        again.path(large)
        again.path(small)

    assert hashed == [again.object_path(small)]


def test_many_threads_put_and_read_at_once(blobs: LocalBlobs) -> None:
    def work(number: int) -> None:
        for i in range(20):
            data = f"{(number * i) % 37}".encode()
            assert blobs.read(blobs.put(data)) == data

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(blobs.leftovers()) == []
    assert all(blobs.verify(digest) is None for digest in blobs.digests())


def test_a_folder_that_cannot_be_written_is_unavailable_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the store should be")

    with pytest.raises(StoreUnavailable) as caught:
        LocalBlobs(tmp_path / "store").put(b"data")
    assert "move it away" in caught.value.hint
