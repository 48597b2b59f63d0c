"""Whether a model serves every group alike: metrics by group, and the gap between groups judged with care for many comparisons.

With many small groups the largest difference is large by luck alone. So a gap counts as broken only when its interval, made to hold for
all pairs of groups at once, lies above the limit; where the interval spans the limit the verdict is "unclear", not "fine".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.metrics import Answered, figures, is_higher_better, measure
from sampan.stats.bootstrap import Estimate, Resampling, expanded_tail

Floats = NDArray[np.float64]
Verdict = Literal["fine", "unclear", "broken"]

MIN_ROWS: Final = 200
MIN_OF_EACH_CLASS: Final = 20
MIN_BLOCKS: Final = 5
_MOST_CLASSES: Final = 20  # above, groups have no mean AUC of classes: each class costs as much as a model of two outcomes
_DRAWS: Final = 500  # for each group's own interval; a gap takes all


class Slice(msgspec.Struct, frozen=True):
    """One group's figures. Groups too small to judge keep their counts and have no metrics."""

    group: str
    n_rows: int
    n_positive: int | None  # None where the label is not one of two outcomes
    metrics: dict[str, Estimate]
    enough: bool


class Gap(msgspec.Struct, frozen=True):
    """The difference of a metric between two groups of a column: of all pairs, the one surest to be too far apart."""

    column: str
    metric: str
    better: str
    worse: str
    gap: Estimate
    limit: float
    verdict: Verdict
    n_groups: int
    n_too_small: int


def slices(groups: Sequence[str] | NDArray[np.object_], answered: Answered, resampling: Resampling) -> tuple[Slice, ...]:
    """Return the figures of every group, largest first."""
    names, codes, counts = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    resampling = resampling.fewer(_DRAWS)
    without = ("macro_auc",) if answered.task.n_outputs > _MOST_CLASSES else ()
    found = []
    for code in np.argsort(-counts, kind="stable"):
        rows = codes == code
        part, own = resampling.among(rows), answered.among(rows)
        enough = _enough(own, part)
        n_positive = int(own.labels.sum()) if answered.task.kind == "binary" else None
        found.append(Slice(str(names[code]), int(rows.sum()), n_positive, figures(own, part, without=without) if enough else {}, enough))
    return tuple(found)


def widest_gap(
    column: str,
    groups: Sequence[str] | NDArray[np.object_],
    answered: Answered,
    resampling: Resampling,
    *,
    metric: str,
    limit: float,
) -> Gap:
    """Judge the largest gap of a metric between two groups of a column.

    Its interval holds for all pairs at once (95 %): the critical value is that of the largest standardized error over all pairs.

    References
    ----------
    J. Romano, M. Wolf (2005), "Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing", JASA 100.
    """
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    kept, values, drawn = [], [], []
    for code, name in enumerate(names):
        rows = codes == code
        part, own = resampling.among(rows), answered.among(rows)
        if _enough(own, part):
            value, draws = measure(metric, own, part)
            kept.append(str(name))
            values.append(value)
            drawn.append(draws)
    too_small = len(names) - len(kept)
    if len(kept) < 2:
        return Gap(column, metric, "", "", Estimate(None), limit, "unclear", len(names), too_small)
    first, second, interval = _widest_pair(np.array(values), np.array(drawn), resampling.n_blocks)
    better_first = (values[first] > values[second]) == is_higher_better(metric)
    better, worse = (first, second) if better_first else (second, first)
    return Gap(column, metric, kept[better], kept[worse], interval, limit, _verdict(interval, limit), len(names), too_small)


def _widest_pair(values: Floats, drawn: Floats, n_blocks: int) -> tuple[int, int, Estimate]:
    """Return the pair whose gap has the highest lower bound, and that gap's simultaneous interval."""
    errors = drawn - values[:, None]
    first, second = np.triu_indices(len(values), 1)
    gaps = np.abs(values[first] - values[second])
    spread = np.empty(len(gaps))
    largest = np.zeros(drawn.shape[1])
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        error = errors[i] - errors[j]
        spread[pair] = max(float(np.nanstd(error)), 1e-12)
        largest = np.fmax(largest, np.abs(error) / spread[pair])
    reach = float(np.quantile(largest, 1 - 2 * expanded_tail(n_blocks)))
    surest = int(np.argmax(gaps - reach * spread))
    gap, width = float(gaps[surest]), float(reach * spread[surest])
    return int(first[surest]), int(second[surest]), Estimate(gap, max(gap - width, 0.0), gap + width)


def _verdict(gap: Estimate, limit: float) -> Verdict:
    if gap.low is None or gap.high is None:
        return "unclear"
    if gap.low > limit:
        return "broken"
    return "fine" if gap.high <= limit else "unclear"


def _enough(own: Answered, part: Resampling) -> bool:
    """Say whether a group can be judged: rows, days, and of outcomes or classes at least two with enough rows each."""
    if len(own.labels) < MIN_ROWS or len(np.unique(part.blocks)) < MIN_BLOCKS:
        return False
    if own.task.kind == "regression":
        return bool(np.ptp(own.labels) > 0)
    counts = np.sort(np.unique(own.labels, return_counts=True)[1])
    return len(counts) > 1 and bool(counts[-2] >= MIN_OF_EACH_CLASS)
