"""Columns of numbers are read as text only where a zero in them would be lost."""

from collections.abc import Sequence

import polars as pl

from sampan.table.glance import Glancer
from sampan.table.lossy import lossy_columns


def lossy(text: str, places: Sequence[int]) -> tuple[list[int], bool]:
    """Return the columns that would lose something, and whether they had to be read."""
    read: list[int] = []

    def read_text(asked: Sequence[int]) -> pl.DataFrame:
        read.extend(asked)
        rows = [line.split(",") for line in text.strip().split("\n")]
        return pl.DataFrame({str(place): [row[place].strip('"') for row in rows] for place in asked})

    found = lossy_columns(text.encode(), ",", Glancer(",").look(text.encode()).zeros, places, read_text)
    return found, bool(read)


def test_a_zero_in_a_column_of_text_costs_no_reading() -> None:
    assert lossy("007,1\n008,2\n", [1]) == ([], False)


def test_only_numbers_that_lose_a_digit_are_lossy() -> None:
    assert lossy("007,1,0.5\n8,2,00.5\n", [0, 1, 2]) == ([0], True)


def test_quoted_numbers_are_looked_at() -> None:
    assert lossy('"007",1\n"8",2\n', [0, 1]) == ([0], True)


def test_without_columns_of_numbers_nothing_is_lossy() -> None:
    assert lossy("007,008\n", []) == ([], False)
