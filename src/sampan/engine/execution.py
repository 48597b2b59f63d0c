"""One attempt at one step: read its inputs, call its function, store what it returned. Records nothing; runs here or in a worker."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampan.engine import values
from sampan.engine.failures import own_lines
from sampan.engine.shelf import Shelf
from sampan.engine.step import Step
from sampan.engine.values import Stored, Want
from sampan.errors import SampanError, StepFailed, Unsupported, UsageError

_SCRATCH: ContextVar[Path | None] = ContextVar("scratch", default=None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step with everything that its call needs. Pickled, it is names, digests and parameters; no table travels."""

    step: Step[..., Any]
    inputs: dict[str, Stored]
    params: dict[str, Any]
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class Done:
    """What an attempt came to."""

    stored: Stored
    seconds: float


def execute(attempt: Attempt) -> Done:
    """Run an attempt.

    Raises
    ------
    StepFailed : the function raised, returned nothing, or returned what cannot be stored.
    SampanError : the function, or reading its inputs, raised one; it passes as it is.
    """
    name = attempt.step.name
    with _scratch_folder(attempt.shelf, name):
        started = time.perf_counter()
        try:
            arguments = {
                key: values.load(stored, attempt.shelf, Want(attempt.step.declared.inputs[key], scratch() / "inputs" / key, linked=True))
                for key, stored in attempt.inputs.items()
            }
            result = attempt.step.function(**arguments, **attempt.params)
            stored = _store(name, result, attempt.shelf)
        except SampanError:
            raise
        except (Exception, SystemExit) as cause:  # sys.exit() in a step must not end the engine, or a worker, without a word
            raise _failed(attempt.step, cause) from cause
        return Done(stored, time.perf_counter() - started)


def scratch() -> Path:
    """Return the running step's own empty folder: for files whose path it returns. It is removed when the step has ended.

    Raises
    ------
    UsageError : no step runs here.
    """
    folder = _SCRATCH.get()
    if folder is None:
        raise UsageError("there is no scratch folder outside a running step", hint="call scratch() inside a function marked @step")
    return folder


@contextmanager
def _scratch_folder(shelf: Shelf, name: str) -> Iterator[None]:
    with shelf.scratch(name) as folder:
        token = _SCRATCH.set(folder)
        try:
            yield
        finally:
            _SCRATCH.reset(token)


def _store(name: str, result: Any, shelf: Shelf) -> Stored:
    if result is None:
        raise StepFailed(
            f"step {name} returned nothing", step=name, hint=f"end {name} with `return` and what it makes; that is what others take"
        )
    try:
        return values.save(result, shelf)
    except (Unsupported, UsageError) as cause:
        raise StepFailed(f"step {name} returned what cannot be kept: {cause.message}", step=name, hint=cause.hint) from cause


def _failed(step: Step[..., Any], cause: BaseException) -> StepFailed:
    place, trace = own_lines(cause)
    text = "".join(traceback.format_exception_only(cause)).strip()
    return StepFailed(
        f"step {step.name} raised {text.partition(chr(10))[0]}{place}",
        step=step.name,
        trace=f"{trace}\n{text}".lstrip("\n"),
        hint=f"mend {step.name}; the steps before it are kept and will come from cache",
    )
