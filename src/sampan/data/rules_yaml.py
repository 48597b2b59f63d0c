"""Rules as quality entries of an Open Data Contract Standard file.

What the standard has a metric for is a `library` entry, a query a `sql` entry; the rest are `custom` entries of engine sampan. Level,
evidence, tolerance and expected false alarms are custom properties; where no level is said, the standard's severity counts. Sentences for
people and rules of other engines are kept as they are (`Stated`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sampan.core.refs import nearest
from sampan.data.contract import (
    LEVELS,
    STATISTICS,
    AllowedValues,
    AnyRule,
    Condition,
    Custom,
    Distribution,
    Length,
    Level,
    NullShare,
    NullTogether,
    Pattern,
    Query,
    Range,
    RowCount,
    RowRule,
    Rule,
    Stated,
    Statistic,
    Unique,
)
from sampan.data.yaml_sections import Section

_PLAIN_PATTERN = re.compile(r"\^?(?:(?:\[(?:A-Z|a-z|0-9|[A-Za-z0-9_])+\]|[A-Za-z0-9_])(?:\{\d{1,3}(?:,\d{1,3})?\})?)+\$?")
_COUNTS = re.compile(r"\{(\d+)(?:,(\d+))?\}")

ENGINE = "sampan"
RULE_PROPERTIES = ("level", "evidence", "tolerance", "toleratedRows", "falseAlarmsPerYear")
_FOR_OTHERS = ("name", "dimension", "businessImpact", "tags", "id", "schedule", "scheduler", "method", "authoritativeDefinitions")
_BLOCKING_SEVERITIES = ("error", "critical", "fatal", "blocker")
_METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
_BELOW = 1e-12  # by this share of itself a limit that must not be reached is less: more than rounding, less than any row
_OF_A_COLUMN = ("nullValues", "missingValues", "invalidValues")


def properties(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write custom properties, leaving out what is not said."""
    return [{"property": name, "value": value} for name, value in values.items() if value not in ("", None)]


def rule_properties(rule: Rule, *, level: str | None = None) -> dict[str, Any]:
    """Return what is said of a rule beside the rule itself."""
    # A library metric has a place of its own for the tolerance; to say it twice is harmless, and simpler than to know which do.
    tolerance, rows = (rule.tolerance or None, rule.tolerated or None) if isinstance(rule, RowRule) else (None, None)
    said = {"level": rule.level if level is None else level, "evidence": rule.evidence, "tolerance": tolerance, "toleratedRows": rows}
    return {**said, "falseAlarmsPerYear": rule.false_alarms}


def write_quality(rule: AnyRule) -> dict[str, Any]:
    """Return a rule as a quality entry."""
    if isinstance(rule, Stated):
        return rule.entry
    why = {"description": rule.why} if rule.why else {}
    extras = properties(rule_properties(rule, level="" if isinstance(rule, Custom) and not rule.has_level else None))
    return {**_body(rule), **why, **({"customProperties": extras} if extras else {})}


def _body(rule: AnyRule) -> dict[str, Any]:
    match rule:
        case NullShare(max_share=share, tolerated=rows, also=()):
            return {"type": "library", "metric": "nullValues", **_at_most(share, rows)}
        case NullShare(max_share=share, tolerated=rows, also=also):
            spelled = {"arguments": {"missingValues": [None, *also]}}
            return {"type": "library", "metric": "missingValues", **spelled, **_at_most(share, rows)}
        case AllowedValues(values=values, forbidden=False):
            return {"type": "library", "metric": "invalidValues", "arguments": {"validValues": list(values)}, **_tolerated(rule)}
        case Pattern(pattern=pattern):
            return {"type": "library", "metric": "invalidValues", "arguments": {"pattern": pattern}, **_tolerated(rule)}
        case Unique(columns=columns):
            return {"type": "library", "metric": "duplicateValues", "arguments": {"properties": list(columns)}, **_tolerated(rule)}
        case RowCount(minimum=low, maximum=high):
            return {"type": "library", "metric": "rowCount", **_operators(low or None if high is not None else low, high, ())}
        case Query(sql=sql, minimum=low, maximum=high, beyond=beyond):
            return {"type": "sql", "query": sql, **_operators(low, high, beyond)}
    return {"type": "custom", "engine": ENGINE, "implementation": _implementation(rule)}


