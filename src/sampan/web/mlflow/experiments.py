"""Experiments: what runs are grouped by. An experiment is the asset that its runs belong to; its number and tags are the asset's facts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from blake3 import blake3

from sampan.core.decoding import read_builtins
from sampan.core.graph import Asset
from sampan.web.mlflow.filters import Language, Value, sort_key
from sampan.web.mlflow.refusals import MAX_TAG, exists, invalid, key_of, limited, missing, page, paged, pairs, text, texts
from sampan.workspace.mlflow import graph as mlflow_graph
from sampan.workspace.mlflow.graph import (
    ACTIVE,
    DEFAULT,
    DEFAULT_ID,
    DELETED,
    EXPERIMENT,
    FACT,
    ExperimentDescribed,
    ExperimentMade,
    asset_name,
    experiment_location,
    experiment_number,
)

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_MAX_NAME: Final = 500
_LANGUAGE: Final = Language(frozenset({"creation_time", "last_update_time"}), frozenset({"name", "experiment_id"}))


class Experiment(mlflow_graph.Experiment, frozen=True):
    """One experiment in MLflow's words."""

    def told(self) -> dict[str, Any]:
        """Return it in MLflow's words."""
        return {
            "experiment_id": self.id,
            "name": self.name,
            "artifact_location": self.location,
            "lifecycle_stage": self.state,
            "creation_time": self.created,
            "last_update_time": self.updated,
            "tags": pairs(self.tags),
        }


