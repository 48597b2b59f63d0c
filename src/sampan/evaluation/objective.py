"""What a model is for, in code: the metric to reach, the groups to treat alike, the time an answer may take, what each error costs.

One objective is read three times: by the search (what to tune for), by the gate (what to refuse) and by the monitor (what to watch).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from sampan.errors import ParameterError

HIGHER_IS_BETTER: Final[dict[str, bool]] = {"auc": True, "log_loss": False, "brier": False, "cost": False}


class Value(msgspec.Struct, frozen=True):
    """What one decision is worth, in any one currency: costs are negative. fp = false alarm, fn = missed positive."""

    fp: float
    fn: float
    tp: float = 0.0
    tn: float = 0.0
    currency: str = ""


class Objective(msgspec.Struct, frozen=True):
    """The conditions a model must meet. Unset conditions (None, empty) are not checked."""

    metric: str = "auc"
    at_least: float | None = None
    at_most: float | None = None
    equal_across: tuple[str, ...] = ()
    max_gap: float | None = None
    p95_ms: float | None = None
    kpi: Value | None = None
    max_label_noise: float = 0.05
    min_rows: int = 1000


def value(*, fp: float, fn: float, tp: float = 0.0, tn: float = 0.0, currency: str = "") -> Value:
    """Say what a decision is worth: `value(fp=-5, fn=-40)` makes a missed positive eight times as bad as a false alarm.

    Raises
    ------
    ParameterError : being right would not be worth more than being wrong, so no threshold could be best.
    """
    faults = []
    if tp <= fn:
        faults.append(f"a hit (tp={tp:g}) must be worth more than a miss (fn={fn:g})")
    if tn <= fp:
        faults.append(f"silence (tn={tn:g}) must be worth more than a false alarm (fp={fp:g})")
    if faults:
        raise ParameterError("; ".join(faults), hint="costs are negative numbers: value(fp=-5, fn=-40)")
    return Value(fp=fp, fn=fn, tp=tp, tn=tn, currency=currency)


def objective(
    *,
    metric: str = "auc",
    at_least: float | None = None,
    at_most: float | None = None,
    equal_across: Sequence[str] = (),
    max_gap: float | None = None,
    p95_ms: float | None = None,
    kpi: Value | None = None,
    max_label_noise: float = 0.05,
    min_rows: int = 1000,
) -> Objective:
    """State an objective.

    Parameters
    ----------
    metric : auc, log_loss, brier or cost (needs `kpi`); cost is minus the value of a decision, per row
    at_least, at_most : the limit of the metric; `at_least` where higher is better, else `at_most`
    equal_across : columns whose groups must not differ in the metric by more than `max_gap`
    p95_ms : 95 of 100 single answers must come within this time
    max_label_noise : largest share of wrong labels tolerated in the newest training batch beyond the usual share
    min_rows : fewest evaluation rows a decision may rest on

    Raises
    ------
    ParameterError : naming every condition that cannot be met or has no effect.
    """
    if isinstance(equal_across, str):
        equal_across = (equal_across,)
    stated = Objective(metric, at_least, at_most, tuple(equal_across), max_gap, p95_ms, kpi, max_label_noise, min_rows)
    if faults := _faults(stated):
        hint = "sp.objective(metric='auc', at_least=0.65, equal_across=['carrier'], max_gap=0.1)"
        raise ParameterError("objective: " + "; ".join(faults), hint=hint)
    return stated


def _faults(stated: Objective) -> list[str]:
    faults = []
    if stated.metric not in HIGHER_IS_BETTER:
        return [f"metric {stated.metric!r} is none of {', '.join(HIGHER_IS_BETTER)}"]
    higher = HIGHER_IS_BETTER[stated.metric]
    if higher and stated.at_most is not None:
        faults.append(f"higher {stated.metric} is better, so say at_least, not at_most")
    if not higher and stated.at_least is not None:
        faults.append(f"lower {stated.metric} is better, so say at_most, not at_least")
    if stated.metric == "cost" and stated.kpi is None:
        faults.append("metric 'cost' needs kpi=sp.value(fp=…, fn=…)")
    if stated.metric == "auc" and stated.at_least is not None and not 0.5 <= stated.at_least < 1:
        faults.append(f"an AUC of at least {stated.at_least:g} is outside 0.5 to 1")
    if bool(stated.equal_across) != (stated.max_gap is not None):
        faults.append("equal_across and max_gap belong together")
    if stated.max_gap is not None and stated.max_gap < 0:
        faults.append(f"max_gap {stated.max_gap:g} is negative")
    if stated.p95_ms is not None and stated.p95_ms <= 0:
        faults.append(f"p95_ms {stated.p95_ms:g} is not a time")
    if not 0 < stated.max_label_noise < 0.5:
        faults.append(f"max_label_noise {stated.max_label_noise:g} is outside 0 to 0.5")
    if stated.min_rows < 1:
        faults.append(f"min_rows {stated.min_rows} is below 1")
    return faults
