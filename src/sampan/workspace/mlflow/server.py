"""An MLflow server, asked by its REST protocol as its own clients ask it: MLflow's, Sampan's, or a hosted one.

`MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, sign in. What a server does not tell of deleted
models and versions does not come.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import msgspec

from sampan.core.mlflow import (
    MODEL_STATES,
    STATES,
    TRACE_STATES,
    MetricPoint,
    MlflowExperiment,
    MlflowFile,
    MlflowInput,
    MlflowModel,
    MlflowModelPoint,
    MlflowRegistered,
    MlflowRun,
    MlflowTrace,
    MlflowVersion,
)
from sampan.core.mlflow_spans import span_of
from sampan.core.times import to_millis
from sampan.errors import AccessDenied, NotFound, Unavailable

_API: Final = "/api/2.0/mlflow"
_API_3: Final = "/api/3.0/mlflow"
_PROXY: Final = "/api/2.0/mlflow-artifacts/artifacts"
_TIMEOUT_S: Final = 60.0
_PAGE: Final = 1000
_TRACES: Final = 500
_BLOCK: Final = 1 << 20
_DELETED: Final = "deleted"


class MlflowServer:
    """The MlflowSource of a server."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        host = parts.hostname or ""
        self.address = urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path.rstrip("/"), "", ""))
        self._sign_in = _sign_in(parts.username or "", parts.password or "")
        self._found: dict[str, dict[str, dict[str, Any]]] = {}  # experiment -> run -> what a search told of it

    def experiments(self) -> list[MlflowExperiment]:
        """Return all experiments."""
        found = [
            MlflowExperiment(
                id=told["experiment_id"],
                name=told["name"],
                is_deleted=told.get("lifecycle_stage") == _DELETED,
                created=int(told.get("creation_time", 0)),
                updated=int(told.get("last_update_time", 0)),
                location=told.get("artifact_location", ""),
                tags=_pairs(told.get("tags")),
            )
            for told in self._paged("POST", "experiments/search", {"view_type": "ALL", "max_results": _PAGE}, "experiments")
        ]
        return sorted(found, key=lambda each: (each.created, each.id))

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of an experiment's runs, oldest first."""
        asked = {"experiment_ids": [experiment.id], "run_view_type": "ALL", "max_results": _PAGE}
        told = {run["info"]["run_id"]: run for run in self._paged("POST", "runs/search", asked, "runs")}
        self._found[experiment.id] = told
        return sorted(told, key=lambda id: (int(told[id]["info"].get("start_time", 0)), id))  # noqa: A006  # the field's word

    def runs(self, experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs of an experiment, with each metric's whole history."""
        return [self._run(experiment, self._found[experiment.id][id]) for id in ids]  # noqa: A001  # the field's word

    def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Iterate over an experiment's logged models; a server of MLflow 2 has none."""
        try:
            found = list(self._paged("POST", "logged-models/search", {"experiment_ids": [experiment.id], "max_results": 50}, "models"))
        except NotFound:
            return
        for told in found:
            info, data = told["info"], told.get("data", {})
            yield MlflowModel(
                id=info["model_id"],
                experiment_id=experiment.id,
                name=info["name"],
                state=MODEL_STATES.get(str(info.get("status", "")), "ready"),
                created=int(info.get("creation_timestamp_ms", 0)),
                updated=int(info.get("last_updated_timestamp_ms", 0)),
                model_type=info.get("model_type", ""),
                run=info.get("source_run_id", ""),
                location=info.get("artifact_uri", ""),
                params=_pairs(data.get("params")),
                tags=_pairs(info.get("tags")),
                points=tuple(map(_model_point, data.get("metrics") or ())),
            )

    def traces(self, experiment: MlflowExperiment) -> Iterator[MlflowTrace]:
        """Iterate over an experiment's traces, oldest first."""
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment.id}}
        asked = {"locations": [place], "max_results": _TRACES, "order_by": ["timestamp_ms ASC"]}
        try:
            found = list(self._paged("POST", "traces/search", asked, "traces", api=_API_3))
        except NotFound:  # a server of MLflow 2
            asked = {"experiment_ids": experiment.id, "max_results": _TRACES, "order_by": "timestamp_ms ASC"}
            try:
                found = list(self._paged("GET", "traces", asked, "traces"))
            except NotFound:  # or one from before it had traces
                return
        for told in found:
            yield self._with_spans(_trace(told, experiment.id))

    def _with_spans(self, trace: MlflowTrace) -> MlflowTrace:
        try:
            told = self._ask("GET", f"{_API_3}/traces/get", {"trace_id": trace.id}).get("trace", {})
        except (NotFound, Unavailable):  # an older server, or one that keeps spans as a file
            try:
                told = self._ask("GET", "/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": trace.id})
            except (NotFound, Unavailable) as cause:
                return msgspec.structs.replace(trace, without=cause.message)
        return msgspec.structs.replace(trace, spans=tuple(map(span_of, told.get("spans") or ())))

    def registered(self) -> Iterator[MlflowRegistered]:
        """Iterate over the registered models."""
        for told in self._paged("GET", "registered-models/search", {"max_results": 100}, "registered_models"):
            name = told["name"]
            quoted = name.replace("'", "\\'")
            asked = {"filter": f"name='{quoted}'", "max_results": _PAGE}
            versions = [_version(each) for each in self._paged("GET", "model-versions/search", asked, "model_versions")]
            yield MlflowRegistered(
                name=name,
                created=int(told.get("creation_timestamp", 0)),
                updated=int(told.get("last_updated_timestamp", 0)),
                description=told.get("description", ""),
                tags=_pairs(told.get("tags")),
                aliases={each["alias"]: int(each["version"]) for each in told.get("aliases") or ()},
                versions=tuple(sorted(versions, key=lambda each: each.version)),
            )

    def files(self, owner: MlflowRun | MlflowModel, into: Path) -> list[MlflowFile]:
        """Fetch the files of a run or model into a folder."""
        found = []
        for path in self._listed(owner, ""):
            target = into / path
            if target.resolve().is_relative_to(into.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(self._place(owner, path), target)
                found.append(MlflowFile(path, target))
        return found

    # -- files

    def _listed(self, owner: MlflowRun | MlflowModel, folder: str) -> Iterator[str]:
        """Yield the paths of all files in a folder and those inside."""
        if isinstance(owner, MlflowRun):
            told = self._ask("GET", f"{_API}/artifacts/list", {"run_id": owner.id, "path": folder})
        else:
            asked = {"artifact_directory_path": folder} if folder else {}
            told = self._ask("GET", f"{_API}/logged-models/{owner.id}/artifacts/directories", asked)
        for each in told.get("files") or ():
            if each.get("is_dir"):
                yield from self._listed(owner, each["path"])
            else:
                yield each["path"]

    def _place(self, owner: MlflowRun | MlflowModel, path: str) -> str:
        root = urlsplit(owner.location)
        if root.scheme == "mlflow-artifacts":
            return f"{_PROXY}/{quote(str(PurePosixPath(root.path.lstrip('/')) / path))}"
        if isinstance(owner, MlflowModel):
            return f"/ajax-api/2.0/mlflow/logged-models/{owner.id}/artifacts/files?{urlencode({'artifact_file_path': path})}"
        return f"/get-artifact?{urlencode({'run_uuid': owner.id, 'path': path})}"

    def _fetch(self, place: str, target: Path) -> None:
        with self._open(Request(self.address + place, headers=self._sign_in)) as answer, target.open("wb") as file:  # noqa: S310  # http only
            while block := answer.read(_BLOCK):
                file.write(block)

    # -- runs

    def _run(self, experiment: MlflowExperiment, told: Mapping[str, Any]) -> MlflowRun:
        info, data, inputs = told["info"], told.get("data", {}), told.get("inputs", {})
        tags = _pairs(data.get("tags"))
        return MlflowRun(
            id=info["run_id"],
            experiment_id=experiment.id,
            name=info.get("run_name", "") or tags.get("mlflow.runName", ""),
            user=info.get("user_id", ""),
            state=STATES.get(info.get("status", ""), "running"),
            started=int(info.get("start_time", 0)),
            ended=int(info["end_time"]) if info.get("end_time") else None,
            is_deleted=info.get("lifecycle_stage") == _DELETED,
            location=info.get("artifact_uri", ""),
            params=_pairs(data.get("params")),
            tags=tags,
            points={each["key"]: self._history(info["run_id"], each["key"]) for each in data.get("metrics") or ()},
            inputs=tuple(_input(each) for each in inputs.get("dataset_inputs") or ()),
            read_models=tuple(each["model_id"] for each in inputs.get("model_inputs") or ()),
        )

    def _history(self, run: str, key: str) -> list[MetricPoint]:
        asked = {"run_id": run, "metric_key": key, "max_results": 25_000}
        found = self._paged("GET", "metrics/get-history", asked, "metrics")
        return [(int(each.get("step", 0)), int(each["timestamp"]), float(each["value"])) for each in found]

    # -- the wire

    def _paged(self, method: str, path: str, asked: Mapping[str, Any], name: str, *, api: str = _API) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            told = self._ask(method, f"{api}/{path}", {**asked, **({"page_token": token} if token else {})})
            yield from told.get(name) or ()
            token = told.get("next_page_token", "")
            if not token:
                return

    def _ask(self, method: str, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        address, body = self.address + path, None
        if method == "GET":
            address += f"?{urlencode(asked)}" if asked else ""
        else:
            body = json.dumps(asked).encode()
        request = Request(address, data=body, method=method, headers={"content-type": "application/json", **self._sign_in})  # noqa: S310  # http only
        with self._open(request) as answer:
            told = json.loads(answer.read())
        return told if isinstance(told, dict) else {}

    def _open(self, request: Request) -> Any:
        where = f"{self.address} ({urlsplit(request.full_url).path})"
        try:
            return urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310  # http only
        except HTTPError as cause:
            said = f"{cause.code} {cause.reason}: {cause.read(500).decode(errors='replace')}"
            if cause.code in (401, 403):
                raise AccessDenied(f"{where} refuses: {said}", hint="set MLFLOW_TRACKING_TOKEN") from cause
            if cause.code == 404:  # HTTP's
                raise NotFound(f"{where} answers {said}", hint="give the address that clients have as MLFLOW_TRACKING_URI") from cause
            raise Unavailable(f"{where} answers {said}", hint="see the server's log; import again to go on") from cause
        except (URLError, TimeoutError, OSError) as cause:
            reason = getattr(cause, "reason", cause)
            raise Unavailable(f"{where} cannot be reached: {reason}", hint="check the address; import again to go on") from cause


def _trace(told: Mapping[str, Any], experiment: str) -> MlflowTrace:
    """Read a trace as version 3 of the protocol tells it, or version 2."""
    metadata = told.get("trace_metadata") or _pairs(told.get("request_metadata"))
    took, asked = told.get("execution_duration"), told.get("request_time")
    state = str(told.get("state") or told.get("status") or "")
    tags = told.get("tags") or {}
    old = told.get("execution_time_ms")
    return MlflowTrace(
        id=told.get("trace_id") or told["request_id"],
        experiment_id=experiment,
        requested=to_millis(datetime.fromisoformat(asked)) if asked else int(told.get("timestamp_ms", 0)),
        duration=round(float(took.removesuffix("s")) * 1000) if took else None if old is None else int(old),
        state=state if state in TRACE_STATES else "STATE_UNSPECIFIED",
        request=told.get("request_preview") or metadata.get("mlflow.traceInputs", ""),
        response=told.get("response_preview") or metadata.get("mlflow.traceOutputs", ""),
        client_request_id=told.get("client_request_id", ""),
        metadata=dict(metadata),
        tags=dict(tags) if isinstance(tags, Mapping) else _pairs(tags),
        assessments=tuple(told.get("assessments") or ()),
    )


def _sign_in(user: str, password: str) -> dict[str, str]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN", ""):
        return {"authorization": f"Bearer {token}"}
    user, password = user or os.environ.get("MLFLOW_TRACKING_USERNAME", ""), password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return {"authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"} if user else {}


def _pairs(given: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in given or ()}


def _input(told: Mapping[str, Any]) -> MlflowInput:
    about = told.get("dataset", {})
    return MlflowInput(
        name=about.get("name", ""),
        digest=about.get("digest", ""),
        source_type=about.get("source_type", ""),
        source=about.get("source", ""),
        schema=about.get("schema", ""),
        profile=about.get("profile", ""),
        tags=_pairs(told.get("tags")),
    )


def _model_point(told: Mapping[str, Any]) -> MlflowModelPoint:
    return MlflowModelPoint(
        key=told["key"],
        value=float(told["value"]),
        at=int(told.get("timestamp", 0)),
        step=int(told.get("step", 0)),
        run=told.get("run_id", ""),
        dataset_name=told.get("dataset_name", ""),
        dataset_digest=told.get("dataset_digest", ""),
    )


def _version(told: Mapping[str, Any]) -> MlflowVersion:
    return MlflowVersion(
        version=int(told["version"]),
        created=int(told.get("creation_timestamp", 0)),
        updated=int(told.get("last_updated_timestamp", 0)),
        description=told.get("description", ""),
        user=told.get("user_id", ""),
        stage=told.get("current_stage", "None"),
        source=told.get("source", ""),
        run=told.get("run_id", ""),
        model_id=told.get("model_id", ""),
        run_link=told.get("run_link", ""),
        tags=_pairs(told.get("tags")),
    )