def _implementation(rule: AnyRule) -> dict[str, Any]:
    match rule:
        case AllowedValues(values=values):
            return {"check": "forbidden", "values": list(values)}
        case Range(minimum=low, maximum=high, beyond=beyond):
            return {"check": "range", **_said({"minimum": low, "maximum": high, "beyond": list(beyond)})}
        case Length(minimum=low, maximum=high):
            return {"check": "length", **_said({"minimum": low, "maximum": high})}
        case NullTogether(columns=columns):
            return {"check": "null_together", "columns": list(columns)}
        case Condition(sql=sql):
            return {"check": "condition", "sql": sql}
        case Statistic(statistic=statistic, minimum=low, maximum=high):
            return {"check": "statistic", "statistic": statistic, **_said({"minimum": low, "maximum": high})}
        case Distribution(shares=shares, max_distance=distance, edges=edges, values=values):
            places = {"values": list(values)} if values else {"edges": list(edges)}
            return {"check": "distribution", "maxDistance": distance, **places, "shares": list(shares)}
        case Custom(name=name, parameters=parameters):
            return {"check": name, **parameters}
    raise AssertionError(rule)


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


def _tolerated(rule: RowRule) -> dict[str, Any]:
    return _at_most(rule.tolerance, rule.tolerated) if rule.tolerance or rule.tolerated else {"mustBe": 0}


def _at_most(share: float, rows: int) -> dict[str, Any]:
    if rows:
        return {"mustBeLessOrEqualTo": rows, "unit": "rows"}
    percent = round(share * 100, 6)
    below = bool(share) and _BELOW / 2 < 1 - share * 100 / percent < _BELOW * 2
    return {"mustBeLessThan" if below else "mustBeLessOrEqualTo": percent, "unit": "percent"}


def _operators(low: float | None, high: float | None, beyond: Sequence[str]) -> dict[str, Any]:
    if low is not None and low == high:
        return {"mustBe": low}
    if low is not None and high is not None and not beyond:
        return {"mustBeBetween": [low, high]}
    least = {"mustBeGreaterThan" if "minimum" in beyond else "mustBeGreaterOrEqualTo": low}
    most = {"mustBeLessThan" if "maximum" in beyond else "mustBeLessOrEqualTo": high}
    return _said({**least, **most})


def read_properties(section: Section, known: Sequence[str] = (), *, keep: bool = False) -> dict[str, Any]:
    """Read custom properties. A name close to a known one is a fault; any other unknown is one, too, unless it is to be kept."""
    found = {}
    for item in section.sections("customProperties"):
        name = item.text("property", required=True)
        found[name] = item.anything("value")
        item.keep(("description", "id"))
        item.finish()
        if known and name not in known:
            close = nearest(name, known, n=1)
            if close or not keep:
                item.fault(
                    "property", f"unknown property {name!r}; " + (f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}")
                )
    return found


def read_level(section: Section, said: Mapping[str, Any], default: Level = "warn") -> Level:
    """Read a level from what is said of a rule; without one, the standard's severity counts."""
    severity = section.text("severity").lower()
    level = said.get("level", ("block" if severity in _BLOCKING_SEVERITIES else "warn") if severity else default)
    for known in LEVELS:
        if level == known:
            return known
    section.fault("customProperties", f"level is {level!r}; one of {', '.join(LEVELS)}")
    return default


