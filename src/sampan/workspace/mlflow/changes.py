"""What an import of MLflow's things does to our graph: all of a thing that is new here, or what is new of one that is known.

Times and authors are MLflow's. What was changed here since is not undone: a parameter never changes, an alias is not moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from blake3 import blake3

from sampan.core.changes import (
    ActedThen,
    AddArtifact,
    AddEdge,
    AddNode,
    AddParams,
    Change,
    EndRun,
    MoveAlias,
    SetState,
    SetTag,
    StartRun,
)
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.core.mlflow import MlflowInput, MlflowModel, MlflowRun, MlflowVersion
from sampan.core.times import Millis
from sampan.workspace.mlflow import graph
from sampan.workspace.models.events import StoredFile
from sampan.workspace.models.sign_offs import STAGE

_SOMEBODY: Final = "mlflow"  # who did what MLflow names nobody for


class MlflowImported(Event, frozen=True, kw_only=True, dict=True):
    """A thing came over from MLflow, or what was new of it."""

    type: ClassVar[str] = "mlflow_imported"

    node: NodeId
    kind: str
    name: str  # what it is called there
    source: str  # the store's address

    @classmethod
    def made(cls, changes: Sequence[Change], *, node: NodeId, kind: str, name: str, source: str) -> MlflowImported:
        """Say that a thing came, and what that does."""
        event = cls(node=node, kind=kind, name=name, source=source)
        # Beside the fields, not among them: changes are written once, as changes.
        event.__dict__["_changes"] = tuple(changes)
        return event

    def subject(self) -> NodeId:
        """Return the thing."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Do what came."""
        found: tuple[Change, ...] = self.__dict__["_changes"]
        return found


class KnownRun(msgspec.Struct, frozen=True):
    """What is here of a run."""

    state: str
    params: dict[str, str]
    tags: dict[str, str]
    files: frozenset[str] = frozenset()


def node_of(text: str, *about: str) -> NodeId:
    """Return the id a thing of MLflow's has here: its own where that is one, else one drawn from what names it."""
    bare = text.removeprefix("m-")
    if not about and len(bare) == 32 and set(bare) <= set("0123456789abcdef"):  # digits of an id
        return bare
    return blake3("\x00".join(("mlflow", text, *about)).encode()).hexdigest()[:32]


# -- runs


def parent_of(run: MlflowRun) -> NodeId | None:
    """Return the run that a run is inside of."""
    parent = run.tags.get(graph.PARENT_TAG, "")
    return node_of(parent) if parent else None


def new_run(run: MlflowRun, experiment: str, files: Sequence[StoredFile], *, parent: NodeId | None) -> Iterator[Change]:
    """Yield a whole run, without the datasets it read."""
    node, tags = node_of(run.id), _run_tags(run)
    yield ActedThen(run.started, run.user or _SOMEBODY)
    yield AddNode(id=node, kind=graph.EXPERIMENT, name=experiment, state="running", facts={"client": "mlflow"})
    yield StartRun(
        node=node,
        experiment=experiment,
        title=tags[graph.NAME_TAG],
        started=run.started,
        parent=parent,
        source=tags.get("mlflow.source.name", ""),
    )
    if run.params:
        yield AddParams(node=node, params=run.params)
    yield from (SetTag(node=node, key=key, value=value) for key, value in tags.items())
    yield from (AddArtifact(node=node, path=file.path, digest=file.digest, size=file.size) for file in files)
    if run.state != "running":
        yield EndRun(node=node, state=run.state, ended=run.ended or run.started)


def more_of_run(run: MlflowRun, known: KnownRun, files: Sequence[StoredFile]) -> Iterator[Change]:
    """Yield what is new of a run that is here; nothing where all of it is."""
    node, tags = node_of(run.id), _run_tags(run)
    fresh = {name: value for name, value in run.params.items() if name not in known.params}
    if fresh:
        yield AddParams(node=node, params=fresh)
    yield from (SetTag(node=node, key=key, value=value) for key, value in tags.items() if known.tags.get(key) != value)
    if graph.LIFECYCLE in known.tags and graph.LIFECYCLE not in tags:
        yield SetTag(node=node, key=graph.LIFECYCLE, value=None)
    yield from (AddArtifact(node=node, path=f.path, digest=f.digest, size=f.size) for f in files if f.path not in known.files)
    if known.state == "running" and run.state != "running":
        yield EndRun(node=node, state=run.state, ended=run.ended or run.started)


def _run_tags(run: MlflowRun) -> dict[str, str]:
    tags = {graph.NAME_TAG: run.name or run.id[:8], **run.tags}
    return {**tags, **({graph.LIFECYCLE: graph.DELETED} if run.is_deleted else {})}


def dataset_facts(found: MlflowInput) -> dict[str, Any]:
    """Return what is known of a dataset that a client described."""
    return {name: getattr(found, name) for name in ("name", "digest", "source_type", "source", "schema", "profile")} | {"tags": found.tags}


