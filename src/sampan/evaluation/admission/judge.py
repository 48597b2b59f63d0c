"""The verdict on a batch: helps, neutral, suspicious, harmful, or not enough to say; with its reasons, its suspicious rows and its effect.

Suspicion comes from the rows (labels, planted values, repeats, rows unlike any before), harm from what a model does after learning them.
Only rows that look right can help. Limits are learned: each figure is held against its values for earlier batches and for spans of trusted
rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.alarms import (
    LabelFindings,
    balance_alarm,
    gap_alarm,
    label_alarms,
    misfit_alarm,
    new_class_alarms,
    novelty_alarms,
    pile_alarm,
    repeat_alarms,
    slice_alarm,
    trigger_alarm,
)
from sampan.evaluation.admission.balance import OddClass, find_odd_classes
from sampan.evaluation.admission.effect import Effect, Trial
from sampan.evaluation.admission.evidence import LABEL, REPEATED, STRANGE, Evidence
from sampan.evaluation.admission.gaps import Gap, find_gaps, missing_shares
from sampan.evaluation.admission.learner import Learner
from sampan.evaluation.admission.loss import names, strength_of
from sampan.evaluation.admission.misfits import Misfit, Misfits, Trusted, find_misfits
from sampan.evaluation.admission.novelty import Novelty, measure_novelty
from sampan.evaluation.admission.outlook import look
from sampan.evaluation.admission.piles import Pile, find_piles
from sampan.evaluation.admission.repeats import LIMIT, Repeats, besides, find_repeats, that_arrive_again
from sampan.evaluation.admission.surprise import Slices, WrongSlice, slice_limit, slice_rows, worst, wrong_share
from sampan.evaluation.admission.table import TWO, Floats, Rows, Table
from sampan.evaluation.admission.triggers import Trigger, find_triggers, trigger_rows
from sampan.evaluation.admission.usual import chart, standard_error
from sampan.evaluation.noise import wrong_class_share
from sampan.stats.bootstrap import Estimate

Verdict = Literal["helps", "neutral", "suspicious", "harmful", "unknown"]

MIN_BASE: Final = 300
MIN_BATCH: Final = 100
N_SPANS: Final = 5
_LABEL_FLOOR: Final = 0.02
_HARMFUL_SHARE: Final = 0.15
_MISFIT, _GAP, _SLICE = "misfit ", "gap ", "slice"  # what figures of single columns, and of the worst slice, are called
_CONTRADICTED: Final = "the label contradicts the other columns"


@dataclass(frozen=True, slots=True)
class Judgment:
    """What was found of a batch. `surprise`, `given` and `suspicious` have a place for each arriving row."""

    verdict: Verdict
    reasons: tuple[str, ...]
    surprise: Floats  # the chance, by models of trusted rows, that the label is another; of a number, that it is nearer
    given: tuple[str, ...]  # the labels
    likely: tuple[str, ...]  # the labels to be expected
    suspicious: NDArray[np.bool_]
    evidence: Evidence  # by what each row is suspicious
    labels: LabelFindings | None = None
    odd_classes: tuple[OddClass, ...] = ()
    slices: tuple[WrongSlice, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    piles: tuple[Pile, ...] = ()
    gaps: tuple[Gap, ...] = ()
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
        return _unjudged(table, "unknown", (reason,), Evidence(table.n_batch))
    judging = _Judging(table, rng, moments, earlier)
    return judging.judge(learns or table, repeats) if judging.table.names else judging.find_nothing_else()


def _unjudged(table: Table, verdict: Verdict, reasons: tuple[str, ...], evidence: Evidence) -> Judgment:
    """Return a judgment that no model was asked for."""
    given = _written(table, table.labels[table.n_base :])
    return Judgment(verdict, reasons, np.zeros(table.n_batch), given, given, evidence.marked, evidence)


def _too_little(table: Table) -> str:
    trusted = table.labels[: table.n_base]
    if table.n_batch < MIN_BATCH:
        return f"{table.n_batch:,} labeled rows are too few to judge, {MIN_BATCH} are needed"
    if table.n_base < MIN_BASE:
        return f"{table.n_base:,} trusted labeled rows are too few to judge by, {MIN_BASE} are needed"
    if trusted.min() == trusted.max():
        return f"all trusted rows have the label {table.label(float(trusted[0]))}, so nothing can be said of others"
    return "" if table.names else "no column says anything that a label could be judged by"


class _Judging:
    """One batch being judged: models of trusted rows first, since all else asks them."""

    def __init__(
        self, table: Table, rng: np.random.Generator, moments: NDArray[np.int64] | None, earlier: Sequence[Mapping[str, float]]
    ) -> None:
        self.rng, self.moments, self.earlier = rng, moments, earlier
        seed = int(rng.integers(2**31))
        self.spans = _spans(table, rng, timed=moments is not None)
        self.missing = missing_shares(table)
        self.gaps, self.lacking = find_gaps(table, self.spans, self._by_column(_GAP))
        # What arriving rows lack says nothing of them; models of rows that all have it would say anything.
        self.table = table = table.without({gap.column for gap in self.gaps}) if self.gaps else table
        if not table.names:
            return
        self.learner = _learner(table, seed=seed)
        self.outlook = look(table, self.learner, rng)
        self.votes = self.outlook.votes(table.matrix[table.n_base :])
        self.batch_chances = self.votes.mean(axis=0)
        self.span_chances = list(self._span_chances())

    def find_nothing_else(self) -> Judgment:
        """Judge rows that lack all columns."""
        evidence = Evidence(self.table.n_batch)
        self._doubt_gaps(evidence)
        return replace(_unjudged(self.table, "suspicious", tuple(map(gap_alarm, self.gaps)), evidence), gaps=self.gaps)

    def judge(self, learns: Table, known_repeats: tuple[Repeats, NDArray[np.bool_]] | None) -> Judgment:
        table = self.table
        labels = self._labels()
        odd_classes, unbalanced = self._odd_classes()
        slices, worst_slice = self._slices()
        triggers = find_triggers(table, self.outlook, self.rng, spans=self.spans, timed=self.moments is not None)
        misfits = self._misfits(trust_labels=not label_alarms(labels))
        piles, piled = find_piles(table, self.spans, timed=self.moments is not None)
        repeats, repeated = known_repeats or find_repeats(table, self.spans[-1])
        if self.gaps:
            repeats, repeated = besides((repeats, repeated), np.any(self.lacking, axis=0))
        novelty, strange = measure_novelty(table, self.spans, self.rng, timed=self.moments is not None, earlier=self._earlier("strange"))
        surprise = self.outlook.surprise(self.batch_chances)
        alarms = [
            *map(gap_alarm, self.gaps[:3]),
            *label_alarms(labels),
            *map(balance_alarm, odd_classes[:1]),
            *new_class_alarms(table),
            *map(slice_alarm, slices[:3]),
            *map(trigger_alarm, triggers[:3]),
            *map(misfit_alarm, misfits.columns[:3]),
            *map(pile_alarm, piles[:3]),
            *repeat_alarms(repeats),
            *novelty_alarms(novelty),
        ]
        evidence = self._evidence(surprise, labels, slices, triggers)
        for pile, rows in zip(piles, piled, strict=True):
            evidence.add(pile.column, rows, why="many rows have the very same number")
        for misfit, doubt in zip(misfits.columns, misfits.doubt, strict=True):
            evidence.add(misfit.column, doubt > 0, doubt, why="the value does not fit the rest of its row")
        self._doubt_gaps(evidence)
        for rows in unbalanced[:1]:
            evidence.add(LABEL, rows, surprise, why=_CONTRADICTED)
        evidence.add(REPEATED, repeated & repeats.too_many, why="the row repeats one that is there already")
        evidence.add(STRANGE, strange & bool(novelty_alarms(novelty)), why="hardly any row before is like this one")
        suspicious = evidence.marked
        learner = self.learner if learns is table else _learner(learns)
        # Where trusted rows are alike by nature, equal ones are no copies.
        copied = that_arrive_again(learns) & (repeats.usual < LIMIT)
        effect = Trial.of(learns, learner, self.rng, moments=self.moments, copied=copied).measure(suspicious, self.rng)
        verdict, harm = _decide(labels, effect, alarmed=bool(alarms))
        return Judgment(
            verdict=verdict,
            reasons=(*alarms, *harm),
            surprise=surprise,
            given=_written(table, table.labels[table.n_base :]),
            likely=_written(table, self.outlook.likely(self.batch_chances)),
            suspicious=suspicious if alarms else np.zeros_like(suspicious),
            evidence=evidence,
            labels=labels,
            odd_classes=odd_classes,
            slices=slices,
            triggers=triggers,
            misfits=misfits.columns,
            piles=piles,
            gaps=self.gaps,
            novelty=novelty,
            repeats=repeats,
            effect=effect,
            figures={
                "share": labels.share.value or 0.0,
                "own": labels.own.value or 0.0,
                "strange": novelty.strange,
                _SLICE: worst_slice,
                **{_GAP + column: share for column, share in self.missing.items()},
                **{_MISFIT + column: share for column, share in misfits.figures.items()},
            },
        )

    def _misfits(self, *, trust_labels: bool) -> Misfits:
        trusted = Trusted(timed=self.moments is not None, labels=trust_labels, earlier=self._by_column(_MISFIT))
        return find_misfits(self.table, self.outlook.fitted.gains, self._known(), trusted, self.rng)

    def _by_column(self, kind: str) -> Mapping[str, list[float]]:
        """Return a kind of figure of earlier batches by column."""
        found: dict[str, list[float]] = defaultdict(list)
        for batch in self.earlier:
            for name, value in batch.items():
                if name.startswith(kind):
                    found[name.removeprefix(kind)].append(value)
        return found

    def _earlier(self, figure: str) -> list[float]:
        return [batch[figure] for batch in self.earlier if figure in batch]

    # -- labels -------------------------------------------------------------------------------------------------------------------

    def _labels(self) -> LabelFindings:
        table, codes = self.table, self.outlook.codes
        now, known = codes[table.n_base :], self._known()
        share = wrong_share(now[known], self.votes[:, known])
        usual = [(wrong_share(codes[span], chances), strength_of(table, codes[span], chances)) for span, chances in self.span_chances]
        own_chances = self.outlook.own(self.rng)
        heard_of = ~self._new_class()
        own = _own_share(now[heard_of], own_chances[table.n_base :][heard_of])
        own_usual = [_own_share(codes[span], own_chances[span]).value for span in self.spans]
        strengths = [each for _, each in usual if np.isfinite(each)]
        floor = _label_floor(table)
        return LabelFindings(
            share=share,
            share_usual=chart(
                [*(one.value or 0.0 for one, _ in usual), *self._earlier("share")],
                floor=floor,
                error=standard_error(share),
                errors=[standard_error(one) for one, _ in usual],
            ),
            own=own,
            own_usual=chart([*(v for v in own_usual if v is not None), *self._earlier("own")], floor=floor, error=standard_error(own)),
            score=strength_of(table, now[known], self.batch_chances[known]),
            score_usual=float(np.mean(strengths)) if strengths else 0.5,
            score_name=names(table)[1],
        )

    def _odd_classes(self) -> tuple[tuple[OddClass, ...], tuple[NDArray[np.bool_], ...]]:
        known = np.flatnonzero(self._known())
        now = self.outlook.codes[self.table.n_base :]
        classes, rows = find_odd_classes(self.table, now[known], self.batch_chances[known], self.span_chances)
        return classes, tuple(np.isin(np.arange(self.table.n_batch), known[one]) for one in rows)

    def _slices(self) -> tuple[tuple[WrongSlice, ...], float]:
        """Return the values whose labels are turned, and how far the worst one's exceed the usual, turned or not."""
        all_values, known = Slices.of(self.table, self.outlook), self._known()
        usual = [worst(all_values.wrong(span, chances)) for span, chances in self.span_chances]
        limit = slice_limit([*usual, *self._earlier(_SLICE)])
        found = all_values.wrong(self.table.batch[known], self.votes[:, known])
        return tuple(one for one in found if one.excess > limit), worst(found)

    def _known(self) -> NDArray[np.bool_]:
        """Mark arriving rows whose categories all occurred before: of others, models of trusted rows know little."""
        known = ~(self.table.unseen() | self._new_class())
        return known if known.sum() >= MIN_BATCH else np.ones_like(known)

    def _new_class(self) -> NDArray[np.bool_]:
        """Mark arriving rows of a class that no trusted row has."""
        table = self.table
        if not table.classes:
            return np.zeros(table.n_batch, dtype=np.bool_)
        return ~np.isin(table.labels[table.n_base :], table.labels[: table.n_base])

    def _span_chances(self) -> Iterator[tuple[Rows, Floats]]:
        """Yield each span with its rows' chances: from earlier rows alone where there is time, as the batch's are."""
        late = [span for span in self.spans if self.moments is not None and span[0] >= MIN_BASE]
        yield from ((span, self.outlook.base[span]) for span in self.spans if self.moments is None or span[0] < MIN_BASE)
        yield from zip(late, self.outlook.since([np.arange(span[0]) for span in late], late), strict=True)

    def _doubt_gaps(self, evidence: Evidence) -> None:
        for gap, rows in zip(self.gaps, self.lacking, strict=True):
            evidence.add(gap.column, rows, why="the value is missing")

    def _evidence(self, surprise: Floats, labels: LabelFindings, slices: tuple[WrongSlice, ...], triggers: tuple[Trigger, ...]) -> Evidence:
        """Mark rows of planted values, contradicting rows of wrong slices, and as many of the most surprising rows as labels are wrong."""
        found = Evidence(self.table.n_batch)
        contradicted = self.outlook.contradicted(self.batch_chances)
        for trigger in triggers:
            found.add(trigger.column, trigger_rows(self.table, trigger), why="the value looks planted")
        for one in slices:
            found.add(LABEL, slice_rows(self.table, one) & contradicted, surprise, why=_CONTRADICTED)
        found.add(LABEL, self._new_class(), why="no row before has this label")
        excess = max(labels.share.value or 0.0, labels.own.value or 0.0)
        if label_alarms(labels) and excess > 0:
            # Twice as many rows as labels are wrong: half of the most surprising rows are merely odd.
            most = np.zeros(self.table.n_batch, dtype=np.bool_)
            most[np.argsort(-surprise, kind="stable")[: int(2 * excess * self.table.n_batch)]] = True
            found.add(LABEL, most & contradicted, surprise, why=_CONTRADICTED)
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


