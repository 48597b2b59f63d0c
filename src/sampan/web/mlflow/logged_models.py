"""Logged models of MLflow 3: a model with an id of its own, its files, parameters and tags, made by a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sampan.core.events import Input, StateChanged, Tagged, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import NotFound
from sampan.web.mlflow import model_metrics
from sampan.web.mlflow.artifacts import Artifacts
from sampan.web.mlflow.experiments import Experiments
from sampan.web.mlflow.filters import Language, sort_key
from sampan.web.mlflow.refusals import MAX_TAG, invalid, items, key_of, limited, missing, page, paged, pairs, text, texts
from sampan.workspace.mlflow.graph import DELETED, LIFECYCLE, LOGGED_MODEL, MODEL_PARAM, MODEL_POINT, asset_name

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_PENDING, _READY, _FAILED = "pending", "ready", "failed"
_STATUS: Final = {"LOGGED_MODEL_PENDING": _PENDING, "LOGGED_MODEL_READY": _READY, "LOGGED_MODEL_UPLOAD_FAILED": _FAILED}
_TOLD: Final = {state: word for word, state in _STATUS.items()}
_LANGUAGE: Final = Language(
    frozenset({"creation_timestamp", "creation_time", "last_updated_timestamp"}),
    frozenset({"name", "model_id", "model_type", "status", "source_run_id"}),
    frozenset({"attribute", "tag", "parameter", "metric"}),
)
_MANY: Final = 100_000


class LoggedModels:
    """The logged models of one workspace."""

    def __init__(self, ws: Workspace, experiments: Experiments, artifacts: Artifacts) -> None:
        self._ws = ws
        self._experiments = experiments
        self._artifacts = artifacts

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST logged-models."""
        experiment = self._experiments.active(text(given, "experiment_id", required=False, default="0"))
        run = text(given, "source_run_id", required=False)
        node = new_id()
        name = text(given, "name", required=False) or f"model-{node[:8]}"
        facts = {
            "client": "mlflow",
            "experiment": experiment.id,
            "name": name,
            "model_type": text(given, "model_type", required=False),
            "source_run_id": run,
            "params": {key_of(each, "Param"): text(each, "value", required=False) for each in items(given, "params")},
        }
        asset = asset_name(name, otherwise="model")
        inputs = (Input(run, "output"),) if run else ()
        made = VersionCommitted(node=node, kind=LOGGED_MODEL, name=asset, digest="", state=_PENDING, facts=facts, inputs=inputs)
        tags = [Tagged(node=node, key=key_of(each, "Tag"), value=text(each, "value", required=False)) for each in items(given, "tags")]
        self._ws.ledger.append(made, *tags)
        return {"model": self.told(self._ws.catalog.node(node))}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET logged-models/ID."""
        return {"model": self.told(self.find(text(given, "model_id")))}

    def finish(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH logged-models/ID."""
        found, status = self.find(text(given, "model_id")), text(given, "status")
        if status not in _STATUS:
            raise invalid(f"Invalid value {status!r} for parameter 'status' supplied: one of {', '.join(_STATUS)}")
        if found.state != _STATUS[status]:
            self._ws.ledger.append(StateChanged(node=found.id, before=found.state, after=_STATUS[status]))
        return {"model": self.told(self.find(found.id))}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE logged-models/ID."""
        self._ws.ledger.append(Tagged(node=self.find(text(given, "model_id")).id, key=LIFECYCLE, value=DELETED))
        return {}

    def set_tags(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH logged-models/ID/tags."""
        found = self.find(text(given, "model_id"))
        tags = {key_of(each, "Tag"): limited(text(each, "value", required=False), MAX_TAG, "Tag value") for each in items(given, "tags")}
        self._ws.ledger.append(*(Tagged(node=found.id, key=key, value=value) for key, value in tags.items()))
        return {"model": self.told(self.find(found.id))}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE logged-models/ID/tags/KEY."""
        found, key = self.find(text(given, "model_id")), text(given, "tag_key")
        if key not in self._ws.catalog.tags(found.id):
            raise missing(f"No tag with key {key!r} for model with ID {found.id!r}.")
        self._ws.ledger.append(Tagged(node=found.id, key=key, value=None))
        return {}

    def add_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST logged-models/ID/params."""
        found = self.find(text(given, "model_id"))
        events = [
            Tagged(node=found.id, key=f"{MODEL_PARAM}{key_of(each, 'Param')}", value=text(each, "value", required=False))
            for each in items(given, "params")
        ]
        if events:
            self._ws.ledger.append(*events)
        return {}

    def directories(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET logged-models/ID/artifacts/directories."""
        found = self.find(text(given, "model_id"))
        return self._artifacts.list_model(found, given, self._uri(found))

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST logged-models/search."""
        wanted, offset = page(given, default=100, most=50_000)
        conditions = _LANGUAGE.parse(text(given, "filter", required=False))
        experiments = set(texts(given, "experiment_ids"))
        found = [node for node in self._ws.catalog.nodes(kind=LOGGED_MODEL, limit=_MANY) if node.facts["experiment"] in experiments]
        tags = self._ws.catalog.tags_of([node.id for node in found])
        told = [self._told(node, tags[node.id]) for node in found if tags[node.id].get(LIFECYCLE) != DELETED]
        told = [each for each in told if all(c.holds(_value(each, c.field)) for c in conditions)]
        for clause in reversed(items(given, "order_by")):
            field = _LANGUAGE.parse_order([text(clause, "field_name")])[0][0]
            down = clause.get("ascending") is False
            told.sort(key=lambda each, f=field, d=down: sort_key(_value(each, f), descending=d))  # type: ignore[misc]  # bound now
        shown, more = paged(told, wanted, offset)
        return {"models": shown, **more}

    def find(self, model_id: str) -> Node:
        """Return a logged model. Raises Refusal."""
        try:
            node = self._ws.catalog.node(model_id.removeprefix("m-"))
        except NotFound as cause:
            raise missing(f"Logged model with ID '{model_id}' not found.") from cause
        if node.kind != LOGGED_MODEL or self._ws.catalog.tags(node.id).get(LIFECYCLE) == DELETED:
            raise missing(f"Logged model with ID '{model_id}' not found.")
        return node

    def told(self, node: Node) -> dict[str, Any]:
        """Return a model in MLflow's words."""
        return self._told(node, self._ws.catalog.tags(node.id))

    def _told(self, node: Node, tags: Mapping[str, str]) -> dict[str, Any]:
        facts = node.facts
        params = {**facts["params"], **{key.removeprefix(MODEL_PARAM): value for key, value in tags.items() if key.startswith(MODEL_PARAM)}}
        info = {
            "model_id": f"m-{node.id}",
            "experiment_id": facts["experiment"],
            "name": facts["name"],
            "creation_timestamp_ms": node.created,
            "last_updated_timestamp_ms": node.created,
            "artifact_uri": self._uri(node),
            "status": _TOLD.get(node.state, "LOGGED_MODEL_READY"),
            "tags": pairs({key: value for key, value in tags.items() if not key.startswith(_OURS)}),
        }
        info |= {key: facts[key] for key in ("model_type", "source_run_id") if facts[key]}
        return {"info": info, "data": {"params": pairs(params), "metrics": model_metrics.of(tags)}}

    def _uri(self, node: Node) -> str:
        location = self._experiments.by_id(node.facts["experiment"]).location.rstrip("/")
        return f"{location}/models/m-{node.id}/artifacts"


_OURS: Final = (MODEL_PARAM, LIFECYCLE, MODEL_POINT)


def _value(told: Mapping[str, Any], field: tuple[str, str]) -> Any:
    kind, name = field
    info, data = told["info"], told["data"]
    if kind == "tag":
        return next((each["value"] for each in info["tags"] if each["key"] == name), None)
    if kind == "parameter":
        return next((each["value"] for each in data["params"] if each["key"] == name), None)
    if kind == "metric":
        return model_metrics.latest(data["metrics"], name)
    if name in ("creation_timestamp", "creation_time", "last_updated_timestamp"):
        return float(info["creation_timestamp_ms"])
    return info.get(name)
