"""How what MLflow's clients know stands in our graph: experiments, runs, logged models, registered models, and their files.

The protocol's answers (`web/mlflow/`), the import and the export all read and write it in these words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import msgspec
from blake3 import blake3

from sampan.core.changes import Change, DescribeAsset, EnsureAsset
from sampan.core.decoding import read_builtins
from sampan.core.events import Event
from sampan.core.graph import Artifact, Asset

EXPERIMENT: Final = "run"  # runs are nodes of the asset that their experiment is
DATASET: Final = "input"  # a dataset that a client described and did not hand over
LOGGED_MODEL: Final = "logged_model"
REGISTERED: Final = "registered_model"
FACT: Final = "mlflow"
ACTIVE, DELETED = "active", "deleted"
DEFAULT, DEFAULT_ID = "Default", "0"
NAME_TAG, USER_TAG, PARENT_TAG = "mlflow.runName", "mlflow.user", "mlflow.parentRunId"
CONTEXT_TAG: Final = "mlflow.data.context"
LIFECYCLE: Final = "sampan.lifecycle"  # a tag: "deleted" where MLflow shows the thing as deleted
DESCRIPTION: Final = "sampan.description"  # a tag of a registered model's version
MODEL_PARAM: Final = "sampan.param."  # parameters that came after a logged model was made
MODEL_POINT: Final = "sampan.metric."  # metric points about a logged model, a tag each
OURS: Final = "sampan."
AGAIN: Final = "\u241f"  # the mark before a path's number, where a file was logged again
GONE: Final = -1  # the size of a file that was deleted
_NUMBER = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f@/\\]")


class ExperimentMade(Event, frozen=True, kw_only=True):
    """An experiment came to be before it had a run."""

    type: ClassVar[str] = "experiment_made"

    name: str
    facts: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Make the asset."""
        return (EnsureAsset(kind=EXPERIMENT, name=self.name, facts=self.facts),)


class ExperimentDescribed(Event, frozen=True, kw_only=True):
    """Something else is said of an experiment."""

    type: ClassVar[str] = "experiment_described"

    name: str
    facts: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Replace what is said."""
        return (DescribeAsset(kind=EXPERIMENT, name=self.name, facts=self.facts),)


class RegisteredModelMade(Event, frozen=True, kw_only=True):
    """A registered model came to be."""

    type: ClassVar[str] = "registered_model_made"

    name: str
    facts: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Make the asset."""
        return (EnsureAsset(kind=REGISTERED, name=self.name, facts=self.facts),)


class RegisteredModelDescribed(Event, frozen=True, kw_only=True):
    """Something else is said of a registered model."""

    type: ClassVar[str] = "registered_model_described"

    name: str
    facts: dict[str, Any]

    def changes(self) -> tuple[Change, ...]:
        """Replace what is said."""
        return (DescribeAsset(kind=REGISTERED, name=self.name, facts=self.facts),)


class Experiment(msgspec.Struct, frozen=True):
    """One experiment as MLflow sees it; `asset` is its name in our graph."""

    asset: str
    id: str
    name: str
    state: str
    created: int
    updated: int
    location: str
    tags: dict[str, str] = {}


class Registered(msgspec.Struct, frozen=True):
    """One registered model; `asset` is its name in our graph."""

    asset: str
    name: str
    created: int
    updated: int
    description: str = ""
    tags: dict[str, str] = {}
    state: str = ACTIVE


def asset_name(text: str, *, otherwise: str) -> str:
    """Return the asset's name for what a client calls a thing; `otherwise` where nothing of it is left."""
    return _UNSAFE.sub("·", text).strip(" .-") or otherwise


def experiment_of(asset: Asset) -> Experiment:
    """Return what an asset of runs is to MLflow, also one that only Sampan's own runs made."""
    if FACT in asset.facts:
        return read_builtins(asset.facts[FACT], Experiment)
    id = experiment_number(asset.name)  # noqa: A001  # the field's word
    return Experiment(asset.name, id, asset.name, ACTIVE, asset.created, asset.created, experiment_location(id))


def experiment_number(name: str) -> str:
    """Return the number an experiment has from its beginning, also one whose first run was Sampan's own."""
    return DEFAULT_ID if name == DEFAULT else str(int(blake3(name.encode()).hexdigest()[:15], 16) or 1)


def safe_number(id: str, name: str) -> str:  # noqa: A002  # the field's word
    """Return an experiment's number; where what another store says is none, the one its name has."""
    return id if _NUMBER.match(id) else experiment_number(name)


def experiment_location(id: str) -> str:  # noqa: A002  # the field's word
    """Return where an experiment's files are, as clients write it."""
    return f"mlflow-artifacts:/{id}"


def present_files(kept: Iterable[Artifact]) -> dict[str, tuple[int, Artifact]]:
    """Return files by path with how often each was logged; of one logged again the last content, of size GONE where it was deleted."""
    found: dict[str, tuple[int, Artifact]] = {}
    for each in kept:
        path, _, number = each.path.partition(AGAIN)
        if (n := int(number or 1)) > found.get(path, (0, None))[0]:
            found[path] = (n, Artifact(path, each.digest, each.size))
    return found
