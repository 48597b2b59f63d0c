"""Runs steps: from cache where nothing changed, else once, whoever else tries; records each outcome in the ledger.

A step's key is the digest of its code, its parameters, its inputs' digests, Python's version and the versions of the distributions that its
code uses. The executor computes; this module alone claims and commits.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.digests import Digest, digest_value
from sampan.core.events import Event, new_id
from sampan.core.times import Clock, system_clock
from sampan.engine import canonical, values
from sampan.engine.leases import Found, Leases
from sampan.engine.libraries import versions_behind
from sampan.engine.plan import KeyParts, Plan, Planned, bare, differences
from sampan.engine.shelf import Shelf
from sampan.engine.step import CodeKey, Step, check_not_importing
from sampan.engine.values import Stored, StoredValue
from sampan.errors import ParameterError
from sampan.ledger import Ledger
from sampan.ports import Executor, Progress
from sampan.store.hints import Hints
from sampan.store.steps import LEASE_MS
from sampan.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


POLL_S: Final = 0.1
_LAST: Final = "last_steps"
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class StepOutcome:
    """What a step came to. `cached` says that it did not run now; `seconds` is how long it took when it ran."""

    def __init__(self, name: str, key: str, stored: Stored, shelf: Shelf, *, cached: bool, seconds: float) -> None:
        self.name = name
        self.key = key
        self.cached = cached
        self.seconds = seconds
        self.value = StoredValue(stored, shelf)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.value!r}, {'from cache' if self.cached else f'{self.seconds:.2f} s'}>"

    @property
    def digest(self) -> Digest:
        """The digest of the step's result: a table version, or stored bytes."""
        return self.value.stored.digest

    def load(self, *, want: str = "", into: Path | None = None) -> Any:
        """Read the result."""
        return self.value.load(want=want, into=into)


