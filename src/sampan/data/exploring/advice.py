"""What follows from an exploration: warnings ranked by consequence, and rules, cleaning steps and features to try.

Weights say what happens to whoever does not know: a leak makes every score a lie (100), shared rows flatter the test (95), … a skewed
column costs a little accuracy (10). They order the list and nothing else.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from shlex import quote

from sampan.data.exploring.columns import FEWEST
from sampan.data.exploring.views import ColumnView, Exploration, RepeatView, Suggestion, Warned

_IMBALANCED = 0.1  # of the rows that each class would have if all had as many
_MOSTLY_MISSING, _OFTEN_MISSING = 0.5, 0.05
_DRIFTED = 0.1
_SAME = 0.98
_SKEWED = 3.0
_NEARLY_CONSTANT = 0.99
_MOST_WARNINGS = 40
_MOST_SUGGESTED = 12
_MANY_REPEATED, _NEAR = 0.001, 0.01
_EXPLAINED, _FAR_MORE = 1 / 3, 10.0  # of what was found, what chance gives at least; near rows for each that repeats
_FEW_PER_CATEGORY = 50
_DATE_SHAPE = re.compile(r"9{4}-99-99|9\+-99-99|99?[/.]99?[/.]9{2}")
_NUMBER_SHAPE = re.compile(r"-?[9.,+]*9[9.,+]*")


def warn(found: Exploration) -> tuple[Warned, ...]:
    """Return what to know before using the data, the gravest first."""
    kinds = (_of_target, _of_overlap, _of_repeats, _of_drift, _of_groups, _of_columns, _of_pairs, _of_outliers)
    every = [one for kind in kinds for one in kind(found)]
    return tuple(sorted(every, key=lambda one: -one.weight)[:_MOST_WARNINGS])


def _of_target(found: Exploration) -> Iterator[Warned]:
    target, name = found.target, quote(found.ref.partition("@")[0])
    if target is None:
        return
    for hint in target.hints:
        if hint.by != "name":
            which = "" if target.is_declared else f" --target {quote(target.target)}"
            todo = f"sampan data leaks {name}{which}" if target.kind == "yes or no" else "keep it out of the model"
            text = f"{hint.column} may give the target away: {hint.reason}"
            yield Warned(weight=100, level="bad", topic="target", columns=(hint.column,), text=text, todo=todo)
    named = [hint.column for hint in target.hints if hint.by == "name"]
    if named:
        text = f"named like the target, so ask when they become known: {_listed(named)}"
        yield Warned(weight=45, level="info", topic="target", columns=tuple(named), text=text)
    rarest = min((n for _, n in target.balance), default=0)
    if target.balance and rarest < _IMBALANCED * target.n / max(target.n_classes, 2):
        text = f"the target is unbalanced: its rarest class has {rarest:,} of {target.n:,} rows ({rarest / target.n:.1%})"
        yield Warned(weight=60, level="warn", topic="target", text=text, todo="judge by AUC or cost rather than by accuracy")
    if target.n_without > _OFTEN_MISSING * (target.n + target.n_without):
        share = target.n_without / (target.n + target.n_without)
        yield Warned(weight=62, level="warn", topic="target", text=f"{share:.1%} of the rows have no target")
    for relation in target.relations:
        if relation.missing and relation.bins and relation.n_missing >= FEWEST:
            others = [one for one in relation.bins if one.low <= relation.missing.high and one.high >= relation.missing.low]
            if not others:
                text = f"where {relation.column} is missing the target is unlike anywhere else: that it is missing says something"
                yield Warned(weight=50, level="info", topic="missing", columns=(relation.column,), text=text)


def _of_overlap(found: Exploration) -> Iterator[Warned]:
    overlap = found.overlap
    if overlap is None:
        return
    if not overlap.columns:
        yield Warned(weight=70, level="warn", topic="overlap", text=f"{overlap.other} has no column in common with this dataset")
        return
    by_chance = overlap.chance_share * overlap.n_other >= _EXPLAINED * overlap.n_found
    for n, what in ((overlap.n_found, "rows"), (overlap.n_keys_found, "keys")):
        if n and what == "rows" and by_chance:
            text = f"{n:,} of the {overlap.n_other:,} rows of {overlap.other} are like rows here"
            yield Warned(weight=34, level="info", topic="overlap", text=f"{text}, as rows of so few different values are by chance")
        elif n:
            looked = f"{n:,} of the {overlap.n_other:,} {what} of {overlap.other} that were looked up"
            text = f"{looked} are in this dataset too: a score on them is flattered"
            yield Warned(weight=95, level="bad", topic="overlap", text=text, todo="take them out of one of the two")
    for column, share in overlap.unseen[:3]:
        text = f"{share:.1%} of the rows of {overlap.other} have a {column} that never occurs here"
        yield Warned(weight=55, level="warn", topic="overlap", columns=(column,), text=text)


def _of_repeats(found: Exploration) -> Iterator[Warned]:
    repeats = found.repeats
    if repeats is None:
        return
    if repeats.repeated_share > _MANY_REPEATED:
        about = "about " if repeats.is_estimated else ""
        text = f"{about}{repeats.repeated_share:.1%} of the rows repeat another one in every column"
        if repeat_by_chance(repeats):
            text += ", as rows of so few different values do by chance"
            yield Warned(weight=34, level="info", topic="repeats", text=text, todo="keep them, unless one event was recorded twice")
        else:
            todo = "drop them, or split train and test by what they have in common"
            yield Warned(weight=80, level="bad", topic="repeats", text=text, todo=todo)
    share = repeats.n_near / max(repeats.n_sampled, 1)
    if share > _NEAR and repeats.near and repeats.near_chance < _EXPLAINED * share:
        columns = [one.column for one in repeats.near[:3]]
        text = f"{share:.1%} of {repeats.n_sampled:,} sampled rows differ from another one in a single column, mostly in {_listed(columns)}"
        yield Warned(weight=48, level="warn", topic="repeats", columns=tuple(columns), text=text)


def repeat_by_chance(repeats: RepeatView) -> bool:
    """Say whether rows repeat as they do by chance: as often as independent values would, or far less often than they nearly do."""
    near = repeats.n_near / max(repeats.n_sampled, 1)
    share = repeats.repeated_share
    return repeats.chance_share >= _EXPLAINED * share or near >= _FAR_MORE * share


def _of_drift(found: Exploration) -> Iterator[Warned]:
    if found.drift is None:
        return
    for one in found.drift.columns:
        distance = one.distances[one.worst] or 0.0
        if not one.is_time and distance > max(_DRIFTED, 2 * one.noise):
            worst = found.drift.periods[one.worst]
            text = f"{one.column} changes over time: farthest in {worst}, by {distance:.2f} of 1 (chance alone: {one.noise:.2f})"
            weight = 40 + round(min(distance, 1.0) * 35)
            todo = f"split train and test by {found.drift.time}"
            yield Warned(weight=weight, level="warn", topic="drift", columns=(one.column,), text=text, todo=todo)


def _of_groups(found: Exploration) -> Iterator[Warned]:
    for view in found.groups:
        names = " × ".join(view.columns)
        for cell in view.cells:
            value = " · ".join(cell.values)
            if cell.verdict in ("too few", "absent") and cell.expected is not None:
                share = f"{cell.share:.1%} of the rows ({cell.low:.1%} to {cell.high:.1%})"
                text = f"{names} {value}: {share}, {cell.expected:.1%} expected by {view.reference}"
                yield Warned(
                    weight=70, level="bad", topic="groups", columns=view.columns, text=text, todo="collect more of them, or weight them"
                )
        small = [" · ".join(cell.values) for cell in view.cells if cell.is_small and cell.n > 0]
        if small:
            text = f"{names}: {_listed(small)} {'has' if len(small) == 1 else 'have'} fewer than 100 rows, too few to judge a model on"
            yield Warned(weight=52, level="warn", topic="groups", columns=view.columns, text=text)


def _of_columns(found: Exploration) -> Iterator[Warned]:
    name = quote(found.ref.partition("@")[0])
    yield from _of_missing(found)
    for column in found.columns:
        named = (column.name,)
        if column.n_nan:
            text = f"{column.name} has {column.n_nan:,} values that are NaN or infinite: they count as missing"
            yield Warned(weight=44, level="warn", text=text, topic="missing", columns=named)
        if column.role == "constant":
            text = f"{column.name} has one value only"
            yield Warned(weight=40, level="info", text=text, todo="leave it out", topic="columns", columns=named)
        elif column.most_share >= _NEARLY_CONSTANT and column.n_distinct > 1:
            text = f"{column.name} has the same value in {_beneath_one(column.most_share)} of the rows that have one"
            yield Warned(
                weight=28, level="info", text=text, todo="leave it out, unless the few others matter", topic="columns", columns=named
            )
        if column.role == "identifier":
            text = f"{column.name} has a value of its own in nearly every row: it names rows and says nothing of new ones"
            todo = f"declare it: sampan data add … --key {quote(column.name)}"
            yield Warned(weight=36, level="info", text=text, todo=todo, topic="columns", columns=named)
        if column.kind == "text" and column.shapes and column.role != "category":
            yield from _of_shapes(column, name)


def _of_missing(found: Exploration) -> Iterator[Warned]:
    """Warn of missing values; of columns that are missing in the same rows once."""
    shares = {column.name: column.null_share for column in found.columns if column.null_share >= _OFTEN_MISSING}
    pairs = [(pair.a, pair.b) for pair in found.missing if pair.share == 1.0]
    for names in _joined([*shares], pairs):
        share, listed = shares[names[0]], _listed(names)
        if share == 1.0:
            yield Warned(weight=42, level="warn", text=f"{listed} {_is(names)} missing in every row", topic="columns", columns=names)
            continue
        text = f"{listed} {_is(names)} missing in {share:.1%} of the rows" + (", in the same ones" if len(names) > 1 else "")
        often = share >= _MOSTLY_MISSING
        yield Warned(weight=58 if often else 30, level="warn" if often else "info", text=text, topic="missing", columns=names)


def _joined(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Put names together that pairs connect; each group stands where its first name does."""
    group = {name: [name] for name in names}
    for a, b in pairs:
        if a in group and b in group and group[a] is not group[b]:
            one, other = group[a], group[b]
            one.extend(other)
            group.update(dict.fromkeys(other, one))
    place = {name: k for k, name in enumerate(names)}
    found = {id(members): tuple(sorted(members, key=place.__getitem__)) for members in group.values()}
    return sorted(found.values(), key=lambda members: place[members[0]])


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _beneath_one(share: float) -> str:
    """Write a share that is not all without rounding it to all."""
    return f"{share:.1%}" if share < 0.9995 else ">99.9%"  # half of a tenth of a percent below 1


