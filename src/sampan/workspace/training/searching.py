"""A search for parameters carried out: over all rows before the test span, then again before each later span, and kept as a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.digests import Digest, digest_value
from sampan.core.events import Input, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.times import iso
from sampan.errors import ParameterError
from sampan.evaluation.metrics import PAIRED, Answered, point
from sampan.store.journals import MetricJournal
from sampan.tuning.folds import Fold, rolling_origin
from sampan.tuning.importance import what_mattered
from sampan.tuning.search import best, front
from sampan.tuning.trials import Plan, Trial
from sampan.workspace.training.feature_tables import LabeledRows
from sampan.workspace.training.fitting import check_rows, fit, prepare, score
from sampan.workspace.training.orders import Order
from sampan.workspace.training.studies import STUDY, StudyEnded
from sampan.workspace.training.training_runs import bury_dead_runs, recorded_run, unique
from sampan.workspace.training.trials import LOSS, Trials, fold_figure, open_workers, own_sign
from sampan.workspace.training.tuning_answers import NestedSpan

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


_TOLERATES: Final = 2


@dataclass(slots=True)
class Searching:
    """A search in progress."""

    ws: Workspace
    order: Order
    plan: Plan
    toward: tuple[str, ...]
    n_folds: int
    n_nested: int
    deadline: float | None  # of time.monotonic()
    run: NodeId = field(default_factory=new_id)
    n_remembered: int = 0
    _threads: int = 0  # of each worker's numeric libraries; 0 where trials ran in this process

    def carry_out(self, rows: LabeledRows) -> Node:
        """Search, judge the search, and return the study that keeps it all.

        Raises
        ------
        ParameterError : the rows are too few or of one label, or the time was up before any trial ended.
        """
        check_rows(self.order, rows)
        bury_dead_runs(self.ws, self.order.trainer.name)
        with recorded_run(self.ws, self.order, self.run, "study", parent=None) as journal:
            split = rolling_origin(rows.moments, rows.known_at, n_folds=self.n_folds)
            title = f"Search parameters of {self.order.trainer.name}"
            trials, found = self._search(split.search, rows, journal, self.order.key, title)
            if not any(each.is_finished for each in trials):
                raise ParameterError("no trial ended before the time was up", hint="give more --minutes; what was finished is kept")
            study = self._keep(trials, found, self._nested(rows, journal), len(rows))
        self.ws.ledger.fold(self.run)
        return study

    def _nested(self, rows: LabeledRows, journal: MetricJournal) -> list[NestedSpan]:
        """Tune on the rows before each of some later spans, and judge what was found on the span."""
        if not self.n_nested:
            return []
        outer = rolling_origin(rows.moments, rows.known_at, n_folds=self.n_nested, test_share=0.0)
        found: list[NestedSpan] = []
        for number, span in enumerate(outer.search, 1):
            before = rows.take(span.train)
            inner = rolling_origin(before.moments, before.known_at, n_folds=self.n_folds, test_share=0.0)
            key = digest_value([self.order.key, "nested", span.begins])
            trials, _ = self._search(inner.search, before, journal, key, f"Tune before span {number} of {self.n_nested}")
            if not any(each.is_finished for each in trials):  # the time is up
                break
            found.append(self._judge(span, rows, best(trials)))
        return found

    def _judge(self, span: Fold, rows: LabeledRows, chosen: Trial) -> NestedSpan:
        fold = prepare(self.order, span, rows)
        order = self.order
        scores = score(order, fit(order, fold.train, fold.train_labels, chosen.params), fold.matrix, codes=fold.codes)
        lead = order.loss if self.toward[0] == LOSS else self.toward[0]
        answered = Answered.under(order.trainer.objective, fold.judged.labels, scores, order.task)
        others = {name: point(name, answered) for name in answered.names(PAIRED) if name != lead}
        came_to = fold_figure(order, fold, scores, lead)
        return NestedSpan(iso(span.begins), len(fold.judged), chosen.params, own_sign(lead, chosen.loss), came_to, others)

    def _search(
        self, folds: Sequence[Fold], rows: LabeledRows, journal: MetricJournal, key: Digest, title: str
    ) -> tuple[list[Trial], Trials]:
        prepared = [prepare(self.order, fold, rows) for fold in folds]
        with open_workers(self.ws, self.order, prepared, self.plan.workers) as workers:
            trials = Trials(
                self.ws,
                self.order,
                prepared,
                self.run,
                self.plan,
                key,
                toward=self.toward,
                workers=workers,
                tolerates=_TOLERATES,
                deadline=self.deadline,
            )
            found = trials.carry_out(journal, title=title)
            self._threads = workers.threads if workers else 0
        self.n_remembered += trials.n_remembered
        return found, trials

    def _keep(self, trials: Sequence[Trial], found: Trials, nested: Sequence[NestedSpan], n_rows: int) -> Node:
        """Record the study; one that came to the very same is there already."""
        order, plan = self.order, self.plan
        told = [msgspec.to_builtins(each) for each in trials]
        facts: dict[str, Any] = {
            "trials": told,
            "toward": list(self.toward),
            "loss": order.loss,
            "task": order.task.kind,
            "best": best(trials).number,
            "front": [each.number for each in front(trials)] if plan.n_values > 1 else [],
            "mattered": msgspec.to_builtins(what_mattered(order.searched, trials, seed=plan.seed)),
            "nested": msgspec.to_builtins(nested),
            "plan": {**msgspec.to_builtins(plan), "folds": self.n_folds, "fixed": dict(order.fixed)},
            "space": {name: msgspec.to_builtins(each) for name, each in order.searched.items()},
            "threads": self._threads,
            "code": order.code,
            "environment": order.environment,
            "table": order.table,
            "view": order.trainer.view.digest,
            "datasets": {name: node.id for name, node in order.datasets.items()},
            "n_rows": n_rows,
            "program": str(order.file),
        }
        digest = digest_value(facts)
        if same := self.ws.catalog.find_version(STUDY, order.trainer.name, digest):
            return same
        facts["trials"] = [{**each, **found.told(each["number"])} for each in told]
        inputs = (Input(self.run, "derived_from"), *(Input(node.id, "input") for node in unique(order.datasets)))
        event = StudyEnded(node=new_id(), kind=STUDY, name=order.trainer.name, digest=digest, facts=facts, inputs=inputs)
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)
