"""Columns of numbers are read as text only where a zero in them would be lost."""

from collections.abc import Sequence

import polars as pl
import pytest

from sampan.table.glance import Glancer
from sampan.table.lossy import lossy_columns


def lossy(text: str, places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the columns that would lose something, and those that had to be read."""
    read: list[int] = []

    def read_text(asked: Sequence[int]) -> pl.DataFrame:
        read.extend(asked)
        rows = [line.split(",") for line in text.strip().split("\n")]
        return pl.DataFrame({str(place): [row[place].strip('"') for row in rows] for place in asked})

    n_columns = text.split("\n")[0].count(",") + 1
    found = lossy_columns(text.encode(), ",", n_columns, Glancer(",").look(text.encode()).zeros, places, read_text)
    return found, read


@pytest.mark.parametrize("n_rows", [2, 500])
def test_only_columns_of_numbers_in_which_such_a_zero_stands_are_read(n_rows: int) -> None:
    assert lossy("007,1,01/02/2024\n" * n_rows, [1]) == ([], [])
    assert lossy("1,007,01/02/2024,3\n" * n_rows, [0, 1, 3]) == ([1], [1])
    assert lossy("1,8,01/02/2024,00\n" * n_rows, [0, 1, 3]) == ([3], [3])


def test_only_numbers_that_lose_a_digit_are_lossy() -> None:
    assert lossy("007,1,0.5\n8,2,00.5\n", [0, 1, 2]) == ([0], [0, 2])


def test_quoted_numbers_are_looked_at() -> None:
    assert lossy('"007",1\n"8",2\n', [0, 1]) == ([0], [0, 1])


def test_without_columns_of_numbers_nothing_is_lossy() -> None:
    assert lossy("007,008\n", []) == ([], [])
