"""Contract rules in the project's own Python: `check: checks.py:arrives_later` runs a function of a file in the project.

    def arrives_later(dep_time, arr_time, tolerance=0):
        return arr_time >= dep_time - tolerance

A parameter is given, in this order: what the contract says under its name, `values` (the column the rule belongs to), or the table's
column of that name; else it keeps its default. Columns come as Polars expressions; the function returns one that is true where a row keeps
the rule.
"""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sampan.core.refs import nearest
from sampan.errors import ParameterError

VALUES = "values"


class ProjectCheck:
    """A function of the project as a contract's check."""

    level = "warn"

    def __init__(self, name: str, function: Callable[..., Any], columns: frozenset[str]) -> None:
        self.name = name
        self._function = function
        self._columns = columns

    def describe(self, column: str, parameters: Mapping[str, Any]) -> str:
        """Say the rule by the first line of the function's docstring, or by its name."""
        del parameters  # what the function says of itself holds for all of them
        said = (inspect.getdoc(self._function) or "").partition("\n")[0].rstrip(".")
        return said or " ".join([*([column] if column else []), self._function.__name__.replace("_", " ")])

    def violations(self, column: str, parameters: Mapping[str, Any]) -> pl.Expr:
        """Mark the rows for which the function does not answer true.

        Raises
        ------
        ParameterError : a parameter names no column, or the function answers something else than an expression.
        """
        arguments = self._arguments(column, parameters)
        try:
            kept = self._function(**arguments)
        except (Exception, SystemExit) as cause:
            said = f"{self.name} fails: {type(cause).__name__}: {cause}"
            raise ParameterError(said, hint="it gets columns as Polars expressions and returns a comparison of them") from cause
        if not isinstance(kept, pl.Expr):
            said = f"{self.name} answers {type(kept).__name__}, not a Polars expression"
            raise ParameterError(said, hint="return a comparison of its arguments, like arr_time >= dep_time")
        return ~kept

    def _arguments(self, column: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        wanted = inspect.signature(self._function).parameters
        unknown = [name for name in parameters if name not in wanted]
        if unknown:
            raise ParameterError(f"{self.name} has no parameter {unknown[0]!r}", hint=f"it has {', '.join(wanted)}")
        given: dict[str, Any] = {}
        for name, parameter in wanted.items():
            if name in parameters:
                given[name] = parameters[name]
            elif name == VALUES and column:
                given[name] = pl.col(column)
            elif name in self._columns:
                given[name] = pl.col(name)
            elif parameter.default is parameter.empty:
                close = nearest(name, self._columns, n=1)
                hint = f"did you mean {close[0]}?" if close else "name parameters as columns are, or give them a value in the contract"
                raise ParameterError(f"{self.name}: there is no column {name!r} for its parameter", hint=hint)
        return given


def project_checks(root: Path, names: set[str], columns: frozenset[str]) -> dict[str, ProjectCheck]:
    """Load the functions that a contract names as FILE.py:FUNCTION.

    Raises
    ------
    ParameterError : the file is outside of the project, missing or fails, or has no such function.
    """
    found = {}
    modules: dict[Path, dict[str, Any]] = {}
    for name in sorted(names):
        place, _, function = name.partition(":")
        file = (root / place).resolve()
        if not file.is_relative_to(root.resolve()) or not file.is_file():
            raise ParameterError(f"the contract names {name!r}; there is no file {place} in the project", hint="write FILE.py:FUNCTION")
        module = modules.get(file) or modules.setdefault(file, _run(file, name))
        if not callable(module.get(function)):
            own = [key for key, value in module.items() if inspect.isfunction(value)]
            close = nearest(function, own, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(own) or 'none'}"
            raise ParameterError(f"{place} has no function {function!r}", hint=hint)
        found[name] = ProjectCheck(name, module[function], columns)
    return found


def _run(file: Path, name: str) -> dict[str, Any]:
    try:
        return runpy.run_path(str(file), run_name=file.stem)
    except (Exception, SystemExit) as cause:
        raise ParameterError(f"{file.name} fails, and the contract needs {name}: {cause}", hint=f"run python {file.name}") from cause
