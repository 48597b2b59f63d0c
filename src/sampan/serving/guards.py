"""What a new version is watched for while it answers a growing share: errors, latency, drift of its answers, rules of the business, value.

Each guard asks whether a limit is passed *beyond chance*: a handful of rows proves nothing, and a version is not sent back for noise. What
is seen of a version is a few figures, small enough to be kept in the event that says what was done about it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.reasons import Reason, because
from sampan.errors import ParameterError
from sampan.stats.intervals import wilson

CONFIDENCE = 0.98  # of every interval: one false alarm in about fifty looks at a limit that is just met
LEAST_ERRORS = 3  # fewer prove nothing, however few the requests
WARM_UP = 64  # requests of a span, at most a quarter of it, that are not timed: a model's first run in threads, in each process
LEAST_TIMED = 20  # requests after those, before they say anything
LATENCY_NOISE_US = 500  # below this a difference is the machine's, not the model's
LATER_TIMES = 2.0  # the limit of latency where live was timed before, and not beside: the machine may be busier now
LEVELS = np.arange(0.025, 1.0, 0.05)
DRIFT_Z = 3.5  # times the root of 1/n + 1/m that chance alone moves once in a thousand samples
LEAST_ALIKE = 30  # rows that both answered
TAIL, MIDDLE = 0.95, 0.5  # what is compared: the tail, and where there are too few requests to bound it the median
FORMS: Final = {  # how each reason is said; pages say it in other languages by the same names
    "errors": "errors: {n_errors:,} of {n:,} requests ({share:.1%}, at least {low:.1%}) > {allowed:.1%}",
    "latency_p95": "latency: p95 {own_ms:.1f} ms is {times:.1f} times live's {live_ms:.1f} ms, limit {limit:g}",
    "latency_median": "latency: median {own_ms:.1f} ms is {times:.1f} times live's {live_ms:.1f} ms, limit {limit:g}",
    "drift": "drift: answers moved by {moved:.2f} of live's spread (mean {mean:.3g}, live {live_mean:.3g}), limit {limit:g}, "
    "and {noise:.2f} for chance",
    "agreement": "agreement: answers correlate {correlation:.2f} with live's to the same rows, {wanted:g} wanted",
    "rule_broken": "rule: {rule} does not hold on {n_rows:,} rows",
    "rule_unanswered": "rule: {rule} cannot be answered: {cause}",
    "kpi": "kpi: a decision is worth {value:.4g}, live's {live_value:.4g}; limit of the loss {limit:g}",
    "few_answered": "{n_rows:,} rows answered, {wanted:,} wanted",
    "few_scored": "{n_rows:,} rows scored, {wanted:,} wanted",
    "few_timed": "too few requests to compare latencies: rows of its own {n_rows:,}, of live {n_live:,}",
    "uncounted": "no server says how many errors there were",
}
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_because = partial(because, FORMS)


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """The limits; `rules` are SQL conditions on the answers as a whole, such as "AVG(score) < 0.5"."""

    min_rows: int = 200
    errors: float = 0.01  # share of requests that got an error; where live's is higher, live's
    latency: float = 2.0  # p95 beside live's
    drift: float = 0.4  # how far answers moved from live's, in standard deviations of those
    agreement: float = 0.5  # correlation with live's answers to the same rows, where it shadows
    rules: tuple[str, ...] = ()
    kpi_loss: float | None = None  # value a row that may be lost beside live's; None: not judged


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of latencies in microseconds, between the bounds of a 98 % interval; no upper one where there are too few requests."""

    value: float
    low: float
    high: float | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did over a span; nothing measured is None."""

    version: str
    n_rows: int = 0  # answered
    n_apart: float = 0.0  # rows that tell something of their own, where those of one key are alike
    n_requests: int = 0  # answered
    n_errors: int | None = None  # requests that got an error; None: nobody counts, no server runs
    p95_us: float | None = None  # of its requests
    tail: Quantile | None = None
    median: Quantile | None = None
    halves: tuple[tuple[Quantile, Quantile], ...] = ()  # tail and median of the first half of its requests, and of the second
    mean_score: float | None = None
    deviation: float = 0.0  # of its answers
    levels: tuple[float, ...] = ()  # quantiles of its answers, at LEVELS
    agreement: float | None = None  # correlation with live's answers to the same rows
    n_alike: int = 0  # keys, or rows without one, that both answered
    n_labelled: int = 0
    value: float | None = None  # mean of a decision
    value_error: float = 0.0  # of that mean


class Verdict(msgspec.Struct, frozen=True):
    """What the guards say: which limits are passed, and what cannot be said yet."""

    breaches: tuple[Reason, ...] = ()
    waiting: tuple[Reason, ...] = ()


def see(
    version: str,
    frame: pl.DataFrame,
    *,
    n_errors: int | None = None,
    values: NDArray[np.float64] | None = None,
    beside: pl.DataFrame | None = None,
    kept: float = 1.0,
) -> Seen:
    """Sum up answered rows.

    Parameters
    ----------
    frame : one row an answer, in the order of the log, with `score`, `latency_us` and, as far as known, `at` and `key`
    values : what the labelled ones of the decisions were worth
    beside : what live answered to the same rows, by `id`
    kept : the share of the answers that the log keeps; errors are counted of all
    """
    if not frame.height:
        return Seen(version=version, n_errors=n_errors)
    latencies = request_latencies(frame)
    timed = latencies[min(WARM_UP, len(latencies) // 4) :]
    is_timed = len(timed) >= LEAST_TIMED
    tail = _quantile(timed, TAIL) if is_timed else None
    n_labelled = 0 if values is None else len(values)
    alike = _agreement(frame, beside) if beside is not None else (None, 0)
    scores, n_apart = rows_apart(frame)
    return Seen(
        version=version,
        n_rows=frame.height,
        n_apart=n_apart,
        n_requests=round(len(latencies) / kept),
        n_errors=n_errors,
        p95_us=tail.value if tail else None,
        tail=tail,
        median=_quantile(timed, MIDDLE) if is_timed else None,
        halves=_halves(timed) if is_timed else (),
        mean_score=float(frame["score"].to_numpy().mean()),
        deviation=float(scores.std()),
        levels=tuple(np.quantile(scores, LEVELS).tolist()),
        agreement=alike[0],
        n_alike=alike[1],
        n_labelled=n_labelled,
        value=float(values.mean()) if values is not None and n_labelled else None,
        value_error=float(values.std(ddof=1) / math.sqrt(n_labelled)) if values is not None and n_labelled > 1 else 0.0,
    )


def judge(guards: Guards, candidate: Seen, live: Seen, *, answers: pl.DataFrame, shadowing: bool = False, beside: bool = True) -> Verdict:
    """Hold what a candidate did against what live did; `answers` are the candidate's rows, for the rules.

    Parameters
    ----------
    beside : whether live answered in the same span; else what it did before stands for it
    """
    waiting = []
    breaches = [*_errors(guards, candidate, live), *_latency(guards, candidate, live, beside=beside)]
    if candidate.n_rows < guards.min_rows:
        waiting.append(_because("few_scored" if shadowing else "few_answered", n_rows=candidate.n_rows, wanted=guards.min_rows))
    else:
        breaches += [*_drift(guards, candidate, live), *_disagreement(guards, candidate), *_rules(guards.rules, answers)]
        breaches += _kpi(guards, candidate, live)
    if beside and (candidate.median is None or live.median is None):
        waiting.append(_because("few_timed", n_rows=candidate.n_rows, n_live=live.n_rows))
    if candidate.n_errors is None:
        waiting.append(_because("uncounted"))
    return Verdict(tuple(breaches), tuple(waiting))


def request_latencies(frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the latency of each request, shape (n,): its rows lie together in the log and all tell the same one."""
    latency = frame["latency_us"].to_numpy()
    if "at" not in frame.columns:
        return latency
    at = frame["at"].to_numpy()
    return latency[np.flatnonzero(np.r_[True, (latency[1:] != latency[:-1]) | (at[1:] != at[:-1])])]


