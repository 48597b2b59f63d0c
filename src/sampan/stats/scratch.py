"""Memory for the steps of counting a batch, taken again for every column.

A step over 131,072 values takes 50 to 100 µs in memory that is at hand. Fresh memory for its result can cost ten times that, since the
system has to find and clear every page of it first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sampan.stats.codes import Codes, Floats
from sampan.stats.stable_hash import Hashes

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Scratch:
    """Arrays for as many rows as a batch has; whoever calls for a step says which of them it may take."""

    codes: Codes  # places or codes of values
    spare: Codes  # what comes in between
    parts: Hashes  # what a column adds to the rows' hashes
    rows: Hashes  # the rows' hashes
    flags: Flags

    @classmethod
    def of(cls, n_rows: int) -> Scratch:
        """Return memory for batches of so many rows, of one piece."""
        codes, spare, parts, rows = np.empty((4, n_rows), dtype=np.int64)
        return cls(codes, spare, parts.view(np.uint64), rows.view(np.uint64), np.empty(n_rows, dtype=np.bool_))

    @property
    def floats(self) -> Floats:
        """The same memory as `spare`, for floats."""
        return self.spare.view(np.float64)

    def head(self, n_rows: int) -> Scratch:
        """Return the memory for a batch; more than there was if the batch needs it."""
        if n_rows > len(self.codes):
            return Scratch.of(n_rows)
        return Scratch(self.codes[:n_rows], self.spare[:n_rows], self.parts[:n_rows], self.rows[:n_rows], self.flags[:n_rows])
