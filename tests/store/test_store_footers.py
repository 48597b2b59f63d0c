import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sampan.errors import DataFormatError
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables
from sampan.store.tables.footers import read_footer

TYPES = pl.DataFrame(
    {
        "number": [1, 2, None],
        "text": ["a", None, "ä"],
        "when": [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(2014, 1, 1, tzinfo=UTC)],
        "took": pl.Series([1, 2, 3], dtype=pl.Duration("ms")),
        "kind": pl.Series(["x", "y", "x"], dtype=pl.Enum(["x", "y"])),
        "class": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "money": pl.Series(["1.10", "2.20", None]).cast(pl.Decimal(10, 2)),
        "list": [[1], [], None],
        "nested": [{"a": 1, "b": [None]}, None, {"a": None, "b": None}],
    }
)


@pytest.mark.parametrize("writer", ["polars", "pyarrow"])
def test_columns_without_rows_have_the_files_exact_types(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "types.parquet"
    if writer == "polars":
        TYPES.write_parquet(path, row_group_size=2)
    else:
        pq.write_table(TYPES.drop("money").to_arrow(), path, row_group_size=2)

    footer = read_footer(path, source="types")

    assert footer.n_rows == 3
    empty = tmp_path / "empty.parquet"
    empty.write_bytes(footer.without_rows())
    assert pl.read_parquet_schema(path) == pl.read_parquet_schema(empty)
    assert pq.read_schema(path) == pq.read_schema(empty)
    assert pl.read_parquet(empty).is_empty()


def test_the_number_of_rows_is_the_writers_for_any_size(tmp_path: Path) -> None:
    for n_rows in (0, 1, 63, 64, 8_191, 8_192, 1_000_000):
        pl.DataFrame({"x": pl.int_range(n_rows, eager=True)}).write_parquet(tmp_path / "x.parquet")

        assert n_rows == read_footer(tmp_path / "x.parquet", source="x").n_rows


@pytest.mark.parametrize("data", [b"", b"PAR1", b"a,b\n1,2\n", b"PAR1" + b"\0" * 8 + b"PAR1", b"PAR1" + b"\xff" * 64 + b"\x40\0\0\0PAR1"])
def test_what_is_no_parquet_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(data)

    with pytest.raises(DataFormatError, match=r"x\.parquet is not a readable Parquet file"):
        Tables(LocalBlobs(tmp_path / "store")).adopt(tmp_path / "x.parquet")


def test_a_truncated_footer_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), file)
    whole = file.getvalue()
    n_bytes = int.from_bytes(whole[-8:-4], "little")
    footer = whole[-8 - n_bytes : -8]
    for end in range(n_bytes):
        path = tmp_path / "cut.parquet"
        path.write_bytes(b"PAR1" + footer[:end] + end.to_bytes(4, "little") + b"PAR1")

        with pytest.raises(DataFormatError):
            read_footer(path, source="cut")


def test_adopting_a_file_imports_neither_polars_nor_numpy(tmp_path: Path) -> None:
    TYPES.write_parquet(tmp_path / "types.parquet")
    code = f"""
import sys
from pathlib import Path
from sampan.store import Store
with Store.open(Path({str(tmp_path / "store")!r})) as store:
    store.tables.adopt(Path({str(tmp_path / "types.parquet")!r}))
print({{"polars", "numpy", "pyarrow"}} & set(sys.modules))
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "set()", done.stderr
