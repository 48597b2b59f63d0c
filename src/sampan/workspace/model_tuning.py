"""`sampan model tune`: search a model's parameters, and say what mattered. Nothing is trained for use; `model train --like` does that."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import msgspec

from sampan.core.events import Input, new_id
from sampan.errors import ParameterError
from sampan.workspace.operation import Room, operation
from sampan.workspace.options import filled
from sampan.workspace.tuning_answers import Mattering, NestedSpan, TriedOnce, Tuned
from sampan.workspace.tuning_options import TuningOptions

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.tuning.trials import Params, Plan, Trial
    from sampan.workspace.feature_tables import LabeledRows
    from sampan.workspace.orders import Order
    from sampan.workspace.trials import Trials

_BEST_OF_STUDY = 5  # trials of an earlier study that are tried first


class Tuning(Room):
    """The verb that searches parameters."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def tune(self, file: Path, **options: Unpack[TuningOptions]) -> Tuned:
        """Search the parameters of the model a file declares, and say which of them mattered.

        A search that was stopped or killed goes on where it was: the same command remembers every finished trial.

        Parameters
        ----------
        file : a Python file with an @sp.train function
        """
        from sampan.tuning.search import check
        from sampan.workspace.fitting import check_rows
        from sampan.workspace.orders import order_of, rows_of
        from sampan.workspace.training_runs import bury_dead_runs, recorded_run

        said = filled(TuningOptions, options)
        _check(said)
        order = order_of(self.ws, file, said)
        plan = self._plan(order, said)
        check(plan)
        began = time.monotonic()
        rows = rows_of(self.ws, order)
        check_rows(order, rows)
        bury_dead_runs(self.ws, order.trainer.name)
        run = new_id()
        with recorded_run(self.ws, order, run, "study", parent=None) as journal:
            searching = _Searching(self, order, plan, said, run, deadline=began + 60 * said["minutes"] if said["minutes"] else None)
            trials, found = searching.search(rows, journal)
            nested = searching.nested(rows, journal)
            if not any(not each.is_pruned for each in trials):
                raise ParameterError(f"no trial ended within {said['minutes']:g} minutes", hint="give more; what was begun is kept")
            study = self._keep(order, plan, said, trials, found, nested, run, rows)
        self.ws.ledger.fold(run)
        return self._tuned(study, order, plan, found, run, seconds=time.monotonic() - began)

    def _plan(self, order: Order, said: Mapping[str, Any]) -> Plan:
        from sampan.tuning.trials import Plan

        return Plan(
            trials=said["trials"] if order.searched else 1,
            seed=said["seed"],
            sampler=said["sampler"],
            pruner=said["pruner"],
            n_values=len(said["toward"] or ("loss",)),
            workers=said["workers"],
            start=tuple(params for ref in said["start"] or () for params in self._known(order, ref)),
        )

    def _known(self, order: Order, ref: str) -> list[Params]:
        """Return what to try first: a model's parameters, a trial's, or those of a study's best trials."""
        from sampan.workspace.orders import known_params
        from sampan.workspace.studies import STUDY, find_study

        refs = [ref]
        if ref.startswith(f"{STUDY}:") and "#" not in ref:
            node, _ = find_study(self.ws, ref)
            ranked = sorted((each for each in node.facts["trials"] if not each["is_pruned"]), key=lambda each: each["values"])
            refs = [f"{STUDY}:{node.ref}#{each['number']}" for each in ranked[:_BEST_OF_STUDY]]
        found = [{k: v for k, v in known_params(self.ws, each, order.trainer).items() if k in order.searched} for each in refs]
        return [params for number, params in enumerate(found) if params and params not in found[:number]]

    def _keep(
        self,
        order: Order,
        plan: Plan,
        said: Mapping[str, Any],
        trials: Sequence[Trial],
        found: Trials,
        nested: Sequence[NestedSpan],
        run: str,
        rows: LabeledRows,
    ) -> Node:
        from sampan.core.digests import digest_value
        from sampan.tuning.importance import what_mattered
        from sampan.tuning.search import best, front
        from sampan.workspace.studies import STUDY, StudyEnded
        from sampan.workspace.training_runs import unique

        told = [msgspec.to_builtins(each) for each in trials]
        facts: dict[str, Any] = {
            "trials": told,
            "toward": list(found.toward),
            "best": best(trials).number,
            "front": [each.number for each in front(trials)] if plan.n_values > 1 else [],
            "mattered": msgspec.to_builtins(what_mattered(order.searched, trials, seed=plan.seed)),
            "nested": msgspec.to_builtins(nested),
            "plan": {**msgspec.to_builtins(plan), "folds": said["folds"], "minutes": said["minutes"], "fixed": dict(order.fixed)},
            "space": {name: msgspec.to_builtins(each) for name, each in order.searched.items()},
            "threads": found.workers.threads if found.workers else 0,
            "code": order.code,
            "environment": order.environment,
            "table": order.table,
            "view": order.trainer.view.digest,
            "datasets": {name: node.id for name, node in order.datasets.items()},
            "n_rows": len(rows),
            "program": order.file.name,
        }
        digest = digest_value(facts)
        if same := self.ws.catalog.find_version(STUDY, order.trainer.name, digest):
            return same
        facts["trials"] = [{**each, **found.told(each["number"])} for each in told]
        inputs = (Input(run, "derived_from"), *(Input(node.id, "input") for node in unique(order.datasets)))
        event = StudyEnded(node=new_id(), kind=STUDY, name=order.trainer.name, digest=digest, facts=facts, inputs=inputs)
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def _tuned(self, study: Node, order: Order, plan: Plan, found: Trials, run: str, *, seconds: float) -> Tuned:
        facts = study.facts
        tried = {each["number"]: _tried(each, facts["toward"]) for each in facts["trials"] if not each["is_pruned"]}
        ref = f"study:{study.ref}"
        train = f"sampan model train {quote(str(order.file))} --name {quote(order.trainer.name)} --like {quote(ref)}"
        return Tuned(
            study=ref,
            model=order.trainer.name,
            run=run,
            n_trials=len(facts["trials"]),
            n_pruned=sum(each["is_pruned"] for each in facts["trials"]),
            n_remembered=found.n_remembered,
            workers=plan.workers,
            seconds=seconds,
            best=tried[facts["best"]],
            front=tuple(tried[number] for number in facts["front"]),
            mattered=tuple(msgspec.convert(each, Mattering) for each in facts["mattered"]),
            nested=tuple(msgspec.convert(each, NestedSpan) for each in facts["nested"]),
            next=(train,),
        )


