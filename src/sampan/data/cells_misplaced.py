"""Misplaced values: a cell that also holds what belongs into an empty neighbor ("Portland OR" in city, nothing in state)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from sampan.data.cells_columns import MISSING, Column, Suspect

_MOST_VALUES = 500  # of the column whose value is found elsewhere
_MIN_SHARE = 0.5  # of the rows in which it is missing must show the pattern
_MIN_ROWS = 3
_SEPARATORS = (", ", " - ", "/", " ")


def find_misplaced(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find cells whose last or first word is a known value of a column that is empty in their row."""
    texts = [column for column in columns if column.is_text and len(column.values)]
    for empty in texts:
        rows = np.flatnonzero(empty.codes == MISSING)
        if len(rows) < _MIN_ROWS or len(rows) > len(empty.codes) / 2 or len(empty.values) > _MOST_VALUES:
            continue
        known = set(empty.words)
        for holder in texts:
            if holder is not empty:
                yield from _taken_apart(empty, holder, rows, known)


def _taken_apart(empty: Column, holder: Column, rows: np.ndarray, known: set[str]) -> Iterator[Suspect]:
    parted = {code: cut for code in np.unique(holder.codes[rows]).tolist() if code >= 0 and (cut := _cut(holder.words[code], known))}
    held = np.array([row for row in rows.tolist() if holder.codes[row] in parted], dtype=np.int64)
    if len(held) < max(_MIN_ROWS, _MIN_SHARE * len(rows)) or _is_usual(holder, rows, known):
        return
    own = pl.Series("repair", [parted[int(holder.codes[row])][0] for row in held], dtype=pl.String)
    moved = pl.Series("repair", [parted[int(holder.codes[row])][1] for row in held], dtype=pl.String)
    reason = f"it also holds the value of {empty.name}, which is missing here"
    yield Suspect(column=holder.name, kind="misplaced", rows=held, repairs=own, reason=reason, confidence=0.9)
    reason = f"missing; {holder.name} holds it"
    yield Suspect(column=empty.name, kind="missing", rows=held, repairs=moved, reason=reason, confidence=0.9)


def _cut(word: str, known: set[str]) -> tuple[str, str] | None:
    """Split a cell into its own value and a known value at its end."""
    for separator in _SEPARATORS:
        head, found, tail = word.rpartition(separator)
        if found and head.strip() and tail in known:
            return head.strip(), tail
    return None


def _is_usual(holder: Column, rows: np.ndarray, known: set[str]) -> bool:
    """Say whether cells end so where nothing is missing, too."""
    elsewhere = np.setdiff1d(np.unique(holder.codes), np.unique(holder.codes[rows]))
    ends = [_cut(holder.words[code], known) is not None for code in elsewhere.tolist() if code >= 0]
    return bool(ends) and float(np.mean(ends)) > 0.05
