"""The trials of a search, carried out and recorded: from memory where one was run before, else fold by fold, here or in workers."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.digests import Digest
from sampan.core.events import RunEnded, new_id
from sampan.core.graph import NodeId
from sampan.engine.executors import THREAD_LIMITS
from sampan.errors import ExecutorLost, StepFailed
from sampan.evaluation.metrics import Answered, point
from sampan.evaluation.objective import HIGHER_IS_BETTER, METRICS
from sampan.flavors.finding import find_flavor
from sampan.flavors.weight import Weight, weigh
from sampan.store.journals import MetricJournal
from sampan.store.scratch import scratch_folder
from sampan.tuning.checkpoint import FitStopped, watched
from sampan.tuning.search import Asked, Result, best, search
from sampan.tuning.spaces import ParameterValue
from sampan.tuning.trials import Curve, Plan, Trial
from sampan.workspace.explaining.replaying import Replay, Watch
from sampan.workspace.training.fitting import Prepared, check_scores, fit, fold_scores, score
from sampan.workspace.training.orders import Order
from sampan.workspace.training.training_runs import recorded_run

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

# What a search may be led by, beside the metrics of its task. Values of trials are lower where better: those of others have their sign
# changed.
LOSS, LATENCY, SIZE = "loss", "latency", "size"
TOWARD: Final = (LOSS, LATENCY, SIZE)
_LOGGED: Final = {LATENCY: "latency_ms", SIZE: "size_bytes"}


class TrialWorkers:
    """Worker processes that fit by the training file, with the folds' matrices in files that all of them read.

    The machine's processors are shared out among them, unless the environment gives numeric libraries fewer threads already.
    """

    def __init__(self, order: Order, folds: Sequence[Prepared], n_workers: int, folder: Path) -> None:
        self._order = order
        self._folder = folder
        for number, fold in enumerate(folds):
            np.savez(self._train(number), matrix=fold.train, labels=fold.train_labels)
            np.save(self._matrix(number), fold.matrix)
            np.save(self._few(number), fold.glance().matrix)
        self.threads = max(1, (os.cpu_count() or 1) // n_workers)
        self._all = [self._start() for _ in range(n_workers)]
        self._idle: queue.SimpleQueue[Replay] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def fit(
        self, number: int, params: Mapping[str, ParameterValue], *, weigh: bool, watch: Watch | None = None
    ) -> tuple[NDArray[np.float64], Weight | None]:
        """Fit a fold by the next idle worker; return the scores of its validation rows. Raises FitStopped where `watch` says so."""
        order = self._order
        filled = order.trainer.fill({**order.fixed, **params}, seed=order.seed)
        worker = self._idle.get()
        try:
            found = worker.fit_files(self._train(number), self._matrix(number), filled, weigh=weigh, few=self._few(number), watch=watch)
        except StepFailed as fault:
            if not worker.is_alive():  # nothing that is true of these parameters: it must not be remembered of them
                raise ExecutorLost(fault.message, hint="is memory short? try fewer workers; the same command goes on") from fault
            tried = ", ".join(f"{name}={value}" for name, value in params.items())
            hint = fault.hint or "mend it, or narrow the space; finished trials are kept, and the same command goes on"
            raise StepFailed(f"{fault.message}, with {tried}", step=order.trainer.function.__name__, hint=hint) from fault
        finally:
            self._idle.put(worker)
        return found.scores, found.weight

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self._all:
            worker.kill()
            worker.close()

    def _start(self) -> Replay:
        limits = {name: os.environ.get(name, str(self.threads)) for name in THREAD_LIMITS}
        file = self._order.file
        return Replay(file.parent, file.name, self._order.trainer.name, threads=limits, scratch=self._folder)

    def _train(self, number: int) -> Path:
        return self._folder / f"fold-{number}.npz"

    def _matrix(self, number: int) -> Path:
        return self._folder / f"fold-{number}.npy"

    def _few(self, number: int) -> Path:
        return self._folder / f"fold-{number}-few.npy"


@contextmanager
def open_workers(ws: Workspace, order: Order, folds: Sequence[Prepared], n_workers: int) -> Iterator[TrialWorkers | None]:
    """Start worker processes; for one worker there are none, and fits run in this process."""
    if n_workers == 1:
        yield None
        return
    with scratch_folder(ws.store.root / "scratch", "tune") as folder, TrialWorkers(order, folds, n_workers, folder) as workers:
        yield workers


@dataclass(slots=True)
class Trials:
    """A search over one set of folds."""

    ws: Workspace
    order: Order
    folds: Sequence[Prepared]
    run: NodeId
    plan: Plan
    key: Digest
    toward: tuple[str, ...] = (LOSS,)
    workers: TrialWorkers | None = None
    tolerates: int = 0  # failed trials at the start before the search gives up; 0: the first failure ends it
    deadline: float | None = None  # of time.monotonic(): nothing is begun after it
    n_remembered: int = 0
    validated: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)  # scores of trials run just now, by number
    _runs: dict[int, dict[str, Any]] = field(default_factory=dict)

    def carry_out(self, journal: MetricJournal, *, title: str) -> list[Trial]:
        """Search, and return the trials in order."""
        trials: list[Trial] = []
        with self.ws.progress.stage(title, total=self.plan.trials, unit="trials") as stage, contextlib.closing(self._search()) as found:
            for trial in found:
                trials.append(trial)
                self._give_up(trials)
                if trial.is_finished:
                    journal.log(f"trial_{self._lead}", self._told(trial.loss), step=trial.number, at=self.ws.clock())
                if any(each.is_finished for each in trials):
                    least = self._told(best(trials).loss)
                    journal.log(f"best_{self._lead}", least, step=trial.number, at=self.ws.clock())
                    stage.advance(note=f"{METRICS[self._lead].words} {least:.4f}")
                else:
                    stage.advance()
        return sorted(trials, key=lambda each: each.number)

    def told(self, number: int) -> dict[str, Any]:
        """Return what was kept of a trial beside its values: its run and how long it took."""
        return self._runs[number]

    @property
    def _lead(self) -> str:
        """The metric that trials are led by."""
        return self._metric(self.toward[0])

    def _metric(self, toward: str) -> str:
        return self.order.loss if toward == LOSS else toward

    def _told(self, value: float) -> float:
        """Return a value of the leading metric with its own sign."""
        return own_sign(self._lead, value)

    def _search(self) -> Generator[Trial]:
        return search(self.order.searched, self._attempt, self.plan, is_over=self._is_over)

    def _is_over(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _attempt(self, asked: Asked) -> Result:
        """Run a trial, or remember it: the engine keeps the outcome of each finished one."""
        parts: dict[str, Any] = {"training": self.key, "number": asked.number, "params": dict(asked.params), "folds": len(self.folds)}
        if self.plan.pruner != "none":
            parts["pruner"] = [self.plan.pruner, self.plan.behind]
        if self.toward != (LOSS,):
            parts["toward"] = list(self.toward)
        closing: list[RunEnded] = []  # the end of its run, recorded together with the outcome: neither is there without the other
        outcome, was_known = self.ws.engine.once("trial", parts, lambda: self._make(asked, closing), closing=lambda: closing)
        if was_known:
            self._discard(closing)
        else:
            self.ws.ledger.fold(outcome["run"])
        self.n_remembered += was_known
        self._runs[asked.number] = {"run": outcome["run"], "seconds": outcome["seconds"]}
        return Result(
            tuple(outcome["values"]), tuple(outcome["steps"]), bool(outcome["is_pruned"]), outcome.get("failure", ""), _curves(outcome)
        )

    def _give_up(self, trials: Sequence[Trial]) -> None:
        """Raise StepFailed where a search's first trials all failed: then it is not the parameters."""
        if len(trials) <= self.tolerates or not all(each.failure for each in trials):
            return
        raise StepFailed(
            f"the first {len(trials)} trials failed: {trials[0].failure}" if len(trials) > 1 else trials[0].failure,
            step=self.order.trainer.function.__name__,
            hint="mend the training function, or narrow its spaces",
        )

    def _discard(self, closing: list[RunEnded]) -> None:
        """End the run of an attempt that another process overtook while this one was out of reach: its outcome counts for nothing."""
        for each in closing:
            self.ws.ledger.append(msgspec.structs.replace(each, state="killed", reason="overtaken by another attempt"))
        closing.clear()

    def _make(self, asked: Asked, closing: list[RunEnded]) -> dict[str, Any]:
        self._discard(closing)
        run, began = new_id(), time.monotonic()
        try:
            outcome = self._recorded(asked, run, closing)
        except StepFailed as fault:
            if not self.tolerates:
                raise
            outcome = {"values": [], "steps": [], "is_pruned": False, "failure": fault.message}
        return {**outcome, "run": run, "seconds": time.monotonic() - began}

    def _recorded(self, asked: Asked, run: NodeId, closing: list[RunEnded]) -> dict[str, Any]:
        """Run a trial as a run of its own."""
        title = f"trial {asked.number}"
        with recorded_run(self.ws, self.order, run, title, parent=self.run, params=asked.params, closing=closing) as journal:
            tried = self._fold_losses(asked)
            steps, weight = tried.steps, tried.weight
            for at, loss in enumerate(steps):
                journal.log(f"fold_{self._lead}", self._told(loss), step=at, at=self.ws.clock())
            for fold, curve in enumerate(tried.curves):
                for at, loss in curve:
                    journal.log(f"fit_{self._lead}_{fold}", self._told(loss), step=at, at=self.ws.clock())
            named = {self.toward[0]: float(np.mean(tried.so_far))}
            if weight is not None:
                named |= {LATENCY: weight.latency_ms, SIZE: float(weight.size_bytes)}
            if not tried.is_pruned:
                named |= {name: self._mean(name, asked.number) for name in self.toward[1:] if name not in _LOGGED}
            for name, value in named.items():
                journal.log(_LOGGED.get(name) or self._metric(name), own_sign(self._metric(name), value), step=0, at=self.ws.clock())
        kept = self.toward if not tried.is_pruned else self.toward[:1]
        told: dict[str, Any] = {"curves": tried.curves} if any(tried.curves) else {}
        return {"values": [named[name] for name in kept], "steps": steps, "is_pruned": tried.is_pruned, **told}

    def _fold_losses(self, asked: Asked) -> _Tried:
        """Fit fold after fold, until the last or until the pruner has seen enough."""
        wants_weight = bool({LATENCY, SIZE} & set(self.toward))
        tried = _Tried()
        if self.workers is None and self.plan.pruner == "none" and not wants_weight:
            side_by_side = self.validated[asked.number] = fold_scores(self.order, self.folds, asked.params)
            tried.steps = [self._loss(fold, each) for fold, each in zip(self.folds, side_by_side, strict=True)]
            return tried
        scores: list[NDArray[np.float64]] = []
        for number, fold in enumerate(self.folds):
            is_last = number == len(self.folds) - 1
            try:
                found, tried.weight = self._fit(number, asked, tried, weigh_it=wants_weight and is_last)
            except FitStopped:
                tried.is_pruned = True
                return tried
            scores.append(found)
            tried.steps.append(self._loss(fold, found))
            if not is_last and asked.is_hopeless(tried.steps):
                tried.is_pruned = True
                return tried
        self.validated[asked.number] = scores
        return tried

    def _fit(self, number: int, asked: Asked, tried: _Tried, *, weigh_it: bool) -> tuple[NDArray[np.float64], Weight | None]:
        fold, order = self.folds[number], self.order
        few = fold.glance() if self.plan.pruner != "none" else fold
        curve: list[tuple[int, float]] = []
        tried.curves.append(curve)

        def is_hopeless(step: int, answers: NDArray[np.float64]) -> bool:
            curve.append((step, self._loss(few, check_scores(order, answers, n_rows=len(few.matrix), codes=few.codes))))
            return asked.is_behind(number, tuple(curve))

        watch = is_hopeless if self.plan.pruner != "none" else None
        if self.workers is not None:
            scores, weight = self.workers.fit(number, asked.params, weigh=weigh_it, watch=watch)
            return check_scores(order, scores, n_rows=len(fold.matrix), codes=fold.codes), weight
        seen = (lambda model, step: watch(step, find_flavor(model).predict(model, few.matrix))) if watch else None
        with watched(seen) if seen else contextlib.nullcontext():
            model = fit(order, fold.train, fold.train_labels, asked.params)
        return score(order, model, fold.matrix, codes=fold.codes), weigh(find_flavor(model), model, fold.matrix) if weigh_it else None

    def _loss(self, fold: Prepared, scores: NDArray[np.float64]) -> float:
        return own_sign(self._lead, fold_figure(self.order, fold, scores, self._lead))

    def _mean(self, toward: str, number: int) -> float:
        """Return the mean over folds of another metric that is searched toward, lower where better."""
        name = self._metric(toward)
        scores = self.validated[number]
        return own_sign(name, float(np.mean([fold_figure(self.order, *pair, name) for pair in zip(self.folds, scores, strict=True)])))


