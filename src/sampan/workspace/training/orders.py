"""What a training is asked for: the file's trainer, dataset versions, window, parameters, code. Its digest is the training's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.digests import Digest, digest_value
from sampan.core.graph import Node, NodeId
from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.evaluation.objective import check_worth
from sampan.evaluation.task import BINARY, Task
from sampan.features.encoding import Means
from sampan.features.reading import columns_learned, columns_read
from sampan.tuning.spaces import ParameterValue, Space, active
from sampan.workspace.governing import governance
from sampan.workspace.training.feature_tables import FOREVER, LabeledRows, feature_table, find_datasets, labeled_rows, read_moment, task_of
from sampan.workspace.training.studies import STUDY, find_study, params_of_study
from sampan.workspace.training.training import Trainer, load_trainer

if TYPE_CHECKING:
    from sampan.features.view import View
    from sampan.workspace.training.feature_generation import Generated
    from sampan.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: everything a training's outcome depends on, so that its digest is the training's key."""

    trainer: Trainer
    file: Path
    datasets: Mapping[str, Node]
    table: Digest
    since: Millis
    until: Millis
    trials: int
    seed: int
    fixed: Mapping[str, ParameterValue]
    code: Digest
    environment: Digest
    generated: Generated | None = None
    study: NodeId = ""  # whose parameters are taken
    task: Task = BINARY

    @property
    def key(self) -> Digest:
        """The digest of what trials depend on."""
        trainer = self.trainer
        parts = [
            trainer.name,
            trainer.view.digest,
            self.table,
            self.since,
            self.until,
            self.seed,
            dict(self.fixed),
            self.code,
            self.environment,
        ]
        if self.task != BINARY:  # of what is asked, and by which loss, trials depend too
            parts += [msgspec.to_builtins(self.task), self.loss, trainer.objective.quantile]
        return digest_value([*parts, {n: msgspec.to_builtins(s) for n, s in trainer.space.items()}])

    @property
    def loss(self) -> str:
        """The metric that a search makes small."""
        return self.trainer.objective.loss(self.task)

    @property
    def searched(self) -> dict[str, Space]:
        """The spaces of the parameters that were not given."""
        return {name: each for name, each in self.trainer.space.items() if name not in self.fixed}

    def viewing(self, view: View, *, table: Digest | None = None) -> Order:
        """Return the order for another view, and its table where one is given."""
        return replace(self, trainer=self.trainer.with_view(view), table=table or self.table)


def order_of(ws: Workspace, file: Path, said: Mapping[str, Any]) -> Order:
    """Read a training file and find what it needs; `said` are the options that `model train` and `model tune` share, filled.

    Raises
    ------
    NotFound, ParameterError : the file, a dataset, a parameter or a moment is not as it must be.
    PolicyRefused : the data may not be used so.
    """
    if said["trials"] < 1:
        raise ParameterError(f"{said['trials']} trials find nothing", hint="give 1 or more")
    trainer = load_trainer(file, said["name"])
    fixed = trainer.read_params(said["params"] or {})
    if like := str(said.get("like", "")):
        fixed = {**known_params(ws, like, trainer), **fixed}
    for source in trainer.sources:
        source.add_to(ws)
    datasets = find_datasets(ws, trainer.view, said["data"])
    governance.require_training(
        ws, datasets, reads=columns_read(trainer.view), learns=columns_learned(trainer.view), purpose=trainer.purpose
    )
    table, _ = feature_table(ws, trainer.view, datasets)
    code, environment = _origin(trainer.function)
    since, until = read_moment(said["since"], otherwise=-FOREVER), read_moment(said["until"], otherwise=FOREVER)
    order = Order(
        trainer=trainer,
        file=file.resolve(),
        datasets=datasets,
        table=table,
        since=since,
        until=until,
        trials=said["trials"],
        seed=said["seed"],
        fixed=fixed,
        code=code,
        environment=environment,
        study=find_study(ws, like)[0].id if like.startswith(f"{STUDY}:") else "",
        task=_task(ws, trainer, table, since=since, until=until),
    )
    if said["generate"] < 0:
        raise ParameterError(f"{said['generate']} features cannot be made", hint="give 0 or more")
    return _with_generated(ws, order, said["generate"]) if said["generate"] else order


def rows_of(ws: Workspace, order: Order) -> LabeledRows:
    """Read the rows an order learns from, and is tested on."""
    known_by = _known_by(order.until)
    return labeled_rows(ws, order.trainer.view, order.table, task=order.task, since=order.since, until=order.until, known_by=known_by)


def known_params(ws: Workspace, ref: str, trainer: Trainer) -> dict[str, ParameterValue]:
    """Return the searched parameters of a model, of a study's best trial (`study:NAME`), or of another (`study:NAME#7`)."""
    known = params_of_study(ws, ref) if ref.startswith(f"{STUDY}:") else ws.catalog.resolve(ref, kind="model").facts["params"]
    fitting = {name: value for name, value in known.items() if name in trainer.space and trainer.space[name].holds(value)}
    return active(trainer.space, fitting)


def _with_generated(ws: Workspace, order: Order, most: int) -> Order:
    """Return the order with features made from the declared columns; the terms of the data hold for all that are looked at."""
    from sampan.features.generation import candidates, with_features
    from sampan.workspace.training.feature_generation import generate

    trainer = order.trainer
    wide = with_features(trainer.view, candidates(trainer.view, by_label=order.task.kind != "multiclass"))
    governance.require_training(ws, order.datasets, reads=columns_read(wide), learns=columns_learned(wide), purpose=trainer.purpose)
    found = generate(ws, order, most)
    table, _ = feature_table(ws, found.view, order.datasets)
    return replace(order.viewing(found.view, table=table), generated=found)


def _known_by(until: Millis) -> Millis | None:
    return until if until != FOREVER else None


def _task(ws: Workspace, trainer: Trainer, table: Digest, *, since: Millis, until: Millis) -> Task:
    """Tell what the training's labels ask, and whether its objective and features fit that."""
    task = task_of(ws, trainer.view, table, trainer.objective, since=since, until=until, known_by=_known_by(until))
    check_worth(trainer.objective.kpi, task)
    by_mean = [item.name for item in trainer.view.features if isinstance(item.encoding, Means)]
    if task.kind == "multiclass" and by_mean:
        raise ParameterError(
            f"features {', '.join(by_mean)} of view {trainer.view.name!r} are encoded by the mean label, and the label is one of"
            f" {len(task.classes)} classes, which have no mean",
            hint="encode them by Codes()",
        )
    return task


def _origin(function: Any) -> tuple[str, str]:
    """Digest a function's code and all of the project that it uses, and the versions of the libraries behind it."""
    from sampan.engine.code import code_keys
    from sampan.engine.libraries import versions_behind
    from sampan.engine.step import step

    (found,) = code_keys([step(function)]).values()
    return found.digest, digest_value(versions_behind(found.libraries))
