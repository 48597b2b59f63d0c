"""The target: its balance, what each column alone says about it, and the signs that a column gives it away."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from sampan.data.association import column_auc, is_comparable, quantile_bins, scaled, to_floats
from sampan.data.exploring.columns import FEWEST
from sampan.data.exploring.views import Bins, LeakHint, Relation, RelationBin, TargetView
from sampan.data.leakage import find_leaks, find_untimely
from sampan.errors import ParameterError
from sampan.stats.intervals import wilson

_MOST_CLASSES = 20
_CLASS, OTHERS = "class", "(others)"
_IN_CLASSES = 0.5  # of the rows, those whose class has ten or more
_N_BINS = 8
_MOST_SHOWN_BINS = 10
_FEWEST_LABELED = 40
_PRIOR_ROWS = 20.0
_PERFECT = 0.98
_MANY = 10_000  # from here on numbers have commas; a year has none
_HINTED = {"later": "time", "declared": "time", "absent": "time"}  # kinds of leaks
_MOST_NAMED, _FEW_NAMED = 0.25, 4  # columns that may share a word before it says nothing: a quarter of all, or four
_Z95 = 1.96
_COMMON_PARTS = frozenset(
    {"is", "has", "id", "of", "the", "at", "on", "n", "num", "date", "time", "flag", "code", "type", "name", "value", "total"}
)
_OUTCOME_PARTS = frozenset(
    {"outcome", "result", "final", "actual", "resolved", "closed", "settled", "label", "target", "ground", "truth", "kết quả", "thực tế"}
)

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Label:
    """The target of each sampled row: numbers (true is 1), or codes of classes; NaN or -1 where there is none."""

    name: str
    kind: str  # yes or no | number | classes
    values: Floats
    classes: tuple[str, ...] = ()
    n_classes: int = 0

    @property
    def there(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows have one."""
        return np.isfinite(self.values)


def read_label(sample: pl.DataFrame, target: pl.Expr, name: str) -> Label:
    """Compute the target of each row.

    Raises
    ------
    ParameterError : it cannot be computed, does not vary, or is a text that names rows rather than classes.
    """
    try:
        found = sample.select(target.alias("label"))["label"]
    except pl.exceptions.PolarsError as cause:
        message = f"the target cannot be computed: {str(cause).splitlines()[0]}"
        raise ParameterError(message, hint="write a column, or e.g. 'arr_delay >= 15' with columns of the table") from cause
    n_distinct = found.drop_nulls().n_unique()
    if n_distinct < 2:
        raise ParameterError(f"the target {name} has {n_distinct} value{'' if n_distinct == 1 else 's'} only", hint="check the expression")
    if found.dtype == pl.Boolean or (found.dtype.is_numeric() and n_distinct == 2 and set(found.drop_nulls().unique()) == {0, 1}):
        return Label(name, "yes or no", to_floats(found.cast(pl.Float64)), n_classes=2)
    if not is_comparable(found.dtype) or found.dtype == pl.Duration:
        message = f"the target {name} is {found.dtype}"
        raise ParameterError(message, hint="a target is true or false, a number, or classes of many rows each")
    if found.dtype.is_numeric():
        return Label(name, "number", to_floats(found))
    return _classes(found.cast(pl.String).alias(_CLASS), name)


def _classes(found: pl.Series, name: str) -> Label:
    """Number the classes; of more than 20 the rarest are taken together."""
    sizes = found.drop_nulls().value_counts(sort=True).sort("count", _CLASS, descending=[True, False])
    if int(sizes.filter(pl.col("count") >= FEWEST)["count"].sum()) < _IN_CLASSES * int(sizes["count"].sum()):
        message = f"the target {name} has {sizes.height:,} values, most of them in fewer than {FEWEST} rows"
        raise ParameterError(message, hint="a target is true or false, a number, or classes of many rows each")
    alone = sizes.height if sizes.height <= _MOST_CLASSES else _MOST_CLASSES - 1
    classes = sorted(sizes[_CLASS].head(alone).to_list())
    place = {text: float(code) for code, text in enumerate(classes)}
    together = None if alone == sizes.height else float(alone)
    codes = found.replace_strict(place, default=together, return_dtype=pl.Float64)
    codes = pl.select(pl.when(found.is_not_null()).then(codes)).to_series()
    named = tuple(classes) if together is None else (*classes, OTHERS)
    return Label(name, "classes", to_floats(codes), named, n_classes=sizes.height)


