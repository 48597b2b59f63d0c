"""Bad files, each given to `sampan data add` as a person would: one clear error with its exit code, or the documented right result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each case starts the program


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sampan", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


REFUSED = {
    "empty file": (b"", "t.csv is empty", "header line"),
    "duplicate header": (b"a,b,a\n1,2,3\n", "'a' in columns 1, 3", "its own name"),
    "broken quotes": (b'a,b\n1,"x\n2,y\n', "the quote opened on line 2 is never closed", "double a quote"),
    "quote inside a field": (b'a,b\n1,5" pipe"\n', "line 2 has a quote in the middle of a field", '"5"" pipe"'),
    "too many fields": (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields where the header has 2", "--delimiter"),
    "unknown delimiter": (b"a^b\n1^2\n", "with '^' it would be 2", "--delimiter '^'"),
    "no encoding": (b"name\nRe\x81\n", "byte 7 (line 2) of t.csv is not UTF-8: 0x81", "--encoding cp1252"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_table_gives_one_error_and_exit_code_2(tmp_path: Path, case: str) -> None:
    data, message, hint = REFUSED[case]
    (tmp_path / "t.csv").write_bytes(data)
    result = run(tmp_path, "data", "add", "t.csv")

    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("error:") == 1
    assert message in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


ACCEPTED = {
    "header only": (b"a,b\n", "0 rows, 2 columns", "no rows: only a header"),
    "mixed types": (b"a\n1\n2\nx\n", "3 rows, 1 column", "column 'a' stays text: 2 of 3 values are numbers, 1 are not; line 4: 'x'"),
    "UTF-8 with BOM and CRLF": (b"\xef\xbb\xbfa,b\r\n1,2\r\n", "1 row, 2 columns", ""),
    "all-null column": (b"a,b\n1,\n2,\n", "2 rows, 2 columns", ""),
    "5,000 columns": ((",".join(f"c{i}" for i in range(5000)) + "\n" + "1," * 4999 + "1\n").encode(), "1 row, 5,000 columns", ""),
    "not UTF-8": (b"name\nRen\xe9\n", "1 row, 1 column", "the encoding is cp1252"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "1 row, 2 columns", "the encoding is utf-16"),
    "decimal commas": (b"a;b\n1,5;x\n2,25;y\n", "2 rows, 2 columns", "column 'a' has decimal commas"),
    "days first": (b"at\n03/04/2024\n13/04/2024\n", "2 rows, 1 column", "column 'at' is written as DD/MM/YYYY"),
    "other delimiter": (b"a;b\n1;2\n", "1 row, 2 columns", "the delimiter is ;"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_file_that_is_odd_but_right_is_added_and_what_is_odd_is_said(tmp_path: Path, case: str) -> None:
    data, shape, note = ACCEPTED[case]
    (tmp_path / "t.csv").write_bytes(data)
    result = run(tmp_path, "data", "add", "t.csv")

    assert result.returncode == 0, result.stderr
    assert f"t@v1: {shape}" in result.stdout
    assert note in result.stdout


def test_a_wrong_declared_delimiter_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;2\n")
    (tmp_path / "nothing").mkdir()
    wrong = run(tmp_path, "data", "add", "t.csv", "--delimiter", ",")
    missing = run(tmp_path, "data", "add", "tt.csv")
    folder = run(tmp_path, "data", "add", "nothing")

    assert [r.returncode for r in (wrong, missing, folder)] == [2, 2, 2]
    assert "with the delimiter ',' the header of t.csv is one column" in wrong.stderr
    assert "no file tt.csv" in missing.stderr
    assert "did you mean t.csv?" in missing.stderr
    assert "the folder nothing holds no file" in folder.stderr


def test_a_declared_encoding_and_type_are_held_to(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,zip\nRené,0123\n".encode("cp1252"))
    right = run(tmp_path, "data", "add", "t.csv", "--encoding", "cp1252", "--types", "zip=text")
    wrong = run(tmp_path, "data", "add", "t.csv", "--encoding", "cp1252", "--types", "name=integer")

    assert right.returncode == 0, right.stderr
    assert wrong.returncode == 2
    assert "column 'name' is declared integer, but 1 of 1 values are not; the first is 'René' on line 2" in wrong.stderr
