"""`sampan export mlflow FOLDER`: everything MLflow has a word for goes into an `mlruns` folder that its own client reads.

A thing's record is written after all that belongs to it, so an export that was killed leaves nothing half told, and is completed by
exporting again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sampan.core.answers import Answer
from sampan.core.mlflow import (
    MlflowExperiment,
    MlflowModel,
    MlflowModelPoint,
    MlflowRegistered,
    MlflowRun,
    MlflowSource,
    MlflowTrace,
    MlflowVersion,
)
from sampan.core.mlflow_spans import LOCATION_TAG, PLACE_TAG, SPANS_FILE, mlflow_span
from sampan.core.times import iso
from sampan.errors import AlreadyExists
from sampan.workspace.columns import count
from sampan.workspace.mlflow import graph
from sampan.workspace.mlflow.folder import (
    DATASETS,
    DELETED,
    DELETED_VERSION,
    META,
    MODEL_STATE_NUMBERS,
    MODELS,
    RUN_STATES,
    TRACE_INFO,
    TRACES,
    TRASH,
)
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.ports import Stage

_MARK: Final = ".sampan-export"
_PAGE: Final = 200
_SHOWN: Final = 5
_STATUS: Final = {word.lower(): number for number, word in RUN_STATES.items() if word != "SCHEDULED"}
_MODEL_STATUS: Final = {word.lower(): number for number, word in MODEL_STATE_NUMBERS.items()}
_LOCAL_SOURCE: Final = 4


class Exported(Answer, frozen=True, kw_only=True):
    """What was written for MLflow."""

    folder: str
    experiments: int
    runs: int
    models: int
    traces: int
    registered: int
    files: int
    left: tuple[str, ...] = ()  # what MLflow's folders cannot hold

    def text(self) -> str:
        """Say what was written, then what could not be."""
        told = (count(self.experiments, "experiment"), count(self.runs, "run"), count(self.models, "logged model"))
        traces = (count(self.traces, "trace"),) if self.traces else ()
        line = f"{', '.join((*told, *traces, count(self.registered, 'registered model'), count(self.files, 'file')))} in {self.folder}"
        rest = len(self.left) - _SHOWN
        return "\n".join([line, *(f"left out: {each}" for each in self.left[:_SHOWN]), *([f"and {rest:,} more"] if rest > 0 else [])])


class Exports(Room):
    """What is here, for other tools."""

    noun: ClassVar[str] = "export"

    @operation(reads=True, local=True)
    def mlflow(self, folder: Path) -> Exported:
        """Write experiments, runs, histories, files, inputs, logged models and the registry as an mlruns folder.

        MLflow's own client reads it: MLFLOW_TRACKING_URI=FOLDER (MLflow 3 asks for MLFLOW_ALLOW_FILE_STORE=true), and
        `mlflow migrate-filestore` takes it into a database.

        Parameters
        ----------
        folder : a new folder, or one that was written so before
        """
        from sampan.workspace.mlflow.told import ToldToMlflow

        source = ToldToMlflow(self.ws)
        writer = MlflowFolderWriter(folder.expanduser().absolute(), source)
        ids = {each.id: source.run_ids(each) for each in source.experiments()}
        with self.ws.progress.stage("runs", total=sum(map(len, ids.values())), unit="runs") as stage:
            return writer.write(ids, stage)


class MlflowFolderWriter:
    """Writes what a source tells as MLflow's file store lays it out."""

    def __init__(self, root: Path, source: MlflowSource) -> None:
        """Take a folder.

        Raises
        ------
        AlreadyExists : it holds something else.
        """
        if root.is_dir() and any(root.iterdir()) and not (root / _MARK).is_file():
            raise AlreadyExists(f"{root} is not empty, and no earlier export", hint="name a new folder")
        root.mkdir(parents=True, exist_ok=True)
        (root / _MARK).touch()
        (root / TRASH).mkdir(exist_ok=True)
        self.root = root
        self._source = source
        self._left: list[str] = []
        self._n_files = 0
        self._experiment_of: dict[str, str] = {}  # run -> experiment

    def write(self, ids: Mapping[str, Sequence[str]], stage: Stage) -> Exported:
        """Write everything; `ids` are each experiment's runs."""
        experiments, n_models, n_traces = self._source.experiments(), 0, 0
        for experiment in experiments:
            home = (self.root / TRASH if experiment.is_deleted else self.root) / graph.safe_number(experiment.id, experiment.name)
            models = list(self._source.models(experiment))
            made: dict[str, list[str]] = {}
            for model in models:
                made.setdefault(model.run, []).append(model.id)
                self._model(home / MODELS / model.id, model)
            for start in range(0, len(ids[experiment.id]), _PAGE):
                some = ids[experiment.id][start : start + _PAGE]
                for run in self._source.runs(experiment, some):
                    self._run(home, run, made.get(run.id, ()))
                stage.advance(len(some))
            n_models += len(models)
            for trace in self._source.traces(experiment):
                self._trace(home / TRACES / trace.id, trace)
                n_traces += 1
            self._experiment(home, experiment)
        registered = [one for one in self._source.registered() if self._inside(self.root / MODELS, f"{one.name}/{META}", "the registry")]
        for one in registered:
            self._registered(self.root / MODELS / one.name, one)
        return Exported(
            folder=str(self.root),
            experiments=len(experiments),
            runs=sum(map(len, ids.values())),
            models=n_models,
            traces=n_traces,
            registered=len(registered),
            files=self._n_files,
            left=tuple(self._left),
            next=(f"MLFLOW_TRACKING_URI={self.root} mlflow experiments search",),
        )

    def _experiment(self, home: Path, found: MlflowExperiment) -> None:
        self._texts(home / "tags", found.tags, found.name)
        told = {
            "artifact_location": str(home),
            "creation_time": found.created,
            "experiment_id": home.name,
            "last_update_time": found.updated,
            "lifecycle_stage": DELETED if found.is_deleted else "active",
            "name": found.name,
        }
        _write_record(home, told)

    def _run(self, home: Path, run: MlflowRun, made: Sequence[str]) -> None:
        folder = home / run.id
        self._experiment_of[run.id] = str(home)
        self._texts(folder / "params", run.params, run.name)
        self._texts(folder / "tags", run.tags, run.name)
        lines = {key: "".join(f"{at} {value} {step}\n" for step, at, value in points) for key, points in run.points.items()}
        self._texts(folder / "metrics", lines, run.name)
        self._files(folder, run)
        for each in run.inputs:
            dataset = _md5(each.name, each.digest)
            about = {name: getattr(each, name) for name in ("digest", "name", "profile", "schema", "source", "source_type")}
            _write_record(home / DATASETS / dataset, about)
            link = {"source_type": "DATASET", "source_id": dataset, "destination_type": "RUN", "destination_id": dataset}
            _write_record(folder / "inputs" / _md5(dataset, run.id), {**link, "tags": each.tags})
        for model in run.read_models:
            link = {"source_type": "MODEL_INPUT", "source_id": model, "destination_type": "MODEL_INPUT", "destination_id": model}
            _write_record(folder / "inputs" / _md5(model, run.id), {**link, "tags": {}})
        for model in made:
            link = {"source_type": "RUN_OUTPUT", "source_id": model, "destination_type": "MODEL_OUTPUT", "destination_id": model}
            _write_record(folder / "outputs" / model, {**link, "tags": {}, "step": 0})
        told: dict[str, Any] = {
            "artifact_uri": str(folder / "artifacts"),
            "end_time": run.ended,
            "entry_point_name": "",
            "experiment_id": home.name,
            "lifecycle_stage": DELETED if run.is_deleted else "active",
            "run_id": run.id,
            "run_name": run.name,
            "run_uuid": run.id,
            "source_name": "",
            "source_type": _LOCAL_SOURCE,
            "source_version": "",
            "start_time": run.started,
            "status": _STATUS[run.state],
            "tags": [],
            "user_id": run.user,
            **({"deleted_time": run.ended or run.started} if run.is_deleted else {}),
        }
        _write_record(folder, told)

    def _model(self, folder: Path, model: MlflowModel) -> None:
        self._texts(folder / "params", model.params, model.name)
        self._texts(folder / "tags", model.tags, model.name)
        lines: dict[str, str] = {}
        for point in model.points:
            lines[point.key] = lines.get(point.key, "") + _model_line(point)
        self._texts(folder / "metrics", lines, model.name)
        self._files(folder, model)
        told = {
            "artifact_location": str(folder / "artifacts"),
            "creation_timestamp": model.created,
            "experiment_id": folder.parent.parent.name,
            "last_updated_timestamp": model.updated,
            "model_id": model.id,
            "model_type": model.model_type or None,
            "name": model.name,
            "source_run_id": model.run or None,
            "status": _MODEL_STATUS[model.state],
            "status_message": None,
            **({"lifecycle_stage": DELETED} if model.is_deleted else {}),
        }
        _write_record(folder, told)

    def _trace(self, folder: Path, trace: MlflowTrace) -> None:
        place = {LOCATION_TAG: "ARTIFACT_REPO", PLACE_TAG: str(folder / "artifacts")}
        self._texts(folder / "tags", {**trace.tags, **place}, trace.id)
        self._texts(folder / "request_metadata", trace.metadata, trace.id)
        for each in trace.assessments:
            if self._inside(folder / "assessments", f"{each['assessment_id']}.yaml", trace.id):
                _write_yaml(folder / "assessments" / f"{each['assessment_id']}.yaml", each)
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        spans = json.dumps({"spans": [mlflow_span(each) for each in trace.spans]})
        (folder / "artifacts" / SPANS_FILE).write_text(spans, encoding="utf-8")
        told = {
            "trace_id": trace.id,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": folder.parent.parent.name}},
            "request_time": iso(trace.requested),
            "execution_duration_ms": trace.duration,
            "state": trace.state,
            "request_preview": trace.request,
            "response_preview": trace.response,
            "client_request_id": trace.client_request_id,
        }
        _write_yaml(folder / TRACE_INFO, {key: value for key, value in told.items() if value not in (None, "")})

    def _registered(self, folder: Path, found: MlflowRegistered) -> None:
        self._texts(folder / "tags", found.tags, found.name)
        self._texts(folder / "aliases", {alias: str(version) for alias, version in found.aliases.items()}, found.name)
        for version in found.versions:
            home = folder / f"version-{version.version}"
            self._texts(home / "tags", version.tags, found.name)
            _write_record(home, self._version(found.name, version))
        told = {
            "creation_timestamp": found.created,
            "description": found.description or None,
            "last_updated_timestamp": found.updated,
            "name": found.name,
        }
        _write_record(folder, told)

    def _version(self, name: str, version: MlflowVersion) -> dict[str, Any]:
        place = self._place(version)
        return {
            "creation_timestamp": version.created,
            "current_stage": DELETED_VERSION if version.is_deleted else version.stage,
            "description": version.description or None,
            "last_updated_timestamp": version.updated,
            **({"model_id": version.model_id} if version.model_id else {}),
            "name": name,
            "run_id": version.run or None,
            "run_link": version.run_link or None,
            "source": version.source if version.source.startswith(("models:", "runs:")) else place,
            "status": "READY",
            "status_message": None,
            "storage_location": place,
            "user_id": version.user or None,
            "version": version.version,
        }

    def _place(self, version: MlflowVersion) -> str:
        """Return where a version's files are in the folder."""
        home = self._experiment_of.get(version.run, "")
        if home and version.source.startswith(f"runs:/{version.run}/"):
            return f"{home}/{version.run}/artifacts/{version.source.removeprefix(f'runs:/{version.run}/')}"
        if home and version.source.startswith("mlflow-artifacts:"):
            return f"{home}/{version.run}/artifacts/{version.source.partition('/artifacts/')[2]}"
        model = version.model_id or version.source.removeprefix("models:/")
        found = next(self.root.glob(f"*/{MODELS}/{model}"), None) if model.startswith("m-") else None
        return str(found / "artifacts") if found else version.source

    # -- files

    def _files(self, folder: Path, owner: MlflowRun | MlflowModel) -> None:
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        for each in self._source.files(owner, folder):
            if target := self._inside(folder / "artifacts", each.path, owner.name):
                shutil.copyfile(each.file, target)
                self._n_files += 1

    def _texts(self, folder: Path, found: Mapping[str, str], of: str) -> None:
        """Write a file for each key; MLflow makes a folder of what stands before a slash."""
        folder.mkdir(parents=True, exist_ok=True)
        for key, text in found.items():
            if target := self._inside(folder, key, of):
                target.write_text(text, "utf-8")

    def _inside(self, folder: Path, key: str, of: str) -> Path | None:
        """Return the file a key stands for, None where it would lie elsewhere or in the way of another."""
        path = PurePosixPath(key)
        target = folder / path
        if path.is_absolute() or ".." in path.parts or str(path) != key or target.is_dir() or "\x00" in key:
            self._left.append(f"{key!r} of {of}: no name that a file can have")
            return None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self._left.append(f"{key!r} of {of}: a shorter name is in its way")
            return None
        return target


def _write_record(folder: Path, told: Mapping[str, Any]) -> None:
    """Write a thing's `meta.yaml`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_yaml(folder / META, told)


def _write_yaml(file: Path, told: Mapping[str, Any]) -> None:
    import yaml

    beside = file.with_name(f"{file.name}.new")
    beside.write_text(yaml.dump(dict(told), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True), "utf-8")
    beside.replace(file)


def _model_line(point: MlflowModelPoint) -> str:
    about = f" {point.dataset_name} {point.dataset_digest}" if point.dataset_digest else ""
    return f"{point.at} {point.value} {point.step} {point.run}{about}\n"


def _md5(first: str, second: str) -> str:
    """Name a dataset or an input as MLflow's file store does."""
    return hashlib.md5(first.encode() + second.encode(), usedforsecurity=False).hexdigest()
