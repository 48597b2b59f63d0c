"""Rules as quality entries of an Open Data Contract Standard file.

What the standard has a metric for is a `library` entry, a query a `sql` entry; the rest are `custom` entries of engine sampan. Level,
evidence, tolerance and expected false alarms are custom properties.
"""

from __future__ import annotations

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
    Statistic,
    Unique,
)
from sampan.data.yaml_sections import Section

_PLAIN_PATTERN = re.compile(r"\^?(?:(?:\[(?:A-Z|a-z|0-9|[A-Za-z0-9_])+\]|[A-Za-z0-9_])(?:\{\d{1,3}(?:,\d{1,3})?\})?)+\$?")
_COUNTS = re.compile(r"\{(\d+)(?:,(\d+))?\}")

ENGINE = "sampan"
RULE_PROPERTIES = ("level", "evidence", "tolerance", "falseAlarmsPerYear")
_IGNORED = ("name", "dimension", "severity", "businessImpact", "tags", "id", "schedule", "scheduler", "method")
_METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
_PERCENT = {"unit": "percent"}


def properties(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write custom properties, leaving out what is not said."""
    return [{"property": name, "value": value} for name, value in values.items() if value not in ("", None)]


def rule_properties(rule: Rule, *, level: str | None = None) -> dict[str, Any]:
    """Return what is said of a rule beside the rule itself."""
    # A library metric has a place of its own for the tolerance; to say it twice is harmless, and simpler than to know which do.
    tolerance = rule.tolerance if isinstance(rule, RowRule) and rule.tolerance else None
    said = {"level": rule.level if level is None else level, "evidence": rule.evidence, "tolerance": tolerance}
    return {**said, "falseAlarmsPerYear": rule.false_alarms}


def write_quality(rule: AnyRule) -> dict[str, Any]:
    """Return a rule as a quality entry."""
    why = {"description": rule.why} if rule.why else {}
    extras = properties(rule_properties(rule, level="" if isinstance(rule, Custom) and not rule.has_level else None))
    return {**_body(rule), **why, **({"customProperties": extras} if extras else {})}


def _body(rule: AnyRule) -> dict[str, Any]:
    match rule:
        case NullShare(max_share=share, also=()):
            return {"type": "library", "metric": "nullValues", "mustBeLessOrEqualTo": round(share * 100, 6), **_PERCENT}
        case NullShare(max_share=share, also=also):
            spelled = {"arguments": {"missingValues": [None, *also]}}
            return {"type": "library", "metric": "missingValues", **spelled, "mustBeLessOrEqualTo": round(share * 100, 6), **_PERCENT}
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
    return {"mustBeLessOrEqualTo": round(rule.tolerance * 100, 6), **_PERCENT} if rule.tolerance else {"mustBe": 0}


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
    """Read a level from what is said of a rule."""
    level = said.get("level", default)
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


def read_quality(section: Section, column: str) -> AnyRule | None:
    """Read a quality entry of a column, or of the table where `column` is ''; None for one that no machine checks, or that is at fault."""
    extras = read_properties(section, RULE_PROPERTIES)
    common = read_common(section, extras, section.text("description"))
    tolerance = read_tolerance(section, extras)
    section.keep(_IGNORED)
    kind = section.text("type", "library", choices=("library", "custom", "text", "sql"))
    if kind == "text":
        section.rest()
        return None  # for people
    rule: AnyRule | None
    if kind == "sql":
        rule = _read_query(section, common)
    elif kind == "custom":
        rule = _read_custom(section, column, {**common, "tolerance": tolerance}, has_level="level" in extras)
    else:
        rule = _read_library(section, column, common)
    section.finish()
    return rule


def _read_bounds(section: Section) -> tuple[float | None, float | None, tuple[str, ...]]:
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


def _read_query(section: Section, common: dict[str, Any]) -> Query | None:
    sql = section.text("query", required=True)
    low, high, beyond = _read_bounds(section)
    section.keep(("engine", "unit"))
    from sampan.data.queries import fault_in_query

    if sql and (fault := fault_in_query(sql)):
        section.fault("query", fault)
    if low is None and high is None:
        section.fault("query", "a query needs mustBe, mustBeBetween, mustBeLessOrEqualTo or another comparison for its number")
        return None
    return Query(sql=sql, minimum=low, maximum=high, beyond=beyond, **common)  # type: ignore[arg-type]


def _read_library(section: Section, column: str, common: dict[str, Any]) -> AnyRule | None:
    metric = section.text("metric", required=True, choices=_METRICS)
    unit = section.text("unit", choices=("percent", "rows"))
    low, high, beyond = _read_bounds(section)
    arguments = section.section("arguments")
    if metric in ("nullValues", "missingValues"):
        also = _missing_spellings(arguments) if metric == "missingValues" and arguments else ()
        share = _share(section, metric, high, unit)
        return None if share is None else NullShare(column=column, max_share=share, also=also, **common)
    if metric == "rowCount":
        return _row_count(section, low, high, beyond, common)
    share = _share(section, metric, 0.0 if high is None and metric else high, unit)
    common = {**common, "tolerance": share or 0.0}
    if metric == "duplicateValues":
        columns = arguments.texts("properties") if arguments else ()
        return Unique(columns=columns or (column,), **common)
    if metric == "invalidValues" and arguments:
        return _invalid_values(section, arguments, column, common)
    if metric:
        section.fault("arguments", "invalidValues needs arguments with validValues or pattern")
    return None


def _missing_spellings(arguments: Section) -> tuple[Any, ...]:
    values = arguments.anything("missingValues")
    arguments.finish()
    return tuple(value for value in values if value is not None) if isinstance(values, list) else ()


def _share(section: Section, metric: str, limit: float | None, unit: str) -> float | None:
    if limit is None:
        section.fault("metric", f"{metric} needs mustBeLessOrEqualTo (with unit: percent) or mustBe: 0")
        return None
    if unit != "percent" and limit != 0:
        section.fault("unit", f"{metric} is compared in percent; write unit: percent")
    if not 0 <= limit <= 100:
        section.fault("mustBeLessOrEqualTo", f"{limit:g} is no percentage; 0 to 100")
    return limit / 100


def _row_count(section: Section, low: float | None, high: float | None, beyond: Sequence[str], common: dict[str, Any]) -> RowCount | None:
    if low is None and high is None:
        section.fault("metric", "rowCount needs mustBeGreaterOrEqualTo, mustBeLessOrEqualTo or mustBeBetween")
        return None
    least = int(low or 0) + (1 if "minimum" in beyond else 0)
    most = None if high is None else int(high) - (1 if "maximum" in beyond else 0)
    return RowCount(minimum=least, maximum=most, **common)


def _invalid_values(section: Section, arguments: Section, column: str, common: dict[str, Any]) -> AnyRule | None:
    values, pattern = arguments.anything("validValues"), arguments.text("pattern")
    arguments.finish()
    if isinstance(values, list):
        if not all(isinstance(value, str | int | float) for value in values):
            arguments.fault("validValues", "validValues holds something that is no text, number or truth value; write '…' around it")
        return AllowedValues(column=column, values=tuple(values), **common)
    if pattern:
        _check_pattern(arguments, pattern)
        return Pattern(column=column, pattern=pattern, **common)
    section.fault("arguments", "invalidValues needs arguments with validValues (a list) or pattern")
    return None


def _is_plain(pattern: str) -> bool:
    """Say whether a pattern is of the simple shape that drafts have, and so surely one; of any other, Polars is asked."""
    counts = _PLAIN_PATTERN.fullmatch(pattern) and _COUNTS.findall(pattern)
    return counts is not None and all(int(low) <= int(high or low) for low, high in counts)


def _check_pattern(section: Section, pattern: str) -> None:
    if _is_plain(pattern):
        return
    import polars as pl

    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as cause:
        section.fault("pattern", f"pattern {pattern!r} is none: {str(cause).strip().splitlines()[-1].strip()}")


def _read_custom(section: Section, column: str, common: dict[str, Any], *, has_level: bool) -> AnyRule | None:
    section.text("engine", required=True, choices=(ENGINE,))
    body = section.section("implementation")
    if body is None:
        section.fault("implementation", "a custom rule needs implementation: {check: …}")
        return None
    check = body.text("check", required=True)
    if check in ("range", "length", "statistic", "distribution", "forbidden") and not column:
        body.fault("check", f"{check} is a rule of a column; write it among a property's quality")
    untolerated = {name: value for name, value in common.items() if name != "tolerance"}
    match check:
        case "range":
            low, high = _moment_or_number(body, "minimum"), _moment_or_number(body, "maximum")
            rule: AnyRule = Range(column=column, minimum=low, maximum=high, beyond=_sides(body), **common)
        case "length":
            shortest, longest = _whole(body, "minimum"), _whole(body, "maximum")
            rule = Length(column=column, minimum=shortest, maximum=longest, **common)
        case "forbidden":
            values = body.anything("values")
            rule = AllowedValues(column=column, values=tuple(values) if isinstance(values, list) else (), forbidden=True, **common)
        case "null_together":
            rule = NullTogether(columns=body.texts("columns"), **common)
        case "condition":
            rule = Condition(sql=_condition(body), **common)
        case "statistic":
            name = body.text("statistic", "mean", required=True, choices=STATISTICS)
            low_number, high_number = body.number("minimum"), body.number("maximum")
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
