"""A cell that is not of its column's type sends its row out, with everything a person needs to mend it; nothing is coerced."""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.errors import DataFormatError
from sampan.table import csv as csv_module
from sampan.table.bad_cells import BadCell
from sampan.table.csv import CsvForm, Parsed, read_csv, read_csv_blocks
from sampan.table.csv_dialect import Sample


def read(text: str, **form: object) -> Parsed:
    return read_csv(text.encode(), source="t.csv", form=CsvForm(**form))  # type: ignore[arg-type]


def numbers(n: int, **others: str) -> str:
    """A table of n rows whose column a is 0, 1, 2 … but for the rows named in `others` (r5="x")."""
    return "a,b\n" + "".join(f"{others.get(f'r{i}', i)},t{i}\n" for i in range(n))


def test_a_bad_cell_is_named_with_source_line_column_raw_value_and_reason() -> None:
    parsed = read(numbers(20, r5="x"))

    assert parsed.frame["a"].to_list() == [i for i in range(20) if i != 5]
    assert parsed.left_out.cells == [BadCell(0, "a", "x", "not a whole number", "t.csv", 7)]
    assert parsed.left_out.frame().to_dicts() == [{"a": "x", "b": "t5"}]
    assert any("1 of 20 values are not a whole number; the first is 'x' on line 7" in note for note in parsed.notes)


def test_more_than_a_few_odd_values_make_the_column_text_and_no_row_is_lost() -> None:
    parsed = read(numbers(20, r1="x", r2="y", r3="z"))

    assert parsed.frame.height == 20
    assert parsed.frame.schema["a"] == pl.String


def test_what_is_declared_stays_and_its_odd_rows_are_left_out() -> None:
    parsed = read(numbers(20, r1="x", r2="y", r3="z", r4="w"), types={"a": "integer"})

    assert parsed.frame["a"].to_list() == [0, *range(5, 20)]
    assert [cell.line for cell in parsed.left_out.cells] == [3, 4, 5, 6]


def test_what_a_dataset_expects_is_kept_for_a_batch() -> None:
    parsed = read("a,b\n1,2024-01-01\n2.5,x\n", expected={"a": "number", "b": "date"})

    assert parsed.frame.to_dicts() == [{"a": 1.0, "b": __import__("datetime").date(2024, 1, 1)}]
    assert [(c.column, c.value) for c in parsed.left_out.cells] == [("b", "x")]


def test_a_line_of_another_length_among_many_is_left_out_whole() -> None:
    lines = [f"{i},x" for i in range(30)]
    lines[7] = "7,x,y"
    parsed = read("a,b\n" + "\n".join(lines) + "\n")

    assert parsed.frame.height == 29
    assert parsed.left_out.cells == [BadCell(0, "", "7,x,y", "3 fields where the header has 2", "t.csv", 9)]


def test_many_lines_of_another_length_are_an_error() -> None:
    with pytest.raises(DataFormatError, match="line 2 has 3 fields where the header has 2"):
        read("a,b\n" + "1,2,3\n" * 5 + "1,2\n" * 5)


def test_words_for_missing_among_numbers_are_missing_there_and_text_elsewhere() -> None:
    parsed = read("a,b\n1,-\n-,?\n3,x\nunknown,-\n")

    assert parsed.frame["a"].to_list() == [1, None, 3, None]
    assert parsed.frame["b"].to_list() == ["-", "?", "x", "-"]
    assert any("1 x '-', 1 x 'unknown' read as missing" in note for note in parsed.notes)


def blocks_of(text: str, size: int) -> Iterator[bytes]:
    data = io.BytesIO(text.encode())
    while block := data.read(size):
        yield block


@pytest.mark.parametrize("late", ["1.5", "007", "2024-01-01T05:00:00Z", "12345678901234567890"])
def test_a_wider_value_beyond_the_first_look_is_read_as_if_it_had_been_seen_at_once(late: str) -> None:
    first = "2024-01-01" if "T" in late else "1"
    text = "a,b\n" + f"{first},x\n" * 500 + f"{late},y\n"
    frame, read_ = read_csv_blocks(
        lambda: blocks_of(text, 64), Sample(text[:200].encode(), is_whole=False), source="t.csv", form=CsvForm(), take=csv_module.gather
    )

    assert frame.height == 501
    assert frame.equals(read(text).frame)
    assert not read_.left_out.n_rows


def test_a_late_bad_cell_keeps_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = numbers(1_000, r990="x").replace("t10,", '"t\n10",')
    text = text.replace("10,t10\n", '10,"t\n10"\n')
    frame, read_ = read_csv_blocks(
        lambda: blocks_of(text, 256), Sample(text[:400].encode(), is_whole=False), source="t.csv", form=CsvForm(), take=csv_module.gather
    )

    assert frame.height == 999
    assert [cell.line for cell in read_.left_out.cells] == [text[: text.index("x,t990")].count("\n") + 1]


QUOTED = ['""', '"NA"', '"x ""y"""', '"007"', '",,"', '"q,r"', '"5"']
CELLS = st.sampled_from(
    [*QUOTED, "0", "1", "-2", "+3", "007", "1.5", ".5", "1e3", "x", "", "NA", "NULL", " ", "0x1F", " 4", "2024-01-01", "true", "é"]
)


@settings(max_examples=150)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30), st.sampled_from([7, 64, 4096]), st.sampled_from(["\n", "\r\n"]))
def test_the_quick_and_the_exact_way_give_the_same_table(rows: list[tuple[str, str]], size: int, line_end: str) -> None:
    text = line_end.join(["a,b", *(f"{a},{b}" for a, b in rows), ""])
    exact = pytest.MonkeyPatch()
    with exact.context() as patched:
        patched.setattr(csv_module._Pass, "_parse_quickly", lambda *_, **__: None)
        slowly = read(text)
    quickly = read(text)
    in_blocks, left = read_csv_blocks(
        lambda: blocks_of(text, size), Sample(text.encode()), source="t.csv", form=CsvForm(), take=csv_module.gather
    )

    assert quickly.frame.equals(slowly.frame)
    assert quickly.notes == slowly.notes
    assert quickly.left_out.cells == slowly.left_out.cells == left.left_out.cells
    assert in_blocks.equals(slowly.frame)
    assert quickly.frame.height + quickly.left_out.n_rows == len(rows)
