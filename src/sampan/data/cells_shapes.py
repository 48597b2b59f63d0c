"""Odd shapes: values of another form than their column's, and text that was decoded wrongly.

A value's shape is its letters as `a`, its digits as `9`, the rest as it is, repetitions drawn together ("9:9 a.a."). A column is regular if
few shapes hold nearly all its rows; then a rare shape is odd. Where nearly all rows also have the same length of digits (zip codes), that
length belongs to the shape.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from sampan.data.cells_columns import Column, Suspect, numbers_of

_REGULAR = 0.9  # of the rows have a main shape
_MAIN = 0.05  # of the rows make a shape a main one
_ODD = 0.02  # of the rows at most have an odd one
_MOST_MAIN = 4
_MIN_ROWS = 50
_MOST_VALUES = 50_000
_FEW, _RECURS = 20, 5  # of so few values, one that comes back is a category whatever its shape
_SAME_LENGTH = 0.95
_CODE = re.compile(r"9{5,}")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MADE_DATE = rf"^(?:\d{{1,2}}-{_MONTH}|{_MONTH}-\d{{1,2}})$"
_MADE = 0.05  # of the rows at most
_LONE_MARK = "[\u0300-\u036f]"  # an accent that makes no letter with what stands before it
_DAMAGE = re.compile("\ufffd|Ã[\u0080-\u00bf]|Â[\u0080-\u00bf]|â€|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u0080-\u009f]")


def find_odd_shapes(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find damaged text, and values whose shape is rare in a regular column."""
    for column in columns:
        if not column.is_text or not len(column.values):
            continue
        yield from _damaged(column)
        yield from _made_dates(column)
        if column.n_present >= _MIN_ROWS and len(column.values) <= _MOST_VALUES:
            odd = _odd_values(column)
            if odd:
                shapes = " or ".join(repr(shape) for shape in _main_shapes(column, exact=False))
                reason = f"nearly all values look like {shapes}"
                yield Suspect(column=column.name, kind="shape", rows=column.rows_of(odd), reason=reason, confidence=0.75)


def shape_of(value: str, *, exact: bool = False) -> str:
    """Write a value's shape; with `exact`, every digit counts.

    >>> shape_of("2013-05-01"), shape_of("7:10 a.m."), shape_of("35233", exact=True)
    ('9-9-9', '9:9 a.a.', '99999')
    """
    drawn = ("9" if ch.isdigit() else "a" if ch.isalpha() else " " if ch.isspace() else ch for ch in value)
    if exact:
        return "".join("9" * len(list(run)) if ch == "9" else ch for ch, run in groupby(drawn))
    return "".join(ch for ch, _ in groupby(drawn))


def _main_shapes(column: Column, *, exact: bool) -> list[str]:
    rows: Counter[str] = Counter()
    for word, count in zip(column.words, column.counts.tolist(), strict=True):
        rows[shape_of(word, exact=exact)] += count
    return [shape for shape, count in rows.most_common(_MOST_MAIN) if count >= _MAIN * column.n_present]


def _odd_values(column: Column) -> list[int]:
    # Numbers are as long as they are; only whole ones of five digits and more may be codes.
    are_numbers = numbers_of(column, at_least=_REGULAR) is not None
    for exact in (True,) if are_numbers else (True, False):
        codes_of: dict[str, list[int]] = defaultdict(list)
        for code, word in enumerate(column.words):
            codes_of[shape_of(word, exact=exact)].append(code)
        rows = {shape: int(column.counts[codes].sum()) for shape, codes in codes_of.items()}
        main = _main_shapes(column, exact=exact)
        share = sum(rows[shape] for shape in main) / column.n_present
        most = max(rows, key=lambda shape: rows[shape])
        if exact and (rows[most] < _SAME_LENGTH * column.n_present or (are_numbers and not _CODE.fullmatch(most))):
            continue
        if main and share >= _REGULAR and any("9" in shape for shape in main):
            return [
                code
                for shape, codes in codes_of.items()
                if shape not in main and rows[shape] <= max(1, _ODD * column.n_present)
                for code in codes
                if not (len(column.values) <= _FEW and column.counts[code] >= _RECURS)
            ]
    return [] if are_numbers else _digits_in_words(column)


def _digits_in_words(column: Column) -> list[int]:
    """Return values that mix digits into words where next to no value does."""
    mixed = [code for code, word in enumerate(column.words) if re.search(r"[^\W\d_]\d[^\W\d_]", word)]
    return mixed if 0 < int(column.counts[mixed].sum()) <= 0.005 * column.n_present else []


def _damaged(column: Column) -> Iterator[Suspect]:
    composed = column.values.str.normalize("NFC").str.contains(_LONE_MARK)
    for code in sorted({*column.codes_matching(_DAMAGE.pattern), *composed.arg_true().to_list()}):
        yield Suspect(
            column=column.name,
            kind="encoding",
            rows=np.sort(column.rows_of([code])),
            repair=_decoded_anew(str(column.values[code])),
            reason="the text was decoded wrongly",
            confidence=0.95,
        )


def _made_dates(column: Column) -> Iterator[Suspect]:
    """Find the few cells of which a spreadsheet made a date: 9-Mar or Mar-09 among codes and page numbers."""
    made, months = column.codes_matching(_MADE_DATE), column.codes_matching(rf"\b{_MONTH}")
    if 0 < int(column.counts[made].sum()) <= _MADE * column.n_present and len(months) <= 2 * _MADE * len(column.values):
        reason = "it looks as if a spreadsheet made a date of it"
        yield Suspect(column=column.name, kind="shape", rows=column.rows_of(made), reason=reason, confidence=0.8)


def _decoded_anew(word: str) -> str | None:
    """Undo UTF-8 read as Windows-1252 or Latin-1; None where bytes were lost."""
    for encoding in ("cp1252", "latin-1"):
        try:
            mended = word.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        if mended != word and not _DAMAGE.search(mended):
            return mended
    return None
