"""What a new version is watched for while it answers a growing share: errors, latency, drift of its answers, rules of the business, value.

Each guard asks whether a limit is passed *beyond chance*: a handful of rows proves nothing, and a version is not sent back for noise. What
is seen of a version is a few figures, small enough to be kept in the event that says what was done about it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.stats.divergence import binned, population_stability_index, quantile_edges
from sampan.stats.intervals import wilson

CONFIDENCE = 0.98  # of every interval: one false alarm in about fifty looks at a limit that is just met
LEAST_ERRORS = 3  # fewer prove nothing, however few the rows
WARM_UP = 64  # rows of a span whose latency is not counted: a model's first requests run in threads, in each process
LEAST_TIMED = 20  # rows after those, before a tail says anything
LATENCY_NOISE_US = 500  # below this a difference is the machine's, not the model's
TAIL = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """The limits; `rules` are SQL conditions on the answers as a whole, such as "AVG(score) < 0.5"."""

    min_rows: int = 200
    errors: float = 0.01  # share of rows that got an error; where live's is higher, live's
    latency: float = 2.0  # p95 beside live's
    drift: float = 0.25  # population stability index of the answers beside live's
    rules: tuple[str, ...] = ()
    kpi_loss: float | None = None  # value a row that may be lost beside live's; None: not judged


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did over a span. Bounds are of a 98 % interval; nothing measured is None."""

    version: str
    n_rows: int = 0  # answered
    n_errors: int | None = None  # rows that got an error; None: nobody counts, no server runs
    p95_us: float | None = None
    p95_low_us: float = 0.0
    p95_high_us: float | None = None  # None: too few rows to bound it
    mean_score: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    n_labelled: int = 0
    value: float | None = None  # mean of a decision
    value_error: float = 0.0  # of that mean


class Verdict(msgspec.Struct, frozen=True):
    """What the guards say: which limits are passed, and what cannot be said yet."""

    breaches: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def see(
    version: str,
    frame: pl.DataFrame,
    *,
    n_errors: int | None = None,
    edges: Sequence[float] = (),
    values: NDArray[np.float64] | None = None,
) -> Seen:
    """Sum up answered rows.

    Parameters
    ----------
    frame : one row an answer, in the order of the log, with `score` and `latency_us`
    edges : inner edges of the bins that scores are counted in; by default their own tenths
    values : what the labelled ones of the decisions were worth
    """
    if not frame.height:
        return Seen(version=version, n_errors=n_errors)
    scores = frame["score"].to_numpy()
    inner = np.asarray(edges) if len(edges) else _edges(scores)
    timed = frame["latency_us"].to_numpy()[WARM_UP:]
    p95, low, high = _tail(timed) if len(timed) >= LEAST_TIMED else (None, 0.0, None)
    n_labelled = 0 if values is None else len(values)
    return Seen(
        version=version,
        n_rows=frame.height,
        n_errors=n_errors,
        p95_us=p95,
        p95_low_us=low,
        p95_high_us=high,
        mean_score=float(scores.mean()),
        edges=tuple(inner.tolist()),
        counts=tuple(binned(scores, inner).tolist()),
        n_labelled=n_labelled,
        value=float(values.mean()) if values is not None and n_labelled else None,
        value_error=float(values.std(ddof=1) / math.sqrt(n_labelled)) if values is not None and n_labelled > 1 else 0.0,
    )


def judge(guards: Guards, candidate: Seen, live: Seen, *, answers: pl.DataFrame, shadowing: bool = False) -> Verdict:
    """Hold what a candidate did beside what live did in the same span; `answers` are the candidate's rows, for the rules."""
    waiting = []
    breaches = [*_errors(guards, candidate, live), *_latency(guards, candidate, live)]
    if candidate.n_rows < guards.min_rows:
        waiting.append(f"{candidate.n_rows:,} rows {'scored' if shadowing else 'answered'}, {guards.min_rows:,} wanted")
    else:
        breaches += [*_drift(guards, candidate, live), *_rules(guards.rules, answers)]
        breaches += _kpi(guards, candidate, live)
    if candidate.p95_us is None or live.p95_high_us is None:
        waiting.append(f"too few rows to compare latencies: {candidate.n_rows:,} of its own, {live.n_rows:,} of live")
    if candidate.n_errors is None:
        waiting.append("no server says how many errors there were")
    return Verdict(tuple(breaches), tuple(waiting))


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