def rows_apart(frame: pl.DataFrame) -> tuple[NDArray[np.float64], float]:
    """Return the answers, of each key those that differ, and how many answers that is as far as chance goes.

    The answers of one key are alike; by how much, their intraclass correlation says.

    References
    ----------
    L. Kish (1965), "Survey Sampling": of clusters of m rows that correlate by r, n rows are worth n / (1 + (m - 1) r).
    """
    if "key" not in frame.columns:
        return frame["score"].to_numpy(), float(frame.height)
    is_named = pl.col("key").is_not_null() & (pl.col("key") != "")
    named, nameless = frame.filter(is_named).unique(["key", "score"]), frame.filter(~is_named)
    scores = np.concatenate([named["score"].to_numpy(), nameless["score"].to_numpy()])
    keys = named.group_by("key").agg(n=pl.len(), mean=pl.col("score").mean(), within=pl.col("score").var(ddof=0) * pl.len())
    n, k = named.height, keys.height
    if n == k:
        return scores, float(n + nameless.height)
    sizes, means, within = (keys[name].to_numpy().astype(np.float64) for name in ("n", "mean", "within"))
    inside = within.sum() / (n - k)
    between = float((sizes * np.square(means - scores[:n].mean())).sum() / max(k - 1, 1))
    usual = (n - np.square(sizes).sum() / n) / max(k - 1, 1)
    alike = min(max((between - inside) / (between + (usual - 1) * inside), 0.0), 1.0) if between + (usual - 1) * inside > 0 else 1.0
    return scores, float(n / (1 + (np.square(sizes).sum() / n - 1) * alike) + nameless.height)


