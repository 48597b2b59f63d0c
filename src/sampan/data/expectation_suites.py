"""Suites of Great Expectations as the JSON it writes and reads itself (`ExpectationSuite.to_json_dict`), of 1.x and of 0.x.

What an expectation calls `mostly` is one minus a rule's tolerance; severity critical blocks. Types are left out: their names depend on
where Great Expectations runs. So are freshness, references, queries, distributions and rules in Python; each is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Condition,
    Contract,
    Length,
    Level,
    NullShare,
    Pattern,
    Range,
    RowCount,
    RowRule,
    Statistic,
    StatisticName,
    Unique,
    all_rules,
)
from sampan.data.rule_words import describe
from sampan.data.rules_yaml import fault_in_pattern
from sampan.data.suites import Suite, Written, is_python_pattern
from sampan.errors import ProjectFileError

Kwargs = Mapping[str, Any]
_STATISTICS: dict[StatisticName, str] = {
    "mean": "expect_column_mean_to_be_between",
    "median": "expect_column_median_to_be_between",
    "std": "expect_column_stdev_to_be_between",
    "sum": "expect_column_sum_to_be_between",
    "minimum": "expect_column_min_to_be_between",
    "maximum": "expect_column_max_to_be_between",
    "n_distinct": "expect_column_unique_value_count_to_be_between",
    "distinct_share": "expect_column_proportion_of_unique_values_to_be_between",
}
_PAIR = re.compile(r'\s*(?:"([^"]+)"|(\w+))\s*(<=|>=|<|>|=)\s*(?:"([^"]+)"|(\w+))\s*')
_MISSING = {"ignore_row_if": "either_value_is_missing"}


def write_expectations(contract: Contract) -> Written:
    """Write a contract as a suite."""
    expectations = [_expectation("expect_column_to_exist", {"column": column.name}, "block") for column in contract.columns]
    left_out = ["the types of the columns"] if contract.columns else []
    for rule in all_rules(contract):
        written = None if _has_no_place(rule) else _write(rule)
        if written is None:
            left_out.append(describe(rule))
            continue
        kind, kwargs = written
        mostly = {"mostly": round(1 - rule.tolerance, 6)} if isinstance(rule, RowRule) and rule.tolerance else {}
        expectations.append(_expectation(kind, {**kwargs, **mostly}, rule.level))
    document: dict[str, Any] = {"name": contract.name, "expectations": expectations, "meta": {}, "notes": contract.description or None}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return Written(text=text, n_rules=len(expectations), left_out=tuple(left_out))


def _has_no_place(rule: AnyRule) -> bool:
    """Say whether a rule needs what expectations lack: a number of rows that may break it, a pattern that only Rust takes."""
    return bool(getattr(rule, "tolerated", 0)) or (isinstance(rule, Pattern) and not is_python_pattern(rule.pattern))


def _expectation(kind: str, kwargs: Kwargs, level: Level) -> dict[str, Any]:
    said = {name: value for name, value in kwargs.items() if value is not None}
    return {"type": kind, "kwargs": said, "meta": {}, "severity": "critical" if level == "block" else "warning"}


def _write(rule: AnyRule) -> tuple[str, dict[str, Any]] | None:
    match rule:
        case NullShare(column=column, max_share=share, also=()):
            return "expect_column_values_to_not_be_null", {"column": column, "mostly": round(1 - share, 6) if share else None}
        case AllowedValues(column=column, values=values, forbidden=forbidden):
            return f"expect_column_values_to_{'not_' if forbidden else ''}be_in_set", {"column": column, "value_set": list(values)}
        case Range(column=column, minimum=low, maximum=high, beyond=beyond):
            strict = {f"strict_{side[:3]}": True for side in beyond}
            return "expect_column_values_to_be_between", {"column": column, "min_value": low, "max_value": high, **strict}
        case Length(column=column, minimum=low, maximum=high):
            return "expect_column_value_lengths_to_be_between", {"column": column, "min_value": low, "max_value": high}
        case Pattern(column=column, pattern=pattern):
            return "expect_column_values_to_match_regex", {"column": column, "regex": pattern}
        case RowCount(minimum=low, maximum=high):
            return "expect_table_row_count_to_be_between", {"min_value": low, "max_value": high}
        case Unique(columns=(column,)):
            return "expect_column_values_to_be_unique", {"column": column}
        case Unique(columns=columns):
            return "expect_compound_columns_to_be_unique", {"column_list": list(columns), "ignore_row_if": "any_value_is_missing"}
        case Statistic(column=column, statistic=statistic, minimum=low, maximum=high):
            return _STATISTICS[statistic], {"column": column, "min_value": low, "max_value": high}
        case Condition(sql=sql):
            return _write_pair(sql)
    return None


def _write_pair(sql: str) -> tuple[str, dict[str, Any]] | None:
    """Write a comparison of two columns; None for any other condition."""
    found = _PAIR.fullmatch(sql)
    if found is None or (found[5] or "").isdigit() or (found[2] or "").isdigit():
        return None
    left, operator, right = found[1] or found[2], found[3], found[4] or found[5]
    if operator == "=":
        return "expect_column_pair_values_to_be_equal", {"column_A": left, "column_B": right, **_MISSING}
    greater, less = (left, right) if operator.startswith(">") else (right, left)
    pair = {"column_A": greater, "column_B": less, "or_equal": operator.endswith("=") or None}
    return "expect_column_pair_values_a_to_be_greater_than_b", {**pair, **_MISSING}


def read_expectations(text: str, *, file: str) -> Suite:
    """Read a suite.

    Raises
    ------
    ProjectFileError : it is not JSON, or no suite.
    """
    try:
        document = json.loads(text)
    except ValueError as cause:
        raise ProjectFileError(f"{file} is not JSON: {cause}", file=file, hint="write it with ExpectationSuite.to_json_dict") from cause
    if not isinstance(document, dict) or not isinstance(document.get("expectations"), list):
        said = f"{file} is no suite of Great Expectations: it has no list of expectations"
        raise ProjectFileError(said, file=file, hint="write it with ExpectationSuite.to_json_dict")
    columns: dict[str, Column] = {}
    rules: list[AnyRule] = []
    left_out: list[str] = []
    for entry in document["expectations"]:
        kind, kwargs = _said(entry)
        name = kwargs.get("column")
        if isinstance(name, str):
            columns.setdefault(name, Column(name=name, type=""))
        if kind == "expect_column_to_exist":
            continue
        rule, unsaid = _read(kind, kwargs, entry)
        told = f"{kind} of {name}" if name else kind
        left_out.extend([f"{told}: {unsaid}" if rule or unsaid else told] if unsaid or rule is None else [])
        rules.extend([rule] if rule is not None else [])
    return Suite(columns=tuple(columns.values()), rules=tuple(rules), left_out=tuple(left_out))


def _said(entry: Any) -> tuple[str, Kwargs]:
    """Return an expectation's type and arguments, of 1.x or 0.x."""
    if not isinstance(entry, dict):
        return f"{entry!r}, which is no expectation", {}
    kwargs = entry.get("kwargs")
    return str(entry.get("type") or entry.get("expectation_type")), kwargs if isinstance(kwargs, dict) else {}


