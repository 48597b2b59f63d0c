"""Which arriving rows look wrong, by what, and how much: gathered from all tests of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats

LABEL, REPEATED = "label", "repeated"


class Evidence:
    """The marks on arriving rows. `marked` and `severity` have shape (n_batch,); severity is 0 to 1."""

    def __init__(self, n_batch: int) -> None:
        self.marked = np.zeros(n_batch, dtype=np.bool_)
        self.severity: Floats = np.zeros(n_batch)
        self._causes: list[tuple[str, NDArray[np.bool_]]] = []

    def add(self, cause: str, rows: NDArray[np.bool_], severity: Floats | float = 1.0) -> None:
        """Mark rows for a cause: the label, a column, or that they repeat others."""
        if rows.any():
            self.marked |= rows
            self.severity = np.where(rows, np.maximum(self.severity, severity), self.severity)
            self._causes.append((cause, rows))

    def causes(self, row: int) -> tuple[str, ...]:
        """Return what a row is marked for, each once."""
        return tuple(dict.fromkeys(cause for cause, rows in self._causes if rows[row]))
