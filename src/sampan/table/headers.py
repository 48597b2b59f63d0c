"""Which row of a table names its columns, and the names it gives: for delimited text and for sheets of workbooks alike.

Titles, dates and notes often stand above a table. They fill one cell, or two of many, where the table's rows fill most: rows before the
first full one are left out and said. Thought out on made-up reports; then tried on 2,441 CSV files that packages of Python bring along:
three are seen to have lines above their header (Stocks.csv of matplotlib, unemp.csv and scotland_population.csv of statsmodels), all
three have, and no other file loses a line. Of 20 headers said to look like a row, 19 are one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sampan.errors import DataFormatError, ParameterError

NO_HEADER: Final = "none"
LOOKED_AT: Final = 40  # rows
_NARROW = 3  # in a narrower table a title cannot be told from a row with a missing value, unless it is on a line without a delimiter
_WIDE, _FEW = 4, 2  # in a table so wide, a row of so few cells is no row of it
_WHOLE = re.compile(r"^[+-]?\d+$")
_VALUE = re.compile(r"^[+-]?\d+([.,]\d+)?$|^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_YEARS = range(1900, 2101)


def find_header(rows: Sequence[Sequence[str]]) -> int:
    """Return which of a table's first rows names the columns, from 0.

    >>> find_header([["Sales, 2024"], [], ["id", "name", "price"], ["1", "An", "5"], ["2", "Bo", "7"]])
    2
    """
    filled = [_count(row) for row in rows[:LOOKED_AT]]
    usual = Counter(filled).most_common(1)[0][0] if filled else 0
    if usual <= 1 or filled[0] >= usual:
        return 0
    first = next(at for at, row in enumerate(rows) if filled[at] >= usual or not _is_title(row, usual))
    # What is above is only left out for a row that is a header: one of names, each another.
    names = [cell.strip() for cell in rows[first] if cell.strip()]
    values = [name for name in names if _VALUE.match(name)]
    are_names = len(set(names)) == len(names) and 2 * len(names) >= usual and (not values or (usual >= _NARROW and _are_in_order(values)))
    return first if are_names else 0


def look_like_values(names: Sequence[str], are_typed: Sequence[bool]) -> bool:
    """Say whether a header may be a row: above each column of numbers or dates stands another one, and they are no years or places.

    >>> look_like_values(["1", "An", "3.5"], [True, False, True]), look_like_values(["name", "2023", "2024"], [False, True, True])
    (True, False)
    """
    above = [name for name, is_typed in zip(names, are_typed, strict=True) if is_typed]
    return bool(above) and all(_VALUE.match(name) for name in above) and not _are_in_order(above)


def _is_title(row: Sequence[str], usual: int) -> bool:
    """Say whether a row stands above a table: an empty one, one of a single cell, or of a few with a value among them."""
    if usual < _NARROW:
        return len(row) <= 1
    n = _count(row)
    has_value = any(_VALUE.match(cell.strip()) for cell in row)
    return not n or (bool(row[0].strip()) and (n == 1 or has_value or (n <= _FEW and usual >= _WIDE)))


def _are_in_order(names: Sequence[str]) -> bool:
    """Say whether names are whole numbers that count places or years."""
    if not all(_WHOLE.match(name) for name in names):
        return False
    whole = [int(name) for name in names]
    return all(number in _YEARS for number in whole) or (len(whole) > 1 and all(later - one == 1 for one, later in pairwise(whole)))


def _count(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def declared_header(said: str) -> int | None:
    """Return the line, from 1, that a person said names the columns; None where they said that none does.

    Raises
    ------
    ParameterError : it is neither a line nor "none".
    """
    if said == NO_HEADER:
        return None
    if not said.isdecimal() or int(said) < 1:
        raise ParameterError(
            f"{said!r} is no line of a header", parameter="header", hint="the line that names the columns, from 1, or none"
        )
    return int(said)


def column_names(cells: Sequence[str], *, source: str, line: int | None) -> tuple[list[str], list[str]]:
    """Return the names that a header gives, and what to say of those it does not.

    Raises
    ------
    DataFormatError : it has a name twice.
    """
    names = [cell.strip() for cell in cells]
    places: dict[str, list[int]] = {}
    for at, name in enumerate(names, 1):
        places.setdefault(name, []).append(at)
    twice = {name: at for name, at in places.items() if name and len(at) > 1}
    if twice:
        said = "; ".join(f"{name!r} in columns {', '.join(map(str, at))}" for name, at in list(twice.items())[:5])
        hint = "give every column its own name; --header says which line names them, or none if no line does"
        raise DataFormatError(f"the header of {source} has a name twice: {said}", source=source, line=line, hint=hint)
    notes = []
    for at in places.get("", ()):
        name = f"column_{at}"
        while name in places:
            name += "_"
        names[at - 1] = name
        notes.append(f"column {at} has no name in the header and is called {name}")
    return names, notes


def unnamed_columns(n: int) -> list[str]:
    """Return names for the columns of a table without a header."""
    return [f"column_{at}" for at in range(1, n + 1)]


def above_note(rows: Sequence[Sequence[str]], header_line: int) -> str:
    """Say what was left out above a header."""
    said = next((" ".join(cell.strip() for cell in row if cell.strip()) for row in rows if any(cell.strip() for cell in row)), "")
    lines = "line 1" if header_line == 2 else f"lines 1 to {header_line - 1}"  # the second line
    return f"{lines} above the header left out: {said[:60]!r} (--header says which line names the columns)"
