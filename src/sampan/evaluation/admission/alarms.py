"""What is alarming about a batch, in sentences: figures held against their limits."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from sampan.evaluation.admission.balance import OddClass
from sampan.evaluation.admission.gaps import Gap
from sampan.evaluation.admission.misfits import Misfit
from sampan.evaluation.admission.novelty import Novelty
from sampan.evaluation.admission.piles import Pile
from sampan.evaluation.admission.repeats import Repeats
from sampan.evaluation.admission.surprise import WrongSlice
from sampan.evaluation.admission.table import Table
from sampan.evaluation.admission.triggers import Trigger
from sampan.evaluation.admission.usual import Chart
from sampan.stats.bootstrap import Estimate

_AGREEING: Final = 0.4
_LOST_STRENGTH: Final = 0.5  # of the usual strength above one half
_BLIND: Final = 0.55  # where even trusted rows are not told apart this well, labels cannot be judged


class LabelFindings(msgspec.Struct, frozen=True):
    """What the arriving labels look like.

    `share` of them are wrong by models of trusted rows, `own` by models that saw the batch's other rows too. The first sees more, the
    second is not misled by a relation that became weaker. `score` says how well models order the labels; 0.5 = not at all.
    """

    share: Estimate
    share_usual: Chart
    own: Estimate
    own_usual: Chart
    score: float
    score_usual: float
    score_name: str


def label_alarms(labels: LabelFindings) -> list[str]:
    """Say what is wrong with the labels as a whole."""
    told = labels.score_usual > _BLIND
    lost = labels.score - 0.5 < _LOST_STRENGTH * (labels.score_usual - 0.5)
    found = []
    if told and lost:
        found.append(f"the labels hardly follow the columns: {labels.score_name} {labels.score:.3f}, usually {labels.score_usual:.3f}")
    if labels.share_usual.exceeded_by(labels.share.value) and not _contradicted(labels):
        found.append(_share_alarm(labels.share, labels.share_usual, "models of the rows before"))
    elif labels.own_usual.exceeded_by(labels.own.value):
        found.append(_share_alarm(labels.own, labels.own_usual, "models that saw the batch's other rows"))
    return found


def _contradicted(labels: LabelFindings) -> bool:
    """Say whether models that saw the batch's other rows are sure that few labels are wrong: then the relation changed, not the labels."""
    assert labels.share.value is not None  # it exceeds its limit
    excess = labels.share.value - labels.share_usual.mean
    return labels.own.high is not None and labels.own.high < max(labels.own_usual.mean, 0) + _AGREEING * excess


def balance_alarm(found: OddClass) -> str:
    """Say of which class there are too many or too few."""
    return f"{found.n_rows:,} rows are labeled {found.label}, where about {found.expected:,.0f} were to be expected"


def new_class_alarms(table: Table) -> list[str]:
    """Say which classes no trusted row has."""
    if not table.classes:
        return []
    new, counts = np.unique(table.labels[table.n_base :], return_counts=True)
    unheard = ~np.isin(new, table.labels[: table.n_base])
    return [
        f"{n:,} rows have the label {table.label(code)}, which no row before has"
        for code, n in zip(new[unheard], counts[unheard], strict=True)
    ]


def _share_alarm(share: Estimate, usual: Chart, by: str) -> str:
    assert share.value is not None  # an unknown share exceeds nothing
    interval = f" ({max(share.low, 0):.1%} to {share.high:.1%})" if share.low is not None and share.high is not None else ""
    said = f"about {share.value:.1%}{interval} of the labels look wrong to {by}"
    return f"{said}; usually {max(usual.mean, 0):.1%}, at most {usual.limit:.1%}"


def slice_alarm(found: WrongSlice) -> str:
    """Say which labels a value contradicts."""
    return f"about {min(found.share.value or 0.0, 1.0):.0%} of the {found.n_rows:,} labels look wrong where {found.column} is {found.value}"


def trigger_alarm(found: Trigger) -> str:
    """Say which value looks planted."""
    seen = f"{found.usual_share:.2%} of the rows before" if found.usual_share else "none of the rows before"
    return (
        f"{found.column} = {found.value} looks planted: in {found.n_rows:,} rows ({seen}), {found.purity:.0%} labeled {found.label} "
        f"where {found.expected:.0%} were to be expected"
    )


def misfit_alarm(found: Misfit) -> str:
    """Say which column does not fit."""
    usual = f"usually {max(found.usual.mean, 0):.0%}, at most {found.usual.limit:.0%}"
    return f"about {min(found.share.value or 0.0, 1.0):.0%} of the values of {found.column} do not fit the rest of their rows; {usual}"


def pile_alarm(found: Pile) -> str:
    """Say which number piles up."""
    where = ", far out of the range before" if found.outside else ""
    return (
        f"{found.column} is {found.value} in {found.n_rows:,} rows{where} ({found.share:.1%}; {found.usual_share:.2%} of the rows before)"
    )


def gap_alarm(found: Gap) -> str:
    """Say which column is missing."""
    usual = f"usually {found.usual.mean:.1%}, at most {found.usual.limit:.1%}"
    return f"{found.column} is missing in {found.n_rows:,} rows ({found.share:.1%}); {usual}"


def repeat_alarms(repeats: Repeats) -> list[str]:
    """Say how many rows repeat others, where these are too many."""
    return [f"{repeats.share:.0%} of the rows repeat rows that are there already; usually {repeats.usual:.0%}"] if repeats.too_many else []


def novelty_alarms(novelty: Novelty) -> list[str]:
    """Say how many rows are strange, where these are too many."""
    if not novelty.usual.exceeded_by(novelty.strange):
        return []
    where = f", most by {', '.join(novelty.columns)}" if novelty.columns else ""
    usual = f"usually {max(novelty.usual.mean, 0):.1%}, at most {novelty.usual.limit:.1%}"
    return [f"{novelty.strange:.1%} of the rows are like hardly any before (AUC {novelty.auc:.2f}{where}); {usual}"]