class _Searching:
    """One search, and the same again on the rows before each later span."""

    def __init__(self, room: Tuning, order: Order, plan: Plan, said: Mapping[str, Any], run: str, *, deadline: float | None) -> None:
        self.ws = room.ws
        self.order = order
        self.plan = plan
        self.run = run
        self.deadline = deadline
        self.toward = tuple(said["toward"] or ("loss",))
        self.n_folds: int = said["folds"]
        self.n_nested: int = said["nested"]

    def search(self, rows: LabeledRows, journal: Any) -> tuple[list[Trial], Trials]:
        """Search on all rows but those of the test span, which a training is tested on."""
        from sampan.tuning.folds import rolling_origin

        split = rolling_origin(rows.moments, rows.known_at, n_folds=self.n_folds)
        return self._carry_out(split.search, rows, journal, self.order.key, f"Search parameters of {self.order.trainer.name}")

    def nested(self, rows: LabeledRows, journal: Any) -> list[NestedSpan]:
        """Tune on the rows before each of some later spans, and judge what was found on the span."""
        from sampan.core.digests import digest_value
        from sampan.core.times import iso
        from sampan.evaluation.losses import log_losses
        from sampan.stats.ranking import auc
        from sampan.tuning.folds import rolling_origin
        from sampan.tuning.search import best
        from sampan.workspace.fitting import fit, prepare, score

        if not self.n_nested:
            return []
        outer = rolling_origin(rows.moments, rows.known_at, n_folds=self.n_nested, test_share=0.0)
        found = []
        for number, span in enumerate(outer.search, 1):
            before = rows.take(span.train)
            inner = rolling_origin(before.moments, before.known_at, n_folds=self.n_folds, test_share=0.0)
            key = digest_value([self.order.key, "nested", span.begins])
            trials, _ = self._carry_out(inner.search, before, journal, key, f"Tune before span {number} of {self.n_nested}")
            if not any(not each.is_pruned for each in trials):
                break
            chosen, fold = best(trials), prepare(self.order, span, rows)
            scores = score(self.order, fit(self.order, fold.train, fold.train_labels, chosen.params), fold.matrix)
            labels = fold.judged.labels
            loss = float(log_losses(labels, scores).mean())
            found.append(NestedSpan(iso(span.begins), len(labels), chosen.params, chosen.loss, loss, float(auc(labels, scores))))
        return found

    def _carry_out(self, folds: Sequence[Any], rows: LabeledRows, journal: Any, key: str, title: str) -> tuple[list[Trial], Trials]:
        from sampan.workspace.fitting import prepare
        from sampan.workspace.trials import Trials, open_workers

        prepared = [prepare(self.order, fold, rows) for fold in folds]
        with open_workers(self.ws, self.order, prepared, self.plan.workers) as workers:
            trials = Trials(
                self.ws, self.order, prepared, self.run, self.plan, key, toward=self.toward, workers=workers, deadline=self.deadline
            )
            return trials.carry_out(journal, title=title), trials


def _check(said: Mapping[str, Any]) -> None:
    """Raise ParameterError naming every option that cannot be meant so."""
    from sampan.workspace.trials import TOWARD

    toward, faults = list(said["toward"] or ("loss",)), []
    if unknown := [name for name in toward if name not in TOWARD]:
        faults.append(f"no objective {unknown[0]!r}: {', '.join(TOWARD)}")
    if len(set(toward)) < len(toward) or toward[0] != "loss":
        faults.append("the first objective is the loss, and each is named once")
    if said["folds"] < 1:
        faults.append(f"{said['folds']} folds validate nothing")
    if said["nested"] < 0 or said["minutes"] < 0:
        faults.append("--nested and --minutes are 0 or more")
    if faults:
        raise ParameterError("; ".join(faults), hint="sampan model tune --help")


def _tried(trial: Mapping[str, Any], toward: Sequence[str]) -> TriedOnce:
    return TriedOnce(trial["number"], trial["params"], dict(zip(toward, trial["values"], strict=True)), trial["run"])
