"""Contracts as Open Data Contract Standard 3.1 files: written the same way every time, read with every fault named.

What the standard has a place for stands there (types, required, primary key, library metrics, relationships, service levels); what it has
none for stands where it says: `type: custom` rules of engine sampan, and customProperties for level, evidence, unit, role and known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sampan.core.refs import nearest
from sampan.data.contract import (
    LEVELS,
    LOGICAL_TYPES,
    AllowedValues,
    AnyRule,
    Column,
    Contract,
    Custom,
    Freshness,
    Level,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    Reference,
    RowCount,
    Unique,
    columns_of,
)
from sampan.data.yaml_sections import Section, read_yaml

API_VERSION = "v3.1.0"
ENGINE = "sampan"
_KEPT_AT_TOP = (
    "tenant",
    "dataProduct",
    "domain",
    "tags",
    "servers",
    "support",
    "price",
    "team",
    "roles",
    "authoritativeDefinitions",
    "contractCreatedTs",
)
_KEPT_AT_COLUMN = (
    "businessName",
    "classification",
    "tags",
    "examples",
    "criticalDataElement",
    "encryptedName",
    "partitioned",
    "partitionKeyPosition",
    "transformLogic",
    "authoritativeDefinitions",
    "logicalTypeOptions",
    "physicalName",
    "id",
)
_FRESHNESS_LEVEL = "freshnessLevel"
_RULE_PROPERTIES = ("level", "evidence")


def write_contract(contract: Contract) -> str:
    """Return the contract as YAML; equal contracts give equal text."""
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.name,
        "name": contract.name,
        "version": contract.version,
        "status": contract.status,
    }
    if contract.description:
        document["description"] = {"purpose": contract.description}
    document.update(contract.other)
    document["schema"] = [_table(contract)]
    freshness = [_freshness(rule, contract.name) for rule in contract.rules if isinstance(rule, Freshness)]
    if freshness:
        document["slaProperties"] = freshness
    # A service level of the standard takes no properties of its own.
    blocking = any(isinstance(rule, Freshness) and rule.level == "block" for rule in contract.rules)
    extras = _properties({"owner": contract.owner, _FRESHNESS_LEVEL: "block" if blocking else ""})
    if extras:
        document["customProperties"] = extras
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140, default_flow_style=False)


def read_contract(text: str, *, file: str) -> Contract:
    """Read a contract file.

    Raises
    ------
    ProjectFileError : lists every fault with its line and, for an unknown key, the nearest known one.
    """
    top, faults = read_yaml(text, file)
    version = top.text("apiVersion", required=True)
    if version and not version.startswith("v3."):
        top.fault("apiVersion", f"apiVersion {version!r} cannot be read; this program reads v3.x")
    top.text("kind", required=True, choices=("DataContract",))
    top.text("id")
    described = top.section("description")
    purpose = _read_description(described) if described else ""
    tables = top.sections("schema")
    if len(tables) != 1:
        top.fault("schema", f"schema has {len(tables)} tables; write one contract file a table")
    rules: list[AnyRule] = []
    name = top.text("name") or (tables[0].text("name") if tables else "")
    columns, key = _read_table(tables[0], rules) if tables else ((), ())
    extras = _read_properties(top)
    freshness_level = _read_level(top, {"level": extras.get(_FRESHNESS_LEVEL, "warn")})
    rules.extend(_read_freshness(section, freshness_level) for section in top.sections("slaProperties"))
    contract = Contract(
        name=name,
        version=top.text("version", "1.0.0"),
        status=top.text("status", "draft"),
        owner=str(extras.get("owner", "")),
        description=purpose,
        columns=columns,
        key=key,
        rules=tuple(rules),
        other=top.keep(_KEPT_AT_TOP),
    )
    top.finish()
    _check_columns_exist(contract, top)
    faults.raise_any()
    return contract


class _Dumper(yaml.SafeDumper):
    """Indents list items under their key, as people do, and never writes anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's signature
        super().increase_indent(flow=flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes "next line" bare or in single quotes, where reading folds it into a space.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _represent_text)


def _properties(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"property": name, "value": value} for name, value in values.items() if value not in ("", None)]


