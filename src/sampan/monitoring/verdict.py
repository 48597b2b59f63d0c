"""What a window means as a whole: quiet, drift, or an alarm with its reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from sampan.monitoring.drift import DriftReport
from sampan.monitoring.estimate import PerformanceEstimate
from sampan.monitoring.quality import Quality
from sampan.stats.bootstrap import Estimate


class QualityRules(msgspec.Struct, frozen=True):
    """How much worse than on its reference a model may do. An alarm needs the whole interval beyond these.

    The limits of errors and accuracy are as wide as that of cost, of which they are kin; they were not tuned on data of their own.
    """

    max_auc_drop: float = 0.02
    max_log_loss_rise: float = 0.03
    max_cost_rise: float = 0.25  # as a share of the reference's cost
    max_error_rise: float = 0.25  # of a number's errors, as a share of the reference's
    max_accuracy_drop: float = 0.05
    min_labels: int = 200


class Verdict(msgspec.Struct, frozen=True):
    """`drift` means features moved, but not so that someone should act; `alarm` says why someone should."""

    verdict: Literal["quiet", "drift", "alarm"]
    reasons: tuple[str, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether someone should act."""
        return self.verdict == "alarm"


def judge_window(
    drift: DriftReport | None,
    *,
    reference: Quality | None,
    live: Quality | None,
    estimated: PerformanceEstimate | None,
    rules: QualityRules | None = None,
) -> Verdict:
    """Weigh drift, live quality where labels are known, and estimated quality where they are not.

    Live quality outranks the estimate: with enough labels the estimate is shown and not judged.
    """
    rules = rules or QualityRules()
    reasons = list(drift.reasons) if drift is not None else []
    if reference is not None and live is not None and live.n >= rules.min_labels:
        reasons += _worse("live", live.auc, live.log_loss, live.cost, reference, rules)
        reasons += _worse_otherwise(live, reference, rules)
    elif reference is not None and estimated is not None and not estimated.refused:
        reasons += _worse("estimated", estimated.auc, estimated.log_loss, estimated.cost, reference, rules)
    if reasons:
        return Verdict("alarm", tuple(reasons))
    moved = drift.moved if drift is not None else ()
    return Verdict("drift", tuple(f"{f.feature}: {', '.join(f.reasons)}" for f in moved[:5])) if moved else Verdict("quiet")


def _worse(how: str, auc: Estimate, log_loss: Estimate, cost: Estimate, reference: Quality, rules: QualityRules) -> Iterator[str]:
    known = reference.auc.value
    if known is not None and auc.high is not None and auc.high < known - rules.max_auc_drop:
        yield f"{how} AUC {auc} is below the reference's {known:.4g} by more than {rules.max_auc_drop}"
    known = reference.log_loss.value
    if known is not None and log_loss.low is not None and log_loss.low > known + rules.max_log_loss_rise:
        yield f"{how} log loss {log_loss} is above the reference's {known:.4g} by more than {rules.max_log_loss_rise}"
    known = reference.cost.value
    if known is not None and cost.low is not None and cost.low > known * (1 + rules.max_cost_rise):
        yield f"{how} cost {cost} a row is above the reference's {known:.4g} by more than {rules.max_cost_rise:.0%}"


def _worse_otherwise(live: Quality, reference: Quality, rules: QualityRules) -> Iterator[str]:
    """Say where a model of classes or numbers does worse; errors may rise by a share, since their unit is that of the label."""
    for name, words in _ERRORS.items():
        found, known = live.others.get(name), reference.others.get(name)
        if found is None or known is None or known.value is None or found.low is None:
            continue
        if found.low > known.value * (1 + rules.max_error_rise):
            yield f"live {words} {found} is above the reference's {known.value:.4g} by more than {rules.max_error_rise:.0%}"
    found, known = live.others.get("accuracy"), reference.others.get("accuracy")
    high, was = found.high if found else None, known.value if known else None
    if high is not None and was is not None and high < was - rules.max_accuracy_drop:
        yield f"live accuracy {found} is below the reference's {was:.4g} by more than {rules.max_accuracy_drop}"


_ERRORS = {"rmse": "root mean squared error", "mae": "mean absolute error", "pinball": "pinball loss"}
