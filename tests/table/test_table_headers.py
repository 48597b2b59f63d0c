"""The row that names the columns is found below titles, can be declared, and is not made up."""

from pathlib import Path

import pytest

from sampan.errors import DataFormatError, ParameterError
from sampan.table.headers import find_header, look_like_values
from sampan.table.source_form import SourceForm
from sampan.table.sources import Loaded, read_source

REPORT = "Báo cáo doanh thu 2024\n\nid;tên;giá\n1;An;2,5\n2;Bình;3,5\n3;Chi;oops\n" + "4;Dũng;1,5\n" * 20


def load(folder: Path, text: str, **form: str) -> Loaded:
    path = folder / "t.csv"
    path.write_text(text)
    return read_source(path, form=SourceForm(**form))  # type: ignore[arg-type]  # texts


def test_a_title_above_the_header_is_left_out_and_said(tmp_path: Path) -> None:
    found = load(tmp_path, REPORT)

    assert found.frame.columns == ["id", "tên", "giá"]
    assert found.frame["giá"].to_list()[:2] == [2.5, 3.5]
    assert [(cell.line, cell.value) for cell in found.bad_cells] == [(6, "oops")]
    assert found.notes[0].startswith("lines 1 to 2 above the header left out: 'Báo cáo doanh thu 2024'")


def test_lines_of_comments_and_the_separator_for_excel_are_no_rows(tmp_path: Path) -> None:
    assert load(tmp_path, "# made by X\n# in 2024\na,b\n1,2\n3,4\n").frame.rows() == [(1, 2), (3, 4)]
    assert load(tmp_path, "sep=;\r\na;b\r\n1;2,5\r\n").frame.rows() == [(1, 2.5)]


def test_the_header_can_be_declared_and_done_without(tmp_path: Path) -> None:
    rows = "1,An,3.5\n2,Bo,4.5\n"

    assert load(tmp_path, "x,y,z\n" + rows, header="2").frame.columns == ["1", "An", "3.5"]
    assert load(tmp_path, rows, header="none").frame.rows() == [(1, "An", 3.5), (2, "Bo", 4.5)]
    assert any("--header none" in note for note in load(tmp_path, rows).notes)
    with pytest.raises(DataFormatError, match="no header in line 9"):
        load(tmp_path, rows, header="9")
    with pytest.raises(ParameterError, match="'first' is no line of a header"):
        load(tmp_path, rows, header="first")


@pytest.mark.parametrize(
    "rows",
    [
        [["", "a", "b", "c"], ["0", "5", "6", "7"], ["1", "6", "7", "8"]],  # as pandas writes an index
        [["name", ""], ["An", "Hanoi"], ["Bo", "Hue"]],
        [["v"], ["1", "2"], ["3", "4"]],
        [["Q1", "", "Q2", ""], ["a", "b", "a", "b"], ["1", "2", "3", "4"]],
        [["id", "temp", "wind"], ["", "°C", "m/s"], ["1", "2.5", "3"]],
        [],
    ],
)
def test_a_header_with_gaps_is_not_taken_for_a_title(rows: list[list[str]]) -> None:
    assert find_header(rows) == 0


def test_years_and_places_above_numbers_are_names() -> None:
    assert not look_like_values(["name", "2023", "2024"], [False, True, True])
    assert not look_like_values(["0", "1", "2"], [True, True, True])
    assert look_like_values(["5.1", "3.5", "setosa"], [True, True, False])


def test_a_delimiter_at_the_end_of_each_row_but_not_of_the_header_is_no_fault(tmp_path: Path) -> None:
    found = load(tmp_path, "a,b,c\n1,2,3,\n4,5,6,\n7,8,9,\n")

    assert found.frame.columns == ["a", "b", "c", "column_4"]
    assert found.frame.row(0) == (1, 2, 3, None)
    assert "every row ends with a delimiter that the header has not" in found.notes
    with pytest.raises(DataFormatError, match="line 2 has 4 fields where the header has 3"):
        load(tmp_path, "a,b,c\n1,2,3,x\n4,5,6,\n7,8,9,\n")