def _table(contract: Contract) -> dict[str, Any]:
    table: dict[str, Any] = {"name": contract.name, "logicalType": "object", "physicalType": "table"}
    relationships = [_relationship(rule, contract.name) for rule in contract.rules if isinstance(rule, Reference)]
    if relationships:
        table["relationships"] = relationships
    quality = [_quality(r) for r in contract.rules if isinstance(r, RowCount | Unique | NullTogether)]
    if quality:
        table["quality"] = quality
    of_columns: dict[str, list[AnyRule]] = {}
    for rule in contract.rules:
        if isinstance(rule, NullShare | AllowedValues | Range | Pattern | Custom):
            of_columns.setdefault(rule.column, []).append(rule)
    table["properties"] = [_column(column, contract, of_columns.get(column.name, [])) for column in contract.columns]
    return table


def _column(column: Column, contract: Contract, rules: list[AnyRule]) -> dict[str, Any]:
    written: dict[str, Any] = {"name": column.name, "logicalType": column.type}
    if column.physical_type:
        written["physicalType"] = column.physical_type
    if column.required:
        written["required"] = True
    if column.name in contract.key:
        written["primaryKey"] = True
        written["primaryKeyPosition"] = contract.key.index(column.name) + 1
    if column.description:
        written["description"] = column.description
    written.update(column.other)
    if rules:
        written["quality"] = [_quality(rule) for rule in rules]
    extras = _properties({"unit": column.unit, "role": column.role, "known": column.known})
    if extras:
        written["customProperties"] = extras
    return written


def _quality(rule: AnyRule) -> dict[str, Any]:
    match rule:
        case NullShare(max_share=share):
            body = {"type": "library", "metric": "nullValues", "mustBeLessOrEqualTo": round(share * 100, 6), "unit": "percent"}
        case AllowedValues(values=values):
            body = {"type": "library", "metric": "invalidValues", "arguments": {"validValues": list(values)}, "mustBe": 0}
        case Pattern(pattern=pattern):
            body = {"type": "library", "metric": "invalidValues", "arguments": {"pattern": pattern}, "mustBe": 0}
        case RowCount(minimum=minimum):
            body = {"type": "library", "metric": "rowCount", "mustBeGreaterOrEqualTo": minimum}
        case Unique(columns=columns):
            body = {"type": "library", "metric": "duplicateValues", "arguments": {"properties": list(columns)}, "mustBe": 0}
        case Range(minimum=low, maximum=high):
            bounds = {k: v for k, v in (("minimum", low), ("maximum", high)) if v is not None}
            body = {"type": "custom", "engine": ENGINE, "implementation": {"check": "range", **bounds}}
        case NullTogether(columns=columns):
            body = {"type": "custom", "engine": ENGINE, "implementation": {"check": "null_together", "columns": list(columns)}}
        case Custom(name=name, parameters=parameters):
            body = {"type": "custom", "engine": ENGINE, "implementation": {"check": name, **parameters}}
        case _:  # pragma: no cover
            raise AssertionError(rule)
    return body | _level_and_why(rule)


def _level_and_why(rule: AnyRule) -> dict[str, Any]:
    why = {"description": rule.why} if rule.why else {}
    level = "" if isinstance(rule, Custom) and not rule.has_level else rule.level
    extras = _properties({"level": level, "evidence": rule.evidence})
    return {**why, "customProperties": extras} if extras else why


def _relationship(rule: Reference, name: str) -> dict[str, Any]:
    ends = {"from": [f"{name}.{c}" for c in rule.columns], "to": [f"{rule.table}.{c}" for c in rule.to_columns]}
    extras = _properties({"level": rule.level, "evidence": rule.evidence, "why": rule.why})
    return {"type": "foreignKey", **ends, "customProperties": extras}


def _freshness(rule: Freshness, name: str) -> dict[str, Any]:
    described = {"description": rule.why} if rule.why else {}
    return {"property": "freshness", "value": rule.max_hours, "unit": "h", "element": f"{name}.{rule.column}", **described}


def _read_description(section: Section) -> str:
    purpose = section.text("purpose")
    section.keep(("limitations", "usage", "authoritativeDefinitions", "customProperties"))
    section.finish()
    return purpose


