"""Whether a model may go live: an objective, its report, the paired test and the health of its labels, weighed into one decision.

Every check is shown, passed or not. A failed one gives a reason that begins with a stable code: `log_loss_not_better: …`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Final

import msgspec

from sampan.evaluation.metrics import NAIVE, is_higher_better
from sampan.evaluation.noise import LabelHealth
from sampan.evaluation.objective import HIGHER_IS_BETTER, METRICS, Objective
from sampan.evaluation.paired import Difference, Paired
from sampan.evaluation.report import Report

REASONS: Final[dict[str, str]] = {
    "too_few_rows": "the decision would rest on fewer rows than the objective asks for",
    "metric_missed": "the objective's metric does not reach its limit",
    "gap_too_wide": "two groups differ by more than the limit, beyond doubt",
    "too_slow": "the 95th percentile of answer times is above the limit",
    "latency_unknown": "the objective limits the answer time and none was measured",
    "online_differs": "the package answers single requests otherwise than the batch path",
    "label_noise": "the newest training batch has more wrong labels than usual",
    **{
        f"{loss}_not_better": f"the paired test does not show a lower {METRICS[loss].words} than the champion's"
        for loss in ("log_loss", "rmse", "mae", "mape", "pinball")
    },
    **{
        f"{name}_worse": f"the paired test shows a {'lower' if spec.better == 'higher' else 'higher'} {spec.words} than the champion's"
        for name, spec in METRICS.items()
    },
    "loss_over_budget": "a smaller form of the champion may be worse than it by more than its budget allows",
    "not_compared": "there is a champion and no rows on which both could be tested",
    "no_value": "deciding by the model costs more than deciding always alike, or answering always the same is as good",
}


_BLIND: Final = {"cost_if_silent": "never warning", "cost_if_always": "always warning", "cost_if_naive": "always the same answer"}


class Check(msgspec.Struct, frozen=True):
    """One condition: its code, what was asked, what was found. `note` is set where it passed without being shown."""

    code: str
    asked: str
    found: str
    passed: bool
    note: str = ""


class Decision(msgspec.Struct, frozen=True):
    """May this model go live? `reasons` are the failed checks as "code: text"."""

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision rests on. `champion` is the live model's reference, "" if there is none."""

    report: Report
    champion: str = ""
    paired: Paired | None = None
    labels: LabelHealth | None = None
    p95_ms: float | None = None
    probe_rows: int | None = None
    probe_far: int = 0
    allowed_loss: float | None = None  # of a smaller form of the champion itself: how much worse the objective's metric may be


def decide(objective: Objective, evidence: Evidence) -> Decision:
    """Weigh the evidence against the objective.

    Absolute conditions hold for every model. Where there is a champion, the candidate must also be shown better in the loss (log loss, or
    of numbers the squared error) and not be shown worse in what else is compared, such as AUC and cost: a draw keeps what is live.
    A smaller form of the champion is not made to be better: it must be shown to lose no more than its budget allows.
    """
    against = _against_champion if evidence.allowed_loss is None else partial(_against_parent, objective)
    checks = (*_absolute(objective, evidence), *against(evidence))
    reasons = tuple(f"{c.code}: {c.found}; asked: {c.asked}" for c in checks if not c.passed)
    return Decision(not reasons, reasons, checks)


def _absolute(objective: Objective, evidence: Evidence) -> Iterator[Check]:
    report = evidence.report
    yield Check("too_few_rows", f"at least {objective.min_rows:,} rows", f"{report.n_rows:,} rows", report.n_rows >= objective.min_rows)
    yield from _metric(objective, report)
    yield from _value(report)
    for gap in report.gaps:
        yield Check(
            "gap_too_wide",
            f"{gap.metric} by {gap.column} within {gap.limit:g}",
            f"{gap.gap} between {gap.better} and {gap.worse}" if gap.better else "fewer than two groups with enough rows",
            gap.verdict != "broken",
            note="not enough rows to say for sure" if gap.verdict == "unclear" else "",
        )
    if objective.p95_ms is not None:
        asked = f"95 of 100 answers within {objective.p95_ms:g} ms"
        if evidence.p95_ms is None:
            yield Check("latency_unknown", asked, "no answer time was measured", passed=False)
        else:
            yield Check("too_slow", asked, f"{evidence.p95_ms:.3g} ms", evidence.p95_ms <= objective.p95_ms)
    if evidence.probe_rows is not None:
        found = f"{evidence.probe_rows - evidence.probe_far:,} of {evidence.probe_rows:,} answers are the same"
        yield Check("online_differs", "single requests are answered as in batch", found, evidence.probe_rows > 0 == evidence.probe_far)
    if evidence.labels is not None:
        yield _labels(evidence.labels)


