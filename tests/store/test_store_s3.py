"""Content in S3: the contract suites that a local store passes, on a good bucket and on one that ignores conditions and ranges."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it has no stubs
import polars as pl
import pytest

from sampan.core.digests import Digest, digest_bytes
from sampan.core.events import VersionCommitted, new_id
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, StoreUnavailable
from sampan.ledger import Ledger
from sampan.ports import Blobs
from sampan.store import Store, s3
from sampan.store.folder_files import adopt_folder
from sampan.store.places import S3Place
from sampan.store.s3 import S3Blobs
from sampan.store.s3_bucket import Bucket
from sampan.store.tables import Tables
from sampan.store.upkeep import fsck, gc
from sampan.testing.bad_s3 import bad_s3, reach_s3
from sampan.testing.blobs import BlobsContract
from sampan.testing.stores import StoreContract
from sampan.testing.tables import TablesContract

HOUR_MS = 3_600_000


def damage_in_bucket(blobs: S3Blobs, digest: Digest) -> None:
    """Change a byte of an object in the bucket, and forget the copy."""
    path = blobs.object_path(digest)
    key = path.relative_to(blobs.root).as_posix()
    data = bytearray(blobs.bucket.read(key))
    data[-1] ^= 1
    blobs.bucket.put(key, bytes(data))
    path.unlink(missing_ok=True)


class OnABucket(BlobsContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, s3_bucket: str) -> None:
        self.place = Bucket(S3Place(f"s3://{s3_bucket}")).probe()

    def open_blobs(self, folder: Path) -> Blobs:
        return S3Blobs(folder, S3Place(f"{self.place.address}/{folder.name}", ranges=self.place.ranges))

    def damage(self, blobs: Blobs, digest: Digest) -> None:
        assert isinstance(blobs, S3Blobs)
        damage_in_bucket(blobs, digest)


class OnABadBucket(OnABucket):
    @pytest.fixture(autouse=True)
    def _bucket(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with bad_s3() as server:
            reach_s3(server.address, monkeypatch)
            self.place = Bucket(S3Place("s3://bad")).probe()
            assert (self.place.conditional_puts, self.place.ranges) == (False, False)
            yield


class TestBlobsInS3(OnABucket):
    pass


class TestBlobsInABadS3(OnABadBucket):
    pass


class TestTablesInS3(TablesContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, s3_bucket: str) -> None:
        self.bucket = s3_bucket

    def open_tables(self, folder: Path) -> Tables:
        return Tables(S3Blobs(folder, S3Place(f"s3://{self.bucket}/{folder.name}")))

    def damage(self, tables: Tables, digest: Digest) -> None:
        assert isinstance(tables.blobs, S3Blobs)
        damage_in_bucket(tables.blobs, digest)


class TestAStoreInS3(StoreContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, s3_bucket: str) -> None:
        self.bucket = s3_bucket

    def open_store(self, folder: Path) -> Store:
        return Store.open(folder, blobs=S3Place(f"s3://{self.bucket}/{folder.name}"))


@pytest.fixture
def blobs(s3_bucket: str, tmp_path: Path) -> S3Blobs:
    return S3Blobs(tmp_path / "cache", S3Place(f"s3://{s3_bucket}/here"))


def elsewhere(blobs: S3Blobs, tmp_path: Path) -> S3Blobs:
    """Another machine: the same bucket, an empty cache."""
    return S3Blobs(tmp_path / f"cache-{os.urandom(4).hex()}", blobs.bucket.place)


def test_a_probe_finds_what_a_good_bucket_can_do_and_leaves_nothing(s3_bucket: str) -> None:
    bucket = Bucket(S3Place(f"s3://{s3_bucket}"))
    found = bucket.probe()

    assert (found.conditional_puts, found.ranges, found.keeps_versions) == (True, True, False)
    assert list(bucket.list("")) == []


def test_many_small_objects_travel_in_one_pack(blobs: S3Blobs, tmp_path: Path) -> None:
    items = [os.urandom(100) for _ in range(300)]
    digests = blobs.put_many(items)
    other = elsewhere(blobs, tmp_path)

    assert len(list(blobs.bucket.list(""))) == 2
    assert [other.read(digest) for digest in digests] == items
    assert other.path(digests[7]).read_bytes() == items[7]
    assert other.size(digests[9]) == 100
    assert sorted(other.digests()) == sorted(digests)
    for digest in digests[:3]:
        other.verify(digest)


def test_freeing_objects_of_a_pack_leaves_the_others_to_every_machine(blobs: S3Blobs, tmp_path: Path) -> None:
    digests = blobs.put_many([b"%d" % number * 50 for number in range(20)])
    other = elsewhere(blobs, tmp_path)
    other.read(digests[0])

    freed = blobs.discard(digests[:5])
    assert sorted(freed) == sorted(digests[:5])
    assert other.read(digests[9]) == b"9" * 50
    with pytest.raises(BlobUnavailable):
        elsewhere(blobs, tmp_path).read(digests[0])
    assert len(list(blobs.bucket.list("packs/"))) == 2


def test_a_lost_or_damaged_copy_is_fetched_again(blobs: S3Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"content" * 1000)
    copy = blobs.object_path(digest)
    copy.chmod(0o644)
    copy.write_bytes(b"rubbish")

    assert blobs.read(digest) == b"content" * 1000
    copy.unlink()
    assert blobs.path(digest).read_bytes() == b"content" * 1000
    assert blobs.head(digest, 3) == b"con"
    assert elsewhere(blobs, tmp_path).head(digest, 3) == b"con"


def test_the_cache_stays_within_its_bound_when_nobody_reads(s3_bucket: str, tmp_path: Path) -> None:
    place = S3Place(f"s3://{s3_bucket}/bounded", cache_bytes=50_000)
    blobs = S3Blobs(tmp_path / "cache", place)
    digests = [blobs.put(os.urandom(10_000)) for _ in range(12)]

    kept = sum(path.stat().st_size for path in (tmp_path / "cache" / "objects").rglob("*") if path.is_file())
    assert kept <= 50_000
    assert [len(blobs.read(digest)) for digest in digests] == [10_000] * 12


def test_a_large_file_is_put_and_fetched_in_pieces(blobs: S3Blobs, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(20 << 20))
    digest, size = blobs.adopt_file(source)

    assert size == 20 << 20
    assert elsewhere(blobs, tmp_path).path(digest).read_bytes() == source.read_bytes()


def test_what_is_in_the_bucket_and_known_is_not_put_again(blobs: S3Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"once" * 1000)
    key = blobs.object_path(digest).relative_to(blobs.root).as_posix()
    first = blobs.bucket.find(key)

    assert blobs.keep(digest)
    assert S3Blobs(blobs.root, blobs.bucket.place).keep(digest)
    assert not elsewhere(blobs, tmp_path).keep(digest)  # it has not seen the bytes
    blobs.put(b"once" * 1000)
    assert blobs.bucket.find(key) == first


def test_gc_and_fsck_work_on_the_bucket(s3_bucket: str, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", blobs=S3Place(f"s3://{s3_bucket}")) as store:
        kept = store.tables.create(pl.DataFrame({"a": [1, 2, 3]})).digest
        lost = store.tables.create(pl.DataFrame({"a": [9]})).digest
        Ledger(store, actor="tester").append(VersionCommitted(node=new_id(), kind="dataset", name="kept", digest=kept))
        now = max(store.blobs.stored_at(digest) for digest in store.blobs.digests()) + 2 * HOUR_MS

        assert fsck(store) == []
        assert gc(store, grace_ms=3 * HOUR_MS, now=now).n_objects == 0
        assert gc(store, grace_ms=HOUR_MS, now=now).n_objects == 2  # the part and the manifest; the columns are shared
        assert store.tables.read(kept)["a"].to_list() == [1, 2, 3]
        assert not store.blobs.has(lost)

        (part,) = store.tables.parts(kept)
        assert isinstance(store.blobs, S3Blobs)
        damage_in_bucket(store.blobs, part.base)
        assert [fault.digest for fault in fsck(store)] == [part.base]
        store.blobs.delete(part.base)
        assert [fault.what for fault in fsck(store)] == ["is missing"]


def test_a_store_remembers_its_bucket(s3_bucket: str, tmp_path: Path) -> None:
    place = S3Place(f"s3://{s3_bucket}/mine")
    with Store.open(tmp_path / "store", blobs=place) as store:
        digest = store.blobs.put(b"x")
    with Store.open(tmp_path / "store") as again:
        assert again.blobs.read(digest) == b"x"
        assert isinstance(again.blobs, S3Blobs)
    with pytest.raises(StoreUnavailable, match="keeps its content in"):
        Store.open(tmp_path / "store", blobs=S3Place(f"s3://{s3_bucket}/other"))


def test_a_bucket_of_another_store_is_refused(s3_bucket: str, tmp_path: Path) -> None:
    place = S3Place(f"s3://{s3_bucket}/mine")
    Store.open(tmp_path / "one", blobs=place).close()

    with pytest.raises(IntegrityError, match="another store"):
        Store.open(tmp_path / "two", blobs=place)


def test_a_store_in_its_folder_is_not_moved_by_a_setting(s3_bucket: str, tmp_path: Path) -> None:
    Store.open(tmp_path / "store").close()

    with pytest.raises(StoreUnavailable, match="keeps its content in its folder"):
        Store.open(tmp_path / "store", blobs=S3Place(f"s3://{s3_bucket}"))


@pytest.mark.parametrize("address", ["", "http://somewhere", "s3://"])
def test_what_is_no_bucket_is_refused(address: str) -> None:
    with pytest.raises(ParameterError, match="no address of a bucket"):
        Bucket(S3Place(address))


def test_a_bucket_that_is_not_there_is_named_with_what_to_check(s3_bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"s3://no-such-bucket") as caught:
        Store.open(tmp_path / "store", blobs=S3Place("s3://no-such-bucket"))
    assert "endpoint" in caught.value.hint


def test_a_bad_bucket_overwrites_what_it_should_refuse_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with bad_s3() as server:
        reach_s3(server.address, monkeypatch)
        with Store.open(tmp_path / "store", blobs=S3Place("s3://bad/here")) as store:
            assert store.remote is not None
            assert not store.remote.conditional_puts
            version = store.tables.create(pl.DataFrame({"a": [1]})).digest
            digests = store.blobs.put_many([b"%d" % number for number in range(20)])
            again = S3Blobs(tmp_path / "other", store.remote)

            assert Tables(again).read(version)["a"].to_list() == [1]
            assert [again.read(digest) for digest in digests] == [b"%d" % number for number in range(20)]
        assert server.overwritten > 0


def test_equal_content_from_two_machines_is_one_object(blobs: S3Blobs, tmp_path: Path) -> None:
    other = elsewhere(blobs, tmp_path)

    assert blobs.put(b"same" * 100) == other.put(b"same" * 100)
    assert list(blobs.digests()) == [digest_bytes(b"same" * 100)]


def test_what_is_needed_again_is_young_again_and_freed_with_its_mark(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = blobs.put(b"old" * 100)
    packed = blobs.put_many([b"%d" % number * 50 for number in range(20)])
    first = blobs.stored_at(digest), blobs.stored_at(packed[0])
    monkeypatch.setattr(s3, "_RENEWED_AFTER_MS", -HOUR_MS)  # everything is old enough to be renewed
    time.sleep(1.1)  # S3 counts in seconds

    assert blobs.keep_many([digest, *packed]) == {digest, *packed}
    assert [found.key.startswith("kept/") for found in blobs.bucket.list("kept/")] == [True] * 2
    assert blobs.stored_at(digest) > first[0]
    assert blobs.stored_at(packed[0]) > first[1]
    assert blobs.discard([digest, *packed], stored_before=first[0] + 1) == {}
    assert len(blobs.discard([digest, *packed])) == 21
    assert list(blobs.bucket.list("kept/")) == []


def test_copies_of_what_another_machine_removed_are_left_over(blobs: S3Blobs, tmp_path: Path) -> None:
    gone, kept = blobs.put(b"gone" * 100), blobs.put(b"kept" * 100)
    elsewhere(blobs, tmp_path).delete(gone)

    assert blobs.object_path(gone).exists()
    assert list(blobs.leftovers()) == [blobs.object_path(gone)]
    assert blobs.read(kept) == b"kept" * 100


def test_a_bucket_that_keeps_versions_is_noticed(s3_bucket: str, s3_server: str) -> None:
    boto3.client("s3", endpoint_url=s3_server).put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})

    assert Bucket(S3Place(f"s3://{s3_bucket}")).probe().keeps_versions


def test_a_folder_is_taken_into_the_bucket_and_only_what_changed_or_was_lost_again(blobs: S3Blobs, tmp_path: Path) -> None:
    folder, long_ago = tmp_path / "files", 1_600_000_000
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02d}.txt").write_bytes(b"file %d" % number)
        os.utime(folder / f"{number:02d}.txt", (long_ago, long_ago))
    first = adopt_folder(blobs, folder)
    (folder / "03.txt").write_bytes(b"changed")

    second = adopt_folder(S3Blobs(blobs.root, blobs.bucket.place), folder)
    assert [20, 1] == [len(first.heads), len(second.heads)]
    other = elsewhere(blobs, tmp_path)
    assert [(folder / one.path).read_bytes() for one in second.listed()] == [other.read(one.digest) for one in second.listed()]
    blobs.discard([second.listed()[5].digest])
    assert 1 <= len(adopt_folder(S3Blobs(blobs.root, blobs.bucket.place), folder).heads) <= 3
    assert b"file 5" == elsewhere(blobs, tmp_path).read(digest_bytes(b"file 5"))