def view_target(
    sample: pl.DataFrame,
    label: Label,
    target: pl.Expr,
    *,
    is_declared: bool = False,
    moment: str = "",
    known: Mapping[str, str] | None = None,
    hidden: Sequence[str] = (),
) -> TargetView:
    """Describe the target and what each column says about it; values of `hidden` columns are not shown."""
    sources = [name for name in target.meta.root_names() if name in sample.columns]
    there = label.there
    labeled, values = sample.filter(pl.Series(there)), label.values[there]
    relations = []
    if len(values) >= _FEWEST_LABELED:
        candidates = [name for name, dtype in sample.schema.items() if name not in sources and is_comparable(dtype)]
        relations = [relate(labeled[name], values, label, shown=name not in hidden) for name in candidates]
    relations.sort(key=lambda one: -_size(one))
    return TargetView(
        target=label.name,
        kind=label.kind,
        is_declared=is_declared,
        n=int(there.sum()),
        n_without=int((~there).sum()),
        n_classes=label.n_classes,
        balance=_balance(label, values),
        bins=_bins(values) if label.kind == "number" else ((), ()),
        relations=tuple(relations),
        hints=_hints(sample, label, target, relations, sources, moment, known or {}),
    )


def relate(column: pl.Series, values: Floats, label: Label, *, shown: bool = True) -> Relation:
    """Measure what one column alone says about the target, out of fold, and the target in bins of the column."""
    codes, names = _codes(column)
    if label.kind == "yes or no":
        strength, measure = column_auc(column, values > 0), "AUC"
    elif label.kind == "number":
        strength, measure = max(_explained(_fine(column, codes), values), _straight(column, values)), "R²"
    else:
        sizes = np.bincount(values.astype(np.int64), minlength=len(label.classes))
        areas = [column_auc(column, values == code) for code in range(len(label.classes))]
        strength, measure = float(np.average(areas, weights=sizes)), "AUC"
    missing = codes == 0
    bins = _target_in_bins(codes, names, values, label) if shown and label.kind != "classes" else ()
    alone = label.kind != "classes" and int(missing.sum()) >= FEWEST
    return Relation(
        column=column.name,
        strength=round(strength, 4),
        measure=measure,
        bins=bins,
        n_missing=int(missing.sum()),
        missing=summarize("missing", values[missing], label.kind) if alone else None,
    )


def summarize(name: str, values: Floats, kind: str) -> RelationBin:
    """Return the rate or mean of a target with its 95 % interval; at least one value."""
    n = len(values)
    if kind == "yes or no":
        low, high = wilson(int(values.sum()), n)
        return RelationBin(name, n, float(values.mean()), low, high)
    scale = max(float(np.abs(values).max()), 1.0)  # squares and sums of the largest floats would not fit
    mean, spread = float((values / scale).mean()), float((values / scale).std(ddof=1)) if n > 1 else 0.0
    error = _Z95 * spread / math.sqrt(n)
    return RelationBin(name, n, mean * scale, (mean - error) * scale, (mean + error) * scale)


def _codes(column: pl.Series) -> tuple[Codes, list[str]]:
    """Number a column's bins from 1 (0: missing), with their names."""
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        numbers = to_floats(column)
        codes = quantile_bins(numbers, n_bins=_N_BINS)
        names = [""]
        for code in range(1, int(codes.max(initial=0)) + 1):
            inside = numbers[codes == code]
            names.append(_span(inside, column.dtype) if len(inside) else "")
        return codes, names
    texts = column.cast(pl.String)
    found = sorted(texts.drop_nulls().unique().to_list())
    place = {text: code for code, text in enumerate(found, 1)}
    codes = np.asarray(texts.replace_strict(place, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy(), dtype=np.int64)
    return codes, ["", *found]


def _span(inside: Floats, dtype: pl.DataType) -> str:
    if len(np.unique(inside)) == 1 and len(inside) >= FEWEST and dtype.is_numeric():
        return f"{inside[0]:,.10g}" if abs(inside[0]) >= _MANY else f"{inside[0]:.6g}"
    low, high = np.quantile(inside, [0.1, 0.9])  # not the extremes: they are values of single rows
    if dtype.is_temporal():
        both = pl.Series([round(low), round(high)], dtype=pl.Int64).cast(pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype).to_list()
        ends = [str(one)[:10] for one in both]
    else:
        ends = [_digits(low), _digits(high)]
    return " … ".join(dict.fromkeys(ends))


def _digits(value: float) -> str:
    """Write a number with four digits, and none of them as an exponent below a billion."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.10g}" if abs(rounded) >= _MANY else f"{rounded:.4g}"


def _target_in_bins(codes: Codes, names: list[str], values: Floats, label: Label) -> tuple[RelationBin, ...]:
    sizes = np.bincount(codes, minlength=len(names))
    shown = [code for code in range(1, len(names)) if sizes[code] >= FEWEST]
    if len(shown) > _N_BINS + 2:
        shown = sorted(sorted(shown, key=lambda code: -sizes[code])[:_MOST_SHOWN_BINS])
    if len(names) - 1 > len(values) // FEWEST:
        return ()  # nearly every row is a value of its own
    return tuple(summarize(names[code], values[codes == code], label.kind) for code in shown)


def _explained(codes: Codes, values: Floats) -> float:
    """Return the R² of the bins' means, each learned on one half of the rows and scored on the other."""
    values = scaled(values)
    even = np.arange(len(values)) % 2 == 0
    said = np.empty(len(values))
    for fold in (even, ~even):
        other = ~fold
        mean = float(values[other].mean()) if other.any() else 0.0
        sums = np.bincount(codes[other], weights=values[other], minlength=int(codes.max()) + 1)
        sizes = np.bincount(codes[other], minlength=int(codes.max()) + 1)
        said[fold] = ((sums + _PRIOR_ROWS * mean) / (sizes + _PRIOR_ROWS))[codes[fold]]
    total = float(((values - values.mean()) ** 2).sum())
    return max(0.0, 1 - float(((values - said) ** 2).sum()) / total) if total else 0.0


def _fine(column: pl.Series, codes: Codes) -> Codes:
    """Return finer bins of a number or time than are shown."""
    return quantile_bins(to_floats(column)) if column.dtype.is_numeric() or column.dtype.is_temporal() else codes


def _straight(column: pl.Series, values: Floats) -> float:
    """Return the R² of a straight line through a number or time; 0 for others."""
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        return 0.0
    numbers = to_floats(column)
    there = np.isfinite(numbers)
    x, y = scaled(numbers[there]), scaled(values[there])
    if len(x) < _FEWEST_LABELED or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2) * len(x) / len(values)


