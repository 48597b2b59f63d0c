"""Rebuild the environment a model was trained in, with uv: only the libraries its training needs, at the versions that were recorded."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.core.digests import digest_value
from sampan.engine.environment import Environment
from sampan.engine.libraries import versions_behind
from sampan.errors import Unavailable, Unsupported

if TYPE_CHECKING:
    from sampan.workspace.explaining.replaying import Recipe
    from sampan.workspace.workspace import Workspace

_MINUTES: Final = 15
_STAMP: Final = ".complete"
# What the replay itself imports, whatever the training code does.
_OURS: Final = ("numpy", "polars", "msgspec", "blake3", "onnxruntime", "sampan")
_BY_FLAVOR: Final = {
    "lightgbm": ("lightgbm",),
    "sklearn": ("sklearn", "skl2onnx", "onnx"),
    "torch": ("torch", "onnxscript", "onnx"),
    "xgboost": ("xgboost",),
}


class Rebuilt(msgspec.Struct, frozen=True):
    """An environment to replay in."""

    python: str  # the interpreter's path
    libraries: dict[str, str]
    is_present: bool  # it is the environment of this very process


def needed(ws: Workspace, recipe: Recipe, environment: Environment) -> dict[str, str]:
    """Return the recorded versions of the libraries behind a training: those its code imports, ours, and what these require."""
    modules: set[str] = set(_OURS) | set(_BY_FLAVOR.get(str(recipe.model.facts["flavor"]), ()))
    for path, digest in recipe.files.items():
        if path.endswith(".py"):
            modules |= _imports(ws.store.blobs.read(digest))
    known = versions_behind(modules)
    return {name: environment.libraries[name] for name in known if name in environment.libraries and name != "sampan"}


def rebuild(ws: Workspace, libraries: Mapping[str, str], python: str) -> Rebuilt:
    """Make an environment with these versions, or return the one made before. Opens the network: the package index uv is set up with.

    Raises
    ------
    Unsupported : uv is not installed.
    Unavailable : a version, or this Python, is not to be had; the message says which.
    """
    folder = ws.store.root / "environments" / digest_value([dict(libraries), python])[3:19]
    interpreter = folder / "bin" / "python"
    if (folder / _STAMP).exists():
        return Rebuilt(str(interpreter), dict(libraries), is_present=False)
    uv = find_uv()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([uv, "venv", "-q", "--clear", "--python", python, str(folder)], f"Python {python}")
    wanted = [f"{name}=={version}" for name, version in sorted(libraries.items())]
    _run([uv, "pip", "install", "-q", "--no-deps", "--python", str(interpreter), *wanted], "the recorded libraries")
    (folder / _STAMP).touch()
    return Rebuilt(str(interpreter), dict(libraries), is_present=False)


def present(libraries: Mapping[str, str]) -> Rebuilt:
    """Return the environment of this process."""
    return Rebuilt(sys.executable, dict(libraries), is_present=True)


def find_uv() -> str:
    """Return the path of uv: beside this Python, or on PATH.

    Raises
    ------
    Unsupported : there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise Unsupported("uv, which rebuilds environments, is not installed", hint="pip install uv")
    return found


def _run(command: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
    except subprocess.TimeoutExpired as cause:
        raise Unavailable(f"{what} did not arrive within {_MINUTES} minutes", hint="look at the network, then try again") from cause
    if done.returncode:
        hint = "--verify instead of --rebuild goes on in the present environment, and says so"
        raise Unavailable(f"cannot be had: {_reason(done.stderr, what)}", hint=hint)


def _reason(told: str, what: str) -> str:
    """Return the sentence in which uv says what is missing."""
    text = " ".join(line.strip(" ╰─▶×│") for line in told.splitlines() if line.strip())
    found = re.search(
        r"(there is no version of [^.,]*|no interpreter found for [^.]*|[\w.-]+==[\w.]+ (?:was not found|has no [^.]*))", text, re.I
    )
    return found.group(0).strip() if found else f"{what}: {text[:300]}"


def _imports(source: bytes) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in found}
