"""Layers whose bytes depend on nothing but names, modes and contents."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from sampan.errors import IntegrityError
from sampan.packaging.cache import MOST_BLOBS, Cache
from sampan.packaging.layers import Entry, Layer, folder_entries, write_layer
from sampan.packaging.layout import Descriptor, Layout

ENTRIES = [Entry("srv/b", content=b"two"), Entry("srv/a", content=b"one", mode=0o755), Entry("bin", target="usr/bin")]


def written(entries: list[Entry]) -> tuple[Layer, bytes]:
    out = io.BytesIO()
    return write_layer(entries, out, made_by="a test"), out.getvalue()


def test_the_same_entries_in_any_order_give_the_same_blob_named_by_its_content() -> None:
    layer, blob = written(ENTRIES)
    again, same = written(ENTRIES[::-1])

    assert (layer, blob) == (again, same)
    assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == layer.digest
    assert f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}" == layer.diff_id
    assert len(blob) == layer.size


def test_folders_nobody_listed_are_put_in_and_all_belongs_to_root_at_no_time() -> None:
    _, blob = written(ENTRIES)

    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        found = [(i.name, oct(i.mode), i.type, i.uid, i.gid, i.mtime, i.linkname) for i in archive]
    folder, file, link = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE
    assert [
        ("bin", "0o644", link, 0, 0, 0, "usr/bin"),
        ("srv", "0o755", folder, 0, 0, 0, ""),
        ("srv/a", "0o755", file, 0, 0, 0, ""),
        ("srv/b", "0o644", file, 0, 0, 0, ""),
    ] == found


def test_when_a_file_was_written_and_by_whom_it_may_be_read_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    first = written(list(folder_entries(tmp_path, below="srv")))
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "a").chmod(0o600)

    assert first == written(list(folder_entries(tmp_path, below="srv")))


def test_a_blob_whose_content_is_not_its_name_is_noticed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.add_image({"architecture": "amd64", "os": "linux"}, [], name="v1", annotations={})
    (described,) = layout.index()
    layout.blob(described.digest).write_bytes(b"{}")

    with pytest.raises(IntegrityError, match="does not hold what its name says"):
        layout.read(Descriptor(described.media_type, described.digest, 2))


def test_a_cache_keeps_the_blobs_used_last_and_forgets_what_it_cannot_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    blob = tmp_path / "blob"
    for i in range(MOST_BLOBS + 3):
        blob.write_bytes(bytes([i]))
        cache.keep(f"sha256:{i:02}", blob)
        os.utime(tmp_path / "cache" / f"blob-sha256-{i:02}", (i, i))

    kept = [i for i in range(MOST_BLOBS + 3) if cache.blob(f"sha256:{i:02}")]
    assert list(range(3, MOST_BLOBS + 3)) == kept
    cache.note({"about": 1}, {"n": 1})
    assert {"n": 1} == cache.noted({"about": 1}, dict[str, int])
    assert None is cache.noted({"about": 1}, dict[str, list[int]])
    assert None is Cache(None).noted({"about": 1}, dict[str, int])


def test_a_layer_is_taken_from_the_cache_and_made_again_where_its_blob_is_gone(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    made: list[int] = []

    def write(out: object) -> Layer:
        made.append(1)
        return write_layer(ENTRIES, out, made_by="a test")  # type: ignore[arg-type]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = Layout(tmp_path / "a").add_layer(write, about="x", cache=cache)
    second = Layout(tmp_path / "b").add_layer(write, about="x", cache=cache)
    assert (first, 1) == (second, len(made))
    for blob in (tmp_path / "cache").glob("blob-*"):
        blob.unlink()

    assert first == Layout(tmp_path / "a").add_layer(write, about="x", cache=cache)
    assert 2 == len(made)
