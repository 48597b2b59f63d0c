"""The routes of the MLflow protocol: one table of method, path and what answers."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from sampan.errors import SampanError
from sampan.web.mlflow.artifacts import PREFIX, Artifacts
from sampan.web.mlflow.evaluation_datasets import EvaluationDatasets
from sampan.web.mlflow.experiments import Experiments
from sampan.web.mlflow.logged_models import LoggedModels
from sampan.web.mlflow.otlp import JSON, PROTOBUF
from sampan.web.mlflow.refusals import STATUS, Refusal, invalid, translate
from sampan.web.mlflow.registry import Registry
from sampan.web.mlflow.runs import MlflowRuns
from sampan.web.mlflow.traces import Traces
from sampan.web.mlflow.uploads import PARTS, UPLOADS, Uploads
from sampan.web.mlflow.webhooks import Webhooks
from sampan.web.security import SPANS

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

# The version whose protocol this is; clients ask for it to know what they may send.
SPOKEN: Final = "3.17.2"
API: Final = "/api/2.0/mlflow"
API_3: Final = "/api/3.0/mlflow"
_PIECE: Final = 1 << 20
_LISTS: Final = ("experiment_ids", "order_by", "stages", "trace_ids")
Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


def _answers(experiments: Experiments, runs: MlflowRuns, artifacts: Artifacts, models: LoggedModels) -> dict[str, Answer]:
    """Return what answers each method and path."""
    return {
        "POST experiments/create": experiments.create,
        "GET experiments/get": experiments.get,
        "GET experiments/get-by-name": experiments.get_by_name,
        "GET experiments/search": experiments.search,
        "POST experiments/search": experiments.search,
        "POST experiments/update": experiments.update,
        "POST experiments/delete": experiments.delete,
        "POST experiments/restore": experiments.restore,
        "POST experiments/set-experiment-tag": experiments.set_tag,
        "POST experiments/delete-experiment-tag": experiments.delete_tag,
        "POST runs/create": runs.create,
        "GET runs/get": runs.get,
        "POST runs/update": runs.update,
        "POST runs/delete": runs.delete,
        "POST runs/restore": runs.restore,
        "POST runs/search": runs.search,
        "POST runs/log-metric": runs.log_metric,
        "POST runs/log-parameter": runs.log_parameter,
        "POST runs/set-tag": runs.set_tag,
        "POST runs/delete-tag": runs.delete_tag,
        "POST runs/log-batch": runs.log_batch,
        "POST runs/log-inputs": runs.log_inputs,
        "POST runs/outputs": runs.log_outputs,
        "POST runs/log-model": runs.log_model,
        "GET metrics/get-history": runs.history,
        "GET artifacts/list": artifacts.list_run,
        "POST logged-models": models.create,
        "POST logged-models/search": models.search,
        "GET logged-models/{model_id}": models.get,
        "PATCH logged-models/{model_id}": models.finish,
        "DELETE logged-models/{model_id}": models.delete,
        "POST logged-models/{model_id}/params": models.add_params,
        "PATCH logged-models/{model_id}/tags": models.set_tags,
        "DELETE logged-models/{model_id}/tags/{tag_key}": models.delete_tag,
        "GET logged-models/{model_id}/artifacts/directories": models.directories,
    }


def _registry_answers(registry: Registry) -> dict[str, Answer]:
    return {
        "POST registered-models/create": registry.create,
        "GET registered-models/get": registry.get,
        "GET registered-models/search": registry.search,
        "POST registered-models/rename": registry.rename,
        "PATCH registered-models/update": registry.update,
        "DELETE registered-models/delete": registry.delete,
        "GET registered-models/get-latest-versions": registry.latest,
        "POST registered-models/get-latest-versions": registry.latest,
        "POST registered-models/set-tag": registry.set_tag,
        "DELETE registered-models/delete-tag": registry.delete_tag,
        "POST registered-models/alias": registry.set_alias,
        "GET registered-models/alias": registry.by_alias,
        "DELETE registered-models/alias": registry.delete_alias,
        "POST model-versions/create": registry.create_version,
        "GET model-versions/get": registry.get_version,
        "GET model-versions/search": registry.search_versions,
        "PATCH model-versions/update": registry.update_version,
        "DELETE model-versions/delete": registry.delete_version,
        "POST model-versions/set-tag": registry.set_version_tag,
        "DELETE model-versions/delete-tag": registry.delete_version_tag,
        "POST model-versions/transition-stage": registry.transition,
        "GET model-versions/get-download-uri": registry.download_uri,
    }


def _trace_answers(traces: Traces) -> dict[str, Answer]:
    """Return what answers each method and path of version 3; tags are set and deleted by either version's path."""
    return {
        "POST traces": traces.start,
        "GET traces/get": traces.get,
        "GET traces/batchGet": traces.get_several,
        "POST traces/batchGetInfos": traces.get_infos,
        "POST traces/search": traces.search,
        "POST traces/calculate-filter-correlation": traces.correlate,
        "POST traces/delete-traces": traces.delete,
        "POST traces/link-to-run": traces.link,
        "GET traces/{trace_id}": traces.get_info,
        "PATCH traces/{trace_id}/tags": traces.set_tag,
        "DELETE traces/{trace_id}/tags": traces.delete_tag,
        "POST traces/{trace_id}/assessments": traces.assess,
        "GET traces/{trace_id}/assessments/{assessment_id}": traces.get_assessment,
        "PATCH traces/{trace_id}/assessments/{assessment_id}": traces.edit_assessment,
        "DELETE traces/{trace_id}/assessments/{assessment_id}": traces.delete_assessment,
    }


