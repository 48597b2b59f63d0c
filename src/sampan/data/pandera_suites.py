"""Pandera schemas as the YAML or JSON that Pandera writes and reads itself (`DataFrameSchema.to_yaml`, `from_yaml`).

Pandera has no share of rows that may break a check, no warnings for missing or repeated values, and nothing about a whole table beyond
uniqueness; such rules are left out and named. Schemas of its Polars and pandas backends are read; Polars ones are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import yaml

from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Column,
    Contract,
    Length,
    Level,
    NullShare,
    Pattern,
    Range,
    Unique,
    all_rules,
)
from sampan.data.rule_words import describe
from sampan.data.rules_yaml import fault_in_pattern
from sampan.data.suites import Suite, Written
from sampan.errors import ProjectFileError

_DTYPES = {
    "integer": "Int64",
    "number": "Float64",
    "string": "String",
    "boolean": "Boolean",
    "date": "Date",
    "timestamp": "Datetime(time_unit='us', time_zone=None)",
    "time": "Time",
}
_LOGICAL = (
    (r"u?int\d*", "integer"),
    (r"float\d*|decimal.*|double", "number"),
    (r"bool(ean)?", "boolean"),
    (r"date", "date"),
    (r"datetime.*|timestamp.*", "timestamp"),
    (r"time", "time"),
    (r"(list|array).*", "array"),
    (r"struct.*", "object"),
)
_OF_A_COLUMN = frozenset(
    {"title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required", "regex", "default"}
)
_IGNORED_OF_A_COLUMN = frozenset({"report_duplicates", "drop_invalid_rows"})
_NOT_TAKEN_OF_THE_TABLE = ("checks", "index", "transform", "strict", "ordered", "coerce", "add_missing_columns", "drop_invalid_rows")
_NOT_TAKEN_OF_A_COLUMN = ("coerce", "default", "drop_invalid_rows")
_OPTIONS = frozenset({"check_name", "ignore_na", "raise_warning", "n_failure_cases", "groupby", "groups", "error", "name"})
_LIMITS = {
    "greater_than": ("minimum", True),
    "greater_than_or_equal_to": ("minimum", False),
    "less_than": ("maximum", True),
    "less_than_or_equal_to": ("maximum", False),
}


def write_pandera(contract: Contract) -> Written:
    """Write a contract as a schema of Pandera's Polars backend."""
    left_out: list[str] = []
    columns: dict[str, dict[str, Any]] = {column.name: _column(column) for column in contract.columns}
    unique: list[str] = []
    n_rules = len(columns)
    for rule in all_rules(contract):
        if (
            isinstance(rule, Unique)
            and rule.level == "block"
            and not (rule.tolerance or rule.tolerated)
            and (len(rule.columns) == 1 or not unique)
        ):
            unique = [*rule.columns] if len(rule.columns) > 1 else unique
            if len(rule.columns) == 1:
                columns[rule.columns[0]]["unique"] = True
        elif isinstance(rule, NullShare) and rule.max_share == rule.tolerated == 0 and rule.level == "block" and not rule.also:
            columns[rule.column]["nullable"] = False
        elif isinstance(rule, AllowedValues | Range | Length | Pattern) and (check := _check(rule)) is not None:
            columns[rule.column].setdefault("checks", []).append(check)
        else:
            left_out.append(describe(rule))
            continue
        n_rules += 1
    document: dict[str, Any] = {
        "schema_type": "polars_dataframe",
        "api": "polars",
        "name": contract.name,
        "columns": columns,
        "checks": None,
    }
    if contract.description:
        document["description"] = contract.description
    if unique:
        document["unique"] = unique
    return Written(text=yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140), n_rules=n_rules, left_out=tuple(left_out))


def _column(column: Column) -> dict[str, Any]:
    written: dict[str, Any] = {"dtype": column.physical_type or _DTYPES.get(column.type), "nullable": True, "required": True}
    if column.description:
        written["description"] = column.description
    return written


def _check(rule: AllowedValues | Range | Length | Pattern) -> dict[str, Any] | None:
    if rule.tolerance or rule.tolerated:
        return None
    options = {"raise_warning": True} if rule.level == "warn" else {}
    match rule:
        case AllowedValues(values=values, forbidden=forbidden):
            return {"value": list(values), "options": {"check_name": "notin" if forbidden else "isin", **options}}
        case Range(minimum=low, maximum=high, beyond=beyond) if not isinstance(low, str) and not isinstance(high, str):
            if low is not None and high is not None:
                sides = {"include_min": "minimum" not in beyond, "include_max": "maximum" not in beyond}
                return {"min_value": low, "max_value": high, **sides, "options": {"check_name": "in_range", **options}}
            side, bound = ("minimum", low) if low is not None else ("maximum", high)
            name = next(name for name, limit in _LIMITS.items() if limit == (side, side in beyond))
            return None if bound is None else {"value": bound, "options": {"check_name": name, **options}}
        case Length(minimum=low, maximum=high):
            return {"min_value": low, "max_value": high, "options": {"check_name": "str_length", **options}}
        case Pattern(pattern=pattern):
            name = "str_matches" if pattern.startswith("^") else "str_contains"
            return {"value": pattern, "options": {"check_name": name, **options}}
    return None


