"""Rows by key and by number: always what reading everything and picking would give, cached or not."""

from pathlib import Path

import polars as pl
import pytest

from sampan.core.digests import Digest
from sampan.errors import ParameterError, Unsupported
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

ROWS = pl.DataFrame(
    {"id": range(300), "name": [None if i % 7 == 0 else f"n{i % 40}" for i in range(300)], "x": [i / 2 for i in range(300)]}
)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(LocalBlobs(tmp_path / "store"), cache=tmp_path / "store" / "cache" / "tables")


@pytest.fixture(params=["read", "cached"])
def version(tables: Tables, request: pytest.FixtureRequest) -> Digest:
    """Make a version with dead rows, two overlays, one over part of the other, and clean rows behind."""
    at = tables.create(ROWS).digest
    at = tables.overlay(at, pl.DataFrame({"x": range(1000, 1300), "y": range(300)})).digest
    at = tables.delete(at, list(range(0, 300, 3))).digest
    at = tables.overlay(at, pl.DataFrame({"y": [f"y{i}" for i in range(200)]})).digest
    at = tables.append(at, tables.read(at).head(50).with_columns(pl.col("id") + 1000)).digest
    if request.param == "cached":
        tables.cache(at)
    return at


@pytest.mark.parametrize("keys", [[1, 2, 3, 4], [1001, 5], [7, 7, 299], [9999], [], [None], [4, None]])
def test_rows_by_key_are_those_a_filter_finds(tables: Tables, version: Digest, keys: list[int | None]) -> None:
    expected = tables.read(version).filter(pl.col("id").is_in(keys, nulls_equal=True))

    assert expected.equals(tables.rows_with(version, pl.DataFrame({"id": keys}, schema={"id": pl.Int64})))


def test_a_key_may_be_of_several_columns_or_laid_over(tables: Tables, version: Digest) -> None:
    table = tables.read(version)
    for names in (["name", "id"], ["y"], ["y", "x"]):
        keys = table.select(names).sample(20, seed=3)

        assert table.join(keys, on=names, how="semi", nulls_equal=True, maintain_order="left").equals(tables.rows_with(version, keys))


@pytest.mark.parametrize("numbers", [[0], [249, 0, 17, 17], [], list(range(250)), [200, 199]])
def test_rows_by_number_come_in_the_order_asked_for(tables: Tables, version: Digest, numbers: list[int]) -> None:
    assert tables.read(version)[numbers].equals(tables.take(version, numbers))


def test_what_is_not_there_is_named(tables: Tables, version: Digest) -> None:
    with pytest.raises(ParameterError, match="row 250 is not in a table of 250 rows"):
        tables.take(version, [250])
    with pytest.raises(ParameterError, match="id is String and in the table Int64"):
        tables.rows_with(version, pl.DataFrame({"id": ["1"]}))
    with pytest.raises(ParameterError, match="names no column of the table: idd"):
        tables.rows_with(version, pl.DataFrame({"idd": [1]}))


def test_a_cached_version_is_the_version(tables: Tables) -> None:
    version = tables.delete(tables.create(ROWS).digest, [5]).digest
    before = tables.read(version)
    size = tables.cache(version)

    assert before.equals(tables.read(version))
    assert before.filter(pl.col("x") > 100).equals(tables.scan(version).filter(pl.col("x") > 100).collect())
    assert size == tables.forget([version])
    assert 0 == tables.forget()
    assert before.equals(tables.read(version))


def test_a_cache_that_someone_touched_is_not_believed(tables: Tables, tmp_path: Path) -> None:
    version = tables.create(ROWS).digest
    tables.cache(version)
    (file,) = (tmp_path / "store" / "cache" / "tables").glob("*.arrow")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    assert ROWS.equals(tables.read(version))


def test_tables_without_a_folder_for_it_say_so(tmp_path: Path) -> None:
    tables = Tables(LocalBlobs(tmp_path))

    with pytest.raises(Unsupported, match="no folder to cache"):
        tables.cache(tables.create(ROWS).digest)
