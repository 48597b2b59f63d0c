"""MLflow's own database, SQLite or PostgreSQL, read only: the tables of its SQL store, of whichever release.

A table or column that a release does not have yet reads as empty.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

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
from sampan.core.mlflow_spans import NAME_TAG, span_of
from sampan.core.times import iso
from sampan.errors import DataFormatError, NotFound
from sampan.store.database import Row, Session, open_database
from sampan.store.mlflow_files import local_files, with_spans
from sampan.store.sqlite import SqliteSession

_DELETED, _DELETED_VERSION = "deleted", "Deleted_Internal"
_MODEL_STATES: Final = {1: "PENDING", 2: "READY", 3: "FAILED"}
_NAN = float("nan")
_PAGE: Final = 200  # traces read at once
_TRACE: Final = (
    *("request_id", "timestamp_ms", "execution_time_ms", "status"),
    *("client_request_id", "request_preview", "response_preview", "trace_name"),
)
_ASSESSMENT: Final = (
    *("trace_id", "assessment_id", "name", "assessment_type", "value", "error", "created_timestamp", "last_updated_timestamp"),
    *("source_type", "source_id", "run_id", "span_id", "rationale", "overrides", "valid", "assessment_metadata"),
)


class MlflowDatabase:
    """The MlflowSource of a database."""

    def __init__(self, address: str) -> None:
        """Take `sqlite:///FILE`, a file, or `postgresql://…`.

        Raises
        ------
        NotFound : there is no such file.
        DataFormatError : it is no database of MLflow's.
        """
        self._file = _file_of(address)
        self._address = address
        parts = urlsplit(address)
        self.address = f"sqlite:///{self._file}" if self._file else f"{parts.scheme}://{parts.hostname}{parts.path}"
        if not {"experiments", "runs", "metrics"} <= self._columns.keys():
            raise DataFormatError(f"{self.address} is no database of MLflow's", source=self.address, hint="give MLflow's backend store")

    def experiments(self) -> list[MlflowExperiment]:
        """Return all experiments."""
        names = ("experiment_id", "name", "lifecycle_stage", "creation_time", "last_update_time", "artifact_location")
        with self._session() as session:
            tags = self._pairs(session, "experiment_tags", "experiment_id", None)
            rows = self._rows(session, "experiments", names, "order by experiment_id")
        return [
            MlflowExperiment(
                id=str(id),
                name=name,
                is_deleted=stage == _DELETED,
                created=created or 0,
                updated=updated or 0,
                location=location or "",
                tags=tags.get(id, {}),
            )
            for id, name, stage, created, updated, location in rows  # noqa: A001  # the field's word
        ]

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of an experiment's runs, oldest first."""
        with self._session() as session:
            sql = "select run_uuid from runs where experiment_id = ? order by start_time, run_uuid"
            return [row[0] for row in session.all(sql, int(experiment.id))]

    def runs(self, experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs of an experiment."""
        names = ("run_uuid", "name", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri")
        with self._session() as session:
            rows = {row[0]: row for row in self._rows(session, "runs", names, f"where run_uuid in ({_marks(ids)})", *ids)}
            tags, params = (self._pairs(session, table, "run_uuid", ids) for table in ("tags", "params"))
            points, inputs = self._points(session, ids), self._inputs(session, ids)
            models = self._read_models(session, ids)
        return [
            MlflowRun(
                id=id,
                experiment_id=experiment.id,
                name=name or tags.get(id, {}).get("mlflow.runName", ""),
                user=user or "",
                state=STATES.get(status, "running"),
                started=started or 0,
                ended=ended,
                is_deleted=stage == _DELETED,
                location=location or "",
                params=params.get(id, {}),
                tags=tags.get(id, {}),
                points=points.get(id, {}),
                inputs=tuple(inputs.get(id, ())),
                read_models=tuple(models.get(id, ())),
            )
            for id, name, user, status, started, ended, stage, location in (rows[each] for each in ids)  # noqa: A001  # the field's word
        ]

    def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Iterate over an experiment's logged models."""
        if "logged_models" not in self._columns:
            return
        times = ("creation_timestamp_ms", "last_updated_timestamp_ms")
        names = ("model_id", "name", "status", *times, "lifecycle_stage", "model_type", "source_run_id", "artifact_location")
        with self._session() as session:
            where = "where experiment_id = ? order by creation_timestamp_ms, model_id"
            rows = self._rows(session, "logged_models", names, where, int(experiment.id))
            ids = [row[0] for row in rows]
            tags = self._pairs(session, "logged_model_tags", "model_id", ids, names=("tag_key", "tag_value"))
            params = self._pairs(session, "logged_model_params", "model_id", ids, names=("param_key", "param_value"))
            points = self._model_points(session, ids)
        for id, name, status, created, updated, stage, kind, run, location in rows:  # noqa: A001  # the field's word
            yield MlflowModel(
                id=id,
                experiment_id=experiment.id,
                name=name,
                state=MODEL_STATES.get(_MODEL_STATES.get(status, ""), "ready"),
                created=created or 0,
                updated=updated or 0,
                is_deleted=stage == _DELETED,
                model_type=kind or "",
                run=run or "",
                location=location or "",
                params=params.get(id, {}),
                tags=tags.get(id, {}),
                points=tuple(points.get(id, ())),
            )

    def traces(self, experiment: MlflowExperiment) -> Iterator[MlflowTrace]:
        """Iterate over an experiment's traces, oldest first."""
        if "trace_info" not in self._columns:
            return
        with self._session() as session:
            sql = "select request_id from trace_info where experiment_id = ? order by timestamp_ms, request_id"
            ids = [row[0] for row in session.all(sql, int(experiment.id))]
        for start in range(0, len(ids), _PAGE):
            with self._session() as session:
                found = list(self._traces(session, experiment.id, ids[start : start + _PAGE]))
            yield from found

    def _traces(self, session: Session, experiment: str, ids: Sequence[str]) -> Iterator[MlflowTrace]:
        tail = f"where request_id in ({_marks(ids)}) order by timestamp_ms, request_id"
        rows = self._rows(session, "trace_info", _TRACE, tail, *ids)
        tags, metadata = (self._pairs(session, table, "request_id", ids) for table in ("trace_tags", "trace_request_metadata"))
        assessments: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows(session, "assessments", _ASSESSMENT, f"where trace_id in ({_marks(ids)}) order by created_timestamp", *ids):
            assessments.setdefault(row[0], []).append(_assessment(row))
        spans: dict[str, list[dict[str, Any]]] = {}
        tail = f"where trace_id in ({_marks(ids)}) order by start_time_unix_nano"
        for trace, content in self._rows(session, "spans", ("trace_id", "content"), tail, *ids):
            spans.setdefault(trace, []).append(span_of(json.loads(content)))
        for id, requested, took, status, client, request, response, name in rows:  # noqa: A001  # the field's word
            kept, said = tags.get(id, {}), metadata.get(id, {})
            yield with_spans(
                MlflowTrace(
                    id=id,
                    experiment_id=experiment,
                    requested=requested or 0,
                    duration=took,
                    state=status if status in TRACE_STATES else "STATE_UNSPECIFIED",
                    request=request or said.get("mlflow.traceInputs", ""),
                    response=response or said.get("mlflow.traceOutputs", ""),
                    client_request_id=client or "",
                    metadata=said,
                    tags={**({NAME_TAG: name} if name else {}), **kept},
                    assessments=tuple(assessments.get(id, ())),
                    spans=tuple(spans.get(id, ())),
                ),
                *([self._file.parent] if self._file else []),
            )

    def registered(self) -> Iterator[MlflowRegistered]:
        """Iterate over the registered models."""
        if "registered_models" not in self._columns:
            return
        names = ("name", "creation_time", "last_updated_time", "description")
        with self._session() as session:
            rows = self._rows(session, "registered_models", names, "order by name")
            tags = self._pairs(session, "registered_model_tags", "name", None)
            aliases = self._pairs(session, "registered_model_aliases", "name", None, names=("alias", "version"))
            versions = self._versions(session)
        for name, created, updated, description in rows:
            yield MlflowRegistered(
                name=name,
                created=created or 0,
                updated=updated or 0,
                description=description or "",
                tags=tags.get(name, {}),
                aliases={alias: int(version) for alias, version in aliases.get(name, {}).items()},
                versions=tuple(versions.get(name, ())),
            )

    def files(self, owner: MlflowRun | MlflowModel, into: Path) -> list[MlflowFile]:  # noqa: ARG002  # they lie here
        """Return the files of a run or model, where its record says, or beside a database that was moved with them."""
        said = Path(unquote(urlsplit(owner.location).path))
        beside = [self._file.parent / Path(*said.parts[n:]) for n in (-4, -5)] if self._file else []
        return local_files(owner, *(place for place in beside if place.is_dir()))

    # -- tables

    @contextmanager
    def _session(self) -> Iterator[Session]:
        if self._file is None:
            with closing(open_database(self._address)) as database, database.read() as session:
                yield session
            return
        try:
            with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True)) as connection:
                yield SqliteSession(connection)
        except sqlite3.DatabaseError as cause:
            hint = "give MLflow's backend store; where it is on a disk that cannot be written, copy it first"
            raise DataFormatError(f"{self._file} cannot be read: {cause}", source=str(self._file), hint=hint) from cause

    @cached_property
    def _columns(self) -> dict[str, set[str]]:
        """The columns of each table, as this release of MLflow made them."""
        if self._file:
            sql = "select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table'"
        else:
            sql = "select table_name, column_name from information_schema.columns where table_schema = current_schema()"
        found: dict[str, set[str]] = {}
        with self._session() as session:
            for table, column in session.all(sql):
                found.setdefault(table, set()).add(column)
        return found

    def _rows(self, session: Session, table: str, names: Sequence[str], tail: str, *values: Any) -> list[Row]:
        known = self._columns.get(table)
        if known is None:
            return []
        said = ", ".join(name if name in known else "null" for name in names)
        return session.all(f"select {said} from {table} {tail}", *values)  # noqa: S608  # literals of this module

    def _pairs(
        self, session: Session, table: str, owner: str, ids: Sequence[str] | None, *, names: tuple[str, str] = ("key", "value")
    ) -> dict[Any, dict[str, str]]:
        """Return names with values, by what they belong to."""
        where, values = (f"where {owner} in ({_marks(ids)})", tuple(ids)) if ids is not None else ("", ())
        found: dict[Any, dict[str, str]] = {}
        for id, key, value in self._rows(session, table, (owner, *names), where, *values):  # noqa: A001  # the field's word
            found.setdefault(id, {})[key] = "" if value is None else str(value)
        return found

    def _points(self, session: Session, ids: Sequence[str]) -> dict[str, dict[str, list[MetricPoint]]]:
        names = ("run_uuid", "key", "step", "timestamp", "value", "is_nan")
        tail = f"where run_uuid in ({_marks(ids)}) order by run_uuid, key, timestamp, step"
        found: dict[str, dict[str, list[MetricPoint]]] = {}
        for run, key, step, at, value, is_nan in self._rows(session, "metrics", names, tail, *ids):
            found.setdefault(run, {}).setdefault(key, []).append((step or 0, at, _NAN if is_nan else value))
        return found

    def _inputs(self, session: Session, ids: Sequence[str]) -> dict[str, list[MlflowInput]]:
        if "inputs" not in self._columns or "datasets" not in self._columns:
            return {}
        tail = f"where destination_type = 'RUN' and source_type = 'DATASET' and destination_id in ({_marks(ids)}) order by input_uuid"
        rows = self._rows(session, "inputs", ("input_uuid", "source_id", "destination_id"), tail, *ids)
        tags = self._pairs(session, "input_tags", "input_uuid", [row[0] for row in rows], names=("name", "value")) if rows else {}
        about = self._datasets(session, [row[1] for row in rows])
        found: dict[str, list[MlflowInput]] = {}
        for id, source, run in rows:  # noqa: A001  # the field's word
            if source in about:
                name, digest, kind, said, schema, profile = about[source]
                found.setdefault(run, []).append(
                    MlflowInput(
                        name=name,
                        digest=digest,
                        source_type=kind or "",
                        source=said or "",
                        schema=schema or "",
                        profile=profile or "",
                        tags=tags.get(id, {}),
                    )
                )
        return found

    def _datasets(self, session: Session, ids: Sequence[str]) -> dict[str, Row]:
        names = ("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile")
        if not ids:
            return {}
        return {row[0]: row[1:] for row in self._rows(session, "datasets", names, f"where dataset_uuid in ({_marks(ids)})", *ids)}

    def _read_models(self, session: Session, ids: Sequence[str]) -> dict[str, list[str]]:
        tail = f"where source_type = 'RUN_INPUT' and destination_type = 'MODEL_INPUT' and source_id in ({_marks(ids)})"
        found: dict[str, list[str]] = {}
        for run, model in self._rows(session, "inputs", ("source_id", "destination_id"), tail, *ids):
            found.setdefault(run, []).append(model)
        return found

    def _model_points(self, session: Session, ids: Sequence[str]) -> dict[str, list[MlflowModelPoint]]:
        names = (
            "model_id",
            "metric_name",
            "metric_value",
            "metric_timestamp_ms",
            "metric_step",
            "run_id",
            "dataset_name",
            "dataset_digest",
        )
        found: dict[str, list[MlflowModelPoint]] = {}
        for id, key, value, at, step, run, dataset, digest in self._rows(  # noqa: A001  # the field's word
            session, "logged_model_metrics", names, f"where model_id in ({_marks(ids)}) order by metric_timestamp_ms, metric_step", *ids
        ):
            found.setdefault(id, []).append(
                MlflowModelPoint(
                    key=key,
                    value=value,
                    at=at,
                    step=step or 0,
                    run=run or "",
                    dataset_name=dataset or "",
                    dataset_digest=digest or "",
                )
            )
        return found

    def _versions(self, session: Session) -> dict[str, list[MlflowVersion]]:
        names = ("name", "version", "creation_time", "last_updated_time", "description", "user_id", "current_stage", "source", "run_id")
        rows = self._rows(session, "model_versions", (*names, "run_link"), "order by name, version")
        tagged: dict[tuple[str, int], dict[str, str]] = {}
        for name, version, key, value in self._rows(session, "model_version_tags", ("name", "version", "key", "value"), ""):
            tagged.setdefault((name, version), {})[key] = value or ""
        found: dict[str, list[MlflowVersion]] = {}
        for name, version, created, updated, description, user, stage, source, run, link in rows:
            if stage == _DELETED_VERSION:
                told = MlflowVersion(version=version, created=created or 0, is_deleted=True)
            else:
                told = MlflowVersion(
                    version=version,
                    created=created or 0,
                    updated=updated or 0,
                    description=description or "",
                    user=user or "",
                    stage=stage or "None",
                    source=source or "",
                    run=run or "",
                    model_id=source.removeprefix("models:/") if (source or "").startswith("models:/m-") else "",
                    run_link=link or "",
                    tags=tagged.get((name, version), {}),
                )
            found.setdefault(name, []).append(told)
        return found