def _read_properties(section: Section, known: Sequence[str] = ()) -> dict[str, Any]:
    found = {}
    for item in section.sections("customProperties"):
        name = item.text("property", required=True)
        found[name] = item.anything("value")
        item.keep(("description", "id"))
        item.finish()
        if known and name not in known:
            close = nearest(name, known, n=1)
            item.fault(
                "property", f"unknown property {name!r}" + (f"; did you mean {close[0]}?" if close else "; one of " + ", ".join(known))
            )
    return found


def _read_level(section: Section, extras: Mapping[str, Any], default: Level = "warn") -> Level:
    level = extras.get("level", default)
    for known in LEVELS:
        if level == known:
            return known
    section.fault("customProperties", f"level is {level!r}; one of {', '.join(LEVELS)}")
    return default


def _read_table(table: Section, rules: list[AnyRule]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    table.text("name", required=True)
    table.keep(("logicalType", "physicalType", "physicalName", "description", "businessName", "tags", "dataGranularityDescription", "id"))
    table.keep(("authoritativeDefinitions", "customProperties"))
    rules.extend(_read_relationship(section) for section in table.sections("relationships"))
    rules.extend(rule for section in table.sections("quality") if (rule := _read_quality(section, "")) is not None)
    columns: list[Column] = []
    positions: dict[str, int] = {}
    for section in table.sections("properties"):
        column, position = _read_column(section, rules)
        if column.name in {c.name for c in columns}:
            section.fault("name", f"column {column.name!r} stands twice")
        columns.append(column)
        if position:
            positions[column.name] = position
    table.finish()
    return tuple(columns), tuple(sorted(positions, key=lambda name: positions[name]))


def _read_column(section: Section, rules: list[AnyRule]) -> tuple[Column, int]:
    name = section.text("name", required=True)
    is_key = section.flag("primaryKey")
    position = section.number("primaryKeyPosition")
    extras = _read_properties(section, ("unit", "role", "known"))
    column = Column(
        name=name,
        type=section.text("logicalType", "string", required=True, choices=LOGICAL_TYPES),
        physical_type=section.text("physicalType"),
        required=section.flag("required"),
        description=section.text("description"),
        unit=str(extras.get("unit", "")),
        role=str(extras.get("role", "")),
        known=str(extras.get("known", "")),
        other=section.keep(_KEPT_AT_COLUMN),
    )
    rules.extend(rule for item in section.sections("quality") if (rule := _read_quality(item, name)) is not None)
    if section.flag("unique") and not is_key:
        rules.append(Unique(columns=(name,), level="block"))
    section.finish()
    return column, (int(position or 1) if is_key else 0)


def _read_quality(section: Section, column: str) -> AnyRule | None:
    extras = _read_properties(section, _RULE_PROPERTIES)
    common: dict[str, Any] = {
        "level": _read_level(section, extras),
        "evidence": str(extras.get("evidence", "")),
        "why": section.text("description"),
    }
    section.keep(("name", "dimension", "severity", "businessImpact", "tags", "id", "schedule", "scheduler", "method"))
    kind = section.text("type", "library", choices=("library", "custom", "text", "sql"))
    if kind == "text":
        section.rest()
        return None  # for people
    if kind == "sql":
        section.fault("type", "SQL rules are not run; write a library metric or a check plug-in")
        return None
    if kind == "custom":
        rule = _read_custom(section, column, common, has_level="level" in extras)
    else:
        rule = _read_library(section, column, common)
    section.finish()
    return rule


def _read_library(section: Section, column: str, common: dict[str, Any]) -> AnyRule | None:
    metric = section.text("metric", required=True, choices=("nullValues", "invalidValues", "duplicateValues", "rowCount"))
    unit = section.text("unit", choices=("percent", "rows"))
    limit, least = section.number("mustBeLessOrEqualTo"), section.number("mustBeGreaterOrEqualTo")
    exact = section.number("mustBe")
    arguments = section.section("arguments")
    if metric == "nullValues":
        return _null_share(section, column, limit if limit is not None else exact, unit, common)
    if metric == "rowCount":
        if least is None:
            section.fault("metric", "rowCount needs mustBeGreaterOrEqualTo")
        return RowCount(minimum=int(least or 0), **common)
    if metric == "duplicateValues":
        columns = arguments.texts("properties") if arguments else ()
        return Unique(columns=columns or (column,), **common)
    if metric == "invalidValues" and arguments:
        return _invalid_values(section, arguments, column, common)
    if metric:
        section.fault("arguments", "invalidValues needs arguments with validValues or pattern")
    return None


def _null_share(section: Section, column: str, limit: float | None, unit: str, common: dict[str, Any]) -> AnyRule | None:
    if limit is None:
        section.fault("metric", "nullValues needs mustBeLessOrEqualTo (with unit: percent) or mustBe: 0")
        return None
    if unit != "percent" and limit != 0:
        section.fault("unit", "nullValues is compared in percent; write unit: percent")
    if not 0 <= limit <= 100:
        section.fault("mustBeLessOrEqualTo", f"{limit:g} is no percentage; 0 to 100")
    return NullShare(column=column, max_share=limit / 100, **common)


def _invalid_values(section: Section, arguments: Section, column: str, common: dict[str, Any]) -> AnyRule | None:
    values, pattern = arguments.anything("validValues"), arguments.text("pattern")
    arguments.finish()
    if isinstance(values, list):
        if not all(isinstance(value, str | int | float) for value in values):
            arguments.fault("validValues", "validValues holds something that is no text, number or truth value; write '…' around it")
        return AllowedValues(column=column, values=tuple(values), **common)
    if pattern:
        return Pattern(column=column, pattern=pattern, **common)
    section.fault("arguments", "invalidValues needs arguments with validValues (a list) or pattern")
    return None


def _read_custom(section: Section, column: str, common: dict[str, Any], *, has_level: bool) -> AnyRule | None:
    section.text("engine", required=True, choices=(ENGINE,))
    implementation = section.section("implementation")
    if implementation is None:
        section.fault("implementation", "a custom rule needs implementation: {check: …}")
        return None
    check = implementation.text("check", required=True)
    if check == "range":
        rule: AnyRule = Range(column=column, minimum=implementation.number("minimum"), maximum=implementation.number("maximum"), **common)
    elif check == "null_together":
        rule = NullTogether(columns=implementation.texts("columns"), **common)
    else:
        rule = Custom(column=column, name=check, parameters=implementation.rest(), has_level=has_level, **common)
    implementation.finish()
    return rule


def _read_relationship(section: Section) -> Reference:
    section.text("type", "foreignKey", choices=("foreignKey",))
    sources, targets = section.texts("from"), section.texts("to")
    if len(sources) != len(targets) or not sources:
        section.fault("to", f"a relationship needs as many columns in `to` as in `from`; it has {len(targets)} and {len(sources)}")
    tables = {t.partition(".")[0] for t in targets if "." in t}
    if len(tables) != 1:
        section.fault("to", "write each of `to` as table.column, all of one table")
    extras = _read_properties(section, (*_RULE_PROPERTIES, "why"))
    section.keep(("description",))
    section.finish()
    return Reference(
        columns=tuple(s.partition(".")[2] or s for s in sources),
        table=next(iter(sorted(tables)), ""),
        to_columns=tuple(t.partition(".")[2] for t in targets),
        level=_read_level(section, extras),
        evidence=str(extras.get("evidence", "")),
        why=str(extras.get("why", "")),
    )


def _read_freshness(section: Section, level: Level) -> Freshness:
    section.text("property", required=True, choices=("freshness",))
    hours = section.number("value", required=True) or 0
    unit = section.text("unit", "h", choices=("h", "d"))
    element = section.text("element", required=True)
    why = section.text("description")
    section.keep(("driver", "valueExt", "schedule", "scheduler", "id"))
    section.finish()
    return Freshness(column=element.rpartition(".")[2], max_hours=hours * (24 if unit == "d" else 1), level=level, why=why)


def _check_columns_exist(contract: Contract, top: Section) -> None:
    known = [c.name for c in contract.columns]
    for rule in contract.rules:
        for column in columns_of(rule):
            if column not in known:
                close = nearest(column, known, n=1)
                top.fault(
                    "schema", f"a rule names column {column!r}, which is not a property" + (f"; did you mean {close[0]}?" if close else "")
                )
