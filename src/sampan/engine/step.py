"""Steps: plain functions whose name is what they make and whose parameters without default are what they need.

    @step
    def clean(flights: pl.DataFrame, *, min_rows: int = 10) -> pl.DataFrame:
        ...

A step is still called like the function that it is. Running several in order, from cache where nothing changed, is `engine.Engine`'s work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import update_wrapper
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from sampan.core.digests import Digest, digest_bytes
from sampan.engine.canonical import is_plain
from sampan.errors import NotFound, ParameterError, SampanError, UsageError

# The script that is being imported for its steps, so that one which runs them then can be told.
_IMPORTING: ContextVar[str] = ContextVar("importing", default="")

P = ParamSpec("P")
R = TypeVar("R")


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a step without its function: enough to plan it, and for another process to find it."""

    name: str
    module: str
    qualname: str
    file: str
    inputs: dict[str, str]  # what it needs, and the name of the annotated type ("" if none)
    defaults: dict[str, Any]
    cpu: int = 1
    effects: bool = False
    cache: bool = True

    @property
    def is_portable(self) -> bool:
        """Whether another process can find the function by its name."""
        return "<" not in self.qualname and Path(self.file).is_file()


class CodeKey(msgspec.Struct, frozen=True):
    """A step's code: one digest, and what it is made of. Found by `code.code_keys`."""

    digest: Digest
    parts: dict[str, Digest]  # "module:name" -> digest of its own text or value
    libraries: tuple[str, ...]  # top-level modules of Python or of distributions that the code names
    dynamic: bool  # a constant's value came from a call, so only running its module tells it


class Step(Generic[P, R]):
    """A function with its place in a plan. Made by `@step`; `code` is set where the function's code is known without importing it."""

    def __init__(self, declared: Declared, function: Callable[P, R] | None = None, code: CodeKey | None = None) -> None:
        self.declared = declared
        self.code = code
        self._function = function
        if function is not None:
            update_wrapper(self, function)

    @property
    def name(self) -> str:
        """The name of what the step makes."""
        return self.declared.name

    @property
    def function(self) -> Callable[P, R]:
        """The function itself; imported now if only its declaration is here."""
        if self._function is None:
            self._function = _find_function(self.declared)
        return self._function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, as if it were not marked."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<step {self.name}({', '.join(self.declared.inputs)})>"

    def __reduce__(self) -> tuple[object, ...]:
        return Step, (self.declared,)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(*, cpu: int = 1, effects: bool = False, cache: bool = True) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Callable[P, R] | None = None, /, *, cpu: int = 1, effects: bool = False, cache: bool = True) -> Any:
    """Declare a function a step.

    Parameters
    ----------
    cpu : how many of the executor's slots it fills while it runs, ≥ 1
    effects : it changes something outside its result (sends, deploys): it runs in this process, only when nothing else failed, and is never
        tried twice
    cache : False runs it each time; what comes after is still taken from cache if its result is the same

    Raises
    ------
    ParameterError : the function's signature cannot be a step's.
    """
    if cpu < 1:
        raise ParameterError(f"cpu={cpu} of a step", hint="1 or more")

    def declare(function: Callable[P, R]) -> Step[P, R]:
        return Step(_declare(function, cpu=cpu, effects=effects, cache=cache), function)

    return declare if function is None else declare(function)


def load_script(file: Path) -> ModuleType:
    """Import a file that belongs to no package, once a process. Its `if __name__ == "__main__"` part does not run.

    Raises
    ------
    NotFound : there is no such Python file.
    ProjectFileError : it is no Python.
    StepFailed : it raised, or imports what is not installed.
    """
    name = f"sampan_script_{file.stem}_{digest_bytes(str(file.resolve()).encode())[3:11]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise NotFound(f"{file} is no Python file", hint="give the path of a .py file")
    if (folder := str(file.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    module = module_from_spec(spec)
    sys.modules[name] = module
    token = _IMPORTING.set(str(file))
    try:
        spec.loader.exec_module(module)
    except BaseException as cause:
        del sys.modules[name]
        if not isinstance(cause, (Exception, SystemExit)):
            raise
        from sampan.engine.failures import import_failed, with_place

        if isinstance(cause, SampanError):
            with_place(cause)
            raise
        raise import_failed(file, cause) from cause
    finally:
        _IMPORTING.reset(token)
    return module


def check_not_importing() -> None:
    """Refuse to run steps while a script is imported for them: it would run them again in each worker, and wait for itself.

    Raises
    ------
    UsageError : a script is being imported.
    """
    if file := _IMPORTING.get():
        raise UsageError(f"{file} runs steps while it is being imported", hint='put that part under `if __name__ == "__main__":`')


def _declare(function: Callable[..., Any], *, cpu: int, effects: bool, cache: bool) -> Declared:
    import inspect

    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise ParameterError(f"{name or function!r} cannot be a step", hint="a step is a function with a name: its name is what it makes")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ParameterError(f"step {name} is a generator or coroutine", hint="return the whole result from a plain function")
    inputs: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ParameterError(f"parameter {parameter} of step {name} has no name to be given by", hint="name each input and parameter")
        if parameter.default is parameter.empty:
            inputs[parameter.name] = _type_name(parameter.annotation)
        elif is_plain(parameter.default):
            defaults[parameter.name] = parameter.default
        else:
            kind = type(parameter.default).__qualname__
            raise ParameterError(
                f"parameter {parameter.name} of step {name} is a {kind}", hint="defaults are plain values: they name the result"
            )
    return Declared(
        name=name,
        module=function.__module__,
        qualname=function.__qualname__,
        file=inspect.unwrap(function).__code__.co_filename,
        inputs=inputs,
        defaults=defaults,
        cpu=cpu,
        effects=effects,
        cache=cache,
    )


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2].strip("\"' ")
    return annotation.__name__ if isinstance(annotation, type) and annotation.__name__ != "_empty" else ""


def _find_function(declared: Declared) -> Callable[..., Any]:
    found: Any = _find_module(declared)
    for part in declared.qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Step) and found._function is not None:
        found = found._function
    if not callable(found):
        raise NotFound(f"{declared.file} has no step {declared.qualname} any more", hint="run again: the file was changed meanwhile")
    function: Callable[..., Any] = found
    return function


def _find_module(declared: Declared) -> ModuleType:
    loaded = sys.modules.get(declared.module)
    if loaded is not None and getattr(loaded, "__file__", None) == declared.file:
        return loaded
    try:
        spec = find_spec(declared.module)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin == declared.file:
        return import_module(declared.module)
    return load_script(Path(declared.file))
