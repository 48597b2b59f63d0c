"""The model registry: registered models, their versions, aliases, stages and tags."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from blake3 import blake3

from sampan.core.decoding import read_builtins
from sampan.core.events import AliasMoved, Event, Input, Tagged, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.web.mlflow.filters import Language, sort_key
from sampan.web.mlflow.refusals import exists, integer, invalid, items, key_of, limited, missing, page, paged, pairs, text, texts
from sampan.workspace.mlflow.graph import (
    DELETED,
    DESCRIPTION,
    FACT,
    LIFECYCLE,
    OURS,
    REGISTERED,
    Registered,
    RegisteredModelDescribed,
    RegisteredModelMade,
    asset_name,
)
from sampan.workspace.models.sign_offs import STAGE, require_signed

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_STAGES: Final = ("None", "Staging", "Production", "Archived")
# Clients ask for models with `!= 'true'`, and mean those without the tag as well.
_UNTAGGED: Final = {"mlflow.prompt.is_prompt": "false"}
_MAX_TAG: Final = 100_000
_MAX_DESCRIPTION: Final = 5000
_MANY: Final = 100_000
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*\Z")
_MODELS: Final = Language(frozenset({"creation_timestamp", "last_updated_timestamp", "timestamp"}), frozenset({"name"}))
_VERSIONS: Final = Language(
    frozenset({"version_number", "creation_timestamp", "last_updated_timestamp"}), frozenset({"name", "run_id", "source_path"})
)


class Registry:
    """The registered models of one workspace."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = threading.RLock()

    # -- models

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST registered-models/create."""
        name = _name(text(given, "name"))
        with self._lock:
            if any(each.name == name for each in self._all()):
                raise exists(f"Registered Model (name={name}) already exists.")
            now = self._ws.clock()
            taken = {asset.name for asset in self._ws.catalog.assets(REGISTERED)}
            asset = asset_name(name, otherwise="model")
            asset = asset if asset not in taken else f"{asset} {blake3(f'{name} {now}'.encode()).hexdigest()[:8]}"
            found = Registered(asset, name, now, now, text(given, "description", required=False), _tags(items(given, "tags")))
            self._ws.ledger.append(RegisteredModelMade(name=asset, facts={FACT: msgspec.to_builtins(found)}))
        return {"registered_model": self._told(found)}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET registered-models/get."""
        return {"registered_model": self._told(self._find(text(given, "name")))}

    def rename(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST registered-models/rename."""
        found, name = self._find(text(given, "name")), _name(text(given, "new_name"))
        if any(each.name == name for each in self._all()):
            raise exists(f"Registered Model (name={name}) already exists.")
        return {"registered_model": self._told(self._describe(msgspec.structs.replace(found, name=name)))}

    def update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH registered-models/update."""
        found = self._find(text(given, "name"))
        said = limited(text(given, "description", required=False), _MAX_DESCRIPTION, "Description")
        return {"registered_model": self._told(self._describe(msgspec.structs.replace(found, description=said)))}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE registered-models/delete."""
        found = self._find(text(given, "name"))
        for node in self._versions(found):
            self._ws.ledger.append(Tagged(node=node.id, key=LIFECYCLE, value=DELETED))
        self._describe(msgspec.structs.replace(found, state=DELETED))
        return {}

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET registered-models/search."""
        wanted, offset = page(given, default=100, most=1000)
        conditions = _MODELS.parse(text(given, "filter", required=False))
        found = [each for each in self._all() if all(c.holds(_model_value(each, c.field)) for c in conditions)]
        found.sort(key=lambda each: each.name)
        for field, down in reversed(_MODELS.parse_order(texts(given, "order_by"))):
            found.sort(key=lambda each, f=field, d=down: sort_key(_model_value(each, f), descending=d))  # type: ignore[misc]  # bound now
        shown, more = paged(found, wanted, offset)
        return {"registered_models": [self._told(each) for each in shown], **more}

    def latest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET and POST registered-models/get-latest-versions."""
        found = self._find(text(given, "name"))
        wanted = [_stage(stage) for stage in texts(given, "stages")] or list(_STAGES)
        newest: dict[str, dict[str, Any]] = {}
        for node, tags in reversed(self._tagged_versions(found)):
            told = self._version_told(found, node, tags)
            newest[told["current_stage"]] = told
        return {"model_versions": [newest[stage] for stage in wanted if stage in newest]}

    def set_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST registered-models/set-tag."""
        found, key = self._find(text(given, "name")), key_of(given, "Tag")
        value = limited(text(given, "value", required=False), _MAX_TAG, "Tag value")
        self._describe(msgspec.structs.replace(found, tags={**found.tags, key: value}))
        return {}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE registered-models/delete-tag."""
        found, key = self._find(text(given, "name")), key_of(given, "Tag")
        self._describe(msgspec.structs.replace(found, tags={k: v for k, v in found.tags.items() if k != key}))
        return {}

    # -- aliases

    def set_alias(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST registered-models/alias."""
        found, alias = self._find(text(given, "name")), text(given, "alias")
        if not _ALIAS.match(alias) or alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
            raise invalid(f"Invalid alias name: '{alias}'")
        node = self._version(found, text(given, "version"))
        before = self._ws.catalog.aliases(REGISTERED, found.asset).get(alias)
        if before != node.id:
            require_signed(self._ws, node, alias)
            self._ws.ledger.append(AliasMoved(kind=REGISTERED, name=found.asset, alias=alias, before=before, after=node.id))
        return {}

    def delete_alias(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE registered-models/alias."""
        found, alias = self._find(text(given, "name")), text(given, "alias")
        before = self._ws.catalog.aliases(REGISTERED, found.asset).get(alias)
        if before is not None:
            self._ws.ledger.append(AliasMoved(kind=REGISTERED, name=found.asset, alias=alias, before=before, after=None))
        return {}

    def by_alias(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET registered-models/alias."""
        found, alias = self._find(text(given, "name")), text(given, "alias")
        node = self._ws.catalog.aliases(REGISTERED, found.asset).get(alias)
        if node is None:
            raise invalid(f"Registered model alias {alias} not found.")
        return {"model_version": self._version_told(found, self._ws.catalog.node(node))}

    # -- versions

    def create_version(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST model-versions/create."""
        found, source = self._find(text(given, "name")), text(given, "source")
        if source.startswith(("file:", "/")) or ".." in source or "\\" in source:
            raise invalid(f"Invalid model version source: '{source}'. A source is a place this server keeps, such as runs:/… or models:/….")
        run, model_id = text(given, "run_id", required=False), text(given, "model_id", required=False)
        if model_id and not run:
            run = str(self._ws.catalog.node(model_id.removeprefix("m-")).facts.get("source_run_id", ""))
        facts = {
            "client": "mlflow",
            "source": source,
            "run_id": run,
            "model_id": model_id,
            "run_link": text(given, "run_link", required=False),
            "user_id": self._ws.actor,
        }
        inputs = [Input(model_id.removeprefix("m-"), "derived_from")] if model_id else [Input(run, "derived_from")] if run else []
        node = new_id()
        made = VersionCommitted(node=node, kind=REGISTERED, name=found.asset, digest="", facts=facts, inputs=tuple(inputs))
        tags = [Tagged(node=node, key=key, value=value) for key, value in _tags(items(given, "tags")).items()]
        if said := text(given, "description", required=False):
            tags.append(Tagged(node=node, key=DESCRIPTION, value=said))
        self._ws.ledger.append(made, *tags)
        self._describe(found)
        return {"model_version": self._version_told(found, self._ws.catalog.node(node))}

    def get_version(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET model-versions/get."""
        found = self._find(text(given, "name"))
        return {"model_version": self._version_told(found, self._version(found, text(given, "version")))}

    def update_version(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH model-versions/update."""
        found, said = self._find(text(given, "name")), limited(text(given, "description", required=False), _MAX_DESCRIPTION, "Description")
        node = self._version(found, text(given, "version"))
        self._ws.ledger.append(Tagged(node=node.id, key=DESCRIPTION, value=said))
        return {"model_version": self._version_told(found, node)}

    def delete_version(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE model-versions/delete."""
        found = self._find(text(given, "name"))
        node = self._version(found, text(given, "version"))
        events: list[Event] = [
            AliasMoved(kind=REGISTERED, name=found.asset, alias=each, before=node.id, after=None) for each in node.aliases
        ]
        self._ws.ledger.append(*events, Tagged(node=node.id, key=LIFECYCLE, value=DELETED))
        return {}

    def search_versions(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET model-versions/search."""
        wanted, offset = page(given, default=10_000, most=200_000)
        conditions = _VERSIONS.parse(text(given, "filter", required=False))
        told = [self._version_told(each, node, tags) for each in self._all() for node, tags in self._tagged_versions(each)]
        told = [each for each in told if all(c.holds(_version_value(each, c.field)) for c in conditions)]
        told.sort(key=lambda each: (each["name"], -int(each["version"])))
        for field, down in reversed(_VERSIONS.parse_order(texts(given, "order_by"))):
            told.sort(key=lambda each, f=field, d=down: sort_key(_version_value(each, f), descending=d))  # type: ignore[misc]  # bound now
        shown, more = paged(told, wanted, offset)
        return {"model_versions": shown, **more}

    def set_version_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST model-versions/set-tag."""
        node, key = self._version(self._find(text(given, "name")), text(given, "version")), key_of(given, "Tag")
        value = limited(text(given, "value", required=False), _MAX_TAG, "Tag value")
        self._ws.ledger.append(Tagged(node=node.id, key=key, value=value))
        return {}

    def delete_version_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE model-versions/delete-tag."""
        node, key = self._version(self._find(text(given, "name")), text(given, "version")), key_of(given, "Tag")
        self._ws.ledger.append(Tagged(node=node.id, key=key, value=None))
        return {}

    def transition(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST model-versions/transition-stage."""
        found, stage = self._find(text(given, "name")), _stage(text(given, "stage"))
        node = self._version(found, text(given, "version"))
        require_signed(self._ws, node, stage)
        events = [Tagged(node=node.id, key=STAGE, value=stage)]
        if given.get("archive_existing_versions") is True and stage in ("Staging", "Production"):
            for other, tags in self._tagged_versions(found):
                if other.id != node.id and tags.get(STAGE) == stage:
                    events.append(Tagged(node=other.id, key=STAGE, value="Archived"))
        self._ws.ledger.append(*events)
        return {"model_version": self._version_told(found, node)}

    def download_uri(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET model-versions/get-download-uri."""
        node = self._version(self._find(text(given, "name")), text(given, "version"))
        return {"artifact_uri": node.facts["source"]}

    # -- finding

    def _all(self) -> list[Registered]:
        found = [read_builtins(asset.facts[FACT], Registered) for asset in self._ws.catalog.assets(REGISTERED)]
        return [each for each in found if each.state != DELETED]

    def _find(self, name: str) -> Registered:
        found = next((each for each in self._all() if each.name == name), None)
        if found is None:
            raise missing(f"Registered Model with name={name} not found")
        return found

    def _tagged_versions(self, found: Registered) -> list[tuple[Node, dict[str, str]]]:
        """Return a model's versions with their tags, newest first."""
        nodes = self._ws.catalog.nodes(kind=REGISTERED, name=found.asset, limit=_MANY)
        tags = self._ws.catalog.tags_of([node.id for node in nodes])
        return [(node, tags[node.id]) for node in nodes if tags[node.id].get(LIFECYCLE) != DELETED]

    def _versions(self, found: Registered) -> list[Node]:
        """Return a model's versions, newest first."""
        return [node for node, _ in self._tagged_versions(found)]

    def _version(self, found: Registered, version: str) -> Node:
        number = integer({"version": version}, "version")
        node = next((each for each in self._versions(found) if each.version == number), None)
        if node is None:
            raise missing(f"Model Version (name={found.name}, version={version}) not found")
        return node

    def _describe(self, found: Registered) -> Registered:
        told = msgspec.structs.replace(found, updated=self._ws.clock())
        self._ws.ledger.append(RegisteredModelDescribed(name=found.asset, facts={FACT: msgspec.to_builtins(told)}))
        return told

    # -- in MLflow's words

    def _told(self, found: Registered) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": found.name,
            "creation_timestamp": found.created,
            "last_updated_timestamp": found.updated,
            "description": found.description,
            "tags": pairs(found.tags),
            "latest_versions": self.latest({"name": found.name})["model_versions"] if found.state != DELETED else [],
        }
        aliases = {alias: str(node.version) for node in self._versions(found) for alias in node.aliases}
        told["aliases"] = [{"alias": alias, "version": version} for alias, version in sorted(aliases.items())]
        return told

    def _version_told(self, found: Registered, node: Node, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return a version; its tags are read where they are not given."""
        tags = self._ws.catalog.tags(node.id) if tags is None else tags
        told = {
            "name": found.name,
            "version": str(node.version),
            "creation_timestamp": node.created,
            "last_updated_timestamp": node.created,
            "user_id": node.facts.get("user_id", ""),
            "current_stage": tags.get(STAGE, "None"),
            "description": tags.get(DESCRIPTION, ""),
            "source": node.facts["source"],
            "run_id": node.facts["run_id"],
            "run_link": node.facts.get("run_link", ""),
            "status": "READY",
            "tags": pairs({key: value for key, value in tags.items() if not key.startswith(OURS)}),
            "aliases": list(node.aliases),
        }
        return told | ({"model_id": node.facts["model_id"]} if node.facts.get("model_id") else {})


def _name(name: str) -> str:
    if name.strip() != name or not name or "/" in name or ":" in name:
        raise invalid(f"Invalid model name: '{name}'. Names may not be empty nor contain '/' or ':'.")
    return limited(name, 256, "Registered model name")


def _stage(stage: str) -> str:
    found = next((each for each in _STAGES if each.lower() == stage.lower()), None)
    if found is None:
        raise invalid(f"Invalid Model Version stage: {stage}. Value must be one of {', '.join(_STAGES)}.")
    return found


def _tags(given: list[dict[str, Any]]) -> dict[str, str]:
    return {key_of(each, "Tag"): limited(text(each, "value", required=False), _MAX_TAG, "Tag value") for each in given}


def _model_value(found: Registered, field: tuple[str, str]) -> Any:
    kind, name = field
    if kind == "tag":
        return found.tags.get(name, _UNTAGGED.get(name))
    return {"name": found.name, "creation_timestamp": float(found.created)}.get(name, float(found.updated))


def _version_value(told: Mapping[str, Any], field: tuple[str, str]) -> Any:
    kind, name = field
    if kind == "tag":
        return next((each["value"] for each in told["tags"] if each["key"] == name), _UNTAGGED.get(name))
    if name == "version_number":
        return float(told["version"])
    if name == "source_path":
        return told["source"]
    found = told[name]
    return float(found) if isinstance(found, int) else found
