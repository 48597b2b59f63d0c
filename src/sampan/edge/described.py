"""Boards and computers as files of YAML that people copy and edit: all faults of a file are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from sampan.core.budgets import read_budget
from sampan.core.decoding import read_builtins
from sampan.core.refs import nearest
from sampan.errors import NotFound, ParameterError

T = TypeVar("T", bound=msgspec.Struct)


def find_file(named: str, folder: Path, what: str) -> Path:
    """Return the file of a name that comes with Sampan, or a path as it is. Raises NotFound where there is none."""
    is_path = "/" in named or named.endswith((".yaml", ".yml"))
    path = Path(named) if is_path else folder / f"{named}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise NotFound(f"no {what} {named!r}", did_you_mean=tuple(nearest(named, known)), hint=f"one of {', '.join(known)}, or a path")
    return path


def read_described(path: Path, kind: type[T], what: str, *, example: Path, check: Callable[[dict[str, Any]], Iterable[str]]) -> T:
    """Read a file into a Struct.

    Parameters
    ----------
    what : what it describes, in words
    example : the file to begin with a copy of
    check : names further faults of the fields that could be read

    Raises
    ------
    ParameterError : naming every fault of the file.
    """
    hint = f"begin with a copy of {example}"
    try:
        told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ParameterError(f"{path} is no {what}: {' '.join(str(cause).split())}", hint=hint) from cause
    if not isinstance(told, dict):
        raise ParameterError(f"{path} is no {what}: it has no fields", hint=hint)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    faults = [f"{name} is missing" for name, field in fields.items() if field.required and name not in told]
    read: dict[str, Any] = {}
    for name, value in told.items():
        if name not in fields:
            close = nearest(str(name), fields)
            faults.append(f"there is no field {name}" + (f", perhaps {close[0]}" if close else ""))
            continue
        try:
            read[name] = read_builtins(value, fields[name].type)
        except msgspec.ValidationError as cause:
            faults.append(f"{name} is {value!r}: {cause}")
    faults += [*check(read), *_faults_of_budget(read.get("budget", {}))]
    if faults:
        raise ParameterError(f"{path} is no {what}: {'; '.join(faults)}", hint=hint)
    return kind(**read)


def _faults_of_budget(budget: dict[str, Any]) -> Iterable[str]:
    for name, value in budget.items():
        try:
            read_budget(f"{name}={value}")
        except ParameterError as cause:
            yield f"budget: {cause.message}"