def _file_of(address: str) -> Path | None:
    """Return the file of a SQLite address, None for another database."""
    if address.startswith(("postgresql:", "postgres:")):
        return None
    # sqlite:///mlflow.db is a file here, sqlite:////srv/mlflow.db one from the root on.
    file = Path(unquote(address.removeprefix("sqlite:///")) if address.startswith("sqlite:///") else address.removeprefix("sqlite:"))
    if not file.is_file():
        raise NotFound(f"there is no file {file}", hint="sqlite:///FILE, with a fourth slash where the path begins at the root")
    return file.absolute()


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values)) or "null"


def _assessment(row: Row) -> dict[str, Any]:
    """Return a row of assessments as version 3 of the protocol tells one."""
    trace, id, name, kind, value, error, created, updated, source, source_id, run, span, rationale, overrides, valid, metadata = row  # noqa: A001  # the field's word
    said = {"value": json.loads(value)} if value is not None else {}
    if kind == "feedback" and error:
        said["error"] = json.loads(error)
    told = {
        "assessment_id": id,
        "assessment_name": name,
        "trace_id": trace,
        "source": {"source_type": source, "source_id": source_id},
        "create_time": iso(created or 0),
        "last_update_time": iso(updated or 0),
        kind: said,
        "rationale": rationale,
        "span_id": span,
        "run_id": run,
        "overrides": overrides,
        "metadata": json.loads(metadata) if metadata else None,
    }
    return {key: found for key, found in told.items() if found is not None} | {"valid": bool(valid)}
