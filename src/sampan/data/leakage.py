"""Find columns that give the label away: known only after the moment of prediction, or predicting it better than a column should.

Evidence is asked for in this order, and a name alone never convicts:

source      the label is computed from the column
declared    the contract says it is known only later
later       its time lies after the moment of prediction
absent      it is missing just where the label is missing: both come to be with the outcome
difference  the column less another one reproduces the label, as an actual less a scheduled time does
predicts    it alone predicts the label far better than the table's other columns do

The thresholds were chosen on scikit-learn's breast_cancer, diabetes, wine, iris and digits (each class against the rest), none of which
may be accused, and on leaks planted in them; `tests/data/test_leakage.py` holds both. Strong honest columns are common (one of
breast_cancer has AUC 0.975, one of digits stands out by 5.7 deviations), so `predicts` asks for much. A leak among columns as good as
itself cannot be told from them. No threshold was chosen on the flights of the example.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl

from sampan.data.association import Flags, Floats, column_auc, difference_auc, discriminability, is_comparable, scaled, to_floats
from sampan.errors import ParameterError

MAX_ROWS = 30_000
_MIN_ROWS = 60
_LATER_SHARE = 0.01
_ABSENT_PRECISION = 0.9  # of the rows without a value, so many have no label
_ABSENT_RECALL = 0.5  # of the rows without a label, so many have no value
_MIN_ABSENT = 20
_OUTLIER_AUC, _OUTLIER_DEVIATIONS = 0.85, 6.0
_PERFECT_AUC, _HARD_MEDIAN = 0.995, 0.9
_DIFFERENCE_AUC, _DIFFERENCE_GAIN, _MIN_CORRELATION = 0.85, 0.1, 0.5
_NEAR_PERFECT_DIFFERENCE = 0.95
_SAME_DIFFERENCE = 0.5
_MIN_SPREAD = 0.15  # of d′: among columns that all say nothing, chance alone would look like an outlier
_MAX_PAIRED = 60
_BEFORE = ("sched", "scheduled", "plan", "planned", "expected", "due", "target", "forecast", "estimated", "booked")


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A column to keep out of a model, and the evidence against it."""

    column: str
    kind: str  # source | declared | later | absent | difference | predicts
    reason: str
    auc: float = 0.5  # of the column alone, on rows with a label
    also: tuple[str, ...] = ()  # further evidence


class LeakReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and each column's AUC for comparison."""

    leaks: tuple[Leak, ...]
    aucs: dict[str, float]
    n_rows: int
    n_labelled: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to keep out."""
        return tuple(leak.column for leak in self.leaks)


def find_leaks(frame: pl.DataFrame, target: pl.Expr, *, moment: str = "", known: Mapping[str, str] | None = None) -> LeakReport:
    """Find leaking columns of `frame`.

    `target` computes the label: Boolean, or a number that is then split at its median; null = no label. `moment` is the column of
    the moment of prediction. `known` says when a column is known: the name of a moment column, or "after".

    Raises
    ------
    ParameterError : an unknown column, a target of text, or labels of one class only.
    """
    sources = [name for name in target.meta.root_names() if name in frame.columns]
    label = compute_label(frame, target)
    if moment and moment not in frame.columns:
        raise ParameterError(
            f"no column {moment!r} to take the moment of prediction from", hint="columns: " + ", ".join(frame.columns[:20])
        )
    excluded = {moment, *sources}
    candidates = [name for name, dtype in frame.schema.items() if name not in excluded and is_comparable(dtype)]
    found: dict[str, list[tuple[str, str]]] = {name: [("source", "the label is computed from it")] for name in sources}
    _add(found, find_untimely(frame, label.is_null(), candidates, moment=moment, known=known or {}))
    labelled = frame.filter(label.is_not_null())
    step = max(1, labelled.height // MAX_ROWS)
    sample, flags = labelled.gather_every(step), label.drop_nulls().gather_every(step).to_numpy()
    aucs = {name: round(column_auc(sample[name], flags), 4) for name in [*sources, *candidates]}
    if len(flags) >= _MIN_ROWS:
        _add_outliers(found, aucs, candidates)
        _add(found, _differences(sample, flags, aucs, candidates, found, moment))
        _add_outliers(found, aucs, candidates)
    leaks = tuple(
        Leak(
            column=name,
            kind=found[name][0][0],
            reason=found[name][0][1],
            auc=aucs.get(name, 0.5),
            also=tuple(r for _, r in found[name][1:]),
        )
        for name in frame.columns
        if name in found
    )
    return LeakReport(leaks=leaks, aucs=aucs, n_rows=frame.height, n_labelled=labelled.height)


def find_untimely(
    frame: pl.DataFrame, no_label: pl.Series, candidates: list[str], *, moment: str, known: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Find the columns that are known too late, whatever the label says: declared to be, dated later, or missing just where it is.

    Returned are (column, kind, reason), the surest kind first.
    """
    later = _later(frame, moment, candidates) if moment else []
    return [*_declared(known, moment, candidates), *later, *_absent(frame, no_label, candidates)]


