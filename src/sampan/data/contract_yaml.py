"""Contracts as Open Data Contract Standard 3.1 files: written the same way every time, read with every fault named.

What the standard has a place for stands there (types, required, primary key, relationships, service levels); what it has none for stands
where it says: customProperties for unit, role, pii, licence and known. `rules_yaml` writes and reads the rules. What the standard has and
Sampan does not judge stays in the file: `revise_contract` changes only what differs, comments and order included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from sampan.core.refs import nearest
from sampan.data.contract import LOGICAL_TYPES, ROLES, AnyRule, Column, ColumnRule, Contract, Freshness, Reference, Unique, columns_of
from sampan.data.rules_yaml import (
    RULE_PROPERTIES,
    fault_in_pattern,
    properties,
    read_common,
    read_properties,
    read_quality,
    read_tolerance,
    read_tolerated,
    rule_properties,
    write_quality,
)
from sampan.data.yaml_edits import revise, write_yaml
from sampan.data.yaml_sections import Section, read_yaml

API_VERSION = "v3.1.0"
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
    "slaDefaultElement",
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
    "transformSourceObjects",
    "transformDescription",
    "authoritativeDefinitions",
    "logicalTypeOptions",
    "physicalName",
    "id",
    "items",
    "properties",
)
_SERVICE_LEVELS = "slaProperties"
_HOURS = {"h": 1, "hour": 1, "hours": 1, "d": 24, "day": 24, "days": 24}
_FRESHNESS = "freshness"  # what a service level of the standard has no place for: {column: {level: …}}
_DRAFTED = "drafted"
_OF_THE_CONTRACT = ("owner", "licence", _FRESHNESS, _DRAFTED)
_OF_A_COLUMN = ("unit", "role", "pii", "known")
_COLUMN_RULES = get_args(ColumnRule)


def write_contract(contract: Contract) -> str:
    """Return the contract as YAML; equal contracts give equal text."""
    return write_yaml(_document(contract))


def revise_contract(text: str, before: Contract, after: Contract) -> str:
    """Return the text of a contract with just that changed in which `after` differs from `before`, which was read from it."""
    return revise(text, _document(before), _document(after))


def _document(contract: Contract) -> dict[str, Any]:
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
    document.update({name: value for name, value in contract.other.items() if name != _SERVICE_LEVELS})
    document["schema"] = [_table(contract)]
    freshness = [rule for rule in contract.rules if isinstance(rule, Freshness)]
    levels = [*(_freshness(rule, contract.table or contract.name) for rule in freshness), *contract.other.get(_SERVICE_LEVELS, [])]
    if levels:
        document[_SERVICE_LEVELS] = levels
    said = {rule.column: _plain(rule_properties(rule)) for rule in freshness}
    known = {"owner": contract.owner, "licence": contract.licence, _FRESHNESS: said or None, _DRAFTED: " ".join(contract.drafted)}
    extras = properties({**known, **contract.properties})
    if extras:
        document["customProperties"] = extras
    return document


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
    table = tables[0].text("name") if tables else ""
    name = top.text("name") or table
    columns, key = _read_table(tables[0], rules) if tables else ((), ())
    extras = read_properties(top, _OF_THE_CONTRACT, keep=True)
    levels = _read_service_levels(top, extras.get(_FRESHNESS), rules)
    contract = Contract(
        name=name,
        version=top.text("version", "1.0.0"),
        status=top.text("status", "draft"),
        owner=str(extras.get("owner", "")),
        description=purpose,
        licence=str(extras.get("licence", "")),
        columns=columns,
        key=key,
        rules=tuple(rules),
        properties={name: value for name, value in extras.items() if name not in _OF_THE_CONTRACT},
        other={**top.keep(_KEPT_AT_TOP), **({_SERVICE_LEVELS: levels} if levels else {})},
        drafted=tuple(str(extras.get(_DRAFTED, "")).split()),
        table="" if table == name else table,
    )
    top.finish()
    _check_columns_exist(contract, top)
    faults.raise_any()
    return contract


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in ("", None)}


def _table(contract: Contract) -> dict[str, Any]:
    table: dict[str, Any] = {"name": contract.table or contract.name, "logicalType": "object", "physicalType": "table"}
    relationships = [_relationship(rule, table["name"]) for rule in contract.rules if isinstance(rule, Reference)]
    if relationships:
        table["relationships"] = relationships
    of_columns: dict[str, list[AnyRule]] = {}
    quality = []
    for rule in contract.rules:
        if isinstance(rule, _COLUMN_RULES) and rule.column:
            of_columns.setdefault(rule.column, []).append(rule)
        elif not isinstance(rule, Reference | Freshness):
            quality.append(write_quality(rule))
    if quality:
        table["quality"] = quality
    table["properties"] = [_column(column, contract, of_columns.get(column.name, [])) for column in contract.columns]
    return table


def _column(column: Column, contract: Contract, rules: list[AnyRule]) -> dict[str, Any]:
    written: dict[str, Any] = {"name": column.name, **({"logicalType": column.type} if column.type else {})}
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
        written["quality"] = [write_quality(rule) for rule in rules]
    extras = properties({name: getattr(column, name) for name in _OF_A_COLUMN} | column.properties)
    if extras:
        written["customProperties"] = extras
    return written


def _relationship(rule: Reference, name: str) -> dict[str, Any]:
    ends = {"from": [f"{name}.{c}" for c in rule.columns], "to": [f"{rule.table}.{c}" for c in rule.to_columns]}
    return {"type": "foreignKey", **ends, "customProperties": properties({**rule_properties(rule), "why": rule.why})}


def _freshness(rule: Freshness, name: str) -> dict[str, Any]:
    described = {"description": rule.why} if rule.why else {}
    return {"property": "freshness", "value": rule.max_hours, "unit": "h", "element": f"{name}.{rule.column}", **described}


def _read_description(section: Section) -> str:
    purpose = section.text("purpose")
    section.keep(("limitations", "usage", "authoritativeDefinitions", "customProperties"))
    section.finish()
    return purpose


def _read_table(table: Section, rules: list[AnyRule]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    table.text("name", required=True)
    table.keep(("logicalType", "physicalType", "physicalName", "description", "businessName", "tags", "dataGranularityDescription", "id"))
    table.keep(("authoritativeDefinitions", "customProperties"))
    rules.extend(_read_relationship(section) for section in table.sections("relationships"))
    rules.extend(rule for section in table.sections("quality") if (rule := read_quality(section, "")) is not None)
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
    extras = read_properties(section, _OF_A_COLUMN, keep=True)
    column = Column(
        name=name,
        type=section.text("logicalType", choices=LOGICAL_TYPES),
        physical_type=section.text("physicalType"),
        required=section.flag("required"),
        description=section.text("description"),
        unit=str(extras.get("unit", "")),
        role=_read_role(section, str(extras.get("role", ""))),
        pii=str(extras.get("pii", "")),
        known=str(extras.get("known", "")),
        properties={name: value for name, value in extras.items() if name not in _OF_A_COLUMN},
        other=section.keep(_KEPT_AT_COLUMN),
    )
    rules.extend(rule for item in section.sections("quality") if (rule := read_quality(item, name)) is not None)
    rules.extend(_read_relationship(item, name) for item in section.sections("relationships"))
    options = column.other.get("logicalTypeOptions")
    if isinstance(options, dict) and (fault := fault_in_pattern(str(options.get("pattern") or ""))):
        section.fault("logicalTypeOptions", f"pattern {options['pattern']!r} is none: {fault}")
    if section.flag("unique") and not is_key:
        rules.append(Unique(columns=(name,), level="block"))
    section.finish()
    return column, (int(position or 1) if is_key else 0)


def _read_role(section: Section, role: str) -> str:
    if role and role not in ROLES:
        close = nearest(role, ROLES, n=1)
        section.fault("customProperties", f"role is {role!r}; " + (f"did you mean {close[0]}?" if close else f"one of {', '.join(ROLES)}"))
    return role


def _read_relationship(section: Section, column: str = "") -> Reference:
    """Read a relationship of the table, or of a column, which needs no `from`."""
    section.text("type", "foreignKey", choices=("foreignKey",))
    sources, targets = section.texts("from") or ((column,) if column else ()), section.texts("to")
    if len(sources) != len(targets) or not sources:
        section.fault("to", f"a relationship needs as many columns in `to` as in `from`; it has {len(targets)} and {len(sources)}")
    tables = {t.partition(".")[0] for t in targets if "." in t}
    if len(tables) != 1:
        section.fault("to", "write each of `to` as table.column, all of one table")
    extras = read_properties(section, (*RULE_PROPERTIES, "why"), keep=True)
    section.keep(("description", "id"))
    section.finish()
    return Reference(
        columns=tuple(s.partition(".")[2] or s for s in sources),
        table=next(iter(sorted(tables)), ""),
        to_columns=tuple(t.partition(".")[2] for t in targets),
        tolerance=read_tolerance(section, extras),
        tolerated=read_tolerated(section, extras),
        **read_common(section, extras, str(extras.get("why", ""))),
    )


def _read_service_levels(top: Section, said: Any, rules: list[AnyRule]) -> list[dict[str, Any]]:
    """Read the service levels: freshness is a rule, the others are returned as they are, to be kept."""
    kept = []
    default = top.text("slaDefaultElement")
    for section in top.sections(_SERVICE_LEVELS):
        name = section.text("property", required=True)
        if name == _FRESHNESS or nearest(name, (_FRESHNESS,), n=1):
            rules.append(_read_freshness(section, said if isinstance(said, dict) else {}, default))
        else:
            kept.append(section.whole())
    return kept


def _read_freshness(section: Section, said: Mapping[str, Any], default: str) -> Freshness:
    section.text("property", required=True, choices=(_FRESHNESS,))
    hours = section.number("value", required=True) or 0
    unit = section.text("unit", "h", choices=tuple(_HOURS))
    column = section.text("element", default, required=not default).rpartition(".")[2]
    extras = said.get(column, {})
    common = read_common(section, extras if isinstance(extras, dict) else {}, section.text("description"))
    section.keep(("driver", "valueExt", "schedule", "scheduler", "id"))
    section.finish()
    return Freshness(column=column, max_hours=hours * _HOURS[unit], **common)


def _check_columns_exist(contract: Contract, top: Section) -> None:
    known = [c.name for c in contract.columns]
    for rule in contract.rules:
        for column in columns_of(rule):
            if column not in known:
                close = nearest(column, known, n=1)
                top.fault(
                    "schema", f"a rule names column {column!r}, which is not a property" + (f"; did you mean {close[0]}?" if close else "")
                )
