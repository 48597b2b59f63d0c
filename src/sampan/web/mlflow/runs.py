"""Runs: parameters and tags are events, metric points go to a journal for each run that is logged to."""

from __future__ import annotations

import math
import random
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.events import Event, Input, ParamsLogged, RunEnded, RunStarted, Tagged, VersionCommitted, new_id
from sampan.core.graph import MetricSummary, NodeId
from sampan.core.mlflow import STATES
from sampan.errors import Immutable, NotFound
from sampan.store.run_search import Candidate, Details, Neighbor, RunSearch
from sampan.web.mlflow import model_metrics
from sampan.web.mlflow.experiments import Experiment, Experiments
from sampan.web.mlflow.refusals import (
    MAX_PARAM,
    MAX_TAG,
    Refusal,
    integer,
    invalid,
    items,
    key_of,
    limited,
    missing,
    next_page,
    number,
    page,
    paged,
    pairs,
    text,
    texts,
)
from sampan.web.mlflow.run_queries import LANGUAGE, TOLD, RunQuery, artifact_uri
from sampan.workspace.mlflow.graph import ACTIVE, DATASET, DELETED, LIFECYCLE, LOGGED_MODEL, NAME_TAG, USER_TAG, asset_name
from sampan.workspace.runs.events import InputsRead, RunResumed

if TYPE_CHECKING:
    from sampan.store.journals import MetricJournal
    from sampan.workspace.workspace import Workspace

_OPEN_JOURNALS: Final = 128
_LARGEST: Final = sys.float_info.max
_ADJECTIVES = ("amber", "brisk", "calm", "deft", "eager", "fair", "gentle", "keen", "light", "merry", "quiet", "swift")
_NOUNS = ("anchor", "breeze", "current", "harbor", "heron", "junk", "keel", "lantern", "mast", "pier", "sail", "tide")