class Experiments:
    """The experiments of one workspace."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = threading.RLock()

    # -- for the other parts

    def all(self) -> list[Experiment]:
        """Return every experiment, those that only Sampan's own runs made included."""
        found = [_told_of(asset) for asset in self._ws.catalog.assets(EXPERIMENT)]
        if not any(each.id == DEFAULT_ID for each in found):
            found.append(self._make(DEFAULT, {}, ""))
        return found

    def by_id(self, id: str) -> Experiment:  # noqa: A002  # the field's word
        """Return one. Raises Refusal."""
        found = next((each for each in self.all() if each.id == id), None)
        if found is None:
            raise missing(f"No Experiment with id={id} exists")
        return found

    def by_asset(self) -> dict[str, Experiment]:
        """Return all by their asset's name."""
        return {each.asset: each for each in self.all()}

    def active(self, id: str) -> Experiment:  # noqa: A002  # the field's word
        """Return one that is not deleted. Raises Refusal."""
        found = self.by_id(id)
        if found.state != ACTIVE:
            raise invalid(f"The experiment {id} must be in the 'active' state. Current state is {found.state}.")
        return found

    # -- routes

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/create."""
        name = limited(text(given, "name"), _MAX_NAME, "Experiment name")
        with self._lock:
            known = next((each for each in self.all() if each.name == name), None)
            if known is not None:
                state = "" if known.state == ACTIVE else " in deleted state. You can restore the experiment, or permanently delete it"
                raise exists(f"Experiment '{name}' already exists{state}.")
            tags = {key_of(each, "Tag"): text(each, "value", required=False) for each in given.get("tags") or ()}
            return {"experiment_id": self._make(name, tags, text(given, "artifact_location", required=False)).id}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET experiments/get."""
        return {"experiment": self.by_id(text(given, "experiment_id")).told()}

    def get_by_name(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET experiments/get-by-name."""
        name = text(given, "experiment_name")
        found = next((each for each in self.all() if each.name == name), None)
        if found is None:
            raise missing(f"Could not find experiment with name '{name}'")
        return {"experiment": found.told()}

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET and POST experiments/search."""
        wanted, offset = page(given, default=1000, most=50_000)
        conditions = _LANGUAGE.parse(text(given, "filter", required=False))
        states = {"ACTIVE_ONLY": (ACTIVE,), "DELETED_ONLY": (DELETED,), "ALL": (ACTIVE, DELETED)}
        view = text(given, "view_type", required=False, default="ACTIVE_ONLY")
        if view not in states:
            raise invalid(f"Invalid value {view!r} for parameter 'view_type' supplied: one of {', '.join(states)}")
        found = [each for each in self.all() if each.state in states[view] and all(c.holds(_value(each, c.field)) for c in conditions)]
        order = _LANGUAGE.parse_order(texts(given, "order_by")) or [(("attribute", "creation_time"), True)]
        found.sort(key=lambda e: ([sort_key(_value(e, field), descending=down) for field, down in order], -int(e.id)))
        shown, more = paged(found, wanted, offset)
        return {"experiments": [each.told() for each in shown], **more}

    def update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/update."""
        name = limited(text(given, "new_name"), _MAX_NAME, "Experiment name")
        with self._lock:
            found = self.active(text(given, "experiment_id"))
            if any(each.name == name and each.id != found.id for each in self.all()):
                raise exists(f"Experiment '{name}' already exists.")
            self._describe(msgspec.structs.replace(found, name=name))
        return {}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/delete."""
        found = self.by_id(text(given, "experiment_id"))
        if found.id == DEFAULT_ID:
            raise invalid("Cannot delete the default experiment 'Default'. This is an internally reserved experiment.")
        self._describe(msgspec.structs.replace(self.active(found.id), state=DELETED))
        return {}

    def restore(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/restore."""
        found = self.by_id(text(given, "experiment_id"))
        if found.state != DELETED:
            raise invalid(f"The experiment {found.id} must be in the 'deleted' state. Current state is {found.state}.")
        self._describe(msgspec.structs.replace(found, state=ACTIVE))
        return {}

    def set_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/set-experiment-tag."""
        key, value = key_of(given, "Tag"), limited(text(given, "value", required=False), MAX_TAG, "Tag value")
        with self._lock:
            found = self.active(text(given, "experiment_id"))
            self._describe(msgspec.structs.replace(found, tags={**found.tags, key: value}))
        return {}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST experiments/delete-experiment-tag."""
        key = key_of(given, "Tag")
        with self._lock:
            found = self.active(text(given, "experiment_id"))
            if key not in found.tags:
                raise missing(f"No tag with name: {key} in experiment with id {found.id}")
            self._describe(msgspec.structs.replace(found, tags={k: v for k, v in found.tags.items() if k != key}))
        return {}

    # -- writing

    def _make(self, name: str, tags: Mapping[str, str], location: str) -> Experiment:
        now = self._ws.clock()
        asset = asset_name(name, otherwise="experiment")
        if asset != name and any(each.name == asset for each in self._ws.catalog.assets(EXPERIMENT)):
            asset = f"{asset} {blake3(name.encode()).hexdigest()[:8]}"
        id = experiment_number(name)  # noqa: A001  # the field's word
        found = Experiment(asset, id, name, ACTIVE, now, now, location or experiment_location(id), dict(tags))
        self._ws.ledger.append(ExperimentMade(name=asset, facts={FACT: msgspec.to_builtins(found)}))
        return found

    def _describe(self, found: Experiment) -> None:
        known = self._ws.catalog.asset(EXPERIMENT, found.asset).facts
        told = msgspec.structs.replace(found, updated=self._ws.clock())
        self._ws.ledger.append(ExperimentDescribed(name=found.asset, facts={**known, FACT: msgspec.to_builtins(told)}))


def _told_of(asset: Asset) -> Experiment:
    return read_builtins(msgspec.to_builtins(mlflow_graph.experiment_of(asset)), Experiment)


def _value(found: Experiment, field: tuple[str, str]) -> Value:
    kind, name = field
    if kind == "tag":
        return found.tags.get(name)
    values: dict[str, Value] = {
        "name": found.name,
        "experiment_id": found.id,
        "creation_time": float(found.created),
        "last_update_time": float(found.updated),
    }
    return values[name]
