"""The steps that a file declares, without importing it where it and everything it uses are unchanged since the last time.

Importing a file of steps imports the libraries of its work, often a second of processor time, only to learn that nothing changed. So what
was learned is kept beside the digests of the project's files that were read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.digests import Digest, digest_bytes
from sampan.engine import canonical
from sampan.engine.libraries import Memory
from sampan.engine.step import CodeKey, Declared, Step, load_script
from sampan.errors import NotFound

_PYTHON: Final = list(sys.version_info[:3])


class _Kept(msgspec.Struct):
    python: list[int]
    files: dict[str, Digest]
    steps: list[_KeptStep]


class _KeptStep(msgspec.Struct):
    declared: dict[str, Any]
    code: CodeKey


def load_steps(file: Path, memory: Memory | None = None) -> list[Step[..., Any]]:
    """Return the steps of a Python file, in the order in which they stand there.

    The file is imported only if it, or a file of the project that it imported, changed since `memory` last saw it. A step's function is
    imported when it is first needed.

    Raises
    ------
    NotFound : there is no such file, or no step is in it.
    """
    steps = find_steps(file, memory)
    if not steps:
        raise NotFound(f"{file.resolve()} has no steps", hint="mark the functions that make something with @step")
    return steps


def find_steps(file: Path, memory: Memory | None = None) -> list[Step[..., Any]]:
    """Return the steps of a Python file as `load_steps` does, but none where it has none."""
    file = file.resolve()
    name = f"steps-{digest_bytes(str(file).encode())[3:19]}"
    if memory and (steps := _recall(memory.get(name))):
        return steps
    module = load_script(file)
    steps = list(dict.fromkeys(found for found in vars(module).values() if isinstance(found, Step)))
    if memory and steps:
        _keep(memory, name, steps)
    return steps


def _recall(data: Any) -> list[Step[..., Any]]:
    try:
        kept = read_builtins(data, _Kept)
    except msgspec.ValidationError:
        return []
    if kept.python != _PYTHON or any(_digest(path) != digest for path, digest in kept.files.items()):
        return []
    declared = (read_builtins({**step.declared, "defaults": canonical.decode(step.declared["defaults"])}, Declared) for step in kept.steps)
    return [Step(known, code=step.code) for known, step in zip(declared, kept.steps, strict=True)]


def _keep(memory: Memory, name: str, steps: list[Step[..., Any]]) -> None:
    from sampan.engine.code import code_keys

    codes = code_keys(steps)
    if any(code.dynamic for code in codes.values()):
        return  # a value that a call gave can be another next time: only importing tells
    files = {path: digest for path in _project_files() if (digest := _digest(path))}
    kept = [_KeptStep(_plain(step.declared), codes[step.name]) for step in steps]
    memory.put(name, msgspec.to_builtins(_Kept(_PYTHON, files, kept)))


def _plain(declared: Declared) -> dict[str, Any]:
    fields = {name: getattr(declared, name) for name in declared.__struct_fields__}
    return {**fields, "defaults": canonical.encode(declared.defaults)}


def _project_files() -> list[str]:
    from sampan.engine.sources import is_library

    files = {file for module in list(sys.modules.values()) if isinstance(file := getattr(module, "__file__", None), str)}
    return sorted(file for file in files if file.endswith(".py") and not is_library(file))


def _digest(path: str) -> Digest:
    try:
        return digest_bytes(Path(path).read_bytes())
    except OSError:
        return ""
