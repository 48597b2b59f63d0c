"""What every blob store does, wherever it keeps the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.core.digests import Digest, digest_bytes
from sampan.errors import BlobUnavailable, IntegrityError, NotFound
from sampan.ports import Blobs


def flip_a_byte(path: Path, position: int = -1) -> None:
    """Damage a file, read-only or not; the default is its last byte."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


class BlobsContract:
    """Inherit, and say how a blob store is opened: the same folder twice must give the same store."""

    def open_blobs(self, folder: Path) -> Blobs:
        """Open the blob store that belongs to a folder."""
        raise NotImplementedError

    def damage(self, blobs: Blobs, digest: Digest) -> None:
        """Change a byte of a stored object behind the store's back. Override it where `path` is a copy."""
        flip_a_byte(blobs.path(digest))

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        """Lend a new blob store."""
        return self.open_blobs(tmp_path / "store")

    @pytest.mark.parametrize("data", [b"", b"a", b"\x00" * 70_000, bytes(range(256)) * 8192])
    def test_what_was_put_is_read(self, blobs: Blobs, data: bytes) -> None:
        digest = blobs.put(data)

        assert digest == digest_bytes(data)
        assert blobs.has(digest)
        assert blobs.size(digest) == len(data)
        assert blobs.read(digest) == data
        assert blobs.path(digest).read_bytes() == data
        with blobs.open(digest) as file:
            assert file.read() == data

    def test_putting_twice_keeps_one(self, blobs: Blobs) -> None:
        assert blobs.put(b"same") == blobs.put(b"same")
        assert list(blobs.digests()) == [digest_bytes(b"same")]

    def test_a_put_is_seen_by_another_opening(self, blobs: Blobs, tmp_path: Path) -> None:
        other = self.open_blobs(tmp_path / "store")
        assert not other.has(digest_bytes(b"news"))

        blobs.put(b"news")
        assert other.read(digest_bytes(b"news")) == b"news"

    def test_a_file_is_put_by_its_content(self, blobs: Blobs, tmp_path: Path) -> None:
        source = tmp_path / "source.bin"
        source.write_bytes(b"content" * 1000)

        assert blobs.put_file(source) == (digest_bytes(b"content" * 1000), 7000)
        source.write_bytes(b"changed")
        assert blobs.read(digest_bytes(b"content" * 1000)) == b"content" * 1000
        assert blobs.put_file(source) == (digest_bytes(b"changed"), 7)

    def test_putting_a_missing_file_names_it(self, blobs: Blobs, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="nothing-here"):
            blobs.put_file(tmp_path / "nothing-here")

    def test_what_was_never_put_is_unavailable_by_name(self, blobs: Blobs) -> None:
        digest = digest_bytes(b"never")

        assert not blobs.has(digest)
        assert blobs.delete(digest) == 0
        for ask in (blobs.read, blobs.open, blobs.path, blobs.size, blobs.verify):
            with pytest.raises(BlobUnavailable, match=digest):
                ask(digest)

    def test_a_flipped_byte_is_named_by_every_way_of_reading(self, blobs: Blobs) -> None:
        digest = blobs.put(b"precious" * 100)
        blobs.verify(digest)
        self.damage(blobs, digest)

        for ask in (blobs.read, blobs.open, blobs.path, blobs.verify):
            with pytest.raises(IntegrityError, match=digest) as caught:
                ask(digest)
            assert caught.value.expected == digest
            assert caught.value.actual not in ("", digest)

    def test_putting_the_bytes_again_mends_a_damaged_object(self, blobs: Blobs) -> None:
        digest = blobs.put(b"precious" * 100)
        self.damage(blobs, digest)

        assert blobs.put(b"precious" * 100) == digest
        assert blobs.read(digest) == b"precious" * 100

    def test_deleting_frees_the_bytes(self, blobs: Blobs) -> None:
        digest, kept = blobs.put(b"12345"), blobs.put(b"kept")

        assert blobs.delete(digest) == 5
        assert not blobs.has(digest)
        assert list(blobs.digests()) == [kept]
        assert blobs.put(b"12345") == digest
        assert blobs.read(digest) == b"12345"