def compute_label(frame: pl.DataFrame, target: pl.Expr) -> pl.Series:
    """Return the label of each row: true, false, or null for none. A number other than 0 and 1 is split at its median.

    Raises
    ------
    ParameterError : it cannot be computed, is text, or all labels are the same.
    """
    try:
        label = frame.select(target.alias("label"))["label"]
    except pl.exceptions.PolarsError as cause:
        message = f"the target cannot be computed: {str(cause).splitlines()[0]}"
        raise ParameterError(message, hint="write e.g. 'arr_delay >= 15' with columns of the table") from cause
    if label.dtype.is_numeric():
        values = label.drop_nulls().unique()
        cut = 0.5 if ((values == 0) | (values == 1)).all() else label.median()
        label = label > cut
    if label.dtype != pl.Boolean:
        raise ParameterError(f"the target is {label.dtype}, not true or false", hint="write a comparison, e.g. \"status = 'lost'\"")
    if label.drop_nulls().n_unique() < 2:
        raise ParameterError("the target has one class only", hint="check the comparison; both true and false rows are needed")
    return label


def _add(found: dict[str, list[tuple[str, str]]], new: list[tuple[str, str, str]]) -> None:
    for column, kind, reason in new:
        found.setdefault(column, []).append((kind, reason))


def _declared(known: Mapping[str, str], moment: str, candidates: list[str]) -> list[tuple[str, str, str]]:
    late = {name: when for name, when in known.items() if name in candidates and when not in ("", "before", moment)}
    return [(name, "declared", f"declared to be known only {when}") for name, when in late.items()]


def _later(frame: pl.DataFrame, moment: str, candidates: list[str]) -> list[tuple[str, str, str]]:
    """Times after the moment of prediction."""
    schema = frame.schema
    if not schema[moment].is_temporal():
        return []
    found = []
    for name in candidates:
        if schema[name] == schema[moment]:
            n_later = int((frame[name] > frame[moment]).sum())
            n = frame.height - frame[name].null_count()
            if n and n_later > _LATER_SHARE * n:
                found.append((name, "later", f"lies after {moment} in {n_later:,} of {n:,} rows"))
    return found


def _absent(frame: pl.DataFrame, no_label: pl.Series, candidates: list[str]) -> list[tuple[str, str, str]]:
    """Columns that are missing just where the label is."""
    n_unlabelled = int(no_label.sum())
    if n_unlabelled < _MIN_ABSENT:
        return []
    found = []
    for name in candidates:
        missing = frame[name].is_null()
        n_missing, n_both = int(missing.sum()), int((missing & no_label).sum())
        if n_missing and n_both >= _ABSENT_PRECISION * n_missing and n_both >= _ABSENT_RECALL * n_unlabelled and n_both >= _MIN_ABSENT:
            where = f"missing in {n_both:,} of the {n_unlabelled:,} rows without a label and in {n_missing - n_both:,} others"
            found.append((name, "absent", f"{where}: it comes with the outcome"))
    return found


