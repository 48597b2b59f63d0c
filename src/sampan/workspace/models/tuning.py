"""`sampan model tune`: search a model's parameters, and say what mattered. Nothing is trained for use; `model train --like` does that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import msgspec

from sampan.core.decoding import read_builtins
from sampan.errors import ParameterError
from sampan.workspace.operation import Room, operation
from sampan.workspace.options import filled
from sampan.workspace.training.tuning_answers import Mattering, NestedSpan, TriedOnce, Tuned
from sampan.workspace.training.tuning_options import TuningOptions

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.tuning.trials import Params, Plan
    from sampan.workspace.training.orders import Order

_BEST_OF_STUDY = 5  # trials of an earlier study that are tried first


class Tuning(Room):
    """The verbs that search parameters."""

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
        from sampan.workspace.training.orders import order_of, rows_of
        from sampan.workspace.training.searching import Searching

        said = filled(TuningOptions, options)
        _check(said)
        order = order_of(self.ws, file, said)
        _check_toward(said, order)
        plan = self._plan(order, said)
        check(plan)
        began = time.monotonic()
        searching = Searching(
            self.ws,
            order,
            plan,
            toward=_toward(said),
            n_folds=said["folds"],
            n_nested=said["nested"],
            deadline=began + 60 * said["minutes"] if said["minutes"] else None,
        )
        study = searching.carry_out(rows_of(self.ws, order))
        found = _tuned(study, searching.run, seconds=time.monotonic() - began)
        return msgspec.structs.replace(found, n_remembered=searching.n_remembered)

    @operation(reads=True)
    def study(self, study: str) -> Tuned:
        """Show a study: its best trial, what mattered, how the search did on later spans.

        Parameters
        ----------
        study : such as flights-late, for its newest, or flights-late@v2
        """
        from sampan.workspace.training.studies import STUDY, find_study

        node, _ = find_study(self.ws, study)
        run = next((edge.src for edge in self.ws.catalog.edges_to(node.id) if edge.role == "derived_from"), "")
        found = _tuned(node, run, seconds=sum(float(each["seconds"]) for each in node.facts["trials"]))
        return msgspec.structs.replace(found, study=f"{STUDY}:{node.ref}")

    def _plan(self, order: Order, said: Mapping[str, Any]) -> Plan:
        from sampan.tuning.trials import Plan

        return Plan(
            trials=said["trials"] if order.searched else 1,
            seed=said["seed"],
            sampler=said["sampler"],
            pruner=said["pruner"],
            n_values=len(_toward(said)),
            workers=said["workers"],
            start=tuple(params for ref in said["start"] or () for params in self._known(order, ref)),
        )

    def _known(self, order: Order, ref: str) -> list[Params]:
        """Return what to try first: a model's parameters, a trial's, or those of a study's best trials."""
        from sampan.workspace.training.orders import known_params
        from sampan.workspace.training.studies import STUDY, find_study

        refs = [ref]
        if ref.startswith(f"{STUDY}:") and "#" not in ref:
            node, _ = find_study(self.ws, ref)
            ranked = sorted(
                (each for each in node.facts["trials"] if each["values"] and not each["is_pruned"]), key=lambda each: each["values"]
            )
            refs = [f"{STUDY}:{node.ref}#{each['number']}" for each in ranked[:_BEST_OF_STUDY]]
        found = [{k: v for k, v in known_params(self.ws, each, order.trainer).items() if k in order.searched} for each in refs]
        return [params for number, params in enumerate(found) if params and params not in found[:number]]


def _toward(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(said["toward"] or ("loss",))


def _check(said: Mapping[str, Any]) -> None:
    """Raise ParameterError naming every option that cannot be meant so."""
    from sampan.evaluation.objective import METRICS
    from sampan.workspace.training.trials import TOWARD

    toward, faults = _toward(said), []
    if unknown := [name for name in toward if name not in TOWARD and name not in METRICS]:
        faults.append(f"no objective {unknown[0]!r}: {', '.join((*TOWARD, *METRICS))}")
    if len(set(toward)) < len(toward) or toward[0] not in ("loss", *METRICS):
        faults.append("the first objective is the loss or a metric, and each is named once")
    if said["folds"] < 1:
        faults.append(f"{said['folds']} folds validate nothing")
    if said["nested"] < 0 or said["minutes"] < 0:
        faults.append("--nested and --minutes are 0 or more")
    if faults:
        raise ParameterError("; ".join(faults), hint="sampan model tune --help")


def _check_toward(said: Mapping[str, Any], order: Order) -> None:
    """Raise ParameterError where a search is led by what is not measured in one: that depends on what is asked of the model."""
    from sampan.evaluation.objective import METRICS
    from sampan.workspace.training.trials import TOWARD

    stated, kind = order.trainer.objective, order.task.kind
    left_out = {"cost"} if stated.kpi is None or kind == "binary" else set()  # a threshold is chosen after the search
    left_out |= {"pinball"} if stated.quantile is None else set()
    known = (*TOWARD, *(name for name, spec in METRICS.items() if kind in spec.kinds and name not in left_out))
    if unknown := [name for name in _toward(said) if name not in known]:
        raise ParameterError(f"no objective {unknown[0]!r} of a {kind} task: {', '.join(known)}", hint="sampan model tune --help")


def finished_trials(study: Node) -> list[TriedOnce]:
    """Return the trials of a study that ran to their end, in the order in which they were made."""
    facts = study.facts
    return [_tried(each, facts) for each in facts["trials"] if each["values"] and not each["is_pruned"]]


def _tuned(study: Node, run: str, *, seconds: float) -> Tuned:
    facts = study.facts
    tried = {each.number: each for each in finished_trials(study)}
    ref = f"study:{study.ref}"
    return Tuned(
        study=ref,
        model=study.name,
        run=run,
        n_trials=len(facts["trials"]),
        n_pruned=sum(each["is_pruned"] for each in facts["trials"]),
        failures=tuple(f"trial {each['number']}: {each['failure']}" for each in facts["trials"] if each.get("failure")),
        workers=facts["plan"]["workers"],
        seconds=seconds,
        best=tried[facts["best"]],
        loss=facts.get("loss", "log_loss"),
        front=tuple(tried[number] for number in facts["front"]),
        mattered=tuple(read_builtins(each, Mattering) for each in facts["mattered"]),
        nested=tuple(read_builtins(each, NestedSpan) for each in facts["nested"]),
        next=(f"sampan model train {quote(facts['program'])} --name {quote(study.name)} --like {quote(ref)}",),
    )


def _tried(trial: Mapping[str, Any], facts: Mapping[str, Any]) -> TriedOnce:
    from sampan.workspace.training.trials import own_sign

    values = {name: own_sign(name, value) for name, value in zip(facts["toward"], trial["values"], strict=True)}
    return TriedOnce(trial["number"], trial["params"], values, trial["run"])
