import os
from pathlib import Path

import pytest

from sampan.core.digests import digest_bytes
from sampan.store import copying
from sampan.store.blobs import LocalBlobs
from sampan.store.files import PIPELINED_BYTES


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "large.bin"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(PIPELINED_BYTES >> 20):
            file.write(number.to_bytes(4, "little") + block)
    return path


def test_a_large_file_is_digested_while_it_is_copied(large: Path, tmp_path: Path) -> None:
    digest, size = LocalBlobs(tmp_path / "store").adopt_file(large)

    assert digest_bytes(large.read_bytes()) == digest
    assert large.stat().st_size == size
    assert large.read_bytes() == LocalBlobs(tmp_path / "store").read(digest)


def test_an_empty_file_has_a_digest_too(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as source, (tmp_path / "copy").open("w+b") as target:
        digest = copying.copy_and_digest(source.fileno(), target.fileno())

    assert digest_bytes(b"") == digest


def test_a_copy_that_cannot_be_written_raises_in_the_callers_thread(large: Path) -> None:
    with large.open("rb") as source, Path("/dev/full").open("r+b", buffering=0) as target, pytest.raises(OSError, match=r"space|argument"):
        copying.copy_and_digest(source.fileno(), target.fileno())
