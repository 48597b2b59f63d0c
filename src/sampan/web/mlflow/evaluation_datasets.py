"""Evaluation datasets over MLflow's protocol: what an application is judged on, records of inputs, outputs and expectations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_builtins, read_json
from sampan.core.digests import canonical_json
from sampan.core.events import new_id
from sampan.core.graph import Asset, Node
from sampan.errors import NotFound, StaleState
from sampan.web.mlflow.experiments import Experiments
from sampan.web.mlflow.filters import Language, Value, sort_key
from sampan.web.mlflow.refusals import MAX_TAG, invalid, key_of, limited, missing, page, paged, text, texts
from sampan.workspace.mlflow.evaluation_datasets import (
    KIND,
    EvaluationDataset,
    EvaluationDatasetDescribed,
    EvaluationDatasetMade,
    Record,
    RecordsChanged,
)
from sampan.workspace.mlflow.graph import ACTIVE, DELETED, FACT, USER_TAG

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_MAX_NAME: Final = 255
_ATTEMPTS: Final = 20  # at a version that others change as well
_LANGUAGE: Final = Language(frozenset({"created_time", "last_update_time"}), frozenset({"name", "created_by", "last_updated_by"}))
_LATEST: Final = [(("attribute", "created_time"), True)]
_TYPES: Final = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "object", type(None): "null"}

Changed = tuple[EvaluationDataset, dict[str, Record], Any]  # what is said then, its records by id, what to answer


class EvaluationDatasets:
    """The evaluation datasets of one workspace, as routes."""

    def __init__(self, ws: Workspace, experiments: Experiments) -> None:
        self._ws = ws
        self._experiments = experiments

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST datasets/create."""
        name, tags, now = limited(text(given, "name"), _MAX_NAME, "Dataset name"), _tags(given, "tags"), self._ws.clock()
        experiments = tuple(self._experiments.by_id(each).id for each in texts(given, "experiment_ids"))
        user = tags.get(USER_TAG, "")
        id = f"d-{new_id()}"  # noqa: A001  # the field's word
        found = EvaluationDataset(id, name, now, now, _digest(name, now), tags, experiments, created_by=user, updated_by=user)
        self._ws.ledger.append(EvaluationDatasetMade(found=found))
        return {"dataset": _told(found)}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET datasets/ID."""
        return {"dataset": _told(self._find(given))}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE datasets/ID; one that is not there is deleted already."""
        try:
            found = self._dataset(text(given, "dataset_id"))
        except NotFound:
            return {}
        if found.state == ACTIVE:
            versions = tuple(each.id for each in self._ws.catalog.nodes(kind=KIND, name=found.id, limit=1_000_000))
            gone = msgspec.structs.replace(found, state=DELETED, updated=self._ws.clock())
            self._ws.ledger.append(EvaluationDatasetDescribed(found=gone, given_up=versions))
        return {}

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET and POST datasets/search."""
        wanted, offset = page(given, default=1000, most=50_000)
        conditions = _LANGUAGE.parse(text(given, "filter_string", required=False))
        order, within = _LANGUAGE.parse_order(texts(given, "order_by")) or _LATEST, set(texts(given, "experiment_ids"))
        found = [each for each in map(_of, self._ws.catalog.assets(KIND)) if each.state == ACTIVE]
        found = [each for each in found if not within or within & set(each.experiments)]
        found = [each for each in found if all(condition.holds(_value(each, condition.field)) for condition in conditions)]
        found.sort(key=lambda each: each.id, reverse=True)
        for field, descending in reversed(order):
            found.sort(key=lambda each, f=field, d=descending: sort_key(_value(each, f), descending=d))  # type: ignore[misc]  # bound now
        shown, more = paged(found, wanted, offset)
        return {"datasets": [_told(each) for each in shown], **more}

    # -- tags and experiments

    def set_tags(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH datasets/ID/tags."""
        found = self._find(given)
        self._describe(found, tags={**found.tags, **_tags(given, "tags")})
        return {}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE datasets/ID/tags/KEY."""
        found, key = self._find(given), text(given, "key")
        if key in found.tags:
            self._describe(found, tags={name: value for name, value in found.tags.items() if name != key})
        return {}

    def experiment_ids(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET datasets/ID/experiment-ids."""
        return {"experiment_ids": list(self._find(given).experiments)}

    def add_experiments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST datasets/ID/add-experiments."""
        found = self._find(given)
        more = [self._experiments.by_id(each).id for each in texts(given, "experiment_ids")]
        return {"dataset": _told(self._describe(found, experiments=tuple(dict.fromkeys((*found.experiments, *more)))))}

    def remove_experiments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST datasets/ID/remove-experiments."""
        found, gone = self._find(given), set(texts(given, "experiment_ids"))
        return {"dataset": _told(self._describe(found, experiments=tuple(each for each in found.experiments if each not in gone)))}

    # -- records

    def records(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET datasets/ID/records."""
        wanted, offset = page(given, default=1000, most=50_000)
        _, kept = self._kept(self._find(given).id)
        shown, more = paged(sorted(kept.values(), key=lambda each: (each.created_time, each.dataset_record_id)), wanted, offset)
        return {"records": json.dumps([{"tags": {}, **msgspec.to_builtins(each)} for each in shown]), **more}

    def merge_records(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST datasets/ID/records: a record of the same inputs is changed, others are added."""
        told = _json(given, "records")
        if not isinstance(told, list) or not all(isinstance(each, dict) and isinstance(each.get("inputs", {}), dict) for each in told):
            raise invalid("Invalid value for parameter 'records' supplied: Value must be a list of objects with 'inputs', an object.")

        def change(found: EvaluationDataset, kept: dict[str, Record]) -> Changed:
            now, by_inputs = self._ws.clock(), {canonical_json(each.inputs): each for each in kept.values()}
            n_before, user = len(kept), found.updated_by
            for each in told:
                inputs, by = each.get("inputs") or {}, str((each.get("tags") or {}).get(USER_TAG, ""))
                before = by_inputs.get(key := canonical_json(inputs))
                record = _merged(before, each, by, now) if before else _made(found.id, inputs, each, by, now)
                kept[record.dataset_record_id] = by_inputs[key] = record
                user = by or user
            schema = _widened(found.schema, told)
            inserted = len(kept) - n_before
            answer = {"inserted_count": inserted, "updated_count": len(told) - inserted}
            return msgspec.structs.replace(found, schema=schema, updated_by=user), kept, answer

        answered: dict[str, Any] = self._change(given, change)
        return answered

    def delete_records(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE datasets/ID/records."""
        gone = set(texts(given, "dataset_record_ids"))

        def change(found: EvaluationDataset, kept: dict[str, Record]) -> Changed:
            left = {id: each for id, each in kept.items() if id not in gone}  # noqa: A001  # the field's word
            return found, left, {"deleted_count": len(kept) - len(left)}

        answered: dict[str, Any] = self._change(given, change)
        return answered

    # -- within

    def _find(self, given: Mapping[str, Any]) -> EvaluationDataset:
        id = text(given, "dataset_id")  # noqa: A001  # the field's word
        try:
            found = self._dataset(id)
        except NotFound:
            found = None
        if found is None or found.state != ACTIVE:
            raise missing(f"Evaluation dataset with id '{id}' not found")
        return found

    def _dataset(self, id: str) -> EvaluationDataset:  # noqa: A002  # the field's word
        return _of(self._ws.catalog.asset(KIND, id))

    def _describe(self, found: EvaluationDataset, **changed: Any) -> EvaluationDataset:
        told = msgspec.structs.replace(found, **changed, updated=self._ws.clock())
        self._ws.ledger.append(EvaluationDatasetDescribed(found=told))
        return told

    def _kept(self, id: str) -> tuple[Node | None, dict[str, Record]]:  # noqa: A002  # the field's word
        """Return the newest version of a dataset and its records by id."""
        newest = next(iter(self._ws.catalog.nodes(kind=KIND, name=id, limit=1)), None)
        if newest is None:
            return None, {}
        records = read_json(self._ws.store.blobs.read(newest.digest), list[Record])
        return newest, {each.dataset_record_id: each for each in records}

    def _change(self, given: Mapping[str, Any], change: Callable[[EvaluationDataset, dict[str, Record]], Changed]) -> Any:
        """Make a new version from the newest; again, where someone else was faster."""
        for _ in range(_ATTEMPTS):
            before, kept = self._kept(self._find(given).id)
            found, records, answer = change(self._find(given), dict(kept))
            if records == kept:
                return answer
            body, now = canonical_json(list(records.values())), self._ws.clock()
            found = msgspec.structs.replace(found, n_records=len(records), updated=now, digest=_digest(found.name, now))
            digest = self._ws.store.blobs.put(body)
            made = RecordsChanged(node=new_id(), before=before.id if before else None, found=found, digest=digest, size=len(body))
            try:
                self._ws.ledger.append(made)
            except StaleState:
                continue
            return answer
        raise invalid("Others change this dataset at the same time without end; try again")


def _made(dataset: str, inputs: dict[str, Any], given: Mapping[str, Any], user: str, now: int) -> Record:
    source = given.get("source") if isinstance(given.get("source"), dict) else None
    data = (source or {}).get("source_data") or {}
    kind = str((source or {}).get("source_type", ""))
    return Record(
        f"dr-{new_id()}",
        dataset,
        inputs,
        now,
        now,
        outputs=given.get("outputs", {}),
        expectations=given.get("expectations"),
        tags={str(key): str(value) for key, value in (given.get("tags") or {}).items()},
        source=source,
        source_id=str(data.get("trace_id" if kind == "TRACE" else "source_id") or ""),
        source_type=kind,
        created_by=user,
        last_updated_by=user,
    )


def _merged(before: Record, given: Mapping[str, Any], user: str, now: int) -> Record:
    expectations = {**(before.expectations or {}), **(given.get("expectations") or {})}
    return msgspec.structs.replace(
        before,
        outputs=given.get("outputs", before.outputs),
        expectations=expectations or before.expectations,
        tags={**before.tags, **{str(key): str(value) for key, value in (given.get("tags") or {}).items()}},
        last_update_time=now,
        last_updated_by=user or before.last_updated_by,
    )


def _widened(schema: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema with the fields that records have and it had not; the type of a field is that of its first value."""
    found = {part: schema.get(part, {}) for part in ("inputs", "outputs", "expectations")}
    for record in records:
        for part, known in found.items():
            value = record.get(part)
            if isinstance(value, dict) and isinstance(known, dict):
                found[part] = {**{key: _TYPES.get(type(each), "unknown") for key, each in value.items()}, **known}
            elif part == "outputs" and value is not None and not known:
                found[part] = _TYPES.get(type(value), "unknown")
    return {**found, "version": "1.0"}


def _told(found: EvaluationDataset) -> dict[str, Any]:
    told: dict[str, Any] = {
        "dataset_id": found.id,
        "name": found.name,
        "digest": found.digest,
        "tags": json.dumps(found.tags),
        "created_time": found.created,
        "last_update_time": found.updated,
        "experiment_ids": list(found.experiments),
    }
    more = {
        "schema": json.dumps(found.schema) if found.schema else "",
        "profile": json.dumps({"num_records": found.n_records}) if found.n_records else "",
        "created_by": found.created_by,
        "last_updated_by": found.updated_by,
    }
    return told | {name: value for name, value in more.items() if value}


def _value(found: EvaluationDataset, field: tuple[str, str]) -> Value:
    kind, name = field
    if kind == "tag":
        return found.tags.get(name)
    values: dict[str, Value] = {
        "name": found.name,
        "created_time": float(found.created),
        "last_update_time": float(found.updated),
        "created_by": found.created_by or None,
        "last_updated_by": found.updated_by or None,
    }
    return values[name]


def _of(asset: Asset) -> EvaluationDataset:
    return read_builtins(asset.facts[FACT], EvaluationDataset)


def _tags(given: Mapping[str, Any], name: str) -> dict[str, str]:
    found = _json(given, name) if given.get(name) else {}
    if not isinstance(found, dict):
        raise invalid(f"Invalid value for parameter '{name}' supplied: Value must be an object, written as JSON.")
    said = {key: value for key, value in found.items() if value is not None}
    return {key_of({"key": key}, "Tag"): limited(str(value), MAX_TAG, "Tag value") for key, value in said.items()}


def _json(given: Mapping[str, Any], name: str) -> Any:
    try:
        return json.loads(text(given, name))
    except ValueError as cause:
        raise invalid(f"Invalid value for parameter '{name}' supplied: Value must be JSON: {cause}") from cause


def _digest(name: str, now: int) -> str:
    return sha256(f"{name}:{now}".encode()).hexdigest()[:8]
