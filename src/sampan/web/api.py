"""The operations over HTTP: GET with a query for those that only read, POST with a JSON object for the rest. Errors are JSON, too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sampan import plugins
from sampan.core.answers import to_json
from sampan.core.decoding import read_json
from sampan.errors import AccessDenied, MethodRefused, NotFound, ParameterError, SampanError
from sampan.web import openapi
from sampan.web.progress import KeptProgress
from sampan.workspace.operation import ROOMS, Operation, find_operation
from sampan.workspace.parameters import bind, from_json, from_text
from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)


def routes(workspace: Workspace) -> list[Route]:
    """Return the routes of the API. Rooms are looked up when asked for, so that a plug-in needs no route of its own."""
    every = ["GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"]
    return [
        Route(f"{openapi.PREFIX}/openapi.json", _document, methods=["GET"]),
        Route(f"{openapi.PREFIX}/progress", _progress(workspace), methods=["GET"]),
        Route(f"{openapi.PREFIX}/lineage", _openlineage(workspace), methods=["POST"]),
        Route(openapi.PREFIX + "/{verb}", _endpoint(workspace), methods=every),
        Route(openapi.PREFIX + "/{noun}/{verb}", _endpoint(workspace), methods=every),
    ]


def _openlineage(workspace: Workspace) -> Callable[[Request], Awaitable[Response]]:
    """Take one event, where OpenLineage's clients send it."""

    def take(body: bytes) -> Response:
        from sampan.workspace.lineage.openlineage import read_event, take_up

        return json_response({"run": take_up(workspace, read_event(body, where="the request"))}, status=201)

    async def answer(request: Request) -> Response:
        try:
            _require_json(request)
            return await run_in_threadpool(take, await request.body())
        except SampanError as error:
            return error_response(error)

    return answer


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(
        to_json(value), status_code=status, media_type="application/json", headers={"cache-control": "no-store", **(headers or {})}
    )


def error_response(error: BaseException, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an error and its documented status."""
    if isinstance(error, SampanError):
        told = {"code": error.code, "message": error.message, "hint": error.hint, **error.details()}
        return json_response({"error": told}, status=error.http_status, headers=headers)
    told = {"code": "internal", "message": "the server failed on this request", "hint": "the server's log says why"}
    return json_response({"error": told}, status=500, headers=headers)


async def _document(_request: Request) -> Response:
    return Response(await run_in_threadpool(openapi.document), media_type="application/json")


def _progress(workspace: Workspace) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        kept = workspace.progress
        return json_response({"stages": kept.stages() if isinstance(kept, KeptProgress) else []})

    return answer


def _endpoint(workspace: Workspace) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        noun, verb = request.path_params.get("noun", ""), request.path_params["verb"]
        allow = ""
        try:
            operation = await run_in_threadpool(_find, noun, verb)
            allow = "GET, HEAD, OPTIONS" if operation.reads else "POST, OPTIONS"
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"allow": allow})
            if request.method not in allow.split(", "):
                raise MethodRefused(f"{operation.name} takes {allow.split(',')[0]}, not {request.method}", hint=f"allowed: {allow}")
            body = b"" if operation.reads else await request.body()
            result = await run_in_threadpool(_call, workspace, operation, request, body)
        except SampanError as error:
            return error_response(error, headers={"allow": allow} if isinstance(error, MethodRefused) else None)
        except Exception as error:
            logger.exception("%s %s failed", request.method, request.url.path)
            return error_response(error)
        return result

    return answer


def _find(noun: str, verb: str) -> Operation:
    if noun not in plugins.names(ROOMS):
        raise NotFound(f"there is no {openapi.PREFIX}/{noun}", hint=f"GET {openapi.PREFIX}/openapi.json lists everything")
    operation = find_operation(noun, verb)
    if operation.local:
        raise AccessDenied(f"{operation.name} works on the server's own machine only", hint=f"run sampan {operation.name} there")
    return operation


def _call(workspace: Workspace, operation: Operation, request: Request, body: bytes) -> Response:
    if operation.reads:
        query = request.query_params
        arguments = bind(operation.parameters, {name: query.getlist(name) for name in query}, from_text)
    else:
        arguments = bind(operation.parameters, _decoded(request, body), from_json)
    _confine_paths(workspace, operation, arguments)
    return json_response(operation.call(workspace.room(operation.noun), arguments))


def _require_json(request: Request) -> None:
    # A form on another site can send text/plain unasked; it cannot send this.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ParameterError("the body is not declared as JSON", hint="send Content-Type: application/json")


def _decoded(request: Request, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    _require_json(request)
    try:
        return read_json(body, dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ParameterError(f"the body is not a JSON object: {cause}", hint="send the parameters as one object") from cause


def _confine_paths(workspace: Workspace, operation: Operation, arguments: dict[str, Any]) -> None:
    """Let a caller over HTTP name files of the project only, and none of the store's own."""
    for parameter in operation.parameters:
        if parameter.form.base != "path" or arguments.get(parameter.name) is None:
            continue
        given = arguments[parameter.name]
        for path in given if isinstance(given, (list, tuple)) else [given]:
            whole = (workspace.root / path).resolve()
            if not whole.is_relative_to(workspace.root) or whole.is_relative_to(workspace.store_folder.resolve()):
                raise AccessDenied(
                    f"{parameter.name}: {str(path)!r} is outside of the project", hint="over HTTP, name a file of the project"
                )
