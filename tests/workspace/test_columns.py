"""Rows of text line up."""

from sampan.workspace.columns import align


def test_columns_line_up_numbers_to_the_right_and_long_cells_are_cut() -> None:
    text = align(("name", "rows"), [("flights", "12"), ("a\nvery long one", "3")], right=("rows",), widest=8)

    assert text.splitlines() == ["  name      rows", "  flights     12", "  a⏎very …     3"]