def check_rules(rules: Sequence[str]) -> None:
    """Read each rule. Raises ParameterError naming every one that is no SQL expression."""
    faults = []
    for rule in rules:
        try:
            pl.sql_expr(rule)
        except pl.exceptions.PolarsError as cause:
            faults.append(f"{rule!r}: {cause}")
    if faults:
        raise ParameterError("; ".join(faults), parameter="rule", hint='a rule is an SQL condition on the answers, as "AVG(score) < 0.5"')


def _errors(guards: Guards, candidate: Seen, live: Seen) -> list[Reason]:
    n_errors = candidate.n_errors or 0
    n = candidate.n_requests + n_errors
    if n_errors < LEAST_ERRORS:
        return []
    low, _ = wilson(n_errors, n, confidence=CONFIDENCE)
    live_errors = live.n_errors or 0
    allowed = max(guards.errors, wilson(live_errors, live.n_requests + live_errors, confidence=CONFIDENCE)[1] if live_errors else 0.0)
    if low <= allowed:
        return []
    return [_because("errors", n_errors=n_errors, n=n, share=n_errors / n, low=low, allowed=allowed)]


def _latency(guards: Guards, candidate: Seen, live: Seen, *, beside: bool) -> list[Reason]:
    """Compare tails, or medians: of few requests, and with what live did before, when the machine may have been less busy.

    Only what was slow in both halves of its span is slow: a stall of the machine is in one.
    """
    tails = (candidate.tail, live.tail)
    is_tail = beside and all(one is not None and one.high is not None for one in tails)
    own, other = tails if is_tail else (candidate.median, live.median)
    if own is None or other is None or other.high is None:
        return []
    limit = guards.latency * (1.0 if beside else LATER_TIMES)
    low = min(own.low, *((tail if is_tail else median).low for tail, median in candidate.halves))
    if low <= limit * other.high or low - other.high < LATENCY_NOISE_US:
        return []
    kind, times = "latency_p95" if is_tail else "latency_median", own.value / max(other.value, 1.0)
    return [_because(kind, own_ms=own.value / 1000, times=times, live_ms=other.value / 1000, limit=limit)]


