"""Draft a contract from a table: what it promises today, and is likely to keep promising.

A rule must survive the question "would the next delivery break it for no fault?". So the table is cut into parts, by time if it has one,
and a statistical rule is drafted only if it holds across them. Structure blocks (columns, types, key); statistics warn. Each rule says what
was counted, why it is there, and how often it would alarm in a year although nothing is wrong (`false_alarms`).

Two expectations are not weakened to fit the data, so that checking the very table a contract was drafted from shows what is odd about it: a
column is not mostly empty, and where nearly every row has a value, every row has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import polars as pl

from sampan.core.decoding import read_json
from sampan.core.times import Millis
from sampan.data.column_rules import STEPS, Drafting, cut, draft_column
from sampan.data.columnwise import Columnwise, Frame
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Condition,
    Contract,
    Freshness,
    NullTogether,
    Pattern,
    Range,
    Reference,
    RowCount,
    Unique,
    logical_type,
)
from sampan.data.false_alarms import History, a_year, deliveries_a_year
from sampan.data.keys import find_keys, is_unique
from sampan.data.null_groups import null_groups
from sampan.data.references import find_references
from sampan.table.named import looks_like_pattern, named

_HOUR_MS = 3_600_000
_MARK = "\ue000"  # before a name that looks like a pattern, while a draft is made
_LATE = 2.0  # times the longest wait seen
_RECENT_MS = 90 * 24 * _HOUR_MS  # a table older than that and than its own span is a record of the past, not a feed
_MIN_ROWS = 30
_MOST_MOMENTS = 20  # columns that are compared with each other
_ORDERED_WORDS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("start", "end"),
    ("begin", "end"),
    ("from", "to"),
    ("first", "last"),
    ("low", "high"),
)
_UNITS = {
    **{unit: unit for unit in ("km", "kg", "ms", "kwh", "mhz", "mb", "gb", "usd", "eur", "vnd", "celsius", "fahrenheit", "bytes")},
    **{word: word for word in ("miles", "seconds", "minutes", "hours", "days", "meters", "percent")},
    "pct": "percent",
    "secs": "seconds",
    "mins": "minutes",
    "lbs": "pounds",
}


def infer_contract(
    name: str,
    table: Frame,
    *,
    key: Sequence[str] = (),
    time: str = "",
    tables: Mapping[str, Frame] | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
    arrivals: Sequence[tuple[Millis, Millis]] = (),
) -> Contract:
    """Draft a contract for a table.

    `tables` are the other tables it may refer to, `keys` their keys where known; `arrivals` are the versions there were, each with the
    newest moment in it and when it came. Without a `key`, the most natural minimal one is taken; without a `time`, the only timestamp
    column, if there is just one. A lazy frame is read by columns, so that the memory it takes is that of a few.
    """
    time = time or find_time(table)
    if any(looks_like_pattern(column) for column in table.lazy().collect_schema()):
        marked = infer_contract(
            name,
            _marked(table),
            key=[_mark(column) for column in key],
            time=_mark(time),
            tables={other: _marked(one) for other, one in (tables or {}).items()},
            keys={other: [_mark(column) for column in columns] for other, columns in (keys or {}).items()},
            arrivals=arrivals,
        )
        return read_json(msgspec.json.encode(marked).replace(_MARK.encode(), b""), Contract)
    frame = Columnwise(table)
    found_keys = [tuple(key)] if key else find_keys(frame)
    own_key = found_keys[0] if found_keys else ()
    parts, order = cut(frame, time)
    drafting = Drafting(order, deliveries_a_year(frame, time), History())
    rules: list[AnyRule] = [RowCount(minimum=1, level="block", evidence=f"{frame.height:,} rows", why="an empty delivery is a broken one")]
    if found_keys and frame.height:
        rules.append(_key_rule(found_keys, frame, declared=bool(key)))
    rules.extend(_together_rule(frame, group) for group in null_groups(frame.lazy))
    rules.extend(_order_rules(frame))
    for column in filter(None, frame.columns):  # a column without a name has no place in the file for its rules
        rules.extend(draft_column(frame[column], parts[column], drafting, in_key=column in own_key, is_time=column == time))
    if tables:
        by_columns = {other: Columnwise(one) for other, one in tables.items()}
        others = {other: [tuple(keys[other])] if keys and keys.get(other) else find_keys(one) for other, one in by_columns.items()}
        rules.extend(find_references(frame, by_columns, others))
    if time and arrivals:
        rules.extend(_freshness(time, frame, arrivals))
    empty = {name for name in frame.columns if frame.height and all(part.n_null == part.n_rows for part in parts[name])}
    columns = tuple(_column(name, dtype, own_key, time, empty=name in empty) for name, dtype in frame.schema.items())
    return Contract(name=name, columns=columns, key=own_key, rules=tuple(_estimated(rule, drafting) for rule in rules))


def _marked(table: Frame) -> pl.LazyFrame:
    """Rename the columns that Polars' series and frames would take for patterns."""
    return table.lazy().rename({name: _mark(name) for name in table.lazy().collect_schema() if looks_like_pattern(name)})


def _mark(name: str) -> str:
    return _MARK + name if looks_like_pattern(name) else name


def find_time(frame: pl.DataFrame | pl.LazyFrame) -> str:
    """Return the only timestamp (else date) column without missing values; '' if there is none or several."""
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    for kind in (pl.Datetime, pl.Date):
        moments = [name for name, dtype in schema.items() if isinstance(dtype, kind)]
        n_null = lazy.select(named(name).null_count() for name in moments).collect(engine="streaming") if moments else None
        complete = [name for name in moments if n_null is not None and n_null[0, name] == 0]
        if complete:
            return complete[0] if len(complete) == 1 else ""
    return ""


