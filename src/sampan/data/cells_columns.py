"""A table's columns as the search for wrong cells sees them: distinct values, a code for each row, and the rows of each value."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import polars as pl

Codes = np.ndarray[Any, np.dtype[np.int64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
MISSING = -1
# Between digits a point or a dash counts, as a dash before a number does; signs (< > = + # % & / ...) do anywhere.
_PUNCTUATION = re.compile(r"""[\s_'"`’‘“”()\[\]{}:;!?,]|\.(?!\d)|(?<!\d)\.(?=[^\d]|$)|-(?!\d)|(?<=[^\W\d])-""")
_NUMBER = r"^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$"


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of one column that one way of looking finds wrong for one reason."""

    column: str
    kind: str
    rows: Rows
    reason: str
    confidence: float
    repair: str | None = None
    repairs: pl.Series | None = None  # one a row, where they differ
    clears: bool = False  # the repair is "missing"


@dataclass(frozen=True, eq=False)
class Column:
    """One column: `codes` number the distinct `values` (ascending); a missing value or an empty text is MISSING."""

    name: str
    values: pl.Series
    codes: Codes

    @property
    def dtype(self) -> pl.DataType:
        """The values' type."""
        return self.values.dtype

    @property
    def is_text(self) -> bool:
        """Whether the values are texts."""
        return self.values.dtype == pl.String

    @cached_property
    def counts(self) -> Codes:
        """Rows a value has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).astype(np.int64)

    @cached_property
    def n_present(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum())

    @cached_property
    def words(self) -> list[str]:
        """The distinct values as texts."""
        return [str(word) for word in as_texts(self.values).to_list()]

    @cached_property
    def _order(self) -> tuple[Rows, Rows]:
        order = np.argsort(self.codes, kind="stable")
        return order, np.searchsorted(self.codes[order], np.arange(len(self.values) + 1))

    def rows_of(self, codes: list[int] | Codes) -> Rows:
        """Return the rows that have one of these values, ascending within each."""
        order, starts = self._order
        found = [order[starts[code] : starts[code + 1]] for code in codes]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def texts(self, rows: pl.Series) -> pl.Series:
        """Return these rows' values as texts, null where they are missing."""
        codes = pl.Series(self.codes[rows.to_numpy()]).replace(MISSING, None).cast(pl.UInt32)
        return as_texts(self.values.gather(codes))

    def codes_matching(self, pattern: str) -> list[int]:
        """Return the codes of the texts in which a regular expression is found."""
        return [int(code) for code in self.values.str.contains(pattern).arg_true()]


def read_columns(frame: pl.DataFrame) -> list[Column]:
    """Read all columns that hold single values; texts stand for categories."""
    found = []
    for column in frame:
        if column.dtype.is_nested() or column.dtype in (pl.Null, pl.Binary, pl.Object):
            continue
        values = _with_missing(column)
        codes = values.rank("dense").cast(pl.Int64) - 1
        found.append(Column(values.name, values.drop_nulls().unique().sort(), codes.fill_null(MISSING).to_numpy()))
    return found


def as_texts(values: pl.Series) -> pl.Series:
    """Write values as texts, each as no other of its type."""
    return values.dt.to_string("iso") if isinstance(values.dtype, pl.Duration) else values.cast(pl.String)


def without_rows(column: Column, rows: Rows) -> Column:
    """Return the column with the values of these rows missing."""
    codes = column.codes.copy()
    codes[rows] = MISSING
    return Column(column.name, column.values, codes)


def numbers_of(column: Column, *, at_least: float) -> Column | None:
    """Read a column of texts as numbers, what is none as missing; None if too few rows hold a number or all are codes (007).

    `at_least` is the share of the rows with a value.
    """
    plain = column.values.str.contains(_NUMBER).to_numpy()
    if not len(plain) or column.counts[plain].sum() < at_least * column.n_present:
        return None
    if column.values.filter(pl.Series(plain)).str.contains(r"^\s*[-+]?0\d").any():
        return None
    numbers = column.values.str.strip_chars().cast(pl.Float64, strict=False)
    numbers = numbers.set(pl.Series(~plain), None)
    codes = (numbers.rank("dense").cast(pl.Int64) - 1).fill_null(MISSING).to_numpy()
    of_rows = np.where(column.codes >= 0, codes[np.maximum(column.codes, 0)], MISSING)
    return Column(column.name, numbers.drop_nulls().unique().sort(), of_rows)


def folded(word: str) -> str:
    """Write a word without case, accents, blanks and punctuation; numbers stay, and so do signs that change the meaning.

    >>> folded("St. Paul"), folded("Đà Nẵng"), folded("<=50K"), folded("1.5"), folded("C++")
    ('stpaul', 'danang', '<=50k', '1.5', 'c++')
    """
    plain = unicodedata.normalize("NFKD", word.casefold()).replace("đ", "d")
    kept = "".join(ch for ch in plain if not unicodedata.combining(ch))
    is_number = any(ch.isdigit() for ch in kept) and not any(ch.isalpha() for ch in kept)
    return kept if is_number else _PUNCTUATION.sub("", kept)


def _with_missing(values: pl.Series) -> pl.Series:
    """Make all that says nothing a missing value."""
    if values.dtype.is_float():
        return values.fill_nan(None)
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String).replace("", None)
    return values
