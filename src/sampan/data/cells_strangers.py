"""Strangers: values that do not belong to a column of few, frequent values.

Where nearly all rows share few values (a domain), a rare value is strange if it is of another make (a bare number among words), or if it is
a frequent value of another column with a domain of its own ("Some college" among occupations).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from sampan.data.cells_columns import Column, Suspect, folded

_MIN_ROWS = 50
_FREQUENT = 5  # rows that make a value one of the domain
_SETTLED = 0.9  # of the rows have a frequent value
_RARE = 0.02  # of the rows a stranger has at most
_WORDS = 0.95  # of the rows: then a bare number is strange
_AT_HOME = 5  # times as frequent in the column where it belongs
_SHARED = 0.05  # of the rows at most have a value of the other domain: else the two columns speak of the same
_BARE = re.compile(r"[\W\d_]*\d[\W\d_]*")


def find_strangers(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find rare values of another make than the column's, or of another column's domain."""
    settled = [column for column in columns if column.is_text and _has_domain(column)]
    homes = {column.name: {folded(column.words[code]): int(column.counts[code]) for code in _members(column)} for column in settled}
    for column in settled:
        rare = [code for code in range(len(column.values)) if column.counts[code] <= max(1, _RARE * column.n_present)]
        yield from _bare_numbers(column, rare)
        for other in settled:
            if other is not column:
                yield from _from_elsewhere(column, rare, other, homes[other.name])


def _has_domain(column: Column) -> bool:
    return column.n_present >= _MIN_ROWS and int(column.counts[column.counts >= _FREQUENT].sum()) >= _SETTLED * column.n_present


def _members(column: Column) -> list[int]:
    return [int(code) for code in np.flatnonzero(column.counts >= _FREQUENT)]


def _bare_numbers(column: Column, rare: Sequence[int]) -> Iterator[Suspect]:
    worded = [code for code, word in enumerate(column.words) if any(letter.isalpha() for letter in word)]
    if int(column.counts[worded].sum()) < _WORDS * column.n_present:
        return
    if bare := [code for code in rare if _BARE.fullmatch(column.words[code])]:
        reason = "a bare number among words"
        yield Suspect(column=column.name, kind="shape", rows=column.rows_of(bare), reason=reason, confidence=0.8)


def _from_elsewhere(column: Column, rare: Sequence[int], other: Column, home: dict[str, int]) -> Iterator[Suspect]:
    known = [code for code, word in enumerate(column.words) if folded(word) in home]
    if not known or int(column.counts[known].sum()) > _SHARED * column.n_present:
        return
    strange = [
        code
        for code in set(known) & set(rare)
        if any(letter.isalpha() for letter in column.words[code]) and home[folded(column.words[code])] >= _AT_HOME * column.counts[code]
    ]
    if strange:
        reason = f"a frequent value of {other.name}, and rare here"
        yield Suspect(column=column.name, kind="misplaced", rows=column.rows_of(sorted(strange)), reason=reason, confidence=0.75)
