"""Blanks before or behind a value: they are never meant, and they keep equal values apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from sampan.data.cells_columns import Column, Suspect


def find_blanks(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find texts with blanks at their edges; the repair is the text without."""
    for column in columns:
        if not column.is_text:
            continue
        stripped = column.values.str.strip_chars()
        codes = ((stripped != column.values) & (stripped != "")).arg_true().to_numpy()
        if not len(codes):
            continue
        rows = column.rows_of(codes)
        repairs = stripped.gather(pl.Series(column.codes[rows]))
        reason = "blanks before or behind the value"
        yield Suspect(column=column.name, kind="blanks", rows=rows, repairs=repairs.rename("repair"), reason=reason, confidence=0.85)