def _old_trace_answers(traces: Traces) -> dict[str, Answer]:
    return {
        "POST traces": traces.start_old,
        "GET traces": traces.search_old,
        "POST traces/delete-traces": traces.delete,
        "PATCH traces/{trace_id}": traces.end_old,
        "GET traces/{trace_id}/info": traces.get_info_old,
        "PATCH traces/{trace_id}/tags": traces.set_tag,
        "DELETE traces/{trace_id}/tags": traces.delete_tag,
    }


def _evaluation_answers(datasets: EvaluationDatasets) -> dict[str, Answer]:
    return {
        "POST datasets/create": datasets.create,
        "GET datasets/search": datasets.search,
        "POST datasets/search": datasets.search,
        "GET datasets/{dataset_id}": datasets.get,
        "DELETE datasets/{dataset_id}": datasets.delete,
        "PATCH datasets/{dataset_id}/tags": datasets.set_tags,
        "DELETE datasets/{dataset_id}/tags/{key}": datasets.delete_tag,
        "GET datasets/{dataset_id}/experiment-ids": datasets.experiment_ids,
        "POST datasets/{dataset_id}/add-experiments": datasets.add_experiments,
        "POST datasets/{dataset_id}/remove-experiments": datasets.remove_experiments,
        "GET datasets/{dataset_id}/records": datasets.records,
        "POST datasets/{dataset_id}/records": datasets.merge_records,
        "DELETE datasets/{dataset_id}/records": datasets.delete_records,
    }


def _webhook_answers(webhooks: Webhooks) -> dict[str, Answer]:
    return {
        "POST webhooks": webhooks.create,
        "GET webhooks": webhooks.list_all,
        "GET webhooks/{webhook_id}": webhooks.get,
        "PATCH webhooks/{webhook_id}": webhooks.update,
        "DELETE webhooks/{webhook_id}": webhooks.delete,
        "POST webhooks/{webhook_id}/test": webhooks.test,
    }


def routes(ws: Workspace, webhooks: Webhooks, *, changed: Callable[[], None]) -> list[BaseRoute]:
    """Return the routes for an application; `changed` is called after each request that webhooks may have to tell of."""
    experiments = Experiments(ws)
    runs = MlflowRuns(ws, experiments)
    artifacts = Artifacts(ws, runs)
    traces, uploads = Traces(ws, experiments), Uploads(ws, artifacts)
    return [
        *_answering(API, _answers(experiments, runs, artifacts, LoggedModels(ws, experiments, artifacts))),
        *_answering(API, _registry_answers(Registry(ws)) | _webhook_answers(webhooks), changed),
        *_answering(API, _old_trace_answers(traces)),
        *_answering(API_3, _trace_answers(traces) | _evaluation_answers(EvaluationDatasets(ws, experiments))),
        Route(SPANS, _exported(traces), methods=["POST"]),
        Route(API_3 + "/server-info", _server_info, methods=["GET"]),
        Route("/version", _version, methods=["GET"]),
        Route("/health", _health, methods=["GET"]),
        Route(UPLOADS + "/create/{address:path}", _begun(uploads), methods=["POST"]),
        Route(UPLOADS + "/complete/{address:path}", _endpoint(uploads.complete), methods=["POST"]),
        Route(UPLOADS + "/abort/{address:path}", _endpoint(uploads.abort), methods=["POST"]),
        Route(PARTS + "/{upload}/{number:int}", _kept(uploads), methods=["PUT"]),
        Route(PREFIX, _endpoint(artifacts.list_proxied), methods=["GET"]),
        Route(PREFIX + "/{path:path}", _proxied(artifacts), methods=["GET", "PUT", "DELETE"]),
        Route("/api/{version}/mlflow/{rest:path}", _unknown, methods=["GET", "POST", "PATCH", "PUT", "DELETE"]),
    ]


