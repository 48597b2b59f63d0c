"""A workspace in MLflow's nouns: everything its clients logged, everything imported, and runs of Sampan's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.graph import Node
from sampan.core.mlflow import (
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
from sampan.workspace.mlflow import graph
from sampan.workspace.mlflow.changes import node_of
from sampan.workspace.mlflow.trace_events import KIND
from sampan.workspace.mlflow.traces import told_traces
from sampan.workspace.models.sign_offs import STAGE

if TYPE_CHECKING:
    from sampan.store.run_search import Candidate, Neighbor
    from sampan.workspace.workspace import Workspace

_MANY: Final = 1_000_000


class ToldToMlflow:
    """The MlflowSource of a workspace."""

    def __init__(self, ws: Workspace) -> None:
        from sampan.store.run_search import RunSearch

        self.ws = ws
        self.address = str(ws.root)
        self._search = RunSearch(ws.store.database)
        self._runs: dict[str, Candidate] = {}

    def experiments(self) -> list[MlflowExperiment]:
        """Return all experiments."""
        found = [graph.experiment_of(asset) for asset in self.ws.catalog.assets(graph.EXPERIMENT)]
        return [
            MlflowExperiment(
                id=each.id,
                name=each.name,
                is_deleted=each.state == graph.DELETED,
                created=each.created,
                updated=each.updated,
                location=each.location,
                tags=each.tags,
            )
            for each in sorted(found, key=lambda one: (one.created, one.id))
        ]

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of an experiment's runs, oldest first."""
        assets = map(graph.experiment_of, self.ws.catalog.assets(graph.EXPERIMENT))
        found = self._search.candidates([each.asset for each in assets if each.id == experiment.id])
        self._runs |= {each.id: each for each in found}
        return [each.id for each in sorted(found, key=lambda one: (one.started, one.id))]

    def runs(self, experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs with everything logged to them."""
        from sampan.store.chunks import points_of

        runs = [self._runs[id] for id in ids]  # noqa: A001  # the field's word
        for run in runs:
            self.ws.store.folding.fold(run.id)
        pks = [run.pk for run in runs]
        details, beside = self._search.details(pks), self._search.neighbors(pks, (graph.DATASET, graph.LOGGED_MODEL))
        found = []
        for run in runs:
            params, _, tags = details[run.pk]
            with self.ws.store.database.read() as session:
                points = points_of(session, run.id)
            found.append(
                MlflowRun(
                    id=run.id,
                    experiment_id=experiment.id,
                    name=tags.get(graph.NAME_TAG, run.title),
                    user=tags.get(graph.USER_TAG, run.actor),
                    state=run.state,
                    started=run.started,
                    ended=run.ended,
                    is_deleted=tags.get(graph.LIFECYCLE) == graph.DELETED,
                    params=params,
                    tags={graph.NAME_TAG: run.title, **_theirs(tags)},
                    points=dict(points),
                    inputs=tuple(_input(each) for each in beside[run.pk] if each.kind == graph.DATASET and each.is_input),
                    read_models=tuple(f"m-{each.id}" for each in beside[run.pk] if each.kind == graph.LOGGED_MODEL and each.is_input),
                )
            )
        return found

    def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Iterate over an experiment's logged models, oldest first."""
        nodes = self.ws.catalog.nodes(kind=graph.LOGGED_MODEL, limit=_MANY)
        mine = [node for node in reversed(nodes) if node.facts["experiment"] == experiment.id]
        tags = self.ws.catalog.tags_of([node.id for node in mine])
        for node in mine:
            yield _model(node, experiment.id, tags[node.id])

    def traces(self, experiment: MlflowExperiment) -> Iterator[MlflowTrace]:
        """Iterate over an experiment's traces, oldest first."""
        assets = map(graph.experiment_of, self.ws.catalog.assets(graph.EXPERIMENT))
        for asset in [each.asset for each in assets if each.id == experiment.id]:
            nodes = self.ws.catalog.nodes(kind=KIND, name=asset, limit=_MANY)
            yield from told_traces(self.ws, nodes[::-1], experiment.id)

    def registered(self) -> Iterator[MlflowRegistered]:
        """Iterate over the registered models."""
        for asset in self.ws.catalog.assets(graph.REGISTERED):
            if graph.FACT not in asset.facts:
                continue
            told = read_builtins(asset.facts[graph.FACT], graph.Registered)
            nodes = list(reversed(self.ws.catalog.nodes(kind=graph.REGISTERED, name=asset.name, limit=_MANY)))
            tags, numbers = self.ws.catalog.tags_of([node.id for node in nodes]), {node.id: node.version or 0 for node in nodes}
            if told.state != graph.DELETED:
                yield MlflowRegistered(
                    name=told.name,
                    created=told.created,
                    updated=told.updated,
                    description=told.description,
                    tags=told.tags,
                    aliases={alias: numbers[node] for alias, node in self.ws.catalog.aliases(graph.REGISTERED, asset.name).items()},
                    versions=tuple(_version(node, tags[node.id]) for node in nodes),
                )

    def files(self, owner: MlflowRun | MlflowModel, into: Path) -> list[MlflowFile]:  # noqa: ARG002  # they lie in the store
        """Return the files of a run or model as they are now."""
        kept = graph.present_files(self.ws.catalog.artifacts(node_of(owner.id)))
        return [MlflowFile(path, self.ws.store.blobs.path(each.digest)) for path, (_, each) in kept.items() if each.size != graph.GONE]


def _theirs(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(graph.OURS)}


def _input(found: Neighbor) -> MlflowInput:
    facts = found.facts
    return MlflowInput(
        name=facts["name"],
        digest=facts["digest"],
        source_type=facts["source_type"],
        source=facts["source"],
        schema=facts["schema"],
        profile=facts["profile"],
        tags=facts["tags"],
    )


def _model(node: Node, experiment: str, tags: dict[str, str]) -> MlflowModel:
    facts = node.facts
    later = {key.removeprefix(graph.MODEL_PARAM): value for key, value in tags.items() if key.startswith(graph.MODEL_PARAM)}
    points = [msgspec.json.decode(value) for key, value in tags.items() if key.startswith(graph.MODEL_POINT)]
    return MlflowModel(
        id=f"m-{node.id}",
        experiment_id=experiment,
        name=facts["name"],
        state=node.state,
        created=node.created,
        updated=facts.get("updated", node.created),
        is_deleted=tags.get(graph.LIFECYCLE) == graph.DELETED,
        model_type=facts["model_type"],
        run=facts["source_run_id"],
        params={**facts["params"], **later},
        tags=_theirs(tags),
        points=tuple(_model_point(point) for point in sorted(points, key=lambda one: (one["key"], one["timestamp"], one["step"]))),
    )


def _model_point(told: dict[str, Any]) -> MlflowModelPoint:
    return MlflowModelPoint(
        key=told["key"],
        value=float("nan") if told["value"] is None else float(told["value"]),
        at=told["timestamp"],
        step=told["step"],
        run=told["run_id"],
        dataset_name=told.get("dataset_name", ""),
        dataset_digest=told.get("dataset_digest", ""),
    )


def _version(node: Node, tags: dict[str, str]) -> MlflowVersion:
    facts, number = node.facts, node.version or 0
    if tags.get(graph.LIFECYCLE) == graph.DELETED:
        return MlflowVersion(version=number, created=node.created, is_deleted=True)
    return MlflowVersion(
        version=number,
        created=node.created,
        updated=facts.get("updated", node.created),
        description=tags.get(graph.DESCRIPTION, ""),
        user=facts.get("user_id", ""),
        stage=tags.get(STAGE, "None"),
        source=facts["source"],
        run=facts["run_id"],
        model_id=facts.get("model_id", ""),
        run_link=facts.get("run_link", ""),
        tags=_theirs(tags),
    )