def read_pandera(text: str, *, file: str) -> Suite:
    """Read a schema file of Pandera.

    Raises
    ------
    ProjectFileError : it is not YAML or JSON, or no schema of a data frame.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as cause:
        raise ProjectFileError(f"{file} is not YAML: {cause}", file=file, hint="write it with DataFrameSchema.to_yaml") from cause
    if not isinstance(document, dict) or not isinstance(document.get("columns"), dict):
        raise ProjectFileError(
            f"{file} is no schema of Pandera: it has no columns", file=file, hint="write it with DataFrameSchema.to_yaml"
        )
    left_out = [f"{key} of the table" for key in _NOT_TAKEN_OF_THE_TABLE if document.get(key)]
    columns: list[Column] = []
    rules: list[AnyRule] = []
    for name, said in document["columns"].items():
        body = said if isinstance(said, dict) else {}
        if body.get("regex"):
            left_out.append(f"columns that look like {name}")
            continue
        columns.append(_read_column(str(name), body))
        left_out.extend(f"{key} of {name}" for key in _NOT_TAKEN_OF_A_COLUMN if body.get(key) not in (None, False))
        if body.get("required") is False:
            left_out.append(f"required: false of {name}: a contract's columns are there")
        if body.get("unique"):
            rules.append(Unique(columns=(str(name),), level="block"))
        for check, statistics, level in _checks(body):
            rule = _read_check(str(name), check, statistics, level)
            fault = fault_in_pattern(rule.pattern) if isinstance(rule, Pattern) else ""
            if rule is None or fault:
                left_out.append(f"{check} of {name}" + (f": the pattern is none here: {fault}" if fault else ""))
            else:
                rules.append(rule)
    together = document.get("unique")
    if together:
        rules.append(Unique(columns=(together,) if isinstance(together, str) else tuple(together), level="block"))
    return Suite(columns=tuple(columns), rules=tuple(rules), left_out=tuple(left_out))


def _read_column(name: str, body: Mapping[str, Any]) -> Column:
    dtype = str(body.get("dtype") or "")
    kind = next((kind for pattern, kind in _LOGICAL if re.fullmatch(pattern, dtype.lower())), "string" if dtype else "")
    return Column(name=name, type=kind, required=not body.get("nullable", False), description=str(body.get("description") or ""))


def _checks(body: Mapping[str, Any]) -> Iterator[tuple[str, Any, Level]]:
    """Return each check of a column with its numbers and level: Pandera writes them as a list, or by name where nothing else is said."""
    listed = body.get("checks") or []
    for entry in listed if isinstance(listed, list) else []:
        options = entry.get("options", {})
        yield _told(str(options.get("check_name", "a check")), {key: value for key, value in entry.items() if key != "options"}, options)
    by_name = {**body, **(listed if isinstance(listed, dict) else {})}
    for name, said in by_name.items():
        if name not in _OF_A_COLUMN | _IGNORED_OF_A_COLUMN:
            yield _told(name, said, said if isinstance(said, dict) else {})


def _told(check: str, said: Any, options: Mapping[str, Any]) -> tuple[str, Any, Level]:
    if isinstance(said, dict):
        numbers = {key: value for key, value in said.items() if key not in _OPTIONS}
        said = numbers["value"] if [*numbers] == ["value"] else numbers
    return check, said, "warn" if options.get("raise_warning") else "block"


def _read_check(column: str, check: str, said: Any, level: Level) -> AnyRule | None:
    values = _listed(said)
    match check:
        case "isin" | "notin" if values is not None:
            return AllowedValues(column=column, values=values, forbidden=check == "notin", level=level)
        case "equal_to":
            return AllowedValues(column=column, values=(_bound(said),), level=level)
        case "not_equal_to":
            return AllowedValues(column=column, values=(_bound(said),), forbidden=True, level=level)
        case "in_range" | "between" if isinstance(said, dict):
            sides = (*(() if said.get("include_min", True) else ("minimum",)), *(() if said.get("include_max", True) else ("maximum",)))
            low, high = _bound(said.get("min_value")), _bound(said.get("max_value"))
            return Range(column=column, minimum=low, maximum=high, beyond=sides, level=level)
        case "str_length" if isinstance(said, dict | int):
            limits = said if isinstance(said, dict) else {"exact_value": said}  # a number alone is an exact length
            exact = limits.get("exact_value")
            shortest, longest = (exact, exact) if exact is not None else (limits.get("min_value"), limits.get("max_value"))
            return Length(column=column, minimum=shortest, maximum=longest, level=level)
        case "str_matches" | "str_contains" | "str_startswith" | "str_endswith":
            return Pattern(column=column, pattern=_pattern(check, str(said)), level=level)
    if check in _LIMITS:
        side, beyond = _LIMITS[check]
        return Range(column=column, beyond=(side,) if beyond else (), level=level, **{side: _bound(said)})  # type: ignore[arg-type]
    return None


def _listed(said: Any) -> tuple[Any, ...] | None:
    listed = said.get("allowed_values", said.get("forbidden_values")) if isinstance(said, dict) else said
    return tuple(_bound(value) for value in listed) if isinstance(listed, list) else None


def _pattern(check: str, said: str) -> str:
    if check == "str_startswith":
        return "^" + re.escape(said)
    if check == "str_endswith":
        return re.escape(said) + "$"
    return said if check == "str_contains" or said.startswith("^") else f"^(?:{said})"


def _bound(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value
