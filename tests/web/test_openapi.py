"""The OpenAPI document is valid, complete, and says what the operations say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sampan.web import openapi
from sampan.workspace.operation import nouns, operations


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(openapi.document())


def every(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        for value in node.values():
            yield from every(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from every(value, key)


def test_every_operation_of_every_room_is_there_unless_it_is_local(document: dict[str, Any]) -> None:
    offered = {openapi.path_of(o) for noun in nouns() for o in operations(noun).values() if not o.local}

    assert offered == document["paths"].keys()


def test_reads_are_get_and_writes_are_post(document: dict[str, Any]) -> None:
    for noun in nouns():
        for operation in operations(noun).values():
            if not operation.local:
                assert list(document["paths"][openapi.path_of(operation)]) == ["get" if operation.reads else "post"]


def test_the_document_has_the_structure_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}
    tags = {tag["name"] for tag in document["tags"]}
    identifiers = []
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        for operation in methods.values():
            identifiers.append(operation["operationId"])
            assert operation["summary"], path
            assert set(operation["tags"]) <= tags
            assert operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert all(len(status) == 3 and answer["description"] for status, answer in operation["responses"].items())
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            assert len(names) == len(set(names))
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "query"
                check_schema(parameter["schema"])
            for media in operation.get("requestBody", {}).get("content", {}).values():
                check_schema(media["schema"])
    assert len(identifiers) == len(set(identifiers))
    for schema in document["components"]["schemas"].values():
        check_schema(schema)


def check_schema(schema: dict[str, Any]) -> None:
    """Check a JSON Schema of the dialect that OpenAPI 3.1 uses, as far as ours go."""
    kinds = {"string", "integer", "number", "boolean", "array", "object", "null"}
    if "type" in schema:
        assert schema["type"] in kinds
    if "enum" in schema:
        assert schema["enum"]
    if "required" in schema:
        assert set(schema["required"]) <= schema["properties"].keys()
    for below in (*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("prefixItems", ())):
        check_schema(below)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            check_schema(schema[key])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in every(document, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


def test_every_error_code_is_documented_under_its_status(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/v1/status"]["get"]["responses"]

    assert "not_found" in responses["404"]["description"]
    assert "stale_state" in responses["409"]["description"]
    assert "not_signed_in" in responses["401"]["description"]


def test_parameters_carry_help_defaults_and_choices(document: dict[str, Any]) -> None:
    parameters = {p["name"]: p for p in document["paths"]["/api/v1/lineage"]["get"]["parameters"]}

    assert parameters["ref"]["required"]
    assert parameters["ref"]["description"].startswith("what to trace")
    whole = {"type": "integer", "format": "int64", "minimum": 1 - 2**53, "maximum": 2**53 - 1}
    assert parameters["depth"]["schema"] == {**whole, "default": 50}