def _size(relation: Relation) -> float:
    return 2 * relation.strength - 1 if relation.measure == "AUC" else relation.strength


def _balance(label: Label, values: Floats) -> tuple[tuple[str, int], ...]:
    if label.kind == "number":
        return ()
    if label.kind == "yes or no":
        return (("true", int(values.sum())), ("false", int(len(values) - values.sum())))
    counts = np.bincount(values.astype(np.int64), minlength=len(label.classes))
    return tuple((name, int(n)) for name, n in zip(label.classes, counts, strict=True) if n >= FEWEST)


def _bins(values: Floats) -> Bins:
    tail = max(0.001, FEWEST / max(len(values), 1))
    if tail >= 0.5:  # nothing would be left
        return (), ()
    low, high = np.quantile(values, [tail, 1 - tail])
    if not low < high:
        return (), ()
    counts, edges = np.histogram(values, bins=24, range=(float(low), float(high)))
    return tuple(float(e) for e in edges), tuple(int(n) for n in counts)


def _hints(
    sample: pl.DataFrame,
    label: Label,
    target: pl.Expr,
    relations: Sequence[Relation],
    sources: Sequence[str],
    moment: str,
    known: Mapping[str, str],
) -> tuple[LeakHint, ...]:
    is_itself = len(sources) == 1 and target.meta.is_column()  # then no column says it but the target
    moment = moment if moment in sample.columns else ""
    found = [LeakHint(column=name, by="association", reason="the target is computed from it") for name in sources]
    if label.kind == "yes or no" and label.there.sum() >= _FEWEST_LABELED:
        leaks = find_leaks(sample, target, moment=moment, known=known).leaks
        found += [LeakHint(column=leak.column, by=_HINTED.get(leak.kind, "association"), reason=leak.reason) for leak in leaks]
    else:
        candidates = [name for name, dtype in sample.schema.items() if name not in (*sources, moment) and is_comparable(dtype)]
        untimely = find_untimely(sample, pl.Series(~label.there), candidates, moment=moment, known=known)
        found += [LeakHint(column=column, by="time", reason=reason) for column, _, reason in untimely]
        found += [
            LeakHint(column=one.column, by="association", reason=f"alone it gives the target with {one.measure} {one.strength:.3f}")
            for one in relations
            if one.strength >= _PERFECT
        ]
    found += _named_alike(sample.columns, label.name, sources, moment)
    strongest: dict[str, LeakHint] = {}
    for hint in found:
        if not (is_itself and hint.column in sources):
            strongest.setdefault(hint.column, hint)
    return tuple(strongest.values())


def _named_alike(columns: Sequence[str], target: str, sources: Sequence[str], moment: str) -> list[LeakHint]:
    """Find the columns whose names share a word with the target's, or say an outcome; a word of most columns says nothing."""
    named = Counter(part for name in columns for part in _parts(name))
    common = _COMMON_PARTS | {part for part, n in named.items() if n > max(_MOST_NAMED * len(columns), _FEW_NAMED)}
    wanted = {part for name in (target, *sources) for part in _parts(name)} | _OUTCOME_PARTS
    found = []
    for name in columns:
        shared = _parts(name) & wanted - common
        if shared and name not in (*sources, moment):
            reason = f"its name says “{' '.join(sorted(shared))}”, as the target's or an outcome's does"
            found.append(LeakHint(column=name, by="name", reason=reason))
    return found


def _parts(name: str) -> set[str]:
    """Take a name apart into words. With diacritics it is Vietnamese, whose words are mostly two syllables: every two neighbors."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unicodedata.normalize("NFC", name))
    parts = [part for part in re.split(r"[\W\d_]+", spaced.casefold()) if len(part) > 1]
    return set(parts) if name.isascii() or len(parts) == 1 else {f"{a} {b}" for a, b in pairwise(parts)}
