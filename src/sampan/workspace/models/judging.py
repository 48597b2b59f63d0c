"""Models judged on rows: score stored rows, report, compare with the champion, decide. Nothing here records; the model room does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sampan.core.decoding import read_builtins
from sampan.core.graph import Node
from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.evaluation.noise import LabelHealth
from sampan.evaluation.objective import METRICS, Objective
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.evaluation.report import Report, evaluate
from sampan.evaluation.task import BINARY, Task
from sampan.features.reading import columns_read
from sampan.features.view import View
from sampan.serving.records import FIELD
from sampan.workspace.governing.governance import require_training
from sampan.workspace.models.predictors import FEATURES, GRAPH, NATIVE

if TYPE_CHECKING:
    from sampan.workspace.training.feature_tables import LabeledRows
    from sampan.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Judged:
    """Labeled rows of a window and where they come from. `scores` are by model node id, of classes over those of all models."""

    task: Task
    labels: NDArray[np.float64]
    moments: NDArray[np.int64]
    groups: dict[str, NDArray[np.object_]]
    scores: dict[str, NDArray[np.float64]]
    evaluated_on: str  # node id


class Scorer:
    """A stored model that scores feature rows, without the online tables a package needs."""

    def __init__(self, ws: Workspace, model: Node) -> None:
        from sampan.features.fitted import FittedView
        from sampan.flavors.onnx_graph import OnnxScorer

        files = {a.path: a.digest for a in ws.catalog.artifacts(model.id)}
        self.fitted = FittedView.from_json(ws.store.blobs.read(files[FEATURES]))
        self._score: Any
        if model.facts["parity"]["passed"]:
            self._score = OnnxScorer(ws.store.blobs.read(files[GRAPH]))
        else:
            self._score = _native(ws, model, files)

    def __call__(self, rows: LabeledRows) -> NDArray[np.float64]:
        """Return one score per row, shape (n,)."""
        return self.score(self.fitted.matrix(rows.frame))

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row of a matrix, shape (n,); of k classes shape (n, k)."""
        scores: NDArray[np.float64] = self._score(matrix)
        return scores


def _native(ws: Workspace, model: Node, files: dict[str, str]) -> Any:
    from sampan import plugins

    flavor = plugins.find("sampan.flavors", model.facts["flavor"])()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path, digest in files.items():
            if path.startswith(f"{NATIVE}/"):
                (folder / Path(path).name).write_bytes(ws.store.blobs.read(digest))
        loaded = flavor.load(folder)
    return lambda matrix: flavor.predict(loaded, matrix)


def judge_stored(ws: Workspace, models: list[Node], *, since: Millis, until: Millis, data: dict[str, str] | None = None) -> Judged:
    """Score stored rows with every model, in the batch path.

    Raises
    ------
    ParameterError : the window reaches back into rows that a model was trained on, or holds no labeled row.
    """
    from sampan.workspace.training.feature_tables import find_datasets

    latest = max(model.facts["until"] for model in models)
    since = max(since, latest)
    if until <= since:
        names = " and ".join(model.ref for model in models)
        raise ParameterError(
            f"{names} learned from all rows before the window's end", hint="judge on rows later than --until of the training"
        )
    scorers = {model.id: Scorer(ws, model) for model in models}
    purpose = str(models[0].facts.get("purpose", ""))
    views = {scorer.fitted.view.digest: scorer.fitted.view for scorer in scorers.values()}
    task = common_task(models)
    sets = {
        digest: _window_rows(ws, view, task, since=since, until=until, data=data or {}, purpose=purpose) for digest, view in views.items()
    }
    rows = _in_common(sets)
    first = next(iter(rows.values()))
    if not len(first):
        raise ParameterError("the window holds no labeled rows later than the training", hint="wait for labels, or add newer data")
    scores = {
        model.id: in_classes(scorers[model.id](rows[scorers[model.id].fitted.view.digest]), task_of_model(model), task) for model in models
    }
    groups = {column: first.group(column) for column in first.view.slices}
    return Judged(task, first.labels, first.moments, groups, scores, find_datasets(ws, first.view, data)[first.view.on].id)


def task_of_model(model: Node) -> Task:
    """Return what a model is asked; of models of earlier releases, one of two outcomes."""
    found = model.facts.get("task")
    return read_builtins(found, Task) if found else BINARY


def common_task(models: Sequence[Node]) -> Task:
    """Return what all of some models are asked; of classes, those that any of them knows.

    Raises
    ------
    ParameterError : they are asked different things.
    """
    first, *others = [task_of_model(model) for model in models]
    if differing := [model for model, task in zip(models[1:], others, strict=True) if task.kind != first.kind]:
        raise ParameterError(
            f"{models[0].ref} is a {first.kind} model and {differing[0].ref} a {task_of_model(differing[0]).kind} one",
            hint="compare models of one question",
        )
    names = [name for task in (first, *others) for name in task.classes]
    return Task(first.kind, tuple(dict.fromkeys(names)))


def in_classes(scores: NDArray[np.float64], known: Task, task: Task) -> NDArray[np.float64]:
    """Lay answers about the classes a model knows out over those of a wider task; of a class it does not know it said nothing."""
    if known == task or task.kind != "multiclass":
        return scores
    found = np.zeros(task.shape(len(scores)))
    found[:, [task.classes.index(name) for name in known.classes]] = scores
    return found