def _written(table: Table, labels: Floats) -> tuple[str, ...]:
    return tuple(table.label(float(one)) for one in labels)


def _learner(table: Table, *, seed: int = 0) -> Learner:
    return Learner(table.matrix, table.labels, [*table.categories], n_classes=len(table.classes), seed=seed)


def _label_floor(table: Table) -> float:
    """Return the share of wrong labels that is never an alarm: where one of two classes is rare, half of what it has."""
    if len(table.classes) != len(TWO):
        return _LABEL_FLOOR
    share = float(table.labels[: table.n_base].mean())
    return min(_LABEL_FLOOR, min(share, 1 - share) / 2)


def _own_share(codes: Rows, chances: Floats) -> Estimate:
    return wrong_class_share(codes, chances) if len(np.unique(codes)) > 1 else Estimate(None)


def _decide(labels: LabelFindings, effect: Effect, *, alarmed: bool) -> tuple[Verdict, tuple[str, ...]]:
    admitting = effect.outcomes[1].change
    worse = effect.against_control.low is not None and effect.against_control.low > 0
    if alarmed:
        hurts = admitting.low is not None and admitting.low > 0
        sure = labels.share.low is not None and labels.share.low > _HARMFUL_SHARE
        if worse and (sure or hurts):
            lost = f"{effect.against_control.value:.4f} of {effect.loss} on {effect.n_hold_out:,} trusted rows"
            return "harmful", (f"a model that learns it loses {lost}, beside one that learns usual rows",)
        return "suspicious", ()
    if admitting.high is not None and admitting.high < 0:
        said = f"a model that learns it gains {-(admitting.value or 0.0):.4f} of {effect.loss} on {effect.n_hold_out:,} trusted rows"
        return "helps", (said,)
    if effect.own_half.high is not None and effect.own_half.high < 0:
        return "helps", (f"half of it teaches the other half: {-(effect.own_half.value or 0.0):.4f} of {effect.loss} gained",)
    return "neutral", ("a model does as well without it",)