def _of_shapes(column: ColumnView, name: str) -> Iterator[Warned]:
    shown = sum(n for _, n in column.shapes)
    for pattern, word, given in ((_DATE_SHAPE, "times", "timestamp"), (_NUMBER_SHAPE, "numbers", "number")):
        whole = pattern is _NUMBER_SHAPE
        alike = sum(n for shape, n in column.shapes if (pattern.fullmatch(shape) if whole else pattern.match(shape)))
        if shown and alike >= 0.95 * shown:  # nearly all
            text = f"{column.name} is text, yet nearly all of it reads as {word}"
            todo = f"sampan data add … --name {name} --types {quote(f'{column.name}={given}')}"
            yield Warned(weight=46, level="warn", topic="columns", columns=(column.name,), text=text, todo=todo)
            return


def _of_pairs(found: Exploration) -> Iterator[Warned]:
    same = [one for one in found.associations if one.strength >= _SAME]
    some = {name for one in same for name in (one.a, one.b)}
    for names in _joined([name for name in found.names if name in some], [(one.a, one.b) for one in same]):
        inside = [one for one in same if one.a in names]
        said = f"{inside[0].measure} {min(one.strength for one in inside):.2f}"
        two = len(names) == 2  # a pair
        text = f"{names[0]} and {names[1]} say the same ({said})" if two else f"{_listed(names)} say the same ({said} or more)"
        yield Warned(weight=25, level="info", topic="associations", columns=names, text=text, todo="one of them may do")


