"""The application that `sampan ui` and `sampan server` run: API, pages and static files behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from sampan.errors import MethodRefused, NotFound, NotSignedIn, SampanError
from sampan.web import api, page
from sampan.web.asgi import App, Scope
from sampan.web.mlflow.deliveries import Deliveries
from sampan.web.mlflow.routes import routes as mlflow_routes
from sampan.web.mlflow.webhooks import Webhooks
from sampan.web.security import Access, Guard
from sampan.workspace.workspace import Workspace

STATIC = Path(__file__).parent / "static"


def create_app(workspace: Workspace, *, access: Access | None = None) -> Guard:
    """Build the application for a workspace. Without `access` it answers on loopback and asks nobody to sign in."""
    shell = {"navigation": [one for one in page.all_pages() if one.in_navigation], "section": "", "project": workspace.root.name}

    def refuse(error: SampanError, scope: Scope) -> App:
        headers = {"www-authenticate": "Bearer"} if isinstance(error, NotSignedIn) else None
        if _wants_json(scope["path"]):
            return api.error_response(error, headers=headers)
        request = Request(scope)
        if isinstance(error, NotSignedIn):
            answer = page.sign_in_page(error, request)
        else:
            answer = page.error_page(error, shell, page.choose_language(request))
        answer.headers.update(headers or {})
        return answer

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = await run_in_threadpool(refuse, _as_ours(request, error), request.scope)
        assert isinstance(answer, Response)
        answer.headers.update(error.headers or {})
        return answer

    async def on_bug(request: Request, error: Exception) -> Response:
        if _wants_json(request.url.path):
            return api.error_response(error)
        said = SampanError("this page failed", hint="the server's log says why")
        answer = refuse(said, request.scope)
        assert isinstance(answer, Response)
        return answer

    handlers: Mapping[Any, Any] = {HTTPException: on_http_error, Exception: on_bug}
    webhooks = Webhooks(workspace)
    deliveries = Deliveries(webhooks)

    @asynccontextmanager
    async def living(_app: Starlette) -> AsyncIterator[None]:
        deliveries.start()
        yield
        await run_in_threadpool(deliveries.stop)

    app = Starlette(routes=_routes(workspace, webhooks, deliveries), exception_handlers=handlers, lifespan=living)
    # Around everything, so that also an answer to a bug carries the headers.
    return Guard(app, access=access or Access(), refuse=refuse)


def _routes(workspace: Workspace, webhooks: Webhooks, deliveries: Deliveries) -> list[BaseRoute]:
    found: list[BaseRoute] = [*api.routes(workspace), *mlflow_routes(workspace, webhooks, changed=deliveries.wake)]
    if STATIC.is_dir():
        found.append(Mount("/static", StaticFiles(directory=STATIC)))
    return [*found, *page.routes(workspace)]


def _wants_json(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


def _as_ours(request: Request, error: HTTPException) -> SampanError:
    path = request.url.path
    if error.status_code == 405:
        return MethodRefused(f"{path} does not take {request.method}")
    if error.status_code == 404:
        hint = "GET /api/v1/openapi.json lists everything" if _wants_json(path) else "the navigation leads to everything there is"
        return NotFound(f"there is nothing at {path}", hint=hint)
    said = SampanError(error.detail)
    said.http_status = error.status_code  # type: ignore[misc]  # of this one error, not of its class
    return said