def _drift(guards: Guards, candidate: Seen, live: Seen) -> list[Reason]:
    """Compare how answers are spread by their quantiles: the area between both distributions, in live's standard deviations."""
    if not live.levels or not candidate.levels:
        return []
    spread = live.deviation or abs(live.mean_score or 0.0) or 1.0  # where live answers all alike, against what it answers
    moved = float(np.abs(np.subtract(candidate.levels, live.levels)).mean()) / spread
    is_same_rows = candidate.agreement is not None
    noise = 0.0 if is_same_rows else DRIFT_Z * math.sqrt(1 / live.n_apart + 1 / candidate.n_apart)
    if moved <= guards.drift + noise:
        return []
    means = {"mean": candidate.mean_score or 0.0, "live_mean": live.mean_score or 0.0}
    return [_because("drift", moved=moved, **means, limit=guards.drift, noise=noise)]


def _disagreement(guards: Guards, candidate: Seen) -> list[Reason]:
    if candidate.agreement is None or candidate.n_alike <= LEAST_ALIKE:
        return []
    most = math.tanh(
        math.atanh(max(-0.999, min(candidate.agreement, 0.999))) + _Z / math.sqrt(candidate.n_alike - 3)
    )  # Fisher's transformation
    if most >= guards.agreement:
        return []
    return [_because("agreement", correlation=candidate.agreement, wanted=guards.agreement)]


def _rules(rules: Sequence[str], answers: pl.DataFrame) -> list[Reason]:
    broken = []
    for rule in rules:
        try:
            (held,) = answers.select(pl.sql_expr(rule).alias("held").cast(pl.Boolean).all()).row(0)
        except pl.exceptions.PolarsError as cause:
            broken.append(_because("rule_unanswered", rule=rule, cause=str(cause)))
            continue
        if held is False:
            broken.append(_because("rule_broken", rule=rule, n_rows=answers.height))
    return broken


def _kpi(guards: Guards, candidate: Seen, live: Seen) -> list[Reason]:
    if guards.kpi_loss is None or candidate.value is None or live.value is None:
        return []
    lost = live.value - candidate.value
    chance = _Z * math.hypot(candidate.value_error, live.value_error)
    if lost - chance <= guards.kpi_loss:
        return []
    return [_because("kpi", value=candidate.value, live_value=live.value, limit=guards.kpi_loss)]


def _agreement(frame: pl.DataFrame, beside: pl.DataFrame) -> tuple[float | None, int]:
    """Return the correlation of two versions' answers to the same rows, one of each key, and how many; 0 where one answers all alike."""
    both = frame.unique("id", keep="first", maintain_order=True).join(beside.select("id", other="score").unique("id"), on="id")
    if "key" in both.columns:
        both = pl.concat([both.filter(pl.col("key") == ""), both.filter(pl.col("key") != "").unique("key")])
    if both.height <= LEAST_ALIKE:
        return None, 0
    own, other = both["score"].to_numpy(), both["other"].to_numpy()
    if not own.std() or not other.std():
        return 0.0 if other.std() else None, both.height
    return float(np.corrcoef(own, other)[0, 1]), both.height


def _halves(latencies: NDArray[np.int64]) -> tuple[tuple[Quantile, Quantile], ...]:
    return tuple((_quantile(half, TAIL), _quantile(half, MIDDLE)) for half in np.array_split(latencies, 2))


def _quantile(latencies: NDArray[np.int64], at: float) -> Quantile:
    """Return a quantile with bounds from order statistics; no upper bound where the rank would lie beyond the last."""
    ordered = np.sort(latencies)
    n = len(ordered)
    reach = _Z * math.sqrt(n * at * (1 - at))
    low, high = math.floor(n * at - reach) - 1, math.ceil(n * at + reach)
    middle = min(n - 1, math.ceil(n * at) - 1)
    return Quantile(float(ordered[middle]), float(ordered[max(low, 0)]), float(ordered[high]) if high < n else None)