def _of_outliers(found: Exploration) -> Iterator[Warned]:
    name = quote(found.ref.partition("@")[0])
    for one in found.outliers:
        if one.n_below + one.n_above >= FEWEST:
            share = f"{one.share:.2%}" if one.share >= 0.0001 else "<0.01%"
            text = f"{one.column} has {one.n_below + one.n_above:,} values far outside the others ({share})"
            yield Warned(weight=20, level="info", topic="outliers", columns=(one.column,), text=text, todo=f"sampan data errors {name}")


def suggest_rules(found: Exploration) -> tuple[Suggestion, ...]:
    """Return rules as they stand in a contract: keys, categories, what is never missing, and bounds widened to round numbers."""
    unique = [
        Suggestion(f"{column.name} is unique", "quality: [{metric: duplicateValues, mustBe: 0}]")
        for column in found.columns
        if column.role == "identifier"
    ]
    listed = [c for c in found.columns if c.role == "category" and c.categories and not c.n_other]
    values = [Suggestion(f"{column.name} is one of {len(column.categories)} values", _listing(column)) for column in listed]
    present = [c.name for c in found.columns if c.n_null == 0 and c.role != "constant" and c.kind != "other"]
    never = [Suggestion(f"{_listed(present)}: never missing", "required: true")] if present and found.n_rows else []
    ranges = []
    for column in found.columns:
        if column.kind == "number" and len(column.bins[0]) > len(column.bins[1]) > 1 and column.role == "":
            low, high = _wide(column)
            rule = f"{{check: range, minimum: {low:.10g}, maximum: {high:.10g}}}"
            code = f"quality: [{{type: custom, engine: sampan, implementation: {rule}}}]"
            ranges.append(Suggestion(f"{column.name} lies between {low:,.10g} and {high:,.10g}", code))
    return tuple([*unique, *values[:4], *never, *ranges][:_MOST_SUGGESTED])


