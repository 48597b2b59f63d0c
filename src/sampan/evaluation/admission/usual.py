"""What a figure of a batch usually is: its values for earlier batches, and for spans of the trusted rows taken as if they had arrived."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, sqrt
from typing import Final

import msgspec
import numpy as np

from sampan.evaluation.admission.table import Floats
from sampan.stats.estimates import Estimate

_ODD: Final = 5
REACH: Final = 2.58  # a value by chance alone stays below so many standard errors 995 times in 1,000


class Chart(msgspec.Struct, frozen=True):
    """A control chart of one figure: its usual mean and the limit that the next usual value stays below.

    References
    ----------
    W. A. Shewhart (1931), "Economic Control of Quality of Manufactured Product".
    """

    mean: float
    limit: float
    n: int

    def exceeded_by(self, value: float | None) -> bool:
        """Say whether a value is unusually high."""
        return value is not None and value > self.limit


def chart(values: Sequence[float], *, floor: float, error: float = 0.0, errors: Sequence[float] = (), reach: float = REACH) -> Chart:
    """Make a chart of earlier values.

    What the values vary by beyond sampling (the world moves from month to month) widens the limit; sampling itself is known and need not be
    learned from few values. One value in five may have been spoiled: the greatest count no more than the limit of the others (they are
    winsorized), so that rows let in by mistake do not make the next ones look usual.

    References
    ----------
    J. W. Tukey (1962), "The Future of Data Analysis", Annals of Mathematical Statistics 33, section 14 (winsorized estimates).

    Parameters
    ----------
    floor : a value this far above the mean is never an alarm
    error : the standard error that sampling alone gives the next value
    errors : those of earlier values, where they are not the same
    reach : how many standard errors above the mean are no alarm; more where many figures are looked at
    """
    kept = np.array([value for value in values if np.isfinite(value)])
    sampled = float(np.mean(np.square(errors))) if len(errors) else error**2

    def of(some: Floats) -> Chart:
        mean = float(some.mean()) if len(some) else 0.0
        beyond = sqrt(max(float(some.var(ddof=1)) - sampled, 0.0)) if len(some) > 2 else 0.0
        spread = reach * hypot(error, beyond) * sqrt(1 + 1 / max(len(some), 1))
        return Chart(mean, mean + max(floor, spread), len(some))

    n_odd = len(kept) // _ODD
    return of(np.minimum(kept, of(np.sort(kept)[: len(kept) - n_odd]).limit)) if n_odd else of(kept)


def standard_error(found: Estimate) -> float:
    """Return the standard error that a 95 % interval stands for; 0 where there is none."""
    return 0.0 if found.low is None or found.high is None else (found.high - found.low) / 3.92
