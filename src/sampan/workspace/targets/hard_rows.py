"""Rows that nobody sent, for code that is to run where nobody looks: values of the probe set shuffled column by column, then spoiled.

A fifth of them are as shuffled; the others have one number that is far out, cells that are missing, zeros of either sign and negated
numbers, texts that training never saw, or nothing at all. The package answers them as it answers any row, and the code must answer alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

N_ROWS: Final = 64
# How far answers to them may be, beside the larger of the answers' scale and the answer: a number far out costs float32 its last digits.
HARD_PARITY: Final = 1e-3
_FAR: Final = (1e9, -1e9, 1e-30, 3e4)
_UNSEEN: Final = ("", "?", "never seen", "\u00fc\u4e16" * 3)


@dataclass(frozen=True, slots=True, eq=False)
class HardRows:
    """Rows of features, what is asked where the transform is carried along, and what the package answers."""

    rows: NDArray[np.float32]  # (n, features)
    tensors: dict[str, NDArray[Any]]  # `num` and `cat`, (n, columns) each; {} where rows of features are all there is
    expected: NDArray[np.float64]  # (n, outputs)

    def first(self, n: int) -> HardRows:
        """Return some of them, of all kinds."""
        return HardRows(self.rows[:n], {name: values[:n] for name, values in self.tensors.items()}, self.expected[:n])


def spoiled_numbers(
    numbers: NDArray[Any], rng: np.random.Generator, *, has_missing: bool, fixed: tuple[int, ...] = (), n: int = N_ROWS
) -> NDArray[Any]:
    """Shuffle columns and spoil rows by turns; columns named by `fixed`, such as moments, are shuffled alone."""
    found = _shuffled(numbers, rng, n)
    free = np.array([column for column in range(found.shape[1]) if column not in fixed], dtype=np.intp)
    if not len(free):
        return found
    for row, kind in enumerate(np.arange(len(found)) % 5):
        if kind == 1:
            found[row, rng.choice(free)] = rng.choice(_FAR)
        elif kind == 2 and has_missing:
            found[row, free[rng.random(len(free)) < 0.3]] = np.nan
        elif kind == 3:
            chosen = free[rng.random(len(free)) < 0.5]
            found[row, chosen] = np.where(rng.random(len(chosen)) < 0.5, -found[row, chosen], rng.choice([0.0, -0.0]))
    if has_missing and len(found):
        found[-1, free] = np.nan
    return found if has_missing else np.nan_to_num(found, nan=0.0)


def spoiled_texts(texts: NDArray[Any], rng: np.random.Generator, *, missing: str, closed: tuple[int, ...] = ()) -> NDArray[Any]:
    """Shuffle columns; every fifth row has texts that training never saw, and every fifth lacks some."""
    found = _shuffled(texts, rng, N_ROWS)
    free = [column for column in range(found.shape[1]) if column not in closed]
    for row, kind in enumerate(np.arange(len(found)) % 5):
        for column in free:
            if kind == 4 and rng.random() < 0.5:
                found[row, column] = rng.choice(_UNSEEN)
            elif kind == 2 and rng.random() < 0.3:
                found[row, column] = missing
    return found


def _shuffled(table: NDArray[Any], rng: np.random.Generator, n: int) -> NDArray[Any]:
    """Draw each column by itself, so that no row is anyone's."""
    return np.column_stack([rng.choice(table[:, column], n) for column in range(table.shape[1])]) if table.shape[1] else table[:0]
