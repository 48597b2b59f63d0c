"""Words in another case than nearly all of their column: small letters in a column of capitals, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sampan.data.cells_columns import Column, Suspect

_ONE_CASE = 0.8  # of the rows with letters
_MIN_ROWS = 50
_MIN_VALUES = 5  # distinct ones: three labels in capitals are no rule
_LETTERS = 2
_ACRONYM = 3  # letters of a name that is in capitals anywhere


def find_other_case(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find values that are not in capitals, or not in small letters, where nearly all of the column are."""
    for column in columns:
        if not column.is_text or column.n_present < _MIN_ROWS:
            continue
        lettered = np.array([len(_letters(word)) >= _LETTERS for word in column.words], dtype=bool)
        n = int(column.counts[lettered].sum())
        if n < _MIN_ROWS or len({_letters(word) for word in column.words}) < _MIN_VALUES:
            continue
        for named, write in (("capitals", str.upper), ("small letters", str.lower)):
            kept = np.array([word == write(word) for word in column.words], dtype=bool)
            if not _ONE_CASE * n <= column.counts[lettered & kept].sum() < n:
                continue
            share = column.counts[lettered & kept].sum() / n
            reason = f"{share:.0%} of the column is written in {named}"
            for code in np.flatnonzero(lettered & ~kept).tolist():
                word = column.words[code]
                if len(word) <= _ACRONYM and word.isupper():
                    continue
                yield Suspect(
                    column=column.name, kind="spelling", rows=column.rows_of([code]), repair=write(word), reason=reason, confidence=0.7
                )


def _letters(word: str) -> str:
    return "".join(letter for letter in word if letter.isalpha())