def _metric(objective: Objective, report: Report) -> Iterator[Check]:
    limit = objective.at_least if HIGHER_IS_BETTER[objective.metric] else objective.at_most
    if limit is None:
        return
    found = report.metrics.get(objective.metric)
    value = found.value if found is not None else None
    sign = 1 if HIGHER_IS_BETTER[objective.metric] else -1
    words = "at least" if sign > 0 else "at most"
    passed = value is not None and sign * (value - limit) >= 0
    doubtful = passed and found is not None and found.low is not None and found.high is not None and found.low <= limit <= found.high
    yield Check(
        "metric_missed",
        f"{objective.metric} {words} {limit:g}",
        f"{objective.metric} {found if found is not None else 'unknown'}",
        passed,
        note="the interval reaches past the limit" if doubtful else "",
    )


def _value(report: Report) -> Iterator[Check]:
    cost = report.metrics.get("cost")
    blind = {words: report.metrics[name].value for name, words in _BLIND.items() if name in report.metrics}
    known = {words: value for words, value in blind.items() if value is not None}
    if cost is not None and cost.value is not None and known:
        words, least = min(known.items(), key=lambda pair: pair[1])
        yield Check("no_value", f"cost per row below {least:.4g}, that of {words}", f"cost {cost}", cost.value < least)
        return
    for name, alike in report.metrics.items():
        own = report.metrics.get(name.removesuffix(NAIVE))
        if name.endswith(NAIVE) and own is not None and own.value is not None and alike.value is not None:
            words = METRICS[name.removesuffix(NAIVE)].words
            asked = f"{words} below {alike.value:.4g}, that of always the same answer"
            yield Check("no_value", asked, f"{words} {own}", own.value < alike.value)


def _labels(health: LabelHealth) -> Check:
    low, high = health.newest.share.low or 0.0, health.newest.share.high or 0.0
    return Check(
        "label_noise",
        f"at most {health.limit:.0%} more wrong labels than the usual {health.usual:.1%}",
        f"{health.newest.share.value or 0:.1%} ({low:.1%} to {high:.1%}) of the labels of {health.newest.batch} look wrong",
        health.ok,
    )


def _against_champion(evidence: Evidence) -> Iterator[Check]:
    if not evidence.champion:
        return
    if evidence.paired is None:
        yield Check("not_compared", f"better than {evidence.champion}", "no labeled rows that neither model was trained on", passed=False)
        return
    for number, difference in enumerate(evidence.paired.differences):
        words, name = _words(difference, evidence), METRICS[difference.metric].words
        if not number:
            asked = f"{name} lower than that of {evidence.champion}, beyond chance"
            yield Check(f"{difference.metric}_not_better", asked, words, difference.verdict == "better")
        else:
            asked = f"{difference.metric} not worse than that of {evidence.champion}"
            note = "" if difference.verdict == "better" else "no difference shown"
            yield Check(f"{difference.metric}_worse", asked, words, difference.verdict != "worse", note)


def _against_parent(objective: Objective, evidence: Evidence) -> Iterator[Check]:
    if not evidence.champion or evidence.paired is None or evidence.allowed_loss is None:
        yield from _against_champion(evidence)
        return
    judged = evidence.paired.of(objective.metric) or evidence.paired.differences[0]
    for difference in evidence.paired.differences:
        if difference is judged:
            asked = f"{difference.metric} at most {evidence.allowed_loss:g} worse than that of {evidence.champion}, beyond doubt"
            yield Check("loss_over_budget", asked, _words(difference, evidence), _largest_loss(difference) <= evidence.allowed_loss)
        else:
            # What decisions cost must not be shown worse, whatever the budget says of another metric; the rest is told.
            note = f"shown worse; the budget is of {judged.metric}" if difference.verdict == "worse" and difference.metric != "cost" else ""
            how = "not worse than" if difference.metric == "cost" else "beside"
            asked = f"{difference.metric} {how} that of {evidence.champion}"
            passed = difference.metric != "cost" or difference.verdict != "worse"
            yield Check(f"{difference.metric}_worse", asked, _words(difference, evidence), passed, note)


def _largest_loss(difference: Difference) -> float:
    """Return how much worse a candidate may be: the far end of the interval."""
    found, sign = difference.difference, 1 if is_higher_better(difference.metric) else -1
    far = found.low if sign > 0 else found.high
    end = far if far is not None else found.value
    return -sign * end if end is not None else inf


def _words(difference: Difference, evidence: Evidence) -> str:
    n_rows = evidence.paired.n_rows if evidence.paired is not None else 0
    figures = f"{difference.metric} {difference.candidate:.4f} against {difference.champion:.4f}"
    text = f"{figures}, difference {difference.difference} on {n_rows:,} rows"
    if difference.rows_needed is not None:
        text += f"; about {difference.rows_needed:,} more rows would show a difference of this size"
    return text