def dataset_node(found: MlflowInput) -> NodeId:
    """Return the id of a described dataset: the same description is the same node."""
    return node_of("dataset", msgspec.json.encode(dataset_facts(found), order="deterministic").decode())


def new_dataset(found: MlflowInput) -> AddNode:
    """Return a described dataset."""
    name = graph.asset_name(found.name, otherwise="dataset")
    return AddNode(id=dataset_node(found), kind=graph.DATASET, name=name, digest=f"mlflow:{found.digest}", facts=dataset_facts(found))


# -- logged models


def new_model(model: MlflowModel, experiment: str, files: Sequence[StoredFile], *, has_run: bool) -> Iterator[Change]:
    """Yield a whole logged model."""
    node = node_of(model.id)
    facts = {
        "client": "mlflow",
        "experiment": experiment,
        "name": model.name,
        "model_type": model.model_type,
        "source_run_id": model.run,
        "params": model.params,
        "updated": model.updated,
    }
    yield ActedThen(model.created, model.tags.get(graph.USER_TAG) or _SOMEBODY)
    name = graph.asset_name(model.name, otherwise="model")
    yield AddNode(id=node, kind=graph.LOGGED_MODEL, name=name, state=model.state, facts=facts)
    if has_run:
        yield AddEdge(dst=node, src=node_of(model.run), role="output")
    yield from (SetTag(node=node, key=key, value=value) for key, value in _model_tags(model).items())
    yield from (AddArtifact(node=node, path=file.path, digest=file.digest, size=file.size) for file in files)


def more_of_model(model: MlflowModel, known: KnownRun, files: Sequence[StoredFile]) -> Iterator[Change]:
    """Yield what is new of a logged model that is here."""
    node = node_of(model.id)
    yield from (SetTag(node=node, key=key, value=value) for key, value in _model_tags(model).items() if known.tags.get(key) != value)
    yield from (AddArtifact(node=node, path=f.path, digest=f.digest, size=f.size) for f in files if f.path not in known.files)
    if known.state == "pending" and model.state != "pending":
        yield SetState(node=node, before="pending", after=model.state)


def _model_tags(model: MlflowModel) -> dict[str, str]:
    found = dict(model.tags)
    for point in model.points:
        told = {
            "key": point.key,
            "value": _word(point.value),
            "timestamp": point.at,
            "step": point.step,
            "run_id": point.run,
            "model_id": model.id,
            **{name: said for name in ("dataset_name", "dataset_digest") if (said := getattr(point, name))},
        }
        mark = f"{graph.MODEL_POINT}{point.key}.{point.at}.{point.step}.{point.run}.{point.dataset_digest}"
        found[mark] = msgspec.json.encode(told).decode()
    return {**found, **({graph.LIFECYCLE: graph.DELETED} if model.is_deleted else {})}


def _word(value: float) -> float | str:
    """Return a number as JSON can have it; the others are texts, as the protocol writes them."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


# -- registered models


def version_node(registered: str, version: MlflowVersion) -> NodeId:
    """Return the id of a registered model's version."""
    return node_of(registered, str(version.version), str(version.created))


def new_version(registered: str, asset: str, version: MlflowVersion, source: str, derived_from: NodeId | None) -> Iterator[Change]:
    """Yield a whole version, or of a deleted one its number."""
    node = version_node(registered, version)
    facts = {
        "client": "mlflow",
        "source": source,
        "run_id": version.run,
        "model_id": version.model_id,
        "run_link": version.run_link,
        "user_id": version.user,
        "updated": version.updated,
    }
    yield ActedThen(version.created, version.user or _SOMEBODY)
    yield AddNode(id=node, kind=graph.REGISTERED, name=asset, facts=facts)
    if derived_from:
        yield AddEdge(dst=node, src=derived_from, role="derived_from")
    yield from (SetTag(node=node, key=key, value=value) for key, value in version_tags(version).items())


def missing_version(registered: str, asset: str, number: int, at: Millis) -> Iterator[Change]:
    """Yield a number whose version MLflow has forgotten, so that later ones keep theirs."""
    yield from new_version(registered, asset, MlflowVersion(version=number, created=at, is_deleted=True), "", None)


def version_tags(version: MlflowVersion) -> dict[str, str]:
    """Return a version's tags here: its own, and what it says of stage, description and deletion."""
    ours = {
        STAGE: version.stage if version.stage != "None" else "",
        graph.DESCRIPTION: version.description,
        graph.LIFECYCLE: graph.DELETED if version.is_deleted else "",
    }
    return {**version.tags, **{key: value for key, value in ours.items() if value}}


def move_alias(asset: str, alias: str, before: NodeId | None, after: NodeId) -> Change:
    """Return an alias's move."""
    return MoveAlias(kind=graph.REGISTERED, name=asset, alias=alias, before=before, after=after)


def changed_tags(node: NodeId, tags: Mapping[str, str], known: Mapping[str, str]) -> Iterator[Change]:
    """Yield the tags that are other than here."""
    yield from (SetTag(node=node, key=key, value=value) for key, value in tags.items() if known.get(key) != value)
