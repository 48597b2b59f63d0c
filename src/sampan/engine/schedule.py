"""One run of a plan: which step may start, what became of it, and when all is done."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.engine.executors import Inline, Job
from sampan.engine.leases import Found, Lease
from sampan.engine.values import Stored
from sampan.errors import ExecutorLost
from sampan.ports import Executor, Progress, Stage

if TYPE_CHECKING:
    from sampan.engine.engine import Engine, Prepared, StepOutcome
    from sampan.engine.execution import Done
    from sampan.engine.step import Step

log = logging.getLogger(__name__)

_POLL_S: Final = 0.05
_TRIES: Final = 2


class Schedule:
    """Decides and records; executors only compute.

    A failed step stops what needs it and nothing else. Steps with effects, and those that no other process could find, run in this process.
    A step with effects starts only when no step without effects is left to run and none failed, and is tried once.
    """

    def __init__(self, engine: Engine, prepared: Prepared, executor: Executor | None, progress: Progress | None) -> None:
        self._engine = engine
        self._prepared = prepared
        self._inline = Inline()
        self._executor: Executor = executor or self._inline
        self._progress = progress
        self._known: dict[str, Stored] = dict(prepared.given)
        self._open: dict[str, Step[..., Any]] = {step.name: step for step in prepared.order}
        self._keys: dict[str, str] = {}
        self._running: dict[str, Lease] = {}
        self._tries: dict[str, int] = {}
        self._done: dict[str, StepOutcome] = {}
        self._failed: dict[str, BaseException] = {}

    def run(self) -> dict[str, StepOutcome]:
        """Run to the end; raise the first failure in the plan's order, when everything that could be done is done."""
        with ExitStack() as stack:
            stage = None
            if self._progress is not None:
                stage = stack.enter_context(self._progress.stage("steps", total=len(self._open), unit="steps"))
            stack.callback(self._give_up)
            while self._turn(stage):
                pass
        self._engine.remember(self._done)
        n_cached = sum(outcome.cached for outcome in self._done.values())
        log.info(
            "%d steps: %d from cache, %d run, %d failed", len(self._prepared.order), n_cached, len(self._done) - n_cached, len(self._failed)
        )
        for step in self._prepared.order:
            if (error := self._failed.get(step.name)) is not None:
                others = [name for name in self._failed if name != step.name]
                if others:
                    error.add_note(f"also failed: {', '.join(others)}")
                raise error
        return {step.name: self._done[step.name] for step in self._prepared.order}

    def _turn(self, stage: Stage | None) -> bool:
        """Start what can start and take what ended; False when nothing is left to do."""
        n_before = len(self._done) + len(self._failed)
        others_run = self._start_ready(stage)
        if self._running:
            ended = self._wait(_POLL_S if others_run else None)
            if ended:
                self._take(*ended, stage)
            return True
        if len(self._done) + len(self._failed) > n_before:
            return True
        if others_run:
            time.sleep(_POLL_S)
        return others_run

    def _start_ready(self, stage: Stage | None) -> bool:
        """Take from cache or start each step whose inputs are there; say whether we wait for someone else's attempt."""
        others_run = False
        for name, step in list(self._open.items()):
            if name in self._running or any(key not in self._known for key in step.declared.inputs) or not self._may_start(step):
                continue
            if name not in self._keys:
                self._keys[name] = self._prepared.key(step, self._known)
                if found := self._engine.leases.found(self._keys[name]):
                    self._finish(name, found, stage, cached=True)
                    continue
            if len(self._running) < self._executor.slots:
                held = self._engine.leases.claim(self._keys[name], name)
                if isinstance(held, Lease):
                    self._submit(step, held)
                elif held is None:
                    others_run = True
                else:
                    self._finish(name, held, stage, cached=True)
        return others_run

    def _may_start(self, step: Step[..., Any]) -> bool:
        if not step.declared.effects:
            return True
        blocked: set[str] = set()  # by effects that are still to come
        for other in self._prepared.order:
            if other.name in self._open and (other.declared.effects or not blocked.isdisjoint(other.declared.inputs)):
                blocked.add(other.name)
        return len(blocked) == len(self._open) and not self._failed and not self._running

    def _where(self, step: Step[..., Any]) -> Executor:
        return self._inline if step.declared.effects or not step.declared.is_portable else self._executor

    def _submit(self, step: Step[..., Any], lease: Lease) -> None:
        from sampan.engine.execution import Attempt, execute

        attempt = Attempt(
            step, {key: self._known[key] for key in step.declared.inputs}, self._prepared.params[step.name], self._engine.shelf
        )
        self._running[step.name] = lease
        self._tries[step.name] = self._tries.get(step.name, 0) + 1
        self._where(step).submit(Job(step.name, execute, (attempt,), step.declared.cpu))

    def _wait(self, timeout_s: float | None) -> tuple[str, Any] | None:
        return self._inline.wait() or self._executor.wait(timeout_s)

    def _take(self, name: str, ended: Any, stage: Stage | None) -> None:
        lease, step = self._running.pop(name), self._open[name]
        if not isinstance(ended, BaseException):
            self._commit(name, lease, ended, stage)
        elif isinstance(ended, ExecutorLost) and self._tries[name] < _TRIES:
            log.warning("step %s: %s; it is tried again", name, ended)
            self._submit(step, lease)
        else:
            self._engine.leases.release(lease)
            self._fail(name, ended)

    def _commit(self, name: str, lease: Lease, done: Done, stage: Stage | None) -> None:
        parts = self._prepared.parts(self._open[name], self._known)
        outcome = {"value": msgspec.to_builtins(done.stored), "seconds": round(done.seconds, 6), "parts": msgspec.to_builtins(parts)}
        if self._engine.leases.commit(lease, outcome):
            self._finish(name, Found(outcome), stage, cached=False)
        # Otherwise the step stays open: the next turn finds the winner's outcome, or waits for it.

    def _finish(self, name: str, found: Found, stage: Stage | None, *, cached: bool) -> None:
        del self._open[name]
        outcome = self._done[name] = self._engine.outcome(name, self._keys[name], found, cached=cached)
        self._known[name] = outcome.value.stored
        if stage is not None:
            stage.advance(1, f"{name}: from cache" if cached else f"{name}: {outcome.seconds:.1f} s")

    def _fail(self, name: str, error: BaseException) -> None:
        """Close a step and all that need it; only the step itself is told as failed."""
        self._failed[name] = error
        lost = {name}
        for step in self._prepared.order:
            if lost.intersection(step.declared.inputs):
                lost.add(step.name)
        for gone in lost:
            self._open.pop(gone, None)

    def _give_up(self) -> None:
        """Left by an exception (Ctrl-C), stop what still runs, so that another process need not wait for our leases to end."""
        if self._running:
            self._executor.close()
            for lease in self._running.values():
                self._engine.leases.release(lease)