def _window_rows(
    ws: Workspace, view: View, task: Task, *, since: Millis, until: Millis, data: Mapping[str, str], purpose: str = ""
) -> LabeledRows:
    from sampan.workspace.training.feature_tables import feature_table, find_datasets, labeled_rows

    datasets = find_datasets(ws, view, {name: ref for name, ref in data.items() if name in (view.on, *view.tables)})
    require_training(ws, datasets, reads=columns_read(view), learns={}, purpose=purpose, act="evaluate")
    table, _ = feature_table(ws, view, datasets)
    return labeled_rows(ws, view, table, task=task, since=since, until=until)


def _in_common(sets: dict[str, LabeledRows]) -> dict[str, LabeledRows]:
    """Return, for each view, the rows that all views have, in one order. Views of one question give the same row the same label."""
    (head, first), *others = sets.items()
    found = {head: first}
    for digest, rows in others:
        key = list(first.view.key)
        if key != list(rows.view.key):
            raise ParameterError("the two models' views name rows by other keys", hint="compare models of one question")
        ours, theirs = (each.frame.select(key).with_row_index(name) for each, name in ((first, "ours"), (rows, "theirs")))
        both = ours.join(theirs, on=key, how="inner", nulls_equal=True).sort("ours")
        shared = {d: each.take(both["ours"].to_numpy()) for d, each in found.items()}
        first, found = shared[head], {**shared, digest: rows.take(both["theirs"].to_numpy())}
        if not np.array_equal(first.labels, found[digest].labels):
            raise ParameterError("the two models' views label the same rows differently", hint="compare models of one question")
    return found


def judge_shadow(ws: Workspace, service: str, candidate: Node, champion: Node, *, since: Millis, until: Millis) -> Judged:
    """Take the scores that the live model and a shadow gave to the same requests, with the labels that came back."""
    from sampan.workspace.services.prediction_history import coded_labels

    pair = ws.monitor.paired_rows(service, since, until, candidate=candidate.ref)
    frame = pair.frame.sort("moment", maintain_order=True)
    groups = {name: frame[FIELD + name].cast(str).fill_null("(missing)").to_numpy().astype(object) for name in pair.slices}
    task = common_task([candidate, champion])
    sides = ((candidate, "candidate"), (champion, "champion"))
    scores = {model.id: in_classes(frame[name].to_numpy(), task_of_model(model), task) for model, name in sides}
    labels = coded_labels(frame, task)["label"].to_numpy().astype(np.float64)
    return Judged(task, labels, frame["moment"].to_numpy(), groups, scores, "")


def report_on(judged: Judged, model: Node, objective: Objective, *, seed: int = 0) -> Report:
    """Report on one model's scores."""
    return evaluate(
        judged.labels,
        judged.scores[model.id],
        judged.moments,
        objective,
        np.random.default_rng(seed),
        task=judged.task,
        threshold=model.facts["threshold"],
        groups=judged.groups,
        naive=_naive(model, judged.task),
    )


def paired(judged: Judged, candidate: Node, champion: Node, objective: Objective, *, seed: int = 0) -> Paired:
    """Test candidate against champion on the same rows, each at its own threshold."""
    return compare(
        judged.labels,
        Scored(judged.scores[candidate.id], candidate.facts["threshold"]),
        Scored(judged.scores[champion.id], champion.facts["threshold"]),
        judged.moments,
        np.random.default_rng(seed),
        objective=objective,
        task=judged.task,
    )


def _naive(model: Node, task: Task) -> NDArray[np.float64] | None:
    """Return the answer that is always the same, of the rows the model learned from."""
    found = model.facts.get("naive")
    if not found:
        return None
    (answer,) = in_classes(np.array([found]), task_of_model(model), task)
    return np.asarray(answer, dtype=np.float64)


def objective_of(model: Node) -> Objective:
    """Return the objective a model was trained for."""
    return read_builtins(model.facts["objective"], Objective)


def loss_words(model: Node) -> str:
    """Name the loss that a model was trained for, in words."""
    return METRICS[objective_of(model).loss(task_of_model(model))].words


def paired_at_birth(model: Node, champion: Node | None) -> Paired | None:
    """Return the paired test a smaller form of the champion was born with, on rows that neither's recipe had learned from."""
    variant = model.facts.get("variant")
    if not variant or champion is None or variant["parent"] != champion.id:
        return None
    return read_builtins(variant["paired"], Paired)


def allowed_loss(model: Node, champion: Node | None) -> float | None:
    """Return how much worse than the champion a smaller form of it may be, as its budget said; None for any other model."""
    variant = model.facts.get("variant")
    return variant["allowed_loss"] if variant and champion is not None and variant["parent"] == champion.id else None


def label_health_of(model: Node) -> LabelHealth | None:
    """Return what was found of a model's newest training labels."""
    found = model.facts["labels"]
    return read_builtins(found, LabelHealth) if found else None


def report_of(node: Node) -> Report:
    """Read a report node's facts back."""
    return read_builtins({k: v for k, v in node.facts.items() if k not in ("how", "model")}, Report)