class Engine:
    """Runs steps on a store.

    Parameters
    ----------
    executor : where steps run; by default in this process
    lease_ms : after how long without a heartbeat an attempt counts as dead and another may begin
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        executor: Executor | None = None,
        progress: Progress | None = None,
        clock: Clock = system_clock,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self.shelf = Shelf(store)
        self.hints = Hints(store.root / "hints")
        self.leases = Leases(store.steps, ledger, clock=clock, lease_ms=lease_ms)
        self._executor = executor
        self._progress = progress

    def close(self) -> None:
        """Stop the executor's workers."""
        if self._executor is not None:
            self._executor.close()

    def run(
        self,
        steps: Sequence[Step[..., Any]],
        *,
        inputs: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        targets: Sequence[str] = (),
    ) -> dict[str, StepOutcome]:
        """Bring steps up to date and return their outcomes by name.

        Parameters
        ----------
        inputs : by name: the digest of a stored table, a Polars frame, a plain value, bytes, a path, or another run's outcome
        params : by name, for every step that has such a parameter, or by `step.name` for one
        targets : the steps wanted, with what they need; all by default

        Raises
        ------
        ParameterError, NotFound : the steps, inputs, parameters or targets do not fit together; nothing was run.
        StepFailed : a step raised. Steps that do not need it were finished first, and are kept.
        ExecutorLost : a step's worker died twice.
        """
        from sampan.engine.schedule import Schedule

        prepared = self._prepare(steps, inputs, params or {}, targets)
        return Schedule(self, prepared, self._executor, self._progress).run()

    def explain(
        self,
        steps: Sequence[Step[..., Any]],
        *,
        inputs: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        targets: Sequence[str] = (),
    ) -> list[Planned]:
        """Say for each step whether it is in cache or will run, and why. Runs nothing; given frames and files are stored."""
        prepared = self._prepare(steps, inputs, params or {}, targets)
        last: dict[str, str] = self.hints.get(_LAST) or {}
        known, planned = dict(prepared.given), []
        for step in prepared.order:
            unmade = [name for name in step.declared.inputs if name not in known]
            parts = prepared.parts(step, known)
            found = self.leases.found(parts.key()) if step.declared.cache and not unmade else None
            if found:
                known[step.name] = stored_of(found)
                planned.append(Planned(step.name, "cached", ()))
            else:
                planned.append(self._why(step, parts, unmade, last.get(step.name, "")))
        return planned

    def once(
        self, name: str, key_parts: Any, make: Callable[[], Any], *, closing: Callable[[], Sequence[Event]] = tuple
    ) -> tuple[Any, bool]:
        """Do a deed once for each key, whoever tries, and return its plain result; the flag says that it was done before.

        Parameters
        ----------
        closing : returns events that say that the deed is done; they are recorded together with its result, or not at all

        Raises
        ------
        ParameterError : `key_parts` or the result are not plain values.
        """
        key = bare(digest_value(["once", name, canonical.encode(key_parts)]))
        while True:
            held = self.leases.claim(key, name)
            if isinstance(held, Found):
                return canonical.decode(held.outcome["value"]), True
            if held is None:
                time.sleep(POLL_S)
                continue
            try:
                value = canonical.encode(make())
            except BaseException:
                self.leases.release(held)
                raise
            if self.leases.commit(held, {"value": value}, beside=closing()):
                return canonical.decode(value), False

    def outcome(self, name: str, key: str, found: Found, *, cached: bool) -> StepOutcome:
        """Return a committed outcome as it is handed out."""
        return StepOutcome(name, key, stored_of(found), self.shelf, cached=cached, seconds=found.outcome["seconds"])

    def remember(self, outcomes: Mapping[str, StepOutcome]) -> None:
        """Note the steps' newest keys, so that `explain` can say what changed since."""
        last = self.hints.get(_LAST) or {}
        now = {**last, **{name: outcome.key for name, outcome in outcomes.items()}}
        if now != last:
            self.hints.put(_LAST, now)

    def _prepare(
        self, steps: Sequence[Step[..., Any]], inputs: Mapping[str, Any], params: Mapping[str, Any], targets: Sequence[str]
    ) -> Prepared:
        check_not_importing()
        plan = Plan(steps, given=inputs)
        order = plan.order(targets)
        chosen = _encoded(plan.params_of(params))
        given = {name: self._given(name, value) for name, value in inputs.items()}
        codes = {step.name: step.code for step in order if step.code}
        if missing := [step for step in order if not step.code]:
            from sampan.engine.code import code_keys

            codes.update(code_keys(missing))
        return Prepared(
            plan,
            order,
            given,
            plan.params_of(params),
            chosen,
            codes,
            {n: versions_behind(c.libraries, self.hints) for n, c in codes.items()},
        )

    def _given(self, name: str, value: Any) -> Stored:
        if isinstance(value, StepOutcome):
            return value.value.stored
        if value is None:
            raise ParameterError(f"input {name} is None", hint="give it a value, or make it a parameter with a default")
        return values.save_input(value, self.shelf)

    def _why(self, step: Step[..., Any], parts: KeyParts, unmade: list[str], last: str) -> Planned:
        waits = tuple(f"input {name} is made anew" for name in unmade)
        if not step.declared.cache:
            return Planned(step.name, "runs", ("it is declared cache=False",))
        found = self.leases.found(last) if last else None
        if found is None:
            return Planned(step.name, "runs", ("it has not run before",))
        before = read_builtins(found.outcome["parts"], KeyParts)
        known = {name: digest for name, digest in before.inputs.items() if name not in unmade}
        changes = differences(msgspec.structs.replace(before, inputs=known), parts)
        return Planned(step.name, "runs" if changes or not unmade else "may run", (*changes, *waits))


class Prepared:
    """A checked plan with all that keys are made of."""

    def __init__(
        self,
        plan: Plan,
        order: list[Step[..., Any]],
        given: dict[str, Stored],
        params: dict[str, dict[str, Any]],
        encoded: dict[str, dict[str, Any]],
        codes: dict[str, CodeKey],
        libraries: dict[str, dict[str, str]],
    ) -> None:
        self.plan = plan
        self.order = order
        self.given = given
        self.params = params
        self._encoded = encoded
        self._codes = codes
        self._libraries = libraries

    def parts(self, step: Step[..., Any], known: Mapping[str, Stored]) -> KeyParts:
        """Return what a step's key is made of; inputs that are not known yet are left out."""
        name = step.name
        return KeyParts(
            step=name,
            code={label: bare(digest) for label, digest in self._codes[name].parts.items()},
            params=self._encoded[name],
            inputs={key: bare(known[key].digest) for key in step.declared.inputs if key in known},
            python=_PYTHON,
            libraries=self._libraries[name],
        )

    def key(self, step: Step[..., Any], known: Mapping[str, Stored]) -> str:
        """Return a step's key; one that is not to be cached has a fresh key each time."""
        return self.parts(step, known).key() if step.declared.cache else new_id()


def stored_of(found: Found) -> Stored:
    """Return where a step's committed result lies."""
    return read_builtins(found.outcome["value"], Stored)


def _encoded(params: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    faults: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for name, own in params.items():
        found[name] = {}
        for key, value in own.items():
            try:
                found[name][key] = canonical.encode(value)
            except ParameterError as fault:
                faults.append(f"{name}.{key}: {fault.message}")
    if faults:
        raise ParameterError("parameters are plain values; " + "; ".join(faults), hint="give tables and files as inputs")
    return found
