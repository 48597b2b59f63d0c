"""The OpenAPI 3.1 document, derived from the same descriptions of operations as everything else."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sampan import __version__
from sampan.errors import SampanError
from sampan.workspace.operation import Operation, nouns, operations
from sampan.workspace.parameters import LARGEST, Parameter

logger = logging.getLogger(__name__)

PREFIX = "/api/v1"
_REF = "#/components/schemas/{name}"
_JSON_TYPES = {"text": "string", "integer": "integer", "number": "number", "flag": "boolean", "path": "string", "choice": "string"}


class Failure(msgspec.Struct, frozen=True):
    """What went wrong: `code` is stable, `hint` says what to do; an error class may add fields."""

    code: str
    message: str
    hint: str


class ErrorBody(msgspec.Struct, frozen=True):
    """Body of every answer that is not 200."""

    error: Failure


def offered() -> Iterator[Operation]:
    """Yield the operations of all rooms, plug-ins' included, that are offered over HTTP."""
    for noun in nouns():
        try:
            found = operations(noun)
        except Exception:
            # One broken plug-in must not take everyone's API away; calling its operations says what is wrong.
            logger.exception("the room %r cannot be loaded and is left out of the API's description", noun)
            continue
        yield from (operation for operation in found.values() if not operation.local)


def path_of(operation: Operation) -> str:
    """Return an operation's path; top-level verbs have no noun in it."""
    return "/".join(part for part in (PREFIX, operation.noun, operation.verb) if part)


@functools.cache
def document() -> bytes:
    """Return the document as JSON."""
    found = list(offered())
    results = [operation.result for operation in found]
    _, components = msgspec.json.schema_components([*results, ErrorBody], ref_template=_REF, schema_hook=_schema_of)
    references, _ = msgspec.json.schema_components(results, ref_template=_REF, schema_hook=_schema_of)
    paths: dict[str, Any] = {}
    for operation, reference in zip(found, references, strict=True):
        paths[path_of(operation)] = {"get" if operation.reads else "post": _operation(operation, reference)}
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "Sampan", "version": __version__, "description": "Every operation of every room, plug-ins' included."},
        "servers": [{"url": "/"}],
        "tags": [{"name": noun or "home"} for noun in nouns()],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
    return msgspec.json.encode(whole)


def _operation(operation: Operation, reference: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name.replace(" ", "."),
        "tags": [operation.noun or "home"],
        "summary": operation.summary,
        "description": operation.description,
        "responses": {
            "200": {"description": operation.result.__doc__ or "", "content": {"application/json": {"schema": reference}}},
            **_error_responses(),
        },
        # What a client needs to offer the same method: its name and the order of its parameters.
        "x-sampan": {
            "noun": operation.noun,
            "verb": operation.verb,
            "method": operation.method,
            "result": operation.result.__name__,
            "parameters": [_for_clients(parameter) for parameter in operation.parameters],
        },
    }
    if operation.reads:
        described["parameters"] = [_query_parameter(parameter) for parameter in operation.parameters]
    else:
        described["requestBody"] = _body(operation)
    return described


def _error_responses() -> dict[str, Any]:
    schema = {"schema": {"$ref": _REF.format(name="ErrorBody")}}
    found: dict[int, list[str]] = {}
    for kind in _all_errors(SampanError):
        found.setdefault(kind.http_status, []).append(kind.code)
    return {
        str(status): {"description": "error codes: " + ", ".join(sorted(set(codes))), "content": {"application/json": schema}}
        for status, codes in sorted(found.items())
    }


def _all_errors(kind: type[SampanError]) -> Iterator[type[SampanError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == SampanError.__module__:
            yield from _all_errors(below)


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    many = parameter.form.many != "one"
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.help,
        "schema": _schema(parameter, as_text=True),
        **({"style": "form", "explode": True} if many else {}),
    }


def _body(operation: Operation) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {p.name: {**_schema(p, as_text=False), "description": p.help} for p in operation.parameters},
        "required": [p.name for p in operation.parameters if p.required],
        "additionalProperties": False,
    }
    return {"required": bool(schema["required"]), "content": {"application/json": {"schema": schema}}}


def _schema(parameter: Parameter, *, as_text: bool) -> dict[str, Any]:
    form = parameter.form
    one: dict[str, Any] = {"type": _JSON_TYPES[form.base]}
    if form.base == "integer":
        one |= {"format": "int64", "minimum": form.least, "maximum": LARGEST}
    if form.choices:
        one["enum"] = list(form.choices)
    if form.many == "list":
        one = {"type": "array", "items": one}
    elif form.many == "mapping":
        # In a query: key=value, repeated.
        one = {"type": "array", "items": {"type": "string"}} if as_text else {"type": "object", "additionalProperties": {"type": "string"}}
    if form.optional and not as_text:
        one = {"anyOf": [one, {"type": "null"}]}
    if not parameter.required and parameter.default is not None and not (as_text and form.many == "mapping"):
        one["default"] = _plain(parameter.default)
    return one


def _for_clients(parameter: Parameter) -> Mapping[str, Any]:
    described: dict[str, Any] = {"name": parameter.name, "positional": parameter.positional, "many": parameter.form.many}
    if not parameter.required:
        described["default"] = _plain(parameter.default)
    return described


def _plain(default: Any) -> Any:
    return default if isinstance(default, (str, int, float, bool, list, dict, type(None))) else msgspec.to_builtins(default, enc_hook=str)


def _schema_of(kind: type) -> dict[str, Any]:
    from pathlib import PurePath

    if issubclass(kind, PurePath):
        return {"type": "string"}
    raise NotImplementedError(f"{kind} has no JSON form")
