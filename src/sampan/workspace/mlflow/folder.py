"""An `mlruns` folder, as MLflow's file store lays it out: `meta.yaml` for each thing, a file for each parameter, tag and metric."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

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
    texts,
)
from sampan.core.times import to_millis
from sampan.errors import DataFormatError, NotFound
from sampan.store.mlflow_files import local_files, with_spans

META: Final = "meta.yaml"
TRASH, MODELS, DATASETS = ".trash", "models", "datasets"
TRACES, TRACE_INFO = "traces", "trace_info.yaml"
RUN_STATES: Final = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATE_NUMBERS: Final = {1: "PENDING", 2: "READY", 3: "FAILED"}
DELETED, DELETED_VERSION = "deleted", "Deleted_Internal"
_DATASET: Final = ("name", "digest", "source_type", "source", "schema", "profile")


class MlflowFolder:
    """The MlflowSource of a folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder.

        Raises
        ------
        NotFound : it holds no experiments.
        """
        self.root = root.absolute()
        self._read: dict[str, dict[str, Any]] = {}  # records of runs that were read to put them in order
        if not any(_metas(self.root)) and not any(_metas(self.root / TRASH)):
            raise NotFound(f"{root} holds no experiments of MLflow", hint="give an mlruns folder, sqlite:///FILE or a server's address")

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.root)

    def experiments(self) -> list[MlflowExperiment]:
        """Return all experiments, those in the trash as well."""
        folders = [folder for home in (self.root, self.root / TRASH) for folder in _metas(home) if folder.name != MODELS]
        found = [_experiment(folder) for folder in folders]
        return sorted(found, key=lambda each: (each.created, each.id))

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of an experiment's runs, oldest first."""
        folders = [folder for folder in _metas(self._home(experiment)) if folder.name not in (MODELS, DATASETS)]
        found = {folder.name: _yaml(folder / META) for folder in folders}
        self._read |= found
        return sorted(found, key=lambda run: (found[run].get("start_time") or 0, run))

    def runs(self, experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs of an experiment."""
        return [self._run(self._home(experiment) / id) for id in ids]  # noqa: A001  # the field's word

    def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Iterate over an experiment's logged models."""
        for folder in _metas(self._home(experiment) / MODELS):
            meta = _yaml(folder / META)
            yield MlflowModel(
                id=str(meta["model_id"]),
                experiment_id=str(meta["experiment_id"]),
                name=str(meta["name"]),
                state=MODEL_STATES.get(MODEL_STATE_NUMBERS.get(meta.get("status") or 2, ""), "ready"),
                created=int(meta.get("creation_timestamp") or 0),
                updated=int(meta.get("last_updated_timestamp") or 0),
                is_deleted=meta.get("lifecycle_stage") == DELETED,
                model_type=str(meta.get("model_type") or ""),
                run=str(meta.get("source_run_id") or ""),
                location=str(meta.get("artifact_location") or ""),
                params=_texts(folder / "params"),
                tags=_texts(folder / "tags"),
                points=tuple(_model_points(folder / "metrics")),
            )

    def traces(self, experiment: MlflowExperiment) -> Iterator[MlflowTrace]:
        """Iterate over an experiment's traces, oldest first."""
        home = self._home(experiment) / TRACES
        with suppress(FileNotFoundError, NotADirectoryError):
            folders = [folder for folder in sorted(home.iterdir()) if (folder / TRACE_INFO).is_file()]
            told = sorted((trace_of(_yaml(folder / TRACE_INFO), folder) for folder in folders), key=lambda each: (each.requested, each.id))
            yield from (with_spans(each, self._home(experiment).parent) for each in told)

    def registered(self) -> Iterator[MlflowRegistered]:
        """Iterate over the registered models."""
        for folder in _metas(self.root / MODELS):
            meta = _yaml(folder / META)
            yield MlflowRegistered(
                name=str(meta["name"]),
                created=int(meta.get("creation_timestamp") or 0),
                updated=int(meta.get("last_updated_timestamp") or 0),
                description=str(meta.get("description") or ""),
                tags=_texts(folder / "tags"),
                aliases={alias: int(version) for alias, version in _texts(folder / "aliases").items()},
                versions=tuple(sorted(map(_version, _metas(folder)), key=lambda each: each.version)),
            )

    def files(self, owner: MlflowRun | MlflowModel, into: Path) -> list[MlflowFile]:  # noqa: ARG002  # they lie here
        """Return the files of a run or model: beside its record, or where that says."""
        home = next((each for each in (self.root, self.root / TRASH) if (each / owner.experiment_id).is_dir()), self.root)
        inside = Path(owner.id) if isinstance(owner, MlflowRun) else Path(MODELS, owner.id)
        return local_files(owner, home / owner.experiment_id / inside / "artifacts")

    def _home(self, experiment: MlflowExperiment) -> Path:
        return (self.root / TRASH if experiment.is_deleted else self.root) / experiment.id

    def _run(self, folder: Path) -> MlflowRun:
        meta = self._read.pop(folder.name, None) or _yaml(folder / META)
        tags = _texts(folder / "tags")
        inputs = [_yaml(each / META) for each in _metas(folder / "inputs")]
        return MlflowRun(
            id=str(meta.get("run_id") or meta.get("run_uuid") or folder.name),
            experiment_id=str(meta["experiment_id"]),
            name=str(meta.get("run_name") or meta.get("name") or tags.get("mlflow.runName", "")),
            user=str(meta.get("user_id") or ""),
            state=STATES[RUN_STATES.get(meta.get("status") or 1, "RUNNING")],
            started=int(meta.get("start_time") or 0),
            ended=meta.get("end_time"),
            is_deleted=meta.get("lifecycle_stage") == DELETED,
            location=str(meta.get("artifact_uri") or ""),
            params=_texts(folder / "params"),
            tags=tags,
            points={key: _points(text) for key, text in _texts(folder / "metrics").items()},
            inputs=tuple(_input(folder.parent, each) for each in inputs if each.get("source_type") == "DATASET"),
            read_models=tuple(str(each["source_id"]) for each in inputs if str(each.get("source_type", "")).startswith("MODEL")),
        )


def trace_of(info: dict[str, Any], folder: Path) -> MlflowTrace:
    """Read a trace's record, of MLflow 3 or 2, and the tags, metadata and assessments beside it."""
    metadata = _texts(folder / "request_metadata")
    place = (info.get("trace_location") or {}).get("mlflow_experiment") or info
    took = info.get("execution_duration_ms", info.get("execution_time_ms"))
    state = str(info.get("state") or info.get("status") or "")
    asked = info.get("request_time")
    return MlflowTrace(
        id=str(info.get("trace_id") or info.get("request_id") or folder.name),
        experiment_id=str(place["experiment_id"]),
        requested=to_millis(datetime.fromisoformat(str(asked))) if asked else int(info.get("timestamp_ms") or 0),
        duration=None if took is None else int(took),
        state=state if state in TRACE_STATES else "STATE_UNSPECIFIED",
        request=str(info.get("request_preview") or metadata.get("mlflow.traceInputs", "")),
        response=str(info.get("response_preview") or metadata.get("mlflow.traceOutputs", "")),
        client_request_id=str(info.get("client_request_id") or ""),
        metadata=metadata,
        tags=_texts(folder / "tags"),
        assessments=tuple(_yaml(file) for file in sorted((folder / "assessments").glob("*.yaml"))),
    )


def _metas(home: Path) -> Iterator[Path]:
    """Iterate over the folders in a folder that have a record."""
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from (folder for folder in sorted(home.iterdir()) if (folder / META).is_file())


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(path.read_bytes(), loader)  # noqa: S506  # a safe loader, the quick one where it is there
    except yaml.YAMLError as cause:
        raise DataFormatError(f"{path} is no YAML: {cause}", source=str(path), hint="restore it, or move its folder away") from cause
    if not isinstance(found, dict):
        raise DataFormatError(f"{path} holds no record", source=str(path), hint="restore it, or move its folder away")
    return found


def _texts(folder: Path) -> dict[str, str]:
    """Return what a folder's files say, by their paths: a key with a slash is a file in a folder."""
    found: dict[str, str] = {}
    waiting = [(str(folder), "")]
    while waiting:
        place, start = waiting.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append((entry.path, f"{start}{entry.name}/"))
                else:
                    found[start + entry.name] = _text(entry.path)
    return dict(sorted(found.items()))


def _text(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123  # a quarter of a million of them: Path costs as much as reading
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError as cause:
        raise DataFormatError(f"{path} is no text: {cause}", source=path, hint="restore it, or move it away") from cause


def _points(text: str) -> list[MetricPoint]:
    return [_point(line.split(" ")) for line in text.splitlines() if line]


def _point(words: Sequence[str]) -> MetricPoint:
    """Read `time value [step]`."""
    return (int(words[2]) if len(words) > 2 else 0, int(words[0]), float(words[1]))  # the step is the third word


def _model_points(folder: Path) -> Iterator[MlflowModelPoint]:
    """Read `time value step run [dataset digest]`."""
    for key, text in _texts(folder).items():
        for line in filter(None, text.splitlines()):
            words = line.split(" ")
            step, at, value = _point(words)
            *name, digest = words[4:] or [""]
            run = words[3] if len(words) > 3 else ""  # the run is the fourth word
            yield MlflowModelPoint(key=key, value=value, at=at, step=step, run=run, dataset_name=" ".join(name), dataset_digest=digest)


def _experiment(folder: Path) -> MlflowExperiment:
    meta = _yaml(folder / META)
    return MlflowExperiment(
        id=folder.name,  # what the record says is the same, or leads elsewhere
        name=str(meta["name"]),
        is_deleted=meta.get("lifecycle_stage") == DELETED,
        created=int(meta.get("creation_time") or 0),
        updated=int(meta.get("last_update_time") or 0),
        location=str(meta.get("artifact_location") or ""),
        tags=_texts(folder / "tags"),
    )


def _input(experiment: Path, found: dict[str, Any]) -> MlflowInput:
    about = _yaml(experiment / DATASETS / Path(str(found["source_id"])).name / META)
    told = texts(about, _DATASET)
    return MlflowInput(
        name=told["name"],
        digest=told["digest"],
        source_type=told["source_type"],
        source=told["source"],
        schema=told["schema"],
        profile=told["profile"],
        tags={str(key): str(value) for key, value in (found.get("tags") or {}).items()},
    )


def _version(folder: Path) -> MlflowVersion:
    meta = _yaml(folder / META)
    if meta.get("current_stage") == DELETED_VERSION:
        return MlflowVersion(version=int(meta["version"]), created=int(meta.get("creation_timestamp") or 0), is_deleted=True)
    return MlflowVersion(
        version=int(meta["version"]),
        created=int(meta.get("creation_timestamp") or 0),
        updated=int(meta.get("last_updated_timestamp") or 0),
        stage=str(meta.get("current_stage") or "None"),
        tags=_texts(folder / "tags"),
        description=str(meta.get("description") or ""),
        user=str(meta.get("user_id") or ""),
        source=str(meta.get("source") or ""),
        run=str(meta.get("run_id") or ""),
        model_id=str(meta.get("model_id") or ""),
        run_link=str(meta.get("run_link") or ""),
    )