class MlflowRuns:
    """The runs of one workspace."""

    def __init__(self, ws: Workspace, experiments: Experiments) -> None:
        self._ws = ws
        self._experiments = experiments
        self._journals: OrderedDict[NodeId, MetricJournal] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def _search(self) -> RunSearch:
        # The store is opened by the first request, not by making the application.
        return RunSearch(self._ws.store.database)

    # -- one run

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/create."""
        experiment = self._experiments.active(text(given, "experiment_id", required=False, default="0"))
        tags = _tags(items(given, "tags"))
        name = text(given, "run_name", required=False) or tags.get(NAME_TAG) or _some_name()
        tags[NAME_TAG] = name
        user = text(given, "user_id", required=False) or tags.get(USER_TAG, "")
        if user:
            tags[USER_TAG] = user
        run = new_id()
        parent = tags.get("mlflow.parentRunId")
        started = RunStarted(
            node=run,
            experiment=experiment.asset,
            title=name,
            started=integer(given, "start_time", default=self._ws.clock()),
            parent=parent if parent and self._is_run(parent) else None,
            source=tags.get("mlflow.source.name", ""),
            facts={"client": "mlflow"},
        )
        self._ws.ledger.append(started, *(Tagged(node=run, key=key, value=value) for key, value in tags.items()))
        return {"run": self.told([self._candidate(run)])[0]}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET runs/get."""
        run = self._candidate(self.id_of(given))
        self._ws.store.folding.fold(run.id)
        return {"run": self.told([run])[0]}

    def update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/update."""
        run = self._active(self.id_of(given))
        events: list[Event] = []
        status = given.get("status")
        if status is not None and status not in STATES:
            raise invalid(f"Invalid value {status!r} for parameter 'status' supplied: one of {', '.join(STATES)}")
        if status is not None:
            events += self._to_state(run, STATES[status], given)
        if name := text(given, "run_name", required=False):
            events.append(Tagged(node=run.id, key=NAME_TAG, value=name))
        if events:
            self._ws.ledger.append(*events)
        if status in ("FINISHED", "FAILED", "KILLED"):
            self.close(run.id)
        return {"run_info": self.told([self._candidate(run.id)])[0]["info"]}

    def _to_state(self, run: Candidate, state: str, given: Mapping[str, Any]) -> Iterable[Event]:
        if state == run.state:
            return
        if run.state != "running":
            yield RunResumed(node=run.id, before=run.state)
        if state != "running":
            yield RunEnded(node=run.id, state=state, ended=integer(given, "end_time", default=self._ws.clock()))

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/delete."""
        self._ws.ledger.append(Tagged(node=self._active(self.id_of(given)).id, key=LIFECYCLE, value=DELETED))
        return {}

    def restore(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/restore."""
        run = self._candidate(self.id_of(given))
        self._ws.ledger.append(Tagged(node=run.id, key=LIFECYCLE, value=None))
        return {}

    # -- logging

    def log_metric(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/log-metric."""
        run = self.id_of(given)
        if run not in self._journals:
            self._active(run)
        self._log(run, [given])
        return {}

    def log_parameter(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/log-parameter."""
        run = self._active(self.id_of(given))
        key, value = key_of(given, "Param"), limited(text(given, "value", required=False), MAX_PARAM, "Param value")
        self._add_params(run.id, {key: value})
        return {}

    def set_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/set-tag."""
        run = self._active(self.id_of(given))
        key, value = key_of(given, "Tag"), limited(text(given, "value", required=False), MAX_TAG, "Tag value")
        self._ws.ledger.append(Tagged(node=run.id, key=key, value=value))
        return {}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/delete-tag."""
        run, key = self._active(self.id_of(given)), key_of(given, "Tag")
        if key not in self._ws.catalog.tags(run.id):
            raise missing(f"No tag with name: {key} in run with id {run.id}")
        self._ws.ledger.append(Tagged(node=run.id, key=key, value=None))
        return {}

    def log_batch(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/log-batch."""
        metrics, params, tags = items(given, "metrics"), items(given, "params"), items(given, "tags")
        for what, found, most in (("metrics", metrics, 1000), ("params", params, 100), ("tags", tags, 100)):
            if len(found) > most:
                raise invalid(f"A batch logging request can contain at most {most} {what}. Got {len(found)} {what}.")
        if (n := len(metrics) + len(params) + len(tags)) > 1000:
            raise invalid(f"A batch logging request can contain at most 1000 metrics, params and tags. Got {n}.")
        run = self._active(self.id_of(given))
        told = _params(params)
        if told:
            self._add_params(run.id, told)
        if tags:
            self._ws.ledger.append(*(Tagged(node=run.id, key=key, value=value) for key, value in _tags(tags).items()))
        self._log(run.id, metrics)
        return {}

    def _log(self, run: NodeId, metrics: Sequence[Mapping[str, Any]]) -> None:
        points = [
            (
                key_of(each, "Metric"),
                _finite(number(each, "value")),
                integer(each, "step", default=0),
                integer(each, "timestamp", default=0),
            )
            for each in metrics
        ]
        if not points:
            return
        if about_models := model_metrics.events(self._ws.catalog, run, metrics):
            self._ws.ledger.append(*about_models)
        with self._lock:
            journal = self._journals.get(run)
            if journal is None:
                journal = self._journals[run] = self._ws.store.journals.open(run)
            self._journals.move_to_end(run)
            for key, value, step, at in points:
                journal.log(key, value, step=step, at=at)
            while len(self._journals) > _OPEN_JOURNALS:
                self._journals.popitem(last=False)[1].close()

    def _add_params(self, run: NodeId, params: Mapping[str, str]) -> None:
        try:
            self._ws.ledger.append(ParamsLogged(node=run, params=dict(params)))
        except Immutable as cause:
            known = self._ws.catalog.params(run)
            key = next(key for key, value in params.items() if known.get(key, value) != value)
            logged = f"Param with key='{key}' was already logged with value='{known[key]}' for run ID='{run}'."
            said = f"Changing param values is not allowed. {logged}"
            raise invalid(f"{said} Attempted logging new value '{params[key]}'.") from cause

    def close(self, run: NodeId | None = None) -> None:
        """Close a run's journal, or all."""
        with self._lock:
            for each in [run] if run else list(self._journals):
                journal = self._journals.pop(each, None)
                if journal is not None:
                    journal.close()

    # -- inputs

    def log_inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/log-inputs."""
        run = self._active(self.id_of(given))
        for each in items(given, "datasets"):
            self._add_dataset(run.id, each)
        for each in items(given, "models"):
            self._ws.ledger.append(InputsRead(node=run.id, inputs=(Input(_model_node(text(each, "model_id")), "input"),)))
        return {}

    def _add_dataset(self, run: NodeId, given: Mapping[str, Any]) -> None:
        about = given.get("dataset") or {}
        facts = {key: text(about, key, required=False) for key in ("name", "digest", "source_type", "source", "schema", "profile")}
        facts["tags"] = _tags(items(given, "tags"))  # type: ignore[assignment]  # facts hold any plain value
        name = asset_name(facts["name"], otherwise="dataset")
        digest = f"mlflow:{facts['digest']}"
        known = self._ws.catalog.find_version(DATASET, name, digest)
        if known is None or known.facts != facts:
            event = VersionCommitted(node=new_id(), kind=DATASET, name=name, digest=digest, facts=facts)
            self._ws.ledger.append(event, InputsRead(node=run, inputs=(Input(event.node, "input"),)))
        else:
            self._ws.ledger.append(InputsRead(node=run, inputs=(Input(known.id, "input"),)))

    def log_outputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/outputs: the models a run made are linked to it when they are made."""
        self._active(self.id_of(given))
        return {}

    def log_model(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/log-model: clients of MLflow 2 write a model's description into a tag."""
        run = self._active(self.id_of(given))
        told = msgspec.json.decode(text(given, "model_json"))
        history = msgspec.json.decode(self._ws.catalog.tags(run.id).get("mlflow.log-model.history", "[]"))
        value = msgspec.json.encode([*history, told]).decode()
        self._ws.ledger.append(Tagged(node=run.id, key="mlflow.log-model.history", value=value))
        return {}

    # -- reading

    def history(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET metrics/get-history."""
        run, key = self._candidate(self.id_of(given)), text(given, "metric_key")
        points = self._ws.catalog.metric_history(run.id, key)
        # A point logged twice is one point.
        found = sorted(set(zip(points.at, points.steps, [_word(value) for value in points.values], strict=True)), key=lambda p: p[:2])
        wanted, offset = page(given, default=max(len(found), 1), most=max(len(found), 50_000))
        shown, more = paged(found, wanted, offset)
        return {"metrics": [{"key": key, "value": value, "timestamp": at, "step": step} for at, step, value in shown], **more}

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST runs/search."""
        wanted, offset = page(given, default=1000, most=50_000)
        asked = RunQuery(
            conditions=LANGUAGE.parse(text(given, "filter", required=False)),
            order=LANGUAGE.parse_order(texts(given, "order_by")),
            experiments={each.asset: each for each in self._experiments.all() if each.id in set(texts(given, "experiment_ids"))},
            view=text(given, "run_view_type", required=False, default="ACTIVE_ONLY"),
        )
        self._ws.store.folding.fold_all()
        pks, n_found = asked.carry_out(self._ws.store, offset + wanted)
        return {"runs": self.told(self._search.shown(pks[offset:])), **next_page(n_found, wanted, offset)}

    # -- in MLflow's words

    def told(self, runs: Sequence[Candidate]) -> list[dict[str, Any]]:
        """Return runs with everything that is folded of what was logged to them, in MLflow's words."""
        pks = [run.pk for run in runs]
        details, beside = self._search.details(pks), self._search.neighbors(pks, (DATASET, LOGGED_MODEL))
        experiments = self._experiments.by_asset()
        return [self._told(run, details[run.pk], beside[run.pk], experiments[run.experiment]) for run in runs]

    def _told(self, run: Candidate, found: Details, beside: Sequence[Neighbor], experiment: Experiment) -> dict[str, Any]:
        tags = dict(found.tags)
        lifecycle = DELETED if tags.pop(LIFECYCLE, "") == DELETED else ACTIVE
        name = tags.setdefault(NAME_TAG, run.title)
        info: dict[str, Any] = {
            "run_id": run.id,
            "run_uuid": run.id,
            "run_name": name,
            "experiment_id": experiment.id,
            "user_id": tags.get(USER_TAG, run.actor),
            "status": TOLD.get(run.state, "RUNNING"),
            "start_time": run.started,
            "artifact_uri": artifact_uri(experiment, run.id),
            "lifecycle_stage": lifecycle,
        }
        if run.ended is not None and run.state != "running":
            info["end_time"] = run.ended
        return {
            "info": info,
            "data": {"metrics": [_metric(each) for each in found.metrics], "params": pairs(found.params), "tags": pairs(tags)},
            "inputs": {
                "dataset_inputs": [_dataset(each) for each in beside if each.kind == DATASET],
                "model_inputs": [{"model_id": f"m-{each.id}"} for each in beside if each.kind == LOGGED_MODEL and each.is_input],
            },
            "outputs": {
                "model_outputs": [
                    {"model_id": f"m-{each.id}", "step": 0} for each in beside if each.kind == LOGGED_MODEL and not each.is_input
                ]
            },
        }

    # -- finding

    def id_of(self, given: Mapping[str, Any]) -> NodeId:
        """Read a run's id, which old clients call run_uuid."""
        return text(given, "run_id" if given.get("run_id") else "run_uuid" if given.get("run_uuid") else "run_id")

    def experiment_of(self, run: NodeId) -> Experiment:
        """Return the experiment a run belongs to."""
        return self._experiments.by_asset()[self._candidate(run).experiment]

    def _is_run(self, run: NodeId) -> bool:
        try:
            self._candidate(run)
        except Refusal:
            return False
        return True

    def _candidate(self, run: NodeId) -> Candidate:
        try:
            row = self._ws.catalog.run(run)
        except NotFound as cause:
            raise missing(f"Run with id={run} not found") from cause
        node = row.node
        return Candidate(node.seq, node.id, row.experiment, row.title, row.state, row.started, row.ended, node.actor)

    def _active(self, run: NodeId) -> Candidate:
        found = self._candidate(run)
        if self._ws.catalog.tags(run).get(LIFECYCLE) == DELETED:
            raise invalid(f"The run {run} must be in the 'active' state. Current state is deleted.")
        return found


def _dataset(found: Neighbor) -> dict[str, Any]:
    about = {key: value for key, value in found.facts.items() if key != "tags" and value}
    return {"dataset": about, "tags": pairs(found.facts.get("tags", {}))}


def _metric(found: MetricSummary) -> dict[str, Any]:
    return {"key": found.key, "value": _word(found.last), "timestamp": found.last_at, "step": found.last_step}


def _word(value: float) -> float | str:
    """Return a number as JSON has it: NaN is a text, and infinity the largest number there is."""
    return "NaN" if math.isnan(value) else _finite(value)


def _finite(value: float) -> float:
    """Return infinity as the largest number there is, as MLflow's own store keeps it."""
    return math.copysign(_LARGEST, value) if math.isinf(value) else value


def _params(given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        key, value = key_of(each, "Param"), limited(text(each, "value", required=False), MAX_PARAM, "Param value")
        if found.get(key, value) != value:
            once = "Please ensure the request contains only one param value per param key."
            raise invalid(f"Duplicate parameter keys have been submitted: {[key]}. {once}")
        found[key] = value
    return found


def _tags(given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {key_of(each, "Tag"): limited(text(each, "value", required=False), MAX_TAG, "Tag value") for each in given}


def _model_node(model_id: str) -> NodeId:
    return model_id.removeprefix("m-")


def _some_name() -> str:
    return f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{random.randrange(1000)}"  # noqa: S311  # a name, not a secret
