"""One training carried out: search, test, label check, final fit, export. Finished trials are kept: a killed run goes on where it was.

Time order throughout: the search validates on later rows than it learns from, the test span is later still and never seen by the search,
and the model itself is then fitted on all rows with the parameters found. The report at birth is therefore of the same recipe fitted on
the rows before the test span.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan import plugins
from sampan.core.digests import Digest, digest_value
from sampan.core.events import Input, RunEnded, RunStarted, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.times import Millis, iso
from sampan.engine.failures import own_lines
from sampan.errors import ParameterError, SampanError, StepFailed, Unsupported
from sampan.evaluation.baseline import fit_baseline
from sampan.evaluation.costs import best_threshold
from sampan.evaluation.losses import log_losses
from sampan.evaluation.noise import LabelHealth, label_health
from sampan.evaluation.paired import Scored, compare
from sampan.evaluation.report import evaluate
from sampan.features.fitted import FittedView
from sampan.features.reading import columns_learned, columns_read
from sampan.features.view import LABEL, MOMENT
from sampan.flavors.parity import export
from sampan.ports import Flavor
from sampan.store.journals import MetricJournal
from sampan.tuning.folds import Fold, Split, rolling_origin
from sampan.tuning.search import Trial, best, search
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.code_snapshot import CODE, snapshot
from sampan.workspace.feature_tables import LabeledRows
from sampan.workspace.model_events import ModelEvaluated, ModelTrained, StoredFile
from sampan.workspace.predictors import ENVIRONMENT, EXPECTED, FEATURES, GRAPH, NATIVE, REFERENCE
from sampan.workspace.run_liveness import is_dead
from sampan.workspace.training import Trainer

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MIN_ROWS: Final = 500
PARITY_ROWS: Final = 5000
NOISE_ROWS: Final = 100_000  # the newest batches, up to about so many rows, are enough to tell usual from unusual
NOISE_FOLDS: Final = 3
NOISE_FEWEST: Final = 30  # of either label: below, no share of wrong ones can be told
BASELINE_ROWS: Final = 50_000
_NAMED: Final = 8


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
        return digest_value([*parts, {n: msgspec.to_builtins(s) for n, s in trainer.space.items()}])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fold with its matrices, made once for all trials."""

    fitted: FittedView
    train: NDArray[np.float32]
    train_labels: NDArray[np.float64]
    judged: LabeledRows
    matrix: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tested:
    """What the test span showed: the report as facts, and the rows with the scores they got."""

    judged: LabeledRows
    scores: NDArray[np.float64]
    report: dict[str, Any]
    baseline: dict[str, Any]
    since: Millis