def newest_moment(frame: pl.DataFrame | pl.LazyFrame, time: str) -> Millis | None:
    """Return the newest moment of a timestamp or date column; None if it has none."""
    newest = frame.lazy().select(named(time).cast(pl.Datetime("ms")).max().dt.epoch("ms")).collect(engine="streaming").item()
    return None if newest is None else int(newest)


def _column(name: str, dtype: pl.DataType, key: Sequence[str], time: str, *, empty: bool) -> Column:
    """Describe a column; of one without any value nobody knows the type."""
    role = "time" if name == time else "key" if name in key else ""
    unit = _UNITS.get(re.split(r"[_\W]+", name.lower())[-1], "") if dtype.is_numeric() else ""
    kind, physical = ("", "") if empty else (logical_type(dtype), str(dtype))
    return Column(name=name, type=kind, physical_type=physical, required=name in key, role=role, unit=unit)


def _estimated(rule: AnyRule, drafting: Drafting) -> AnyRule:
    """Give a rule that nothing ever broke the estimate pooled over all of its kind."""
    if rule.false_alarms is not None:
        return rule
    if isinstance(rule, Reference) and rule.evidence and not _holds_now(rule):
        return rule  # it is broken now: each finding is a true one until someone says otherwise
    kind = STEPS if isinstance(rule, Range) else "values" if isinstance(rule, AllowedValues | Pattern) else "exact"
    return msgspec.structs.replace(rule, false_alarms=a_year(drafting.history.chance(kind), drafting.deliveries))


def _holds_now(rule: Reference) -> bool:
    found = re.match(r"([\d,]+) of ([\d,]+) ", rule.evidence)
    return found is None or found[1] == found[2]


def _key_rule(keys: list[tuple[str, ...]], frame: Columnwise, *, declared: bool) -> Unique:
    evidence = f"no two of {frame.height:,} rows agree in it, and in no smaller set"
    if declared:
        evidence = "declared; no two rows agree in it" if is_unique(frame.lazy, keys[0]) else "declared, although rows agree in it"
    others = [" + ".join(k) for k in keys[1:4]]
    if others:
        evidence += f"; also possible: {', '.join(others)}"
    return Unique(columns=keys[0], level="block", evidence=evidence, why="a row is found and updated by its key")


def _together_rule(frame: Columnwise, group: tuple[str, ...]) -> NullTogether:
    n = int(frame.select(named(group[0]).null_count()).item())
    evidence = f"missing together in {n:,} of {frame.height:,} rows, never apart"
    return NullTogether(columns=group, evidence=evidence, why="they are one fact; a row with half of it is broken")


def _order_rules(frame: Columnwise) -> list[Condition]:
    """Draft a <= b for two moments, or two numbers named as ends of a span, where no row says otherwise."""
    pairs = _pairs(frame)
    if not pairs:
        return []
    cells = []
    for i, (a, b) in enumerate(pairs):
        both = named(a).is_not_null() & named(b).is_not_null()
        cells += [
            both.sum().alias(f"n{i}"),
            (named(a) > named(b)).sum().alias(f"above{i}"),
            (named(a) < named(b)).sum().alias(f"below{i}"),
        ]
    counted = frame.select(*cells).row(0, named=True)
    found = []
    for i, (a, b) in enumerate(pairs):
        if counted[f"n{i}"] >= _MIN_ROWS and not counted[f"above{i}"] and counted[f"below{i}"]:
            evidence = f"so in all {counted[f'n{i}']:,} rows that have both"
            found.append(Condition(sql=f'"{a}" <= "{b}"', evidence=evidence, why="one comes before the other"))
    return found


def _pairs(frame: Columnwise) -> list[tuple[str, str]]:
    schema = dict(frame.schema)
    moments = [name for name, dtype in schema.items() if isinstance(dtype, pl.Datetime | pl.Date) and '"' not in name][:_MOST_MOMENTS]
    pairs = [(a, b) for a in moments for b in moments if a != b and schema[a] == schema[b]]
    for name, dtype in schema.items():
        words = re.split(r"(_|\W)", name)
        for low, high in _ORDERED_WORDS:
            other = "".join(high if word.lower() == low else word for word in words)
            if dtype.is_numeric() and other != name and '"' not in name and other in schema and schema[other].is_numeric():
                pairs.append((name, other))
    return pairs


def _freshness(time: str, frame: Columnwise, arrivals: Sequence[tuple[Millis, Millis]]) -> list[Freshness]:
    """Draft how old the newest row may be, from how old it was when each version came, and how long the next took."""
    ages = [came - newest for newest, came in arrivals]
    span = frame.select(named(time).cast(pl.Datetime("ms")).max() - named(time).cast(pl.Datetime("ms")).min()).item()
    if min(ages) < 0 or ages[-1] > max(_RECENT_MS, span.total_seconds() * 1000 if span is not None else 0):
        return []
    waits = [later - earlier for (_, earlier), (_, later) in pairwise(arrivals)]
    longest = max(ages) + max(waits, default=0)
    hours = max(1.0, float(f"{_LATE * longest / _HOUR_MS:.2g}"))
    evidence = f"{len(ages)} versions; the newest row was at most {max(ages) / _HOUR_MS:,.3g} hours old when it came"
    if waits:
        evidence += f", and the next version came after at most {max(waits) / _HOUR_MS:,.3g} hours"
    return [Freshness(column=time, max_hours=hours, evidence=evidence, why=f"{_LATE:g} times the longest that was seen")]