def _errors(guards: Guards, candidate: Seen, live: Seen) -> list[str]:
    n_errors = candidate.n_errors or 0
    n = candidate.n_rows + n_errors
    if n_errors < LEAST_ERRORS:
        return []
    low, _ = wilson(n_errors, n, confidence=CONFIDENCE)
    live_errors = live.n_errors or 0
    allowed = max(guards.errors, wilson(live_errors, live.n_rows + live_errors, confidence=CONFIDENCE)[1] if live_errors else 0.0)
    if low <= allowed:
        return []
    return [f"errors: {n_errors:,} of {n:,} rows ({n_errors / n:.1%}, at least {low:.1%}) > {allowed:.1%}"]


def _latency(guards: Guards, candidate: Seen, live: Seen) -> list[str]:
    if candidate.p95_us is None or live.p95_us is None or live.p95_high_us is None:
        return []
    if candidate.p95_low_us <= guards.latency * live.p95_high_us or candidate.p95_low_us - live.p95_high_us < LATENCY_NOISE_US:
        return []
    times = candidate.p95_us / max(live.p95_us, 1.0)
    return [
        f"latency: p95 {candidate.p95_us / 1000:.1f} ms is {times:.1f} times live's {live.p95_us / 1000:.1f} ms, limit {guards.latency:g}"
    ]


def _drift(guards: Guards, candidate: Seen, live: Seen) -> list[str]:
    if not live.n_rows or not candidate.counts or candidate.edges != live.edges:
        return []
    found = population_stability_index(np.array(live.counts), np.array(candidate.counts))
    # What chance alone gives is chi-squared with (bins - 1) degrees, over the rows; its mean and two standard deviations.
    degrees = len(candidate.counts) - 1
    noise = (degrees + 2 * math.sqrt(2 * degrees)) * (1 / live.n_rows + 1 / candidate.n_rows)
    if found <= guards.drift + noise:
        return []
    means = f"mean {candidate.mean_score or 0:.3g}, live {live.mean_score or 0:.3g}"
    return [f"drift: answers moved by {found:.2f} ({means}), limit {guards.drift:g}"]


def _rules(rules: Sequence[str], answers: pl.DataFrame) -> list[str]:
    broken = []
    for rule in rules:
        try:
            (held,) = answers.select(pl.sql_expr(rule).alias("held").cast(pl.Boolean).all()).row(0)
        except pl.exceptions.PolarsError as cause:
            broken.append(f"rule: {rule} cannot be answered: {cause}")
            continue
        if held is False:
            broken.append(f"rule: {rule} does not hold on {answers.height:,} rows")
    return broken


def _kpi(guards: Guards, candidate: Seen, live: Seen) -> list[str]:
    if guards.kpi_loss is None or candidate.value is None or live.value is None:
        return []
    lost = live.value - candidate.value
    chance = _Z * math.hypot(candidate.value_error, live.value_error)
    if lost - chance <= guards.kpi_loss:
        return []
    return [f"kpi: a decision is worth {candidate.value:.4g}, live's {live.value:.4g}; limit of the loss {guards.kpi_loss:g}"]


def _edges(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of tenths, each midway between two scores: where few scores repeat, a hair's breadth then crosses no edge."""
    known = np.unique(scores)
    at = np.clip(np.searchsorted(known, quantile_edges(scores)), 1, max(len(known) - 1, 1))
    return np.unique((known[at - 1] + known[np.minimum(at, len(known) - 1)]) / 2)


def _tail(latencies: NDArray[np.int64]) -> tuple[float, float, float | None]:
    """Return the 95th percentile with bounds from order statistics; no upper bound where the rank would lie beyond the last."""
    ordered = np.sort(latencies)
    n = len(ordered)
    reach = _Z * math.sqrt(n * TAIL * (1 - TAIL))
    low, high = math.floor(n * TAIL - reach) - 1, math.ceil(n * TAIL + reach)
    at = min(n - 1, math.ceil(n * TAIL) - 1)
    return float(ordered[at]), float(ordered[max(low, 0)]), float(ordered[high]) if high < n else None
