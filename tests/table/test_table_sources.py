"""A source is read by what it is, whatever it is called."""

import bz2
import gzip
import lzma
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from sampan.core.digests import digest_bytes
from sampan.errors import DataFormatError, NotFound, ParameterError
from sampan.table.source_form import SourceForm
from sampan.table.sources import read_source

TEXT = b"a,b\n1,x\n2,y\n"
FRAME = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def zipped(folder: Path, **members: bytes) -> Path:
    path = folder / "t.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def test_plain_and_compressed_csv_give_the_same_table(tmp_path: Path) -> None:
    plain = read_source(write(tmp_path, "t.csv", TEXT))
    zstd = pa.compress(TEXT, codec="zstd", asbytes=True)

    assert plain.frame.equals(FRAME)
    assert plain.digest == digest_bytes(TEXT)
    assert read_source(write(tmp_path, "t.csv.gz", gzip.compress(TEXT))).frame.equals(FRAME)
    assert read_source(write(tmp_path, "t.csv.zst", zstd)).frame.equals(FRAME)
    assert read_source(write(tmp_path, "t.csv.bz2", bz2.compress(TEXT))).frame.equals(FRAME)
    assert read_source(write(tmp_path, "t.csv.xz", lzma.compress(TEXT))).frame.equals(FRAME)
    found = read_source(zipped(tmp_path, t__csv=TEXT))
    assert (found.frame.equals(FRAME), found.member) == (True, "t.csv")


def test_the_first_bytes_decide_not_the_name(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "t.csv")

    assert read_source(tmp_path / "t.csv").format == "parquet"
    assert read_source(write(tmp_path, "t.log", b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n')).frame.equals(FRAME)
    assert read_source(write(tmp_path, "bmi.csv", b"BMI,a\n20,1\n")).frame.columns == ["BMI", "a"]


def test_parquet_json_lines_and_tabs(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "t.parquet")
    FRAME.write_ndjson(tmp_path / "t.jsonl")

    assert read_source(tmp_path / "t.parquet").frame.equals(FRAME)
    assert read_source(tmp_path / "t.jsonl").frame.equals(FRAME)
    assert read_source(write(tmp_path, "t.tsv", b"a\tb\n1\tx\n2\ty\n")).frame.equals(FRAME)
    assert read_source(write(tmp_path, "u.csv", b"a\tb\n1\tx\n2\ty\n"), form=SourceForm(delimiter="\\t")).frame.equals(FRAME)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.parquet", b"", "is empty"),
        ("t.parquet", b"a,b\n", "is not Parquet"),
        ("t.parquet", b"PAR1 and no more", "damaged Parquet"),
        ("t.csv.gz", gzip.compress(TEXT, mtime=0)[:-9], "damaged archive"),
        ("t.csv.zst", b"\x28\xb5\x2f\xfd broken", "damaged archive"),
        ("t.csv.bz2", bz2.compress(TEXT)[:-9], "damaged archive"),
        ("t.csv.xz", lzma.compress(TEXT)[:-9], "damaged archive"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        read_source(write(tmp_path, name, data))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF"),
        (b"<!DOCTYPE html><p>Sign in, please</p>\n", "a web page"),
        (b"SQLite format 3\0" + bytes(84), "an SQLite database"),
        (b"\x89PNG\r\n\x1a\n\0\0", "an image"),
        (b"\x80\x04\x95\x00", "a pickle"),
        (gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "an archive in an archive"),
    ],
)
def test_what_is_no_table_is_said_to_be_what_it_is(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(DataFormatError, match=what):
        read_source(write(tmp_path, "t.csv", data))


def test_an_archive_of_several_files_is_refused_and_they_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"2 files \(a.csv, b.csv\)"):
        read_source(zipped(tmp_path, a__csv=TEXT, b__csv=TEXT))
    with pytest.raises(DataFormatError, match="office document"):
        read_source(zipped(tmp_path, **{"[Content_Types].xml": b"<x/>", "book__xml": b"<x/>"}))


def test_a_missing_file_and_a_folder_say_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "flights.csv", TEXT)

    with pytest.raises(NotFound) as missing:
        read_source(tmp_path / "fligths.csv")
    assert missing.value.did_you_mean == (str(tmp_path / "flights.csv"),)
    with pytest.raises(NotFound, match="does not exist"):
        read_source(tmp_path / "nowhere" / "t.csv")
    with pytest.raises(DataFormatError, match=r"is a folder, not a file; it holds flights\.csv"):
        read_source(tmp_path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="'xml' is no format"):
        read_source(write(tmp_path, "t.csv", TEXT), form=SourceForm(format="xml"))


def test_facts_are_what_a_reader_needs_to_read_it_again(tmp_path: Path) -> None:
    facts = read_source(write(tmp_path, "t.csv", b"\xef\xbb\xbfa;b\n1;x\n")).facts()

    assert facts["encoding"] == "utf-8-sig"
    assert facts["delimiter"] == ";"
    assert facts["size_bytes"] == 11


def test_declared_types_hold_for_sources_that_have_types_of_their_own(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1, 2, 3], "n": [1.0, 2.5, 3.0], "day": ["01/05/2024", "02/05/2024", "x"]}).write_parquet(tmp_path / "t.parquet")

    found = read_source(tmp_path / "t.parquet", form=SourceForm(types={"id": "text", "n": "integer", "day": "date:%d/%m/%Y"}))

    assert found.frame.rows() == [("1", 1, date(2024, 5, 1))]
    assert [(cell.row, cell.column, cell.value) for cell in found.bad_cells] == [(0, "day", "x"), (1, "n", "2.5")]
    with pytest.raises(ParameterError, match="declared for 'nr'"):
        read_source(tmp_path / "t.parquet", form=SourceForm(types={"nr": "text"}))
