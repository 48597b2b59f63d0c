"""A published version is a Delta table: what other programs read of it is what the version holds."""

import json
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from sampan.errors import AlreadyExists, IntegrityError, Unsupported
from sampan.store import Store
from sampan.store.blobs import LocalBlobs
from sampan.store.places import S3Place
from sampan.store.tables import Tables, TableVersion, layout

NOW = 1_700_000_000_000
PEER = Path(__file__).parents[2] / ".peers" / "duckdb" / "bin" / "python"
READ = """
import sys
from pathlib import Path
import duckdb, duckdb_extension_delta
connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
(extension,) = Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension")
connection.execute(f"load '{extension}'")
connection.execute(f"copy (from delta_scan('{sys.argv[1]}')) to '{sys.argv[2]}' (format parquet)")
"""
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "name": ["a", None, "ö", "d"],
        "when": [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(2014, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)],
        "day": [date(2013, 1, 1), date(2014, 1, 1), None, date(2015, 1, 1)],
        "x": [0.5, None, 2.5, float("inf")],
        "tags": [["a"], [], None, ["b", None]],
        "is_late": [True, False, None, True],
    }
)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(LocalBlobs(tmp_path / "store"))


def edited(tables: Tables) -> TableVersion:
    """Make a version with dead rows, an overlay and a clean part."""
    version = tables.create(ROWS)
    version = tables.overlay(version.digest, pl.DataFrame({"x": [9.5, 8.5, 7.5, 6.5], "new": [1, 2, 3, 4]}))
    version = tables.delete(version.digest, [1])
    return tables.append(version.digest, tables.read(version.digest).with_columns(pl.col("id") + 10))


def deltars_reads(folder: Path) -> pl.DataFrame:
    """Read a Delta table with delta-rs."""
    return pl.DataFrame(DeltaTable(folder).to_pyarrow_table())


def duckdb_reads(folder: Path, made: Path) -> pl.DataFrame:
    """Read a Delta table with DuckDB's own extension for them, in the environment that has it."""
    done = subprocess.run([PEER, "-c", READ, folder, made], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pl.read_parquet(made)


def test_polars_deltars_and_duckdb_read_what_the_version_holds(tables: Tables, tmp_path: Path) -> None:
    version = edited(tables)
    expected = tables.read(version.digest).sort("id")

    made = tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)

    assert (made.version, made.n_files, made.n_written, made.is_new) == (0, 2, 1, True)
    assert_frame_equal(expected, pl.read_delta(str(tmp_path / "out")).sort("id"), check_dtypes=False)
    assert_frame_equal(expected, deltars_reads(tmp_path / "out").sort("id"), check_dtypes=False)
    assert_frame_equal(expected, duckdb_reads(tmp_path / "out", tmp_path / "read.parquet").sort("id"), check_dtypes=False)


def test_others_read_large_parts_and_their_edits(tables: Tables, tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": range(layout.MIN_ROWS)}).with_columns(fare=pl.col("id") % 300 / 4, name=pl.format("n{}", pl.col("id") % 7))
    version = tables.delete(tables.append(tables.create(rows).digest, rows).digest, pl.col("id") == 5)
    tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)
    expected = tables.read(version.digest).sort("id", "fare")

    assert_frame_equal(expected, deltars_reads(tmp_path / "out").sort("id", "fare"))
    assert_frame_equal(expected, duckdb_reads(tmp_path / "out", tmp_path / "read.parquet").sort("id", "fare"))


def test_rows_that_were_added_twice_are_published_twice(tables: Tables, tmp_path: Path) -> None:
    version = tables.append(tables.append(tables.create(ROWS).digest, ROWS).digest, ROWS)
    tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)
    fewer = tables.delete(version.digest, [0, 4])
    tables.publish(fewer.digest, tmp_path / "out", ref="t@v2", now=NOW)

    assert [12, 10] == [pl.read_delta(str(tmp_path / "out"), version=number).height for number in range(2)]


def test_a_clean_part_is_shared_with_the_store(tables: Tables, tmp_path: Path) -> None:
    version = tables.create(ROWS)
    tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)

    (file,) = (tmp_path / "out").glob("*.parquet")
    assert file.samefile(tables.blobs.path(tables.parts(version.digest)[0].base))


