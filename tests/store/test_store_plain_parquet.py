"""Plain tables, written without a Parquet library, beside those that read Parquet."""

import io
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables, deletions
from sampan.store.tables.plain_parquet import encode_no_rows, encode_plain

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from(["a", "bé", ""]), st.integers(0, 2**63 - 1)), min_size=1, max_size=60)


def columns(rows: list[tuple[str, str, int]]) -> dict[str, list[str] | list[int]]:
    return {"name": [row[0] for row in rows], "kind": sorted(row[1] for row in rows), "size": [row[2] for row in rows]}


@settings(deadline=None, max_examples=25)
@given(ROWS)
def test_polars_arrow_and_duckdb_read_what_was_written(rows: list[tuple[str, str, int]]) -> None:
    data = encode_plain(columns(rows))

    assert columns(rows) == pl.read_parquet(io.BytesIO(data)).to_dict(as_series=False) == pq.read_table(io.BytesIO(data)).to_pydict()
    expected = pl.Schema({"name": pl.String, "kind": pl.String, "size": pl.Int64})
    assert expected == pl.read_parquet(io.BytesIO(encode_no_rows(columns(rows)))).schema


def test_long_columns_are_read_whole_and_say_their_smallest_and_greatest(tmp_path: Path) -> None:
    n = 70_000
    given = {"path": [f"{i // 300:03d}/ế{i}" for i in range(n)], "folder": [f"{i // 300:03d}" for i in range(n)], "size": list(range(n))}
    file = tmp_path / "t.parquet"
    file.write_bytes(encode_plain(given))

    assert given == pl.read_parquet(file).to_dict(as_series=False)
    assert [(n, n - 1, "233")] == duckdb.sql(f"select count(*), max(size), max(folder) from '{file}'").fetchall()
    told = pq.ParquetFile(file).metadata.row_group(0).column(1).statistics
    assert (0, "000", "233") == (told.null_count, told.min, told.max)
    assert file.stat().st_size < 400_000


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 200_000), max_size=30), st.sets(st.integers(0, 200_000), min_size=1, max_size=30), st.booleans())
def test_rows_added_to_a_deletion_vector_are_those_of_both(first: set[int], second: set[int], many: bool) -> None:
    first |= set(range(70_000, 75_000)) if many else set()
    before = deletions.encode(np.array(sorted(first), dtype=np.int64)) if first else b""

    data, n_dead = deletions.with_rows(before, sorted(second))

    assert deletions.encode(np.array(sorted(first | second), dtype=np.int64)) == data
    assert sorted(first | second) == deletions.decode(data).tolist()
    assert n_dead == len(first | second)


def test_a_plain_table_is_edited_row_by_row(tmp_path: Path) -> None:
    tables = Tables(LocalBlobs(tmp_path))
    first = tables.create_plain({"path": ["a", "b", "c"], "size": [1, 2, 3]})

    second = tables.replace_plain(first.digest, {0: [1]}, {"path": ["b", "d"], "size": [20, 4]})
    third = tables.replace_plain(second.digest, {0: [0, 2], 1: [1]}, {})

    assert [("a", 1), ("c", 3), ("b", 20), ("d", 4)] == tables.read(second.digest).rows()
    assert [("b", 20)] == tables.read(third.digest).rows()
    assert [3, 4, 1] == [version.n_rows for version in (first, second, third)]
    assert tables.create_plain({"path": ["a", "b", "c"], "size": [1, 2, 3]}).digest == first.digest
    assert {"path": "String", "size": "Int64"} == third.columns
    assert 1 == tables.diff(first.digest, second.digest, key=["path"]).n_changed
    for version in (first, second, third):
        tables.check(version.digest)


def test_writing_plain_tables_imports_neither_polars_nor_numpy(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sampan.store.blobs import LocalBlobs; from sampan.store.tables import Tables;"
        f"tables = Tables(LocalBlobs(Path({str(tmp_path)!r}))); first = tables.create_plain({{'path': ['a', 'b']}});"
        "tables.replace_plain(first.digest, {0: [1]}, {'path': ['c']});"
        "print([name for name in ('polars', 'numpy', 'pyarrow') if name in sys.modules])"
    )

    assert "[]" == subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
