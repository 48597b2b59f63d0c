"""Croissant 1.1 (MLCommons): a table described as JSON-LD, and such a description read.

Written are the file with its SHA-256, a record set with every column's type, key and references, the label, where the table came from
(PROV-O) and what it may be used for (ODRL). Read are tables in files that lie beside the description; what is not a table (images in
archives, inline data) is named, never guessed at. The specification: http://mlcommons.org/croissant/1.1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from sampan.errors import DataFormatError

VERSION: Final = "http://mlcommons.org/croissant/1.1"
PARQUET: Final = "application/x-parquet"
_READABLE: Final = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    PARQUET: "parquet",
    "application/vnd.apache.parquet": "parquet",
    "application/jsonlines": "jsonl",
    "application/x-ndjson": "jsonl",
}
_SPDX: Final = "https://spdx.org/licenses/"
# The context that mlcroissant 1.1 calls standard, and two vocabularies the specification recommends.
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in ("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field")},
    **{name: f"cr:{name}" for name in ("fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset")},
    **{name: f"cr:{name}" for name in ("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated")},
    **{name: f"cr:{name}" for name in ("replace", "samplingRate", "separator", "source", "subField", "transform")},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TERMS: Final = "urn:sampan:terms"  # written whole: a context with words of ours would be none of the standard's
_TYPES: Final = {
    "String": "sc:Text",
    "Categorical": "sc:Text",
    "Enum": "sc:Text",
    "Boolean": "sc:Boolean",
    "Date": "sc:Date",
    "Datetime": "sc:DateTime",
    "Time": "sc:Time",
    "Float32": "cr:Float32",
    "Float64": "cr:Float64",
    "Decimal": "sc:Number",
    **{name: f"cr:{name}" for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")},
}
_KINDS: Final = {  # the type a column is read as where a text file is read; other types are found out
    "Text": "text",
    "Boolean": "boolean",
    "Date": "date",
    "DateTime": "timestamp",
    "Integer": "integer",
    "Float": "number",
    "Number": "number",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A column."""

    name: str
    type: str  # as Polars names it
    description: str = ""
    is_label: bool = False
    references: tuple[str, str] | None = None  # another dataset and its column


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a table may be used for. Empty = not said."""

    license: str = ""  # its SPDX name, or an address
    conditions: str = ""
    purposes: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    expires: str = ""
    personal: tuple[str, ...] = ()  # columns with the class of their personal data, such as "mail: email"
    more: dict[str, Any] = {}  # terms the standard has no words for, JSON-able; kept as they are


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A table version and its file."""

    name: str
    version: int
    file: str
    sha256: str
    size_bytes: int
    fields: tuple[Field, ...]
    made: str = ""  # 2026-11-21
    description: str = ""
    owner: str = ""
    key: tuple[str, ...] = ()
    came_from: tuple[str, ...] = ()
    usage: Usage = Usage()