def _answering(base: str, table: Mapping[str, Answer], changed: Callable[[], None] | None = None) -> Iterator[Route]:
    for said, answer in table.items():
        method, _, path = said.partition(" ")
        yield Route(f"{base}/{path}", _endpoint(answer, None if method == "GET" else changed), methods=[method])


def _endpoint(answer: Answer, changed: Callable[[], None] | None = None) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        body = await request.body()
        answered = await run_in_threadpool(_respond, lambda: answer(_given(request, body)))
        if changed is not None:
            changed()
        return answered

    return respond


def _respond(call: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(call())
    except Refusal as refusal:
        return _refused(refusal)
    except SampanError as error:
        return _refused(translate(error))
    except Exception:
        logger.exception("an MLflow request failed")
        return _refused(Refusal("INTERNAL_ERROR", "the server failed on this request; its log says why"))


def _refused(refusal: Refusal) -> Response:
    return JSONResponse({"error_code": refusal.code, "message": refusal.message}, status_code=STATUS.get(refusal.code, 500))


def _given(request: Request, body: bytes) -> dict[str, Any]:
    """Return a request's fields: of the query, of the body, of the path."""
    query = request.query_params
    found: dict[str, Any] = {name: query.getlist(name) if name in _LISTS else query[name] for name in query}
    if body:
        try:
            told = json.loads(body)
        except ValueError as cause:
            raise invalid(f"Invalid JSON in the request's body: {cause}") from cause
        if not isinstance(told, dict):
            raise invalid("Invalid request: the body must be a JSON object")
        found |= told
    return found | request.path_params


def _exported(traces: Traces) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body, headers = await request.body(), dict(request.headers)
        answered = await run_in_threadpool(_respond, lambda: traces.export(body, headers))
        # Nothing to say is an empty message in protobuf, an empty object in JSON.
        is_json = answered.status_code >= 400 or headers["content-type"].startswith(JSON)
        return answered if is_json else Response(b"", media_type=PROTOBUF)

    return answer


def _proxied(artifacts: Artifacts) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        path = request.path_params["path"]
        if request.method == "PUT":
            return await _put(artifacts, request, path)
        if request.method == "DELETE":
            return await run_in_threadpool(_respond, lambda: artifacts.delete(path))
        return await run_in_threadpool(_download, artifacts, path)

    return answer


async def _put(artifacts: Artifacts, request: Request, path: str) -> Response:
    async with _received(request) as file:
        return await run_in_threadpool(_respond, lambda: artifacts.put(path, file))


def _begun(uploads: Uploads) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body, authorization = await request.body(), request.headers.get("authorization", "")
        base = str(request.base_url).rstrip("/")
        return await run_in_threadpool(_respond, lambda: uploads.create(_given(request, body), base=base, authorization=authorization))

    return answer


def _kept(uploads: Uploads) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        async with _received(request) as file:
            digest = await run_in_threadpool(uploads.put_part, file)
        return Response(status_code=200, headers={"etag": digest})

    return answer


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[Path]:
    """Write a body to a file as it comes; the file goes with the request."""
    with tempfile.NamedTemporaryFile(prefix="sampan-upload-") as file:
        async for piece in request.stream():
            await run_in_threadpool(file.write, piece)
        await run_in_threadpool(file.flush)
        yield Path(file.name)


def _download(artifacts: Artifacts, path: str) -> Response:
    try:
        found = artifacts.open(path)
        stream = artifacts.stream(found)
    except Refusal as refusal:
        return _refused(refusal)
    except SampanError as error:
        return _refused(translate(error))
    # As a file to keep, never as a page of ours.
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff", "content-length": str(found.size)}
    return StreamingResponse(stream, media_type="application/octet-stream", headers=headers)


async def _server_info(_request: Request) -> Response:
    return JSONResponse({"store_type": "SqlStore", "workspaces_enabled": False})


async def _version(_request: Request) -> Response:
    return PlainTextResponse(SPOKEN)


async def _health(_request: Request) -> Response:
    return PlainTextResponse("OK")


async def _unknown(request: Request) -> Response:
    return _refused(Refusal("ENDPOINT_NOT_FOUND", f"This server has no {request.method} {request.url.path}"))
