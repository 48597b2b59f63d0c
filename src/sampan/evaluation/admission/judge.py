"""The verdict on a batch: helps, neutral, suspicious, harmful, or not enough to say; with its reasons, its suspicious rows and its effect.

Suspicion comes from the rows (labels, planted values, repeats, rows unlike any before), harm from what a model does after learning them.
Only rows that look right can help. Limits are learned: each figure is held against its values for earlier batches and for spans of trusted
rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.effect import Effect, Trial
from sampan.evaluation.admission.learner import CrossFit, Learner, calibrated, calibration
from sampan.evaluation.admission.novelty import Novelty, measure_novelty
from sampan.evaluation.admission.repeats import Repeats, find_repeats
from sampan.evaluation.admission.surprise import WrongSlice, slice_rows, wrong_share, wrong_slices
from sampan.evaluation.admission.table import Floats, Matrix, Rows, Table
from sampan.evaluation.admission.triggers import Trigger, find_triggers, trigger_rows
from sampan.evaluation.admission.usual import Chart, chart
from sampan.evaluation.noise import wrong_label_share
from sampan.stats.bootstrap import Estimate
from sampan.stats.ranking import auc

Verdict = Literal["helps", "neutral", "suspicious", "harmful", "unknown"]

MIN_BASE: Final = 300
MIN_BATCH: Final = 100
N_SPANS: Final = 5
N_FOLDS: Final = 3
_LABEL_FLOOR: Final = 0.02
_HARMFUL_SHARE: Final = 0.15
_AGREEING: Final = 0.4
_LOST_STRENGTH: Final = 0.5  # of the usual AUC above one half
_BLIND: Final = 0.55  # where even trusted rows are not told apart this well, labels cannot be judged


class LabelFindings(msgspec.Struct, frozen=True):
    """What the arriving labels look like.

    `share` of them are wrong by models of trusted rows, `own` by models that saw the batch's other rows too. The first sees more, the
    second is not misled by a relation that became weaker.
    """

    share: Estimate
    share_usual: Chart
    own: Estimate
    own_usual: Chart
    auc: float
    auc_usual: float


@dataclass(frozen=True, slots=True)
class Judgment:
    """What was found of a batch. `surprise`, `given` and `suspicious` have a place for each arriving row."""

    verdict: Verdict
    reasons: tuple[str, ...]
    surprise: Floats  # the chance, by models of trusted rows, that the label is another
    given: Floats  # the labels
    suspicious: NDArray[np.bool_]
    labels: LabelFindings | None = None
    slices: tuple[WrongSlice, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    novelty: Novelty | None = None
    repeats: Repeats | None = None
    effect: Effect | None = None
    figures: dict[str, float] = field(default_factory=dict)  # what later batches' limits are learned from


def judge(
    table: Table,
    rng: np.random.Generator,
    *,
    moments: NDArray[np.int64] | None = None,
    earlier: Sequence[Mapping[str, float]] = (),
    learns: Table | None = None,
    repeats: tuple[Repeats, NDArray[np.bool_]] | None = None,
) -> Judgment:
    """Judge the arriving rows of a table.

    Parameters
    ----------
    moments : of the trusted rows, shape (n_base,), ascending; None where rows have no time
    earlier : the `figures` of earlier batches of the same source that were found right
    learns : the same rows as the model sees them, where that is known; what they do to it is measured with these
    repeats : which arriving rows repeat others, where these were held against more rows than the table has
    """
    if reason := _too_little(table):
        nothing = np.zeros(table.n_batch)
        return Judgment("unknown", (reason,), nothing, table.labels[table.n_base :], nothing > 0)
    return _Judging(table, rng, moments, earlier).judge(learns or table, repeats)


def _too_little(table: Table) -> str:
    trusted = table.labels[: table.n_base]
    if table.n_batch < MIN_BATCH:
        return f"{table.n_batch:,} labeled rows are too few to judge, {MIN_BATCH} are needed"
    if table.n_base < MIN_BASE:
        return f"{table.n_base:,} trusted labeled rows are too few to judge by, {MIN_BASE} are needed"
    if trusted.min() == trusted.max():
        return f"all trusted rows have the label {trusted[0]:g}, so nothing can be said of others"
    return "" if table.names else "no column says anything that a label could be judged by"


class _Judging:
    """One batch being judged: models of trusted rows first, since all else asks them."""

    def __init__(
        self, table: Table, rng: np.random.Generator, moments: NDArray[np.int64] | None, earlier: Sequence[Mapping[str, float]]
    ) -> None:
        self.table, self.rng, self.moments, self.earlier = table, rng, moments, earlier
        self.learner = Learner(table.matrix, table.labels, [*table.categories], seed=int(rng.integers(2**31)))
        self.spans = _spans(table, rng, timed=moments is not None)
        folds = rng.permutation(table.n_base) % N_FOLDS
        trusted = CrossFit(self.learner, table.matrix, table.base, folds)
        self.line = calibration(table.labels[: table.n_base], trusted.out_of_fold)
        self.base_chances = calibrated(trusted.out_of_fold, self.line)
        self.trusted = trusted
        self.batch_chances = self._chances(table.matrix[table.n_base :])

    def judge(self, learns: Table, known_repeats: tuple[Repeats, NDArray[np.bool_]] | None) -> Judgment:
        table = self.table
        labels = self._labels()
        slices = wrong_slices(table, self.base_chances, self.batch_chances, self._known())
        triggers = find_triggers(table, self._chances, self.rng)
        repeats, repeated = known_repeats or find_repeats(table, self.spans[-1])
        novelty = measure_novelty(table, self.spans, self.rng, timed=self.moments is not None, earlier=self._earlier("strange"))
        now = table.labels[table.n_base :]
        surprise = np.where(now == 1, 1 - self.batch_chances, self.batch_chances)
        alarms = [*_label_alarms(labels), *map(_slice_alarm, slices[:3]), *map(_trigger_alarm, triggers[:3])]
        alarms += [*_repeat_alarms(repeats), *_novelty_alarms(novelty)]
        suspicious = self._suspicious(surprise, labels, slices, triggers) | (repeated & repeats.too_many)
        learner = self.learner if learns is table else Learner(learns.matrix, learns.labels, [*learns.categories])
        effect = Trial.of(learns, learner, self.rng, moments=self.moments).measure(suspicious, self.rng)
        verdict, harm = _decide(labels, effect, alarmed=bool(alarms))
        return Judgment(
            verdict=verdict,
            reasons=(*alarms, *harm),
            surprise=surprise,
            given=now,
            suspicious=suspicious if alarms else np.zeros_like(suspicious),
            labels=labels,
            slices=slices,
            triggers=triggers,
            novelty=novelty,
            repeats=repeats,
            effect=effect,
            figures={"share": labels.share.value or 0.0, "own": labels.own.value or 0.0, "strange": novelty.strange},
        )

    def _chances(self, matrix: Matrix) -> Floats:
        """Return the chance of a positive label, by models of trusted rows."""
        return calibrated(self.trusted(matrix), self.line)

    def _earlier(self, figure: str) -> list[float]:
        return [batch[figure] for batch in self.earlier if figure in batch]

    # -- labels -------------------------------------------------------------------------------------------------------------------

    def _labels(self) -> LabelFindings:
        table = self.table
        trusted, now = table.labels[: table.n_base], table.labels[table.n_base :]
        known = self._known()
        share = wrong_share(now[known], self.batch_chances[known])
        usual = [(wrong_share(trusted[span], chances), auc(trusted[span], chances)) for span, chances in self._span_chances()]
        folds = self.rng.permutation(len(table)) % N_FOLDS
        own_scores = CrossFit(self.learner, table.matrix, np.arange(len(table)), folds).out_of_fold
        own = _own_share(now, own_scores[table.n_base :])
        own_usual = [_own_share(trusted[span], own_scores[span]).value for span in self.spans]
        strengths = [area for _, area in usual if np.isfinite(area)]
        return LabelFindings(
            share=share,
            share_usual=chart(
                [*(one.value or 0.0 for one, _ in usual), *self._earlier("share")],
                floor=_LABEL_FLOOR,
                error=_error(share),
                errors=[_error(one) for one, _ in usual],
            ),
            own=own,
            own_usual=chart([*(v for v in own_usual if v is not None), *self._earlier("own")], floor=_LABEL_FLOOR, error=_error(own)),
            auc=auc(now[known], self.batch_chances[known]),
            auc_usual=float(np.mean(strengths)) if strengths else 0.5,
        )

    def _known(self) -> NDArray[np.bool_]:
        """Mark arriving rows whose categories all occurred before: of others, models of trusted rows know little."""
        known = ~self.table.unseen()
        return known if known.sum() >= MIN_BATCH else np.ones_like(known)

    def _span_chances(self) -> Iterator[tuple[Rows, Floats]]:
        """Yield each span with its rows' chances: from earlier rows alone where there is time, as the batch's are."""
        for span in self.spans:
            if self.moments is None or span[0] < MIN_BASE:
                yield span, self.base_chances[span]
            else:
                yield span, calibrated(self.learner.fit(np.arange(span[0]))(self.table.matrix[span]), self.line)

    def _suspicious(
        self, surprise: Floats, labels: LabelFindings, slices: tuple[WrongSlice, ...], triggers: tuple[Trigger, ...]
    ) -> NDArray[np.bool_]:
        """Mark rows of planted values, contradicting rows of wrong slices, and as many of the most surprising rows as labels are wrong."""
        found = np.zeros(self.table.n_batch, dtype=np.bool_)
        for trigger in triggers:
            found |= trigger_rows(self.table, trigger)
        for one in slices:
            found |= slice_rows(self.table, one) & (surprise > 0.5)
        excess = max(labels.share.value or 0.0, labels.own.value or 0.0)
        if _label_alarms(labels) and excess > 0:
            # Twice as many rows as labels are wrong: half of the most surprising rows are merely odd.
            n = min(int(2 * excess * self.table.n_batch), self.table.n_batch)
            most = np.argsort(-surprise, kind="stable")[:n]
            found[most[surprise[most] > 0.5]] = True
        return found


def _spans(table: Table, rng: np.random.Generator, *, timed: bool) -> list[Rows]:
    """Return parts of the trusted rows to learn limits from: the newest spans where there is time, else rows at random.

    Spans in time lie in the newer half, so that each has as many rows before it that it can be judged by.
    """
    size = min(table.n_batch, table.n_base // (2 * N_SPANS if timed else N_SPANS + 1))
    if timed:
        return [np.arange(table.n_base - (k + 1) * size, table.n_base - k * size) for k in reversed(range(N_SPANS))]
    order = rng.permutation(table.n_base)
    return [np.sort(order[k * size : (k + 1) * size]) for k in range(N_SPANS)]


def _own_share(labels: Floats, scores: Floats) -> Estimate:
    if labels.min() == labels.max():
        return Estimate(None)
    return wrong_label_share(labels, scores)


def _error(share: Estimate) -> float:
    return 0.0 if share.low is None or share.high is None else (share.high - share.low) / 3.92


def _label_alarms(labels: LabelFindings) -> list[str]:
    told = labels.auc_usual > _BLIND
    lost = labels.auc - 0.5 < _LOST_STRENGTH * (labels.auc_usual - 0.5)
    found = []
    if told and lost:
        found.append(f"the labels hardly follow the columns: AUC {labels.auc:.3f}, usually {labels.auc_usual:.3f}")
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


def _share_alarm(share: Estimate, usual: Chart, by: str) -> str:
    assert share.value is not None  # an unknown share exceeds nothing
    interval = f" ({max(share.low, 0):.1%} to {share.high:.1%})" if share.low is not None and share.high is not None else ""
    said = f"about {share.value:.1%}{interval} of the labels look wrong to {by}"
    return f"{said}; usually {max(usual.mean, 0):.1%}, at most {usual.limit:.1%}"


def _slice_alarm(found: WrongSlice) -> str:
    return f"about {min(found.share.value or 0.0, 1.0):.0%} of the {found.n_rows:,} labels look wrong where {found.column} is {found.value}"


def _trigger_alarm(found: Trigger) -> str:
    seen = f"{found.usual_share:.2%} of the rows before" if found.usual_share else "none of the rows before"
    return (
        f"{found.column} = {found.value} looks planted: in {found.n_rows:,} rows ({seen}), {found.purity:.0%} labeled {found.label:g} "
        f"where {found.expected:.0%} were to be expected"
    )


def _repeat_alarms(repeats: Repeats) -> list[str]:
    return [f"{repeats.share:.0%} of the rows repeat rows that are there already; usually {repeats.usual:.0%}"] if repeats.too_many else []


def _novelty_alarms(novelty: Novelty) -> list[str]:
    if not novelty.usual.exceeded_by(novelty.strange):
        return []
    where = f", most by {', '.join(novelty.columns)}" if novelty.columns else ""
    usual = f"usually {max(novelty.usual.mean, 0):.1%}, at most {novelty.usual.limit:.1%}"
    return [f"{novelty.strange:.1%} of the rows are like hardly any before (AUC {novelty.auc:.2f}{where}); {usual}"]


def _decide(labels: LabelFindings, effect: Effect, *, alarmed: bool) -> tuple[Verdict, tuple[str, ...]]:
    admitting = effect.outcomes[1].change
    worse = effect.against_control.low is not None and effect.against_control.low > 0
    if alarmed:
        hurts = admitting.low is not None and admitting.low > 0
        sure = labels.share.low is not None and labels.share.low > _HARMFUL_SHARE
        if worse and (sure or hurts):
            lost = f"{effect.against_control.value:.4f} of log loss on {effect.n_hold_out:,} trusted rows"
            return "harmful", (f"a model that learns it loses {lost}, beside one that learns usual rows",)
        return "suspicious", ()
    if admitting.high is not None and admitting.high < 0:
        said = f"a model that learns it gains {-(admitting.value or 0.0):.4f} of log loss on {effect.n_hold_out:,} trusted rows"
        return "helps", (said,)
    if effect.own_half.high is not None and effect.own_half.high < 0:
        return "helps", (f"half of it teaches the other half: {-(effect.own_half.value or 0.0):.4f} of log loss gained",)
    return "neutral", ("a model does as well without it",)