def _differences(
    sample: pl.DataFrame, label: Flags, aucs: Mapping[str, float], candidates: list[str], found: Mapping[str, object], moment: str
) -> list[tuple[str, str, str]]:
    """Pairs of alike columns whose difference predicts what neither of them does."""
    schema = sample.schema  # read once: a frame builds it anew each time
    numeric = [name for name in candidates if schema[name].is_numeric() or schema[name].is_temporal()]
    numeric = list(itertools.islice((name for name in numeric if sample[name].n_unique() > 2), _MAX_PAIRED))
    arrays = {name: to_floats(sample[name]) for name in numeric}
    if moment and schema[moment].is_temporal():
        arrays[moment] = to_floats(sample[moment])
    usual = _Usual.of([aucs[name] for name in candidates if name not in found] or list(aucs.values()))
    new: list[tuple[str, str, str]] = []
    for a, b in itertools.combinations(arrays, 2):
        if schema[a].is_temporal() != schema[b].is_temporal() or _correlation(arrays[a], arrays[b]) < _MIN_CORRELATION:
            continue
        area = difference_auc(arrays[a], arrays[b], label)
        gained = area - max(aucs.get(a, 0.5), aucs.get(b, 0.5))
        telling = area >= _NEAR_PERFECT_DIFFERENCE or (area >= _DIFFERENCE_AUC and usual.deviations(area) >= _OUTLIER_DEVIATIONS)
        if telling and gained >= _DIFFERENCE_GAIN:
            late, early = _later_of(a, b, aucs, found, moment)
            alone = f"each alone with {aucs.get(late, 0.5):.3f} and {aucs.get(early, 0.5):.3f}"
            reason = f"{late} - {early} predicts the label with AUC {area:.3f}, {alone}"
            new.append((late, "difference", reason))
            new.extend(_equal_to(arrays[late] - arrays[early], f"{late} - {early}", arrays, (late, early)))
    return new


def _correlation(a: Floats, b: Floats) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < _MIN_ROWS:
        return 0.0
    x, y = scaled(a[both]), scaled(b[both])
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return abs(float(x @ y)) / scale if scale else 0.0


def _later_of(a: str, b: str, aucs: Mapping[str, float], found: Mapping[str, object], moment: str) -> tuple[str, str]:
    """Decide which of a pair is known later: other evidence first, then a name that says planned, then the greater AUC."""

    def lateness(name: str) -> tuple[bool, bool, bool, float]:
        words = name.lower().replace("-", "_").split("_")
        return (name != moment, name in found, not any(word in _BEFORE for word in words), aucs.get(name, 0.5))

    return (a, b) if lateness(a) >= lateness(b) else (b, a)


def _equal_to(difference: Floats, said: str, arrays: Mapping[str, Floats], pair: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Columns that hold the telling difference itself."""
    found = []
    for name, values in arrays.items():
        both = np.isfinite(values) & np.isfinite(difference)
        if name in pair or both.sum() < _MIN_ROWS:
            continue
        share = float(np.mean(np.isclose(values[both], difference[both])))
        if share >= _SAME_DIFFERENCE and np.ptp(values[both]) > 0:
            found.append((name, "difference", f"equals {said}, which predicts the label, in {share:.0%} of the rows"))
    return found


def _add_outliers(found: dict[str, list[tuple[str, str]]], aucs: Mapping[str, float], candidates: list[str]) -> None:
    """Accuse columns that stand out from those not accused, until none does."""
    accused = {name for name in found if name in candidates}
    judged = {name for name, evidence in found.items() if any(kind == "predicts" for kind, _ in evidence)}
    while True:
        honest = [name for name in candidates if name not in accused and name not in judged]
        if len(honest) < 4:
            honest = [name for name in candidates if name not in judged]
        if len(honest) < 4:
            return
        usual = _Usual.of([aucs[name] for name in honest])
        new = [name for name in candidates if name not in judged and usual.outdone_by(aucs[name])]
        for name in new:
            less = f"{usual.deviations(aucs[name]):.0f} deviations less"
            reason = f"alone it predicts the label with AUC {aucs[name]:.3f}; the usual column has {usual.auc:.3f} ({less})"
            found.setdefault(name, []).append(("predicts", reason))
        if not new:
            return
        judged.update(new)
        accused.update(new)


@dataclass(frozen=True, slots=True)
class _Usual:
    """How well a table's columns usually predict the label: median and spread of d′, robust to the leaks among them."""

    auc: float
    middle: float
    spread: float

    @classmethod
    def of(cls, aucs: list[float]) -> _Usual:
        strengths = np.array([discriminability(area) for area in aucs])
        middle = float(np.median(strengths))
        spread = 1.4826 * float(np.median(np.abs(strengths - middle)))
        return cls(auc=float(np.median(aucs)), middle=middle, spread=max(spread, _MIN_SPREAD))

    def deviations(self, area: float) -> float:
        return (discriminability(area) - self.middle) / self.spread

    def outdone_by(self, area: float) -> bool:
        outlying = area >= _OUTLIER_AUC and self.deviations(area) >= _OUTLIER_DEVIATIONS
        return outlying or (area >= _PERFECT_AUC and self.auc < _HARD_MEDIAN)
