"""Which arriving rows look wrong, by what, and how much: gathered from all tests of a batch."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats

LABEL, REPEATED, STRANGE = "label", "repeated", "strange"  # causes that are no column
CAUSES: Final = (LABEL, REPEATED, STRANGE)


class Doubt(NamedTuple):
    """What looks wrong in a row: the label, a column, or the row itself; and why, in words without any of its values."""

    cause: str
    why: str


class Evidence:
    """The marks on arriving rows. `marked` and `severity` have shape (n_batch,); severity is 0 to 1."""

    def __init__(self, n_batch: int) -> None:
        self.marked = np.zeros(n_batch, dtype=np.bool_)
        self.severity: Floats = np.zeros(n_batch)
        self._doubts: list[tuple[Doubt, NDArray[np.bool_]]] = []

    def add(self, cause: str, rows: NDArray[np.bool_], severity: Floats | float = 1.0, *, why: str = "looks wrong") -> None:
        """Mark rows for a cause: the label, a column, that they repeat others, or that they are strange."""
        if rows.any():
            self.marked |= rows
            self.severity = np.where(rows, np.maximum(self.severity, severity), self.severity)
            self._doubts.append((Doubt(cause, why), rows))

    def doubts(self, row: int) -> tuple[Doubt, ...]:
        """Return what a row is marked for, each cause once, with the first reason given."""
        found = {doubt.cause: doubt for doubt, rows in reversed(self._doubts) if rows[row]}
        return tuple(found[cause] for cause in dict.fromkeys(doubt.cause for doubt, rows in self._doubts if rows[row]))
