"""One training carried out: search, test, label check, final fit, export. Finished trials are kept: a killed run goes on where it was.

Time order throughout: the search validates on later rows than it learns from, the test span is later still and never seen by the search,
and the model itself is then fitted on all rows with the parameters found. The report at birth is therefore of the same recipe fitted on
the rows before the test span.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.digests import digest_value
from sampan.core.events import Input, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.times import Millis, iso
from sampan.errors import Unsupported
from sampan.evaluation.baseline import fit_baseline, naive_answer
from sampan.evaluation.costs import best_threshold
from sampan.evaluation.noise import LabelHealth, label_health
from sampan.evaluation.paired import Scored, compare
from sampan.evaluation.report import evaluate
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.features.reading import columns_learned, columns_read
from sampan.features.scope import Scope, learn_scope
from sampan.features.view import LABEL, MOMENT
from sampan.flavors.finding import find_flavor
from sampan.flavors.parity import export
from sampan.ports import Flavor
from sampan.store.journals import MetricJournal
from sampan.tuning.folds import Fold, Split, rolling_origin
from sampan.tuning.search import best
from sampan.tuning.spaces import ParameterValue
from sampan.tuning.trials import Plan, Trial
from sampan.workspace.models.events import ModelEvaluated, ModelTrained, StoredFile
from sampan.workspace.models.predictors import ENVIRONMENT, EXPECTED, FEATURES, GRAPH, NATIVE, REFERENCE, SCOPE
from sampan.workspace.runs.code_snapshot import CODE, snapshot
from sampan.workspace.training.feature_tables import LabeledRows
from sampan.workspace.training.fitting import Prepared, check_rows, fit, fold_scores, prepare, score
from sampan.workspace.training.orders import Order
from sampan.workspace.training.training_runs import bury_dead_runs, recorded_run, unique
from sampan.workspace.training.trials import Trials

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

PARITY_ROWS: Final = 5000
NOISE_ROWS: Final = 100_000  # the newest batches, up to about so many rows, are enough to tell usual from unusual
NOISE_FOLDS: Final = 3
NOISE_FEWEST: Final = 30  # of either label: below, no share of wrong ones can be told
BASELINE_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Tested:
    """What the test span showed: the report as facts, and the rows with the scores they got."""

    judged: LabeledRows
    scores: NDArray[np.float64]
    report: dict[str, Any]
    baseline: dict[str, Any]
    naive: NDArray[np.float64] | None  # the best answer that is always the same, of the rows learned from
    since: Millis


@dataclass(slots=True)
class Learning:
    """A training in progress."""

    ws: Workspace
    order: Order
    rows: LabeledRows
    run: NodeId = field(default_factory=new_id)

    def carry_out(self) -> dict[str, str]:
        """Train and record everything; return the ids of the model, its report and the run."""
        check_rows(self.order, self.rows)
        bury_dead_runs(self.ws, self.order.trainer.name)
        title = f"until {iso(self.order.until) if self.order.until < 2**61 else 'now'}"
        with recorded_run(self.ws, self.order, self.run, title, parent=None) as journal:
            split = rolling_origin(self.rows.moments, self.rows.known_at)
            folds = [prepare(self.order, fold, self.rows) for fold in split.search]
            trials = self._trials(folds)
            chosen = best(trials.carry_out(journal, title=f"Search parameters of {self.order.trainer.name}"))
            threshold = self._threshold(folds, chosen, trials)
            tested = self._test(split, chosen.params, threshold, journal)
            health = self._label_health(chosen.params)
            model = self._finish(chosen, threshold, health, tested)
            report = self._report(tested, model.name)
            existing = self.ws.catalog.find_version("model", model.name, model.digest)
            if existing is None:
                self.ws.ledger.append(model, report(model.node))
            else:
                self.ws.ledger.append(report(existing.id))
        self.ws.ledger.fold(self.run)
        return {"model": existing.id if existing else model.node, "run": self.run}

    def _trials(self, folds: list[Prepared]) -> Trials:
        order = self.order
        plan = Plan(trials=order.trials if order.searched else 1, seed=order.seed)
        return Trials(self.ws, order, folds, self.run, plan, order.key)

    def _threshold(self, folds: list[Prepared], chosen: Trial, trials: Trials) -> float | None:
        """Choose the threshold of least cost on the validation rows of the search."""
        worth = self.order.trainer.objective.kpi
        if worth is None or self.order.task.kind != "binary":
            return None
        scores = trials.validated.get(chosen.number) or fold_scores(self.order, folds, chosen.params)
        return best_threshold(np.concatenate([fold.judged.labels for fold in folds]), np.concatenate(scores), worth)

    # -- test ---------------------------------------------------------------------------------------------------------------------

    def _test(self, split: Split, params: Mapping[str, ParameterValue], threshold: float | None, journal: MetricJournal) -> Tested:
        objective, task = self.order.trainer.objective, self.order.task
        with self.ws.progress.stage("Test on the newest span, beside a baseline"):
            fold = prepare(self.order, split.test, self.rows)
            judged = fold.judged
            scores = score(self.order, fit(self.order, fold.train, fold.train_labels, params), fold.matrix, codes=fold.codes)
            rng = np.random.default_rng(self.order.seed)
            learned = self.rows.labels[split.test.train]
            naive = naive_answer(learned, objective, task)
            report = evaluate(
                judged.labels,
                scores,
                judged.moments,
                objective,
                rng,
                task=task,
                threshold=threshold,
                groups={column: judged.group(column) for column in self.order.trainer.view.slices},
                naive=naive,
            )
            line = fit_baseline(fold.train[-BASELINE_ROWS:], learned[-BASELINE_ROWS:], task=task)
            ours, theirs = Scored(scores, threshold), Scored(line.predict(fold.matrix), threshold)
            beside = compare(judged.labels, ours, theirs, judged.moments, rng, objective=objective, task=task)
        for name, figure in report.metrics.items():
            if figure.value is not None:
                journal.log(f"test_{name}", figure.value, step=0, at=self.ws.clock())
        return Tested(judged, scores, msgspec.to_builtins(report), msgspec.to_builtins(beside), naive, split.test.begins)

    def _label_health(self, params: Mapping[str, ParameterValue]) -> LabelHealth | None:
        rows, task = self.rows.newest(NOISE_ROWS), self.order.task
        if task.kind == "regression" or min(np.bincount(rows.labels.astype(np.intp), minlength=max(task.n_outputs, 2))) < NOISE_FEWEST:
            return None
        numbers = np.random.default_rng(self.order.seed).integers(0, NOISE_FOLDS, len(rows))
        folds = [Fold(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k), int(rows.moments[0])) for k in range(NOISE_FOLDS)]
        out_of_fold = np.empty(task.shape(len(rows)))
        with self.ws.progress.stage("Check the newest labels", total=NOISE_FOLDS, unit="folds"):
            prepared = [prepare(self.order, fold, rows) for fold in folds]
            for fold, scores in zip(folds, fold_scores(self.order, prepared, params), strict=True):
                out_of_fold[fold.validate] = scores
            return label_health(rows.labels, out_of_fold, rows.months, limit=self.order.trainer.objective.max_label_noise)

    # -- the model ----------------------------------------------------------------------------------------------------------------

    def _finish(self, chosen: Trial, threshold: float | None, health: LabelHealth | None, tested: Tested) -> ModelTrained:
        order, view = self.order, self.order.trainer.view
        params = order.trainer.fill({**order.fixed, **chosen.params}, seed=order.seed)
        with self.ws.progress.stage(f"Fit {order.trainer.name} on {len(self.rows):,} rows and export it"):
            fitted = view_tables.fit(view, self.rows.frame)
            matrix = fitted.matrix(self.rows.frame)
            model = fit(order, matrix, self.rows.labels, chosen.params)
            flavor = find_flavor(model)
            rows = hard_rows(matrix[-PARITY_ROWS:], np.random.default_rng(order.seed))
            missing_ok = takes_missing(flavor, model, matrix.shape[1])
            asked = rows if missing_ok else rows[~np.isnan(rows).any(axis=1)]
            graph, parity = export(flavor, model, asked, are_numbers=order.task.kind == "regression")
            files = self._store(flavor, model, fitted, graph, tested, learn_scope(matrix, fitted))
            if graph is None and f"{NATIVE}/{GRAPH}" in {each.path for each in files}:
                # The only safe form it has is the very graph that answers differently.
                raise Unsupported(f"the model cannot be kept without pickle: {parity.reason}", hint="use another estimator or step")
        facts = {
            "view": view.digest,
            "on": view.on,
            "features": list(fitted.names),
            "families": fitted.families,
            "flavor": flavor.name,
            "takes_missing": missing_ok,
            "parity": msgspec.to_builtins(parity),
            "params": params,
            "threshold": threshold,
            "task": msgspec.to_builtins(order.task),
            "naive": tested.naive.tolist() if tested.naive is not None else None,
            "since": int(self.rows.moments[0]),
            "until": min(order.until, int(self.rows.known_at.max()) + 1),
            "n_rows": len(self.rows),
            "objective": msgspec.to_builtins(order.trainer.objective),
            "datasets": {name: node.id for name, node in order.datasets.items()},
            "code": order.code,
            "program": order.file.name,
            "purpose": order.trainer.purpose or self.ws.project.project.purpose,
            "reads": by_dataset(order.datasets, columns_read(view)),
            "learns": by_dataset(order.datasets, columns_learned(view)),
            "table": order.table,
            "search": {"trials": order.trials, "best": chosen.number, order.loss: chosen.loss, "seed": order.seed},
            "generated": self._generated(),
            "labels": msgspec.to_builtins(health) if health else None,
            "metrics": tested.report["metrics"],
            "baseline": tested.baseline,
            "test_since": tested.since,
        }
        # What the model answers, and what it is judged by: a later report or gate reads both from here.
        content = sorted((f.path, f.digest) for f in files if f.path != ENVIRONMENT and not f.path.startswith(f"{CODE}/"))
        digest = digest_value([content, *(facts[name] for name in ("view", "table", "threshold", "params", "until", "objective"))])
        if facts["purpose"]:  # the same model for another purpose is another: what it may be packed and served for differs
            digest = digest_value([digest, facts["purpose"]])
        inputs = (Input(self.run, "derived_from"), *(Input(node.id, "trained_on") for node in unique(order.datasets)))
        inputs += (Input(order.study, "input"),) if order.study else ()
        return ModelTrained(
            node=new_id(),
            kind="model",
            name=order.trainer.name,
            digest=digest,
            size=sum(f.size for f in files),
            facts=facts,
            inputs=inputs,
            files=files,
        )

    def _generated(self) -> dict[str, Any] | None:
        """Return what was seen where features were made, without the view, which is kept as it was fitted."""
        found = self.order.generated
        if found is None:
            return None
        return {"added": list(found.added), "n_candidates": found.n_candidates, "without": found.loss_without, "with": found.loss_with}

    def _store(
        self, flavor: Flavor, model: Any, fitted: FittedView, graph: bytes | None, tested: Tested, scope: Scope
    ) -> tuple[StoredFile, ...]:
        from sampan.engine.environment import capture

        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / NATIVE).mkdir()
            flavor.save(model, folder / NATIVE)
            (folder / FEATURES).write_bytes(fitted.to_json())
            (folder / SCOPE).write_bytes(msgspec.json.format(msgspec.json.encode(scope)))
            (folder / ENVIRONMENT).write_bytes(msgspec.json.format(msgspec.json.encode(capture(self.order.file.parent))))
            if graph is not None:
                (folder / GRAPH).write_bytes(graph)
            reference(fitted, tested).write_parquet(folder / REFERENCE)
            for path, source in snapshot(self.order.file).items():
                (kept := folder / CODE / path).parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(source)
            return store_folder(self.ws, folder)

    def _report(self, tested: Tested, name: str) -> Callable[[NodeId], ModelEvaluated]:
        data = self.order.datasets[tested.judged.view.on].id

        def event(model: NodeId) -> ModelEvaluated:
            facts = {**tested.report, "how": "backtest", "model": model}
            inputs = (Input(model, "input"), Input(data, "evaluated_on"))
            return ModelEvaluated(node=new_id(), kind="report", name=name, digest=digest_value(facts), facts=facts, inputs=inputs)

        return event


def takes_missing(flavor: Flavor, model: object, n_features: int) -> bool:
    """Say whether a model answers a row with missing features."""
    try:
        score = flavor.predict(model, np.full((1, n_features), np.nan, np.float32))
    except ValueError:  # what scikit-learn's estimators raise
        return False
    return bool(np.isfinite(score).all())


def hard_rows(matrix: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return real rows, and a tenth of them again with a fifth of their cells taken away or set to a category never seen (-1)."""
    chosen = matrix[rng.integers(0, len(matrix), max(len(matrix) // 10, 1))].copy()
    draw = rng.random(chosen.shape)
    chosen[draw < 0.1] = np.nan
    chosen[(draw >= 0.1) & (draw < 0.2)] = -1
    return np.concatenate([matrix, chosen])


def reference(fitted: FittedView, tested: Tested) -> pl.DataFrame:
    """Return the rows of the test as the model sees them, with moment, label and score: what live traffic is compared with."""
    judged = tested.judged
    columns = dict(zip(fitted.names, fitted.matrix(judged.frame).T, strict=True))
    return pl.DataFrame(columns).with_columns(
        pl.Series(MOMENT, judged.moments), pl.Series(LABEL, judged.labels), pl.Series(EXPECTED, tested.scores)
    )


def store_folder(ws: Workspace, folder: Path) -> tuple[StoredFile, ...]:
    """Store every file of a folder; paths are relative to it."""
    found = []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest, size = ws.store.blobs.put_file(file)
        found.append(StoredFile(file.relative_to(folder).as_posix(), digest, size))
    return tuple(found)


def by_dataset(datasets: Mapping[str, Node], columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return columns by the name of the dataset they are read from, instead of the name the view knows it by."""
    return {datasets[table].name: [*names] for table, names in columns.items() if table in datasets}