def _listing(column: ColumnView) -> str:
    values = ", ".join(json.dumps(text, ensure_ascii=False) for text, _ in column.categories)
    return f"quality: [{{metric: invalidValues, arguments: {{validValues: [{values}]}}, mustBe: 0}}]"


def suggest_cleaning(found: Exploration) -> tuple[Suggestion, ...]:
    """Return steps that would make the table easier to use."""
    name = quote(found.ref.partition("@")[0])
    steps: list[Suggestion] = []
    if found.repeats and found.repeats.repeated_share > 0 and not repeat_by_chance(found.repeats):
        steps.append(Suggestion("drop the rows that repeat another one", "df.unique(maintain_order=True)"))
    empty = [c.name for c in found.columns if c.null_share == 1.0 or c.role == "constant"]
    if empty:
        steps.append(Suggestion(f"leave out {_listed(empty)}: nothing varies there", f"df.drop({empty!r})"))
    for column in found.columns:
        if 0 < column.null_share < _MOSTLY_MISSING and column.kind == "number":
            here = f"pl.col({column.name!r})" + (".fill_nan(None)" if column.n_nan else "")
            gaps = f"{here}.is_null().alias({f'{column.name}_missing'!r})"
            fill = f"df.with_columns({here}.fill_null({here}.median()), {gaps})"
            steps.append(Suggestion(f"fill {column.name} where it is missing, and keep a flag that it was", fill))
    if found.outliers or any(c.kind == "text" for c in found.columns):
        steps.append(Suggestion("look for typos, placeholder values and misplaced units, each with a repair", f"sampan data errors {name}"))
    return tuple(steps[:_MOST_SUGGESTED])


def suggest_features(found: Exploration) -> tuple[Suggestion, ...]:
    """Return features to try, as expressions of a feature view's columns `c`; the columns that may give the target away stay out."""
    out = {hint.column for hint in found.target.hints if hint.by != "name"} if found.target else set()
    ideas: list[Suggestion] = []
    usable = [column for column in found.columns if column.name not in out and column.role not in ("constant", "identifier")]
    for column in usable:
        here = _reached(column.name)
        if column.kind == "timestamp":
            ideas.append(Suggestion(f"hour and weekday of {column.name}", f"{here}.hour('UTC'), {here}.weekday('UTC')"))
        if column.kind == "number" and _is_skewed(column):
            ideas.append(Suggestion(f"the logarithm of {column.name}, which has a long tail", f"{here}.log1p()"))
        if column.null_share >= _OFTEN_MISSING and column.null_share < 1:
            ideas.append(Suggestion(f"whether {column.name} is missing", f"{here}.is_missing()"))
    moments = [column.name for column in usable if column.kind == "timestamp"]
    for a, b in pairwise(moments):
        ideas.append(Suggestion(f"the time between {a} and {b}", f"{_reached(b)}.seconds() - {_reached(a)}.seconds()"))
    numbers = {column.name for column in usable if column.kind == "number"}
    for one in found.associations:
        if one.measure == "Spearman" and 0.6 <= one.strength < _SAME and one.a in numbers and one.b in numbers:  # near, not the same
            ideas.append(Suggestion(f"the ratio of {one.a} and {one.b}, which move together", f"{_reached(one.a)} / {_reached(one.b)}"))
    return tuple(ideas[:_MOST_SUGGESTED])


def _reached(name: str) -> str:
    """Write how a feature view reaches a column: as an attribute, where its name can be one."""
    can_be = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__") and not hasattr(Mapping, name)
    return f"c.{name}" if can_be and name != "column" else f"c.column({name!r})"


def _is_skewed(column: ColumnView) -> bool:
    if len(column.quantiles) < 5 or column.quantiles[0] < 0:  # all of them
        return False
    low, _, middle, _, high = column.quantiles
    return high - middle > _SKEWED * (middle - low) > 0


def _wide(column: ColumnView) -> tuple[float, float]:
    """Widen the span of the bins by a fifth, to two digits: neither end is a value of a row."""
    low, high = column.bins[0][0], column.bins[0][-1]
    if low % 1 == 0.5 and column.bins[0][1] - low == 1.0 and not column.n_outside:  # a bin for each whole number
        return low + 0.5, high - 0.5
    room = (high - low) * 0.2
    floor = 0.0 if low >= 0 and low - room < 0 else low - room
    return _rounded(floor, math.floor), _rounded(high + room, math.ceil)


def _rounded(value: float, how: object) -> float:
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return (math.floor if how is math.floor else math.ceil)(value / step) * step


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:5]]
    more = f" … +{len(names) - 5}" if len(names) > 5 else ""  # the five shown
    return ", ".join(shown) + more
