"""How often a drafted rule would alarm in a year although nothing is wrong.

The table was cut into parts in the order of time; a delivery is thought to be like one of its N_PARTS parts. What the parts say of a rule
is turned into the chance that one more part breaks it, times the deliveries in a year. Where single values make the alarm (bounds) the
chance is that of an extreme (Gumbel); where a share or distance does, that of one more value beside a few (Student); and where nothing ever
broke, that of a first time, pooled over all rules of the kind: after how many parts that kept it did a part break it?
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from sampan.data.columnwise import Columnwise
from sampan.table.named import named

N_PARTS = 6
N_FINE = 36  # a multiple of N_PARTS
MONTHLY = 12.0  # deliveries a year where there is no time to tell
_YEAR_S = 365.25 * 86_400
_EULER = 0.5772156649
_LEAST = 0.001


@dataclass(slots=True)
class History:
    """For each kind of rule: how many parts could have broken one that was kept so far, and how many did."""

    at_risk: dict[str, int] = field(default_factory=dict)
    broke: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, at_risk: int, broke: int) -> None:
        """Note what happened to one column."""
        self.at_risk[kind] = self.at_risk.get(kind, 0) + at_risk
        self.broke[kind] = self.broke.get(kind, 0) + broke

    def chance(self, kind: str) -> float:
        """Return the chance that the next part breaks a rule of this kind that no part broke (Jeffreys' estimate)."""
        return (self.broke.get(kind, 0) + 0.5) / (self.at_risk.get(kind, N_PARTS - 1) + 1)


def deliveries_a_year(frame: Columnwise, time: str) -> float:
    """Return how many parts of the table would come in a year; MONTHLY without a time, or where all is of one moment."""
    if not time or not frame.height:
        return MONTHLY
    span = frame.select(named(time).cast(pl.Datetime("us")).max() - named(time).cast(pl.Datetime("us")).min()).item()
    seconds = span.total_seconds() if span is not None else 0.0
    return min(N_PARTS * _YEAR_S / seconds, 365.25 * 24) if seconds else MONTHLY


def chance_of_extreme(extremes: Sequence[float], bound: float) -> float:
    """Return the chance that a part's greatest value exceeds `bound`, from the greatest values of N_FINE smaller parts.

    A Gumbel distribution is fitted by its moments: right for tails that fall exponentially, too low for heavier ones.
    """
    if len(extremes) < 2:
        return 1.0
    scale = statistics.stdev(extremes) * math.sqrt(6) / math.pi
    if scale == 0:
        return 0.0 if bound >= extremes[0] else 1.0
    place = statistics.fmean(extremes) - _EULER * scale
    per_delivery = max(1, len(extremes) // N_PARTS)
    return -math.expm1(-per_delivery * math.exp(min(-(bound - place) / scale, 700.0)))


def chance_of_another(values: Sequence[float], limit: float) -> float:
    """Return the chance that one more value, beside these few, exceeds `limit` (Student's prediction)."""
    if len(values) < 2:
        return 1.0
    spread = statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
    if spread == 0:
        return 0.0 if limit >= values[0] else 1.0
    return _student_tail((limit - statistics.fmean(values)) / spread, len(values) - 1)


def _student_tail(score: float, degrees: int) -> float:
    """Return the chance that Student's t of whole degrees exceeds a score (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(score, math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(degrees // 2):
        total += term
        term *= cosine**2 * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    inside = (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
    return (1 - inside) / 2


def a_year(chance: float, deliveries: float) -> float:
    """Return the alarms a year, with two significant digits: more would pretend to be known."""
    return float(f"{max(chance * deliveries, _LEAST):.2g}")