def _read(kind: str, kwargs: Kwargs, entry: Any) -> tuple[AnyRule | None, str]:
    """Return the rule that does what an expectation says, if there is one, and what of it no rule does."""
    reader = _READERS.get(kind)
    if reader is None:
        return None, ""
    asked = {name: value for name, value in kwargs.items() if value not in (None, False) and name not in _FOR_GX}
    if unknown := [name for name in asked if name not in _ARGUMENTS[kind]]:
        return None, f"{', '.join(unknown)} has no counterpart"
    if given := [name for name, value in asked.items() if isinstance(value, dict)]:
        return None, f"{', '.join(given)} is given only when it runs"
    said: dict[str, Any] = {"level": "block" if entry.get("severity", "critical") == "critical" else "warn", "why": _why(entry)}
    if kind not in _OF_THE_TABLE:
        said["tolerance"] = round(1 - float(kwargs.get("mostly", 1)), 6)
    try:
        rule = reader(kwargs, said)
    except (KeyError, TypeError, ValueError) as cause:
        return None, f"cannot be read ({type(cause).__name__}: {cause})"
    if isinstance(rule, Pattern) and (fault := fault_in_pattern(rule.pattern)):
        return None, f"the pattern {rule.pattern!r} is none here: {fault}"
    compared = isinstance(rule, Unique) and len(rule.columns) > 1 and kwargs.get("ignore_row_if") != "any_value_is_missing"
    return rule, "rows that lack one of the columns are compared there, and not here" if compared else ""


def _why(entry: Mapping[str, Any]) -> str:
    notes = entry.get("notes")
    return str(entry.get("description") or (notes if isinstance(notes, str) else "") or "")


def _read_range(kwargs: Kwargs, said: dict[str, Any]) -> AnyRule:
    sides: tuple[Literal["minimum", "maximum"], ...] = ("minimum", "maximum")
    beyond = tuple(side for side in sides if kwargs.get(f"strict_{side[:3]}"))
    return Range(column=kwargs["column"], minimum=kwargs.get("min_value"), maximum=kwargs.get("max_value"), beyond=beyond, **said)


def _read_set(kwargs: Kwargs, said: dict[str, Any], *, forbidden: bool) -> AnyRule:
    values = tuple(value for value in kwargs["value_set"] if value is not None)
    return AllowedValues(column=kwargs["column"], values=values, forbidden=forbidden, **said)


