"""Table versions over a local store: the contract, and what a manifest looks like after a long history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.digests import Digest, digest_bytes
from sampan.errors import IntegrityError
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables, deletions, edits, manifest
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import cut, encode, part_rows
from sampan.testing.tables import FLIGHTS, TablesContract


class TestOnLocalBlobs(TablesContract):
    def open_tables(self, folder: Path) -> Tables:
        return Tables(LocalBlobs(folder))


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(LocalBlobs(tmp_path / "store"))


class Shelf:
    """Bytes by digest, and how many were written."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}
        self.n_written = 0

    def put(self, data: bytes) -> Digest:
        self.held[digest_bytes(data)] = data
        self.n_written += len(data)
        return digest_bytes(data)

    def read(self, digest: Digest) -> bytes:
        return self.held[digest]


def part(number: int) -> Part:
    return Part(digest_bytes(str(number).encode()), 1000, 34_567)


@given(st.lists(st.integers(1, 40), max_size=40))
def test_appending_piece_by_piece_gives_the_manifest_of_all_parts(sizes: list[int]) -> None:
    shelf = Shelf()
    grown = manifest.build("b3:schema", [], shelf.put)
    parts: list[Part] = []
    for size in sizes:
        new = [part(len(parts) + i) for i in range(size)]
        grown = manifest.extend(grown, new, shelf.read, shelf.put)
        parts += new

    assert grown == manifest.build("b3:schema", parts, shelf.put)
    assert manifest.all_parts(grown, shelf.read) == parts
    assert manifest.decode(manifest.encode(grown), "b3:x") == grown
    assert all(entry.n_parts <= 256 for entry in grown.lists)


def test_a_thousand_appends_write_small_manifests() -> None:
    shelf = Shelf()
    grown = manifest.build("b3:schema", [], shelf.put)
    largest = 0
    for number in range(1000):
        grown = manifest.extend(grown, [part(number)], shelf.read, shelf.put)
        largest = max(largest, len(manifest.encode(grown)))
        shelf.put(manifest.encode(grown))

    assert grown.n_rows == 1_000_000
    assert largest < 4_000
    assert shelf.n_written < 3_000_000


@given(st.sets(st.one_of(st.integers(0, 200_000), st.integers(65_000, 66_000)), max_size=300), st.booleans())
def test_deletion_vectors_come_back(rows: set[int], is_dense: bool) -> None:
    positions = np.array(sorted(rows | set(range(70_000, 76_000) if is_dense else ())), dtype=np.int64)
    data = deletions.encode(positions)

    assert deletions.decode(data).tolist() == positions.tolist()
    assert len(data) <= 12 + 16 * 8 + 2 * len(positions)


def test_other_bytes_are_no_deletion_vector() -> None:
    with pytest.raises(IntegrityError):
        deletions.decode(b"something else")


def test_rows_are_cut_into_full_parts_however_they_arrive() -> None:
    frame = pl.DataFrame({"a": range(10)})
    chunked = pl.concat([frame[:3], frame[3:4], frame[4:]], rechunk=False)

    for given_frame in (frame, chunked, frame.lazy(), chunked.lazy()):
        assert [piece["a"].to_list() for piece in cut(given_frame, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(cut(frame.clear(), 4)) == []
    assert encode(chunked) == encode(frame)


def test_wide_tables_have_shorter_parts() -> None:
    assert part_rows(3) == 1_000_000
    assert part_rows(5_000) == 6_400


def test_a_table_of_5000_columns_is_kept(tables: Tables) -> None:
    wide = pl.DataFrame({f"c{i}": [i, -i] for i in range(5_000)})
    version = tables.create(wide)

    assert tables.read(version.digest).equals(wide)
    assert len(version.columns) == 5_000


@pytest.mark.slow
def test_a_table_of_several_parts_is_read_in_order(tables: Tables) -> None:
    rows = pl.DataFrame({"id": range(2_300_000)})
    version = tables.create(rows.lazy())

    assert version.n_parts == 3
    assert tables.read(version.digest).equals(rows)
    left = tables.delete(version.digest, pl.col("id") % 1_000_000 == 17)
    assert left.n_rows == 2_299_997
    assert tables.scan(left.digest).filter(pl.col("id").is_between(999_999, 1_000_018)).collect()["id"].to_list() == [
        *range(999_999, 1_000_017),
        1_000_018,
    ]
    grown = tables.append(left.digest, rows[:10])
    small = tables.compact(tables.append(grown.digest, rows[:10]).digest)
    assert small.n_parts == 3
    assert tables.read(small.digest)["id"].to_list()[-20:] == [*range(10), *range(10)]


def test_columns_may_have_any_name(tables: Tables) -> None:
    odd = pl.DataFrame({"row": [1, 2], "row_": [3, 4], "key 0": [5, 6], "before 0": [7, 8], "": [9, 10], "*": [11, 12], "^a$": [13, 14]})
    version = tables.create(odd).digest
    fewer = tables.delete(version, [0]).digest
    over = tables.overlay(fewer, pl.DataFrame({"after 0": [1], "*": [0]})).digest

    assert tables.read(fewer).rows() == [(2, 4, 6, 8, 10, 12, 14)]
    assert tables.read(over).rows() == [(2, 4, 6, 8, 10, 0, 14, 1)]
    assert tables.diff(version, over, key=["key 0"]).changed_columns == {"*": 1}


def test_paths_with_wildcards_are_plain_paths(tmp_path: Path) -> None:
    folder = tmp_path / "odd [1] *"
    folder.mkdir()
    FLIGHTS.write_parquet(folder / "a[b]*.parquet")
    tables = Tables(LocalBlobs(folder / "store"))

    assert tables.read(tables.adopt(folder / "a[b]*.parquet").digest).equals(FLIGHTS)


def test_large_files_are_cut_when_they_are_compacted_and_what_fits_is_left() -> None:
    fits, small, large = (Part(digest_bytes(str(n).encode()), n, 1) for n in (1_400_000, 400_000, 10_000_000))

    def worth(*listed: Part) -> list[tuple[int, bool]]:
        return [(len(group), is_worth_it) for group, is_worth_it in edits.groups_to_compact(listed, 1_000_000)]

    assert worth(fits, large, fits) == [(1, False), (1, True), (1, False)]
    assert worth(fits, small, fits) == [(1, False), (1, False), (1, False)]
    assert worth(small, large) == [(2, True)]


def test_an_adopted_file_that_is_cut_keeps_its_rows(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.store.tables.parts.MAX_PART_ROWS", 100)
    rows = pl.DataFrame({"id": range(250)})
    rows.write_parquet(tmp_path / "rows.parquet")
    version = tables.compact(tables.adopt(tmp_path / "rows.parquet").digest)

    assert [part.n_rows for part in tables.parts(version.digest)] == [100, 100, 50]
    assert tables.read(version.digest).equals(rows)
    assert tables.compact(version.digest) == version