def test_another_version_becomes_the_newest_and_the_one_before_stays_readable(tables: Tables, tmp_path: Path) -> None:
    first = tables.create(ROWS)
    second = tables.delete(first.digest, [0])
    out = str(tmp_path / "out")
    tables.publish(first.digest, tmp_path / "out", ref="t@v1", now=NOW)

    made = tables.publish(second.digest, tmp_path / "out", ref="t@v2", now=NOW + 1)
    again = tables.publish(second.digest, tmp_path / "out", ref="t@v2", now=NOW + 2)
    back = tables.publish(first.digest, tmp_path / "out", ref="t@v1", now=NOW + 3)

    assert (made.version, made.n_written) == (1, 1)
    assert (again.version, again.is_new) == (1, False)
    assert (back.version, back.n_written) == (2, 0)
    assert [4, 3, 4] == [pl.read_delta(out, version=number).height for number in range(3)]


def test_new_columns_are_in_the_tables_schema(tables: Tables, tmp_path: Path) -> None:
    first = tables.create(ROWS)
    tables.publish(first.digest, tmp_path / "out", ref="t@v1", now=NOW)
    second = tables.overlay(first.digest, pl.DataFrame({"late": [1, 0, 1, 0]}))

    tables.publish(second.digest, tmp_path / "out", ref="t@v2", now=NOW)

    assert [1, 0, 1, 0] == pl.read_delta(str(tmp_path / "out"))["late"].to_list()
    assert "late" not in pl.read_delta(str(tmp_path / "out"), version=0).columns


def test_types_delta_does_not_know_are_cast_where_nothing_is_lost(tables: Tables, tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "small": pl.Series([1, 2], dtype=pl.UInt8),
            "huge": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
            "kind": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
            "ns": pl.Series([datetime(2013, 1, 1, 5), None]).cast(pl.Datetime("ns")),  # noqa: DTZ001 — a moment without a zone is the case
            "none": [None, None],
        }
    )

    tables.publish(tables.create(rows).digest, tmp_path / "out", ref="t@v1", now=NOW)

    read = pl.read_delta(str(tmp_path / "out"))
    assert [1, 2] == read["small"].to_list()
    assert [2**64 - 1, None] == [None if value is None else int(value) for value in read["huge"].to_list()]
    assert ["a", "b"] == read["kind"].to_list()
    assert rows["ns"].to_list() == read["ns"].to_list()


def test_types_without_a_form_in_delta_are_all_named(tables: Tables, tmp_path: Path) -> None:
    rows = pl.DataFrame({"a": pl.Series([1], dtype=pl.Duration("us")), "b": [1], "c": pl.Series([1], dtype=pl.Time)})

    with pytest.raises(Unsupported, match=r"no type for a \(Duration.*\), c \(Time\)"):
        tables.publish(tables.create(rows).digest, tmp_path / "out", ref="t@v1", now=NOW)

    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_in_it_is_refused(tables: Tables, tmp_path: Path) -> None:
    version = tables.create(ROWS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "theirs"))

    with pytest.raises(AlreadyExists, match="holds other files"):
        tables.publish(version.digest, tmp_path / "full", ref="t@v1", now=NOW)
    with pytest.raises(AlreadyExists, match="another program writes"):
        tables.publish(version.digest, tmp_path / "theirs", ref="t@v1", now=NOW)


def test_a_log_with_a_gap_is_no_table(tables: Tables, tmp_path: Path) -> None:
    first = tables.create(ROWS)
    for number, version in enumerate([first, tables.delete(first.digest, [0]), first]):
        tables.publish(version.digest, tmp_path / "out", ref=f"t@v{number}", now=NOW)
    (tmp_path / "out" / "_delta_log" / f"{1:020}.json").unlink()

    with pytest.raises(IntegrityError, match="gap"):
        tables.publish(first.digest, tmp_path / "out", ref="t@v1", now=NOW)


def test_the_log_says_which_version_was_published(tables: Tables, tmp_path: Path) -> None:
    version = tables.create(ROWS)
    tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)

    told = json.loads((tmp_path / "out" / "_delta_log" / f"{0:020}.json").read_text().splitlines()[0])["commitInfo"]

    assert (told["version"], told["digest"], told["timestamp"]) == ("t@v1", version.digest, NOW)


@pytest.mark.slow
def test_a_version_kept_in_s3_is_published_and_taken_from(s3_bucket: str, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", blobs=S3Place(f"s3://{s3_bucket}/here")) as store:
        version = edited(store.tables)
        expected = store.tables.read(version.digest)
        store.tables.publish(version.digest, tmp_path / "out", ref="t@v1", now=NOW)

        assert_frame_equal(expected.sort("id"), pl.read_delta(str(tmp_path / "out")).sort("id"), check_dtypes=False)
        assert expected[[1, 4]].equals(store.tables.take(version.digest, [1, 4]))
        assert expected.filter(pl.col("id") == 13).equals(store.tables.rows_with(version.digest, pl.DataFrame({"id": [13]})))