def _read_nulls(kwargs: Kwargs, said: dict[str, Any]) -> AnyRule:
    return NullShare(column=kwargs["column"], max_share=round(1 - float(kwargs.get("mostly", 1)), 6), **said)


def _read_statistic(name: StatisticName, kwargs: Kwargs, said: dict[str, Any]) -> AnyRule:
    return Statistic(column=kwargs["column"], statistic=name, minimum=kwargs.get("min_value"), maximum=kwargs.get("max_value"), **said)


def _read_pair(operator: str, kwargs: Kwargs, said: dict[str, Any]) -> AnyRule:
    """Compare two columns; where one lacks a value, Great Expectations takes that for a difference unless it is told otherwise."""
    left, right = _quoted(kwargs["column_A"]), _quoted(kwargs["column_B"])
    compared = f"{left} {operator}{'=' if kwargs.get('or_equal') else ''} {right}"
    otherwise = {"neither": "FALSE", "either_value_is_missing": ""}
    missing = otherwise.get(kwargs.get("ignore_row_if", ""), f"{left} IS NULL AND {right} IS NULL")
    return Condition(sql=f"COALESCE({compared}, {missing})" if missing else compared, **said)


def _read_no_match(kwargs: Kwargs, said: dict[str, Any]) -> AnyRule:
    regex = str(kwargs["regex"]).replace("'", "''")
    return Condition(sql=f"NOT REGEXP_LIKE({_quoted(kwargs['column'])}, '{regex}')", **said)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_FOR_GX = frozenset(
    {"result_format", "catch_exceptions", "include_config", "meta", "batch_id", "condition_parser"}
)  # say nothing of the data
_BOUNDS = "column min_value max_value"
_Reader = Callable[[Kwargs, dict[str, Any]], AnyRule]
# What each expectation may say, and what makes a rule of it.
_EXPECTATIONS: dict[str, tuple[str, _Reader]] = {
    "expect_column_values_to_not_be_null": ("column mostly", _read_nulls),
    "expect_column_values_to_be_between": (f"{_BOUNDS} mostly strict_min strict_max", _read_range),
    "expect_column_values_to_be_in_set": ("column mostly value_set", lambda k, s: _read_set(k, s, forbidden=False)),
    "expect_column_distinct_values_to_be_in_set": ("column value_set", lambda k, s: _read_set(k, s, forbidden=False)),
    "expect_column_values_to_not_be_in_set": ("column mostly value_set", lambda k, s: _read_set(k, s, forbidden=True)),
    "expect_column_value_lengths_to_be_between": (
        f"{_BOUNDS} mostly",
        lambda k, s: Length(column=k["column"], minimum=k.get("min_value"), maximum=k.get("max_value"), **s),
    ),
    "expect_column_value_lengths_to_equal": (
        "column mostly value",
        lambda k, s: Length(column=k["column"], minimum=k["value"], maximum=k["value"], **s),
    ),
    "expect_column_values_to_match_regex": ("column mostly regex", lambda k, s: Pattern(column=k["column"], pattern=k["regex"], **s)),
    "expect_column_values_to_not_match_regex": ("column mostly regex", _read_no_match),
    "expect_column_values_to_be_unique": ("column mostly", lambda k, s: Unique(columns=(k["column"],), **s)),
    "expect_compound_columns_to_be_unique": (
        "column_list mostly ignore_row_if",
        lambda k, s: Unique(columns=tuple(k["column_list"]), **s),
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        "column_A column_B mostly or_equal ignore_row_if",
        lambda k, s: _read_pair(">", k, s),
    ),
    "expect_column_pair_values_to_be_equal": ("column_A column_B mostly ignore_row_if", lambda k, s: _read_pair("=", k, s)),
    "expect_column_values_to_be_null": ("column mostly", lambda k, s: Condition(sql=f"{_quoted(k['column'])} IS NULL", **s)),
    "expect_table_row_count_to_be_between": (
        "min_value max_value",
        lambda k, s: RowCount(minimum=k.get("min_value") or 0, maximum=k.get("max_value"), **s),
    ),
    "expect_table_row_count_to_equal": ("value", lambda k, s: RowCount(minimum=k["value"], maximum=k["value"], **s)),
    **{expectation: (_BOUNDS, partial(_read_statistic, name)) for name, expectation in _STATISTICS.items()},
}
_ARGUMENTS = {kind: frozenset(arguments.split()) for kind, (arguments, _) in _EXPECTATIONS.items()}
_READERS = {kind: reader for kind, (_, reader) in _EXPECTATIONS.items()}
_OF_THE_TABLE = frozenset(
    {
        "expect_column_values_to_not_be_null",  # its share is a rule's own
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
        *_STATISTICS.values(),
    }
)