def read_common(section: Section, extras: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return the fields that every rule has."""
    alarms = extras.get("falseAlarmsPerYear")
    if alarms is not None and not _is_number(alarms):
        section.fault("customProperties", f"falseAlarmsPerYear is {alarms!r}, not a number")
        alarms = None
    return {
        "level": read_level(section, extras),
        "evidence": str(extras.get("evidence", "")),
        "why": why,
        "false_alarms": None if alarms is None else float(alarms),
    }


def read_tolerance(section: Section, extras: Mapping[str, Any]) -> float:
    """Return the share of rows that may break a rule."""
    tolerance = extras.get("tolerance", 0.0)
    if _is_number(tolerance) and 0 <= tolerance < 1:
        return float(tolerance)
    section.fault("customProperties", f"tolerance is {tolerance!r}; a share of the rows, 0 to below 1")
    return 0.0


def read_tolerated(section: Section, extras: Mapping[str, Any]) -> int:
    """Return the number of rows that may break a rule."""
    rows = extras.get("toleratedRows", 0)
    if isinstance(rows, int) and not isinstance(rows, bool) and rows >= 0:
        return rows
    section.fault("customProperties", f"toleratedRows is {rows!r}; a number of rows")
    return 0


def read_quality(section: Section, column: str) -> AnyRule | None:
    """Read a quality entry of a column, or of the table where `column` is ''; None for one that is at fault."""
    kind = section.text("type", "library", choices=("library", "custom", "text", "sql"))
    if kind == "text":
        return Stated(column=column, entry=section.whole())
    if kind == "custom" and (engine := _other_engine(section)):
        return Stated(column=column, engine=engine, entry=section.whole())
    extras = read_properties(section, RULE_PROPERTIES, keep=True)
    common = read_common(section, extras, section.text("description"))
    tolerances = {"tolerance": read_tolerance(section, extras), "tolerated": read_tolerated(section, extras)}
    section.keep(_FOR_OTHERS)
    rule: AnyRule | None
    if kind == "sql":
        rule = _read_query(section, column, common)
    elif kind == "custom":
        rule = _read_custom(section, column, {**common, **tolerances}, has_level="level" in extras)
    else:
        rule = _read_library(section, column, common, tolerances)
    section.finish()
    return rule


def _other_engine(section: Section) -> str:
    """Return the engine of another tool that an entry is for; '' for ours, and for one that is only misspelt."""
    engine = section.text("engine")
    return "" if engine in ("", ENGINE) or nearest(engine, (ENGINE,), n=1) else engine


def _read_bounds(section: Section) -> Bounds:
    """Take the standard's comparison operators."""
    least, above = section.number("mustBeGreaterOrEqualTo"), section.number("mustBeGreaterThan")
    most, below = section.number("mustBeLessOrEqualTo"), section.number("mustBeLessThan")
    exact, between = section.number("mustBe"), section.anything("mustBeBetween")
    for key in ("mustNotBe", "mustNotBeBetween"):
        if section.anything(key) is not None:
            section.fault(key, f"{key} is not held here; write what must be")
    if between is not None:
        if isinstance(between, list) and len(between) == 2 and all(_is_number(b) for b in between):
            return between[0], between[1], ()
        section.fault("mustBeBetween", "mustBeBetween needs two numbers, like [0, 10]")
    if exact is not None:
        return exact, exact, ()
    beyond = (*(["minimum"] if above is not None else []), *(["maximum"] if below is not None else []))
    return (above if above is not None else least), (below if below is not None else most), beyond


def _read_query(section: Section, column: str, common: dict[str, Any]) -> Query | None:
    sql = section.text("query", required=True)
    low, high, beyond = _read_bounds(section)
    section.keep(("engine", "unit"))
    from sampan.data.queries import fault_in_query

    if sql and (fault := fault_in_query(sql)):
        section.fault("query", fault)
    if low is None and high is None:
        section.fault("query", "a query needs mustBe, mustBeBetween, mustBeLessOrEqualTo or another comparison for its number")
        return None
    return Query(column=column, sql=sql, minimum=low, maximum=high, beyond=beyond, **common)  # type: ignore[arg-type]


def _read_library(section: Section, column: str, common: dict[str, Any], tolerances: Mapping[str, Any]) -> AnyRule | None:
    if section.anything("rule") is not None:
        section.fault("rule", "rule is called metric now; write metric: " + ", ".join(_METRICS))
    metric = section.text("metric", required=True, choices=_METRICS)
    unit = section.text("unit", "rows", choices=("percent", "rows"))
    bounds = _read_bounds(section)
    arguments = section.section("arguments")
    if metric == "rowCount":
        return _row_count(section, *bounds, common)
    if metric in _OF_A_COLUMN and not column:
        section.fault("metric", f"{metric} is a rule of a column; write it among a property's quality")
        return None
    may_break = _may_break(section, metric, bounds, unit) if bounds[:2] != (None, None) else tolerances
    if metric in ("nullValues", "missingValues"):
        also = _missing_spellings(arguments) if metric == "missingValues" and arguments else ()
        if bounds[:2] == (None, None):
            section.fault("metric", f"{metric} needs mustBeLessOrEqualTo, mustBeLessThan or mustBe: 0")
        return NullShare(column=column, max_share=may_break["tolerance"], tolerated=may_break["tolerated"], also=also, **common)
    common = {**common, **may_break}
    if metric == "duplicateValues":
        columns = (arguments.texts("properties") if arguments else ()) or ((column,) if column else ())
        if not columns:
            section.fault("arguments", "duplicateValues of a table needs arguments with properties, the columns that are unique together")
        return Unique(columns=tuple(dict.fromkeys(columns)), **common)
    if metric == "invalidValues" and arguments:
        return _invalid_values(section, arguments, column, common)
    if metric:
        section.fault("arguments", "invalidValues needs arguments with validValues or pattern")
    return None


def _missing_spellings(arguments: Section) -> tuple[Any, ...]:
    values = arguments.anything("missingValues")
    arguments.finish()
    return tuple(value for value in values if value is not None) if isinstance(values, list) else ()


Bounds = tuple[float | None, float | None, tuple[str, ...]]


def _may_break(section: Section, metric: str, bounds: Bounds, unit: str) -> dict[str, Any]:
    """Return which share, or how many, of the rows may be null, missing, invalid or doubled."""
    least, most, beyond = bounds
    limit, below = most or 0.0, "maximum" in beyond
    if least or most is None:
        section.fault("metric", f"{metric} is held to a most, not to a least; write mustBeLessOrEqualTo, mustBeLessThan or mustBe: 0")
    elif limit < 0 or (below and limit == 0) or (unit == "percent" and limit > 100):
        wanted = "no percentage; 0 to 100" if unit == "percent" else "no number of rows that can be"
        section.fault("mustBeLessThan" if below else "mustBeLessOrEqualTo", f"{limit:g} is {wanted}")
    elif unit == "rows":
        return {"tolerance": 0.0, "tolerated": math.ceil(limit) - 1 if below else int(limit)}
    else:
        return {"tolerance": limit / 100 * (1 - _BELOW) if below else limit / 100, "tolerated": 0}
    return {"tolerance": 0.0, "tolerated": 0}


def _row_count(section: Section, low: float | None, high: float | None, beyond: Sequence[str], common: dict[str, Any]) -> RowCount | None:
    if low is None and high is None:
        section.fault("metric", "rowCount needs mustBeGreaterOrEqualTo, mustBeLessOrEqualTo or mustBeBetween")
        return None
    least = math.floor(low or 0) + 1 if "minimum" in beyond else math.ceil(low or 0)
    most = None if high is None else math.ceil(high) - 1 if "maximum" in beyond else math.floor(high)
    if most is not None and most < max(least, 0):
        section.fault("metric", f"no number of rows is at least {least} and at most {most}")
    return RowCount(minimum=least, maximum=most, **common)


def _invalid_values(section: Section, arguments: Section, column: str, common: dict[str, Any]) -> AnyRule | None:
    values, pattern = arguments.anything("validValues"), arguments.text("pattern")
    arguments.finish()
    if isinstance(values, list):
        values = [value for value in values if value is not None]  # what is missing breaks no such rule
        if pattern:
            arguments.fault("pattern", "validValues and pattern are two rules; write an entry for each")
        if not values:
            arguments.fault("validValues", "validValues is empty: no value would be valid")
        if not all(isinstance(value, str | int | float) for value in values):
            arguments.fault("validValues", "validValues holds something that is no text, number or truth value; write '…' around it")
        return AllowedValues(column=column, values=tuple(values), **common)
    if pattern:
        if fault := fault_in_pattern(pattern):
            arguments.fault("pattern", f"pattern {pattern!r} is none: {fault}")
        return Pattern(column=column, pattern=pattern, **common)
    section.fault("arguments", "invalidValues needs arguments with validValues (a list) or pattern")
    return None


def _is_plain(pattern: str) -> bool:
    """Say whether a pattern is of the simple shape that drafts have, and so surely one; of any other, Polars is asked."""
    counts = _PLAIN_PATTERN.fullmatch(pattern) and _COUNTS.findall(pattern)
    return counts is not None and all(int(low) <= int(high or low) for low, high in counts)


def fault_in_pattern(pattern: str) -> str:
    """Say why a regular expression is none here; '' if it is one."""
    if _is_plain(pattern):
        return ""
    import polars as pl

    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as cause:
        told = re.search(r"^error: (.+)$", str(cause), re.MULTILINE)
        return told[1] if told else str(cause).strip().splitlines()[0]
    return ""


def _read_custom(section: Section, column: str, common: dict[str, Any], *, has_level: bool) -> AnyRule | None:
    section.text("engine", required=True, choices=(ENGINE,))
    body = section.section("implementation")
    if body is None:
        section.fault("implementation", "a custom rule needs implementation: {check: …}")
        return None
    check = body.text("check", required=True)
    if check in ("range", "length", "statistic", "distribution", "forbidden") and not column:
        body.fault("check", f"{check} is a rule of a column; write it among a property's quality")
    untolerated = {name: value for name, value in common.items() if name not in ("tolerance", "tolerated")}
    match check:
        case "range":
            low, high = _moment_or_number(body, "minimum"), _moment_or_number(body, "maximum")
            _require_bounds(body, check, low, high)
            rule: AnyRule = Range(column=column, minimum=low, maximum=high, beyond=_sides(body), **common)
        case "length":
            shortest, longest = _whole(body, "minimum"), _whole(body, "maximum")
            _require_bounds(body, check, shortest, longest)
            rule = Length(column=column, minimum=shortest, maximum=longest, **common)
        case "forbidden":
            values = body.anything("values")
            if not isinstance(values, list) or not values:
                body.fault("values", "forbidden needs values, a list of what must not be there")
            rule = AllowedValues(column=column, values=tuple(values) if isinstance(values, list) else (), forbidden=True, **common)
        case "null_together":
            together = body.texts("columns")
            if len(set(together)) < 2:
                body.fault("columns", "null_together needs columns, at least two")
            rule = NullTogether(columns=together, **common)
        case "condition":
            rule = Condition(sql=_condition(body), **common)
        case "statistic":
            name = body.text("statistic", "mean", required=True, choices=STATISTICS)
            low_number, high_number = body.number("minimum"), body.number("maximum")
            _require_bounds(body, check, low_number, high_number)
            rule = Statistic(column=column, statistic=name, minimum=low_number, maximum=high_number, **untolerated)  # type: ignore[arg-type]
        case "distribution":
            rule = _read_distribution(body, column, untolerated)
        case _:
            rule = Custom(column=column, name=check, parameters=body.rest(), has_level=has_level, **common)
    body.finish()
    return rule


def _condition(body: Section) -> str:
    import polars as pl

    sql = body.text("sql", required=True)
    try:
        pl.sql_expr(sql)
    except pl.exceptions.PolarsError as cause:
        body.fault("sql", f"{sql!r} is no condition: {str(cause).strip().splitlines()[0]}")
    return sql


def _read_distribution(body: Section, column: str, common: dict[str, Any]) -> Distribution:
    distance, values = body.number("maxDistance", required=True), body.texts("values")
    edges, shares = _numbers(body, "edges"), _numbers(body, "shares")
    if len(shares) != len(values or edges) or not shares:
        body.fault("shares", f"a distribution needs as many shares as {'values' if values else 'edges'}, and at least one")
    return Distribution(column=column, max_distance=float(distance or 0), edges=edges, values=values, shares=shares, **common)


def _numbers(section: Section, key: str) -> tuple[float, ...]:
    values = section.anything(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        section.fault(key, f"{key} must be a list of numbers")
        return ()
    return tuple(float(value) for value in values)


def _moment_or_number(section: Section, key: str) -> float | int | str | None:
    value = section.anything(key)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or _is_number(value) or isinstance(value, str):
        return value  # type: ignore[no-any-return]
    section.fault(key, f"{key} must be a number or a moment, not {value!r}")
    return None


def _require_bounds(section: Section, what: str, low: float | str | None, high: float | str | None) -> None:
    """Note a rule that nothing could break, or everything would."""
    if low is None and high is None:
        section.fault("check", f"{what} needs minimum, maximum or both")
    comparable = (_is_number(low) and _is_number(high)) or (isinstance(low, str) and isinstance(high, str))
    if comparable and low > high:  # type: ignore[operator]
        section.fault("minimum", f"minimum {low} lies above maximum {high}")


def _whole(section: Section, key: str) -> int | None:
    value = section.number(key)
    return None if value is None else int(value)


def _sides(section: Section) -> Any:
    sides = section.texts("beyond")
    if any(side not in ("minimum", "maximum") for side in sides):
        section.fault("beyond", "beyond is a list of minimum, maximum: the bounds that are not allowed themselves")
    return sides


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