@dataclass(slots=True)
class Learning:
    """A training in progress."""

    ws: Workspace
    order: Order
    rows: LabeledRows
    run: NodeId = field(default_factory=new_id)
    _validated: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)  # scores of trials run just now, by number

    def carry_out(self) -> dict[str, str]:
        """Train and record everything; return the ids of the model, its report and the run."""
        self._check_rows()
        self._bury_dead_runs()
        with self._run(self.run, f"until {iso(self.order.until) if self.order.until < 2**61 else 'now'}", parent=None) as journal:
            split = rolling_origin(self.rows.moments, self.rows.known_at)
            folds = [self._prepare(fold, self.rows) for fold in split.search]
            chosen = self._search(folds, journal)
            threshold = self._threshold(folds, chosen)
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

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _check_rows(self) -> None:
        labels = self.rows.labels
        if len(labels) < MIN_ROWS:
            raise ParameterError(
                f"{len(labels):,} labeled rows are too few to train {self.order.trainer.name}",
                hint=f"give at least {MIN_ROWS:,}: widen --since and --until",
            )
        if len(present := np.unique(labels)) < 2:
            raise ParameterError(
                f"all {len(labels):,} rows have the label {present[0]:g}; there is nothing to learn",
                hint="look at the view's label rule, or widen --since and --until",
            )

    def _prepare(self, fold: Fold, rows: LabeledRows) -> Prepared:
        train, judged = rows.take(fold.train), rows.take(fold.validate)
        if len(train) < 2 or len(np.unique(train.labels)) < 2 or len(np.unique(judged.labels)) < 2:
            raise ParameterError(
                f"before {iso(fold.begins)} or after it, the rows have one label only, so nothing can be validated",
                hint="widen --since and --until",
            )
        fitted = self.order.trainer.view.fit(train.frame)
        return Prepared(fitted, fitted.matrix(train.frame), train.labels, judged, fitted.matrix(judged.frame))

    # -- search -------------------------------------------------------------------------------------------------------------------

    def _search(self, folds: list[Prepared], journal: MetricJournal) -> Trial:
        trainer, n_trials = self.order.trainer, self.order.trials
        space = {name: each for name, each in trainer.space.items() if name not in self.order.fixed}
        if not space:
            n_trials = 1
        trials: list[Trial] = []
        with self.ws.progress.stage(f"Search parameters of {trainer.name}", total=n_trials, unit="trials") as stage:
            for trial in search(space, lambda k, p: self._trial(k, p, folds), trials=max(n_trials, 1), seed=self.order.seed):
                trials.append(trial)
                journal.log("trial_log_loss", trial.loss, step=trial.number, at=self.ws.clock())
                journal.log("best_log_loss", best(trials).loss, step=trial.number, at=self.ws.clock())
                stage.advance(note=f"log loss {best(trials).loss:.4f}")
        return best(trials)

    def _trial(self, number: int, params: dict[str, ParameterValue], folds: list[Prepared]) -> float:
        """Run a trial, or remember it: the engine keeps the outcome of each finished one."""

        def make() -> dict[str, Any]:
            run = new_id()
            with self._run(run, f"trial {number}", parent=self.run, params=params) as journal:
                scores = self._validated[number] = self._fold_scores(folds, params)
                losses = [float(log_losses(fold.judged.labels, each).mean()) for fold, each in zip(folds, scores, strict=True)]
                for at, loss in enumerate(losses):
                    journal.log("fold_log_loss", loss, step=at, at=self.ws.clock())
                journal.log("log_loss", float(np.mean(losses)), step=0, at=self.ws.clock())
            self.ws.ledger.fold(run)
            return {"loss": float(np.mean(losses)), "run": run}

        outcome, _ = self.ws.engine.once("trial", {"training": self.order.key, "number": number, "params": dict(params)}, make)
        return float(outcome["loss"])

    def _fold_scores(self, folds: Sequence[Prepared], params: Mapping[str, ParameterValue]) -> list[NDArray[np.float64]]:
        """Fit and score folds side by side, a thread each: training libraries work outside of Python's lock."""
        with ThreadPoolExecutor(max_workers=min(len(folds), os.cpu_count() or 1)) as pool:
            return list(pool.map(lambda fold: self._score(self._fit(fold, params), fold.matrix), folds))

    def _fit(self, fold: Prepared, params: Mapping[str, ParameterValue]) -> Any:
        return self._call(fold.train, fold.train_labels, params)

    def _call(self, matrix: NDArray[np.float32], labels: NDArray[np.float64], params: Mapping[str, ParameterValue]) -> Any:
        trainer = self.order.trainer
        filled = trainer.fill({**self.order.fixed, **params}, seed=self.order.seed)
        try:
            model = trainer.function(matrix, labels, **filled)
        except SampanError:
            raise
        except Exception as cause:
            place, trace = own_lines(cause)
            what = str(cause).partition("\n")[0].rstrip(".")
            raise StepFailed(
                f"{trainer.function.__name__} raised {type(cause).__name__}: {what}{place}",
                step=trainer.function.__name__,
                trace=trace,
                hint=self._missing_hint(matrix),
            ) from cause
        if model is None:
            raise StepFailed(
                f"{trainer.function.__name__} returned nothing", step=trainer.function.__name__, hint="return the fitted estimator"
            )
        return model

    def _missing_hint(self, matrix: NDArray[np.float32]) -> str:
        """Name the features with gaps, where a function that raised was given some: most estimators take none."""
        gaps = np.asarray(np.isnan(matrix).any(axis=0))
        if not gaps.any():
            return ""
        features = self.order.trainer.view.features
        names = [each.name for each, gap in zip(features, gaps, strict=False) if gap] if len(features) == len(gaps) else []
        named = ": " + ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "") if names else ""
        return f"{int(gaps.sum())} of {len(gaps)} features have missing values{named}; the estimator must take NaN, or impute"

    def _score(self, model: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = find_flavor(model).predict(model, matrix)
        if scores.shape != (len(matrix),) or not ((scores >= 0) & (scores <= 1)).all():
            raise StepFailed(
                f"the model from {self.order.trainer.function.__name__} does not answer with one probability per row",
                step=self.order.trainer.function.__name__,
                hint="train a classifier of two classes; end a torch module with Sigmoid or Softmax",
            )
        return scores

    def _threshold(self, folds: list[Prepared], chosen: Trial) -> float | None:
        """Choose the threshold of least cost on the validation rows of the search."""
        worth = self.order.trainer.objective.kpi
        if worth is None:
            return None
        scores = self._validated.get(chosen.number) or self._fold_scores(folds, chosen.params)
        return best_threshold(np.concatenate([fold.judged.labels for fold in folds]), np.concatenate(scores), worth)

    # -- test ---------------------------------------------------------------------------------------------------------------------

    def _test(self, split: Split, params: Mapping[str, ParameterValue], threshold: float | None, journal: MetricJournal) -> Tested:
        objective = self.order.trainer.objective
        with self.ws.progress.stage("Test on the newest span, beside a baseline"):
            fold = self._prepare(split.test, self.rows)
            judged = fold.judged
            scores = self._score(self._fit(fold, params), fold.matrix)
            rng = np.random.default_rng(self.order.seed)
            groups = {column: judged.group(column) for column in self.order.trainer.view.slices}
            report = evaluate(judged.labels, scores, judged.moments, objective, rng, threshold=threshold, groups=groups)
            simple = fit_baseline(fold.train[-BASELINE_ROWS:], fold.train_labels[-BASELINE_ROWS:]).predict(fold.matrix)
            beside = compare(judged.labels, Scored(scores, threshold), Scored(simple, threshold), judged.moments, rng, worth=objective.kpi)
        for name, figure in report.metrics.items():
            if figure.value is not None:
                journal.log(f"test_{name}", figure.value, step=0, at=self.ws.clock())
        return Tested(judged, scores, msgspec.to_builtins(report), msgspec.to_builtins(beside), split.test.begins)

    def _label_health(self, params: Mapping[str, ParameterValue]) -> LabelHealth | None:
        rows = self.rows.newest(NOISE_ROWS)
        if min(rows.labels.sum(), (1 - rows.labels).sum()) < NOISE_FEWEST:
            return None
        numbers = np.random.default_rng(self.order.seed).integers(0, NOISE_FOLDS, len(rows))
        folds = [Fold(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k), int(rows.moments[0])) for k in range(NOISE_FOLDS)]
        out_of_fold = np.empty(len(rows))
        with self.ws.progress.stage("Check the newest labels", total=NOISE_FOLDS, unit="folds"):
            prepared = [self._prepare(fold, rows) for fold in folds]
            for fold, scores in zip(folds, self._fold_scores(prepared, params), strict=True):
                out_of_fold[fold.validate] = scores
            return label_health(rows.labels, out_of_fold, rows.months, limit=self.order.trainer.objective.max_label_noise)

    # -- the model ----------------------------------------------------------------------------------------------------------------

    def _finish(self, chosen: Trial, threshold: float | None, health: LabelHealth | None, tested: Tested) -> ModelTrained:
        order, view = self.order, self.order.trainer.view
        params = order.trainer.fill({**order.fixed, **chosen.params}, seed=order.seed)
        with self.ws.progress.stage(f"Fit {order.trainer.name} on {len(self.rows):,} rows and export it"):
            fitted = view.fit(self.rows.frame)
            matrix = fitted.matrix(self.rows.frame)
            model = self._call(matrix, self.rows.labels, chosen.params)
            flavor = find_flavor(model)
            rows = hard_rows(matrix[-PARITY_ROWS:], np.random.default_rng(order.seed))
            missing_ok = takes_missing(flavor, model, matrix.shape[1])
            graph, parity = export(flavor, model, rows if missing_ok else rows[~np.isnan(rows).any(axis=1)])
            files = self._store(flavor, model, fitted, graph, tested)
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
            "search": {"trials": order.trials, "best": chosen.number, "log_loss": chosen.loss, "seed": order.seed},
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

    def _store(self, flavor: Flavor, model: Any, fitted: FittedView, graph: bytes | None, tested: Tested) -> tuple[StoredFile, ...]:
        from sampan.engine.environment import capture

        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / NATIVE).mkdir()
            flavor.save(model, folder / NATIVE)
            (folder / FEATURES).write_bytes(fitted.to_json())
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

    # -- runs ---------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _run(
        self, run: NodeId, title: str, *, parent: NodeId | None, params: Mapping[str, ParameterValue] | None = None
    ) -> Iterator[MetricJournal]:
        """Record a run from start to end; a run whose process dies has a journal without a writer and is buried by the next."""
        order, ledger = self.order, self.ws.ledger
        given = order.fixed if params is None else {**order.fixed, **params}
        ledger.append(
            RunStarted(
                node=run,
                experiment=order.trainer.name,
                title=title,
                started=self.ws.clock(),
                parent=parent,
                source=str(order.file),
                host=socket.gethostname(),
                pid=os.getpid(),
                params={name: str(value) for name, value in given.items()},
                inputs=tuple(Input(node.id, "input") for node in unique(order.datasets)) if parent is None else (),
                facts={"training": order.key, "environment": order.environment, "code": order.code, "trials": order.trials},
            )
        )
        try:
            with self.ws.store.journals.open(run) as journal:
                yield journal
        except BaseException as error:
            state = "killed" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
            ledger.append(RunEnded(node=run, state=state, ended=self.ws.clock(), reason=str(error)[:500]))
            raise
        ledger.append(RunEnded(node=run, state="finished", ended=self.ws.clock()))

    def _bury_dead_runs(self) -> None:
        """End the runs of this model whose process died."""
        for row in self.ws.catalog.runs(experiment=self.order.trainer.name, state="running"):
            if is_dead(row, self.ws.store.journals):
                self.ws.ledger.append(RunEnded(node=row.node.id, state="killed", ended=self.ws.clock(), reason="its process died"))


def find_flavor(model: object) -> Flavor:
    """Return the flavor that is responsible for a fitted model.

    Raises
    ------
    Unsupported : no flavor knows it.
    """
    for name in plugins.names("sampan.flavors"):
        flavor: Flavor = plugins.find("sampan.flavors", name)()
        if flavor.matches(model):
            return flavor
    raise Unsupported(
        f"no flavor knows a {type(model).__module__}.{type(model).__qualname__}",
        hint="return a classifier of scikit-learn's protocol, LightGBM or XGBoost, a torch module, or add a flavor plug-in",
    )


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


def unique(datasets: Mapping[str, Node]) -> list[Node]:
    """Return each dataset version once."""
    return list({node.id: node for node in datasets.values()}.values())