class TableRead(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a description speaks of."""

    name: str
    location: str  # contentUrl
    sha256: str
    format: str  # csv | parquet | jsonl
    columns: dict[str, str]  # the file's column -> the field's name
    kinds: dict[str, str]  # the file's column -> the type it is declared to have
    key: tuple[str, ...] = ()
    description: str = ""


class DescriptionRead(msgspec.Struct, frozen=True, kw_only=True):
    """What a description says."""

    name: str
    version: str
    description: str
    owner: str
    conforms_to: str
    usage: Usage
    tables: tuple[TableRead, ...]
    left_out: tuple[str, ...]  # what is no table in a file, with the reason


def write(described: Described) -> dict[str, Any]:
    """Describe a table; the result is JSON-able."""
    name = described.name
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": name,
        "description": described.description or f"{name}, version {described.version}",
        "version": f"{described.version}.0.0",
    }
    if described.made:
        document |= {"datePublished": described.made}
    if described.owner:
        document |= {"creator": {"@type": "sc:Organization", "name": described.owner}}
    if described.came_from:
        document |= {"prov:wasDerivedFrom": [{"@id": f"urn:sampan:{origin}"} for origin in described.came_from]}
    document |= _usage(described.usage)
    document["distribution"] = [
        {
            "@type": "cr:FileObject",
            "@id": described.file,
            "name": described.file,
            "contentUrl": described.file,
            "contentSize": f"{described.size_bytes} B",
            "encodingFormat": PARQUET,
            "sha256": described.sha256,
        }
    ]
    record_set: dict[str, Any] = {"@type": "cr:RecordSet", "@id": name, "name": name}
    if described.key:
        record_set["key"] = [{"@id": f"{name}/{column}"} for column in described.key]
    record_set["field"] = [_field(name, described.file, field) for field in described.fields]
    document["recordSet"] = [record_set]
    return document


def read(document: Any, *, file: str) -> DescriptionRead:
    """Read a description.

    Raises
    ------
    DataFormatError : not a Croissant description, or no table in it can be read; names all it speaks of.
    """
    if not isinstance(document, dict) or "Dataset" not in _words(document.get("@type")):
        raise DataFormatError(f"{file} is no Croissant description: its @type is not Dataset", source=file, hint="give a croissant.json")
    conforms_to = next((text for text in _texts(_get(document, "conformsTo")) if "croissant" in text), "")
    if not conforms_to:
        hint = f'it should say "conformsTo": "{VERSION}"'
        raise DataFormatError(f"{file} does not say which version of Croissant it conforms to", source=file, hint=hint)
    files = {str(each.get("@id")): each for each in _many(_get(document, "distribution")) if isinstance(each, dict)}
    tables, left_out = [], []
    for record_set in _many(_get(document, "recordSet")):
        found = _table(record_set, files)
        if isinstance(found, str):
            left_out.append(found)
        else:
            tables.append(found)
    if not tables:
        what = "; ".join(left_out) or "it has no record set"
        raise DataFormatError(
            f"{file} describes no table that can be read: {what}", source=file, hint="tables are CSV, Parquet or JSON lines"
        )
    return DescriptionRead(
        name=_text(_get(document, "name")),
        version=_text(_get(document, "version")),
        description=_text(_get(document, "description")),
        owner=next((_text(_get(each, "name")) for each in _many(_get(document, "creator")) if isinstance(each, dict)), ""),
        conforms_to=conforms_to,
        usage=_read_usage(document),
        tables=tuple(tables),
        left_out=tuple(left_out),
    )


# -- writing


def _field(record_set: str, file: str, field: Field) -> dict[str, Any]:
    kind = _TYPES.get(field.type.partition("(")[0], "sc:Text")
    written: dict[str, Any] = {"@type": "cr:Field", "@id": f"{record_set}/{field.name}", "name": field.name}
    if field.description:
        written["description"] = field.description
    written["dataType"] = [kind, "cr:Label"] if field.is_label else kind
    written["source"] = {"fileObject": {"@id": file}, "extract": {"column": field.name}}
    if field.references:
        # The other table has a description of its own: a name that is no node of this one.
        written["prov:wasInfluencedBy"] = {"@id": f"urn:sampan:{field.references[0]}/{field.references[1]}"}
    return written


def _usage(usage: Usage) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if usage.license:
        written["license"] = usage.license if "://" in usage.license else f"{_SPDX}{usage.license}"
    if usage.conditions:
        written["conditionsOfAccess"] = usage.conditions
    constraints = [
        *_constraint("purpose", "isAnyOf", usage.purposes),
        *_constraint("spatial", "isAnyOf", usage.regions),
        *_constraint("dateTime", "lt", (usage.expires,) if usage.expires else ()),
    ]
    offer: dict[str, Any] = {"@type": ["CreativeWork", "odrl:Offer"], "name": "What it may be used for"}
    if constraints:
        offer["odrl:permission"] = {"@type": "odrl:Permission", "odrl:action": {"@id": "odrl:use"}, "odrl:constraint": constraints}
    if usage.not_for:
        forbidden = [*_constraint("purpose", "isAnyOf", usage.not_for)]
        offer["odrl:prohibition"] = {"@type": "odrl:Prohibition", "odrl:action": {"@id": "odrl:use"}, "odrl:constraint": forbidden}
    if usage.more:
        offer[_TERMS] = {"@type": "@json", "@value": usage.more}
    if usage.personal:
        written["rai:personalSensitiveInformation"] = [*usage.personal]
    return {**written, "usageInfo": offer} if constraints or usage.not_for or usage.more else written


def _constraint(operand: str, operator: str, values: Sequence[str]) -> Iterator[dict[str, Any]]:
    if values:
        yield {
            "@type": "odrl:Constraint",
            "odrl:leftOperand": {"@id": f"odrl:{operand}"},
            "odrl:operator": {"@id": f"odrl:{operator}"},
            "odrl:rightOperand": [*values],
        }


# -- reading


def _table(record_set: Any, files: Mapping[str, Mapping[str, Any]]) -> TableRead | str:
    """Read one record set, or say why it is no table in a file."""
    if not isinstance(record_set, dict):
        return "a record set that is no object"
    name = _text(_get(record_set, "name")) or str(record_set.get("@id", "")) or "a record set"
    fields = [field for field in _many(_get(record_set, "field")) if isinstance(field, dict)]
    if not fields:
        return f"{name} has no fields"
    places = [_source(field) for field in fields]
    if any(place is None for place in places):
        odd = next(_field_name(field) for field, place in zip(fields, places, strict=True) if place is None)
        return f"{name} has a field that is no column of a file: {odd}"
    held = [place for place in places if place is not None]
    if len({file for file, _ in held}) > 1:
        return f"{name} joins several files"
    file = files.get(held[0][0])
    if file is None:
        return f"{name} refers to a file that is not described: {held[0][0]}"
    form = _READABLE.get(next(iter(_texts(_get(file, "encodingFormat"))), ""))
    if form is None or _get(file, "containedIn"):
        return f"{name} lies in {_text(_get(file, 'encodingFormat')) or 'a file of no named format'}"
    names = {column: _field_name(field) for field, (_, column) in zip(fields, held, strict=True)}
    kinds = {column: kind for field, (_, column) in zip(fields, held, strict=True) if (kind := _kind(field))}
    by_id = {str(field.get("@id")): _field_name(field) for field in fields}
    key = tuple(by_id[each] for each in _ids(_get(record_set, "key")) if each in by_id)
    return TableRead(
        name=name,
        location=_text(_get(file, "contentUrl")),
        sha256=_text(_get(file, "sha256")),
        format=form,
        columns=names,
        kinds=kinds,
        key=key,
        description=_text(_get(record_set, "description")),
    )


def _source(field: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the file and the column a field comes from; None if it is not that simple."""
    source = _get(field, "source")
    if not isinstance(source, dict) or _get(source, "transform") or _get(field, "subField"):
        return None
    file, extract = next(_ids(_get(source, "fileObject")), ""), _get(source, "extract")
    column = _text(_get(extract, "column")) if isinstance(extract, dict) else ""
    return (file, column) if file and column else None


def _field_name(field: Mapping[str, Any]) -> str:
    return _text(_get(field, "name")) or str(field.get("@id", "")).rpartition("/")[2]


def _kind(field: Mapping[str, Any]) -> str:
    words = {text.rpartition(":")[2].rpartition("/")[2] for text in _texts(_get(field, "dataType"))}
    found = next((_KINDS[word] for word in words if word in _KINDS), "")
    if found:
        return found
    word = next((word for word in words if word.rstrip("0123456789") in ("Int", "UInt", "Float")), "")
    return ("number" if word.startswith("Float") else "integer") if word else ""


def _read_usage(document: Mapping[str, Any]) -> Usage:
    license_ = next(
        (
            _text(_get(each, "url") or _get(each, "name")) if isinstance(each, dict) else str(each)
            for each in _many(_get(document, "license"))
        ),
        "",
    )
    allowed: dict[str, list[str]] = {}
    forbidden: dict[str, list[str]] = {}
    more: dict[str, Any] = {}
    for offer in _many(_get(document, "usageInfo")):
        if isinstance(offer, dict):
            said = _get(_get(offer, _TERMS), "@value")
            more |= said if isinstance(said, dict) else {}
            for rules, into in ((_get(offer, "permission"), allowed), (_get(offer, "prohibition"), forbidden)):
                for rule in _many(rules):
                    _read_constraints(rule, into)
    return Usage(
        license=license_.removeprefix(_SPDX).removesuffix(".html"),
        conditions=_text(_get(document, "conditionsOfAccess")),
        purposes=tuple(allowed.get("purpose", ())),
        not_for=tuple(forbidden.get("purpose", ())),
        regions=tuple(allowed.get("spatial", ())),
        expires=next(iter(allowed.get("dateTime", ())), ""),
        personal=tuple(_texts(_get(document, "rai:personalSensitiveInformation"))),
        more=more,
    )


def _read_constraints(rule: Any, into: dict[str, list[str]]) -> None:
    for constraint in _many(_get(rule, "constraint")) if isinstance(rule, dict) else ():
        if isinstance(constraint, dict):
            operand = next(_ids(_get(constraint, "leftOperand")), "").rpartition(":")[2].rpartition("/")[2]
            into.setdefault(operand, []).extend(_texts(_get(constraint, "rightOperand")))


def _get(node: Any, name: str) -> Any:
    """Return a property, whichever of the usual prefixes it is written with."""
    if not isinstance(node, dict):
        return None
    return next(
        (node[key] for key in (name, f"cr:{name}", f"sc:{name}", f"odrl:{name}", f"dct:{name}", f"schema:{name}") if key in node), None
    )


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> list[str]:
    return [str(each.get("@value", each.get("@id", ""))) if isinstance(each, dict) else str(each) for each in _many(value)]


def _text(value: Any) -> str:
    """Return one text; of a text in several languages the English one, else the first."""
    if isinstance(value, dict) and "@value" not in value and "@id" not in value:
        return str(value.get("en", next(iter(value.values()), "")))
    return next(iter(_texts(value)), "")


def _ids(value: Any) -> Iterator[str]:
    yield from (str(each["@id"]) if isinstance(each, dict) and "@id" in each else str(each) for each in _many(value))


def _words(value: Any) -> set[str]:
    return {text.rpartition(":")[2].rpartition("/")[2] for text in _texts(value)}