@dataclass(slots=True)
class _Tried:
    """What a trial came to on its folds."""

    steps: list[float] = field(default_factory=list)
    curves: list[list[tuple[int, float]]] = field(default_factory=list)  # of each fit that was begun
    is_pruned: bool = False
    weight: Weight | None = None

    @property
    def so_far(self) -> list[float]:
        """The loss on each fold, with that of a fit that was stopped as it was then."""
        return [*self.steps, *(curve[-1][1] for curve in self.curves[len(self.steps) :])]


def _curves(outcome: Mapping[str, Any]) -> tuple[Curve, ...]:
    return tuple(tuple((int(step), float(loss)) for step, loss in curve) for curve in outcome.get("curves", ()))


def own_sign(metric: str, value: float) -> float:
    """Change the sign of a metric that is higher where better, and back."""
    return -value if HIGHER_IS_BETTER.get(metric, False) else value


def fold_figure(order: Order, fold: Prepared, scores: NDArray[np.float64], metric: str) -> float:
    """Return a metric of a fold's answers; the worst there is where the fold has none, such as an AUC of one class."""
    found = point(metric, Answered.under(order.trainer.objective, fold.judged.labels, scores, order.task))
    return found if np.isfinite(found) else (0.0 if HIGHER_IS_BETTER[metric] else math.inf)
