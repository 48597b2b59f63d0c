"""MLflow's nouns as its stores hold them, whichever of its stores: what an import reads and an export writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sampan.core.times import Millis

MetricPoint = tuple[int, Millis, float]  # step, time, value

STATES = {"RUNNING": "running", "SCHEDULED": "running", "FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
TRACE_STATES = ("OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED")
MODEL_STATES = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
    "PENDING": "pending",
    "READY": "ready",
    "FAILED": "failed",
}


class MlflowExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment."""

    id: str
    name: str
    is_deleted: bool = False
    created: Millis = 0
    updated: Millis = 0
    location: str = ""
    tags: dict[str, str] = {}


class MlflowInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read, as the client described it, and the tags of that reading."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class MlflowRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with everything logged to it but its files."""

    id: str
    experiment_id: str
    name: str = ""
    user: str = ""
    state: str = "running"  # running | finished | failed | killed
    started: Millis = 0
    ended: Millis | None = None
    is_deleted: bool = False
    location: str = ""  # where its files are
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    points: dict[str, list[MetricPoint]] = {}
    inputs: tuple[MlflowInput, ...] = ()
    read_models: tuple[str, ...] = ()  # ids of logged models that it read


class MlflowModelPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A metric point about a logged model."""

    key: str
    value: float
    at: Millis
    step: int = 0
    run: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class MlflowModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model of MLflow 3."""

    id: str
    experiment_id: str
    name: str
    state: str = "ready"  # pending | ready | failed
    created: Millis = 0
    updated: Millis = 0
    is_deleted: bool = False
    model_type: str = ""
    run: str = ""
    location: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    points: tuple[MlflowModelPoint, ...] = ()


class MlflowVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model. Of a deleted one nothing but the number is left."""

    version: int
    created: Millis = 0
    updated: Millis = 0
    description: str = ""
    user: str = ""
    stage: str = "None"
    source: str = ""
    run: str = ""
    model_id: str = ""
    run_link: str = ""
    tags: dict[str, str] = {}
    is_deleted: bool = False


class MlflowRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model with its versions."""

    name: str
    created: Millis = 0
    updated: Millis = 0
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    versions: tuple[MlflowVersion, ...] = ()


class MlflowTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A trace with its spans, each as protobuf's JSON has one of OpenTelemetry's."""

    id: str
    experiment_id: str
    requested: Millis = 0
    duration: Millis | None = None  # None: it goes on
    state: str = "STATE_UNSPECIFIED"  # OK | ERROR | IN_PROGRESS | STATE_UNSPECIFIED
    request: str = ""  # the beginning of it
    response: str = ""
    client_request_id: str = ""
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: tuple[dict[str, Any], ...] = ()  # as version 3 of MLflow's protocol tells them
    spans: tuple[dict[str, Any], ...] = ()
    without: str = ""  # why it has no spans, where it should


class MlflowFile(msgspec.Struct, frozen=True):
    """A file that belongs to a run or model, where it can be read here and now."""

    path: str
    file: Path


class MlflowSource(Protocol):
    """A store of MLflow's, read only.

    What it yields is whole in itself: a run is read with all its points and tags at one moment. Runs come oldest first, so that a parent
    comes before its children.
    """

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        ...

    def experiments(self) -> list[MlflowExperiment]:
        """Return all experiments, deleted ones as well."""
        ...

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of an experiment's runs, deleted ones as well, oldest first."""
        ...

    def runs(self, experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs of an experiment, in the order of their ids."""
        ...

    def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Iterate over an experiment's logged models."""
        ...

    def traces(self, experiment: MlflowExperiment) -> Iterator[MlflowTrace]:
        """Iterate over an experiment's traces, oldest first."""
        ...

    def registered(self) -> Iterator[MlflowRegistered]:
        """Iterate over the registered models."""
        ...

    def files(self, owner: MlflowRun | MlflowModel, into: Path) -> list[MlflowFile]:
        """Return the files of a run or model; those that are elsewhere are fetched into a folder.

        Raises
        ------
        NotFound, Unsupported, Unavailable : they cannot be read from here.
        """
        ...


def texts(given: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return some entries as texts, "" for those that are missing or null."""
    return {name: "" if given.get(name) is None else str(given[name]) for name in names}
