"""What a figure of a batch usually is: its values for earlier batches, and for spans of the trusted rows taken as if they had arrived."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec
import numpy as np

from sampan.stats.bootstrap import student_quantile


class Chart(msgspec.Struct, frozen=True):
    """A control chart of one figure: its usual mean and the limit that the next value stays below 999 times in 1,000.

    References
    ----------
    W. A. Shewhart (1931), "Economic Control of Quality of Manufactured Product"; with Student's t, since the batches are few.
    """

    mean: float
    limit: float
    n: int

    def exceeded_by(self, value: float | None) -> bool:
        """Say whether a value is unusually high."""
        return value is not None and value > self.limit


def chart(values: Sequence[float], *, floor: float, spread: float = 0.0) -> Chart:
    """Make a chart of earlier values.

    Parameters
    ----------
    floor : a value this far above the mean is never an alarm
    spread : the standard error that sampling alone gives a value; the values' own spread may add to it
    """
    kept = np.array([value for value in values if np.isfinite(value)])
    if not len(kept):
        return Chart(0.0, max(floor, 3.09 * spread), 0)
    mean = float(kept.mean())
    if len(kept) < 3:
        return Chart(mean, mean + max(floor, 3.09 * spread), len(kept))
    own = float(kept.std(ddof=1))
    reach = min(student_quantile(0.975, max(len(kept) - 1, 4)) * 1.58, 6.0) * sqrt(1 + 1 / len(kept))
    return Chart(mean, mean + max(floor, 3.09 * spread, reach * own), len(kept))
