"""The code a model was trained by, kept so that it can be replayed: the training file and every module of the project it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from sampan.engine.sources import is_library

CODE = "code"  # the folder of a model's files
_OURS = "sampan"


def snapshot(file: Path) -> dict[str, bytes]:
    """Return the sources by the path they are kept under: the file's own name, and for modules where an import will find them beside it.

    Followed are the imports that stand in the text, of modules that are loaded and are neither installed nor Python's.
    """
    found = {file.name: file.read_bytes()}
    waiting = list(_imported(found[file.name], package=""))
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        source = _source(name)
        if source is None:
            continue
        is_package = source.name == "__init__.py"
        found[name.replace(".", "/") + ("/__init__.py" if is_package else ".py")] = data = source.read_bytes()
        waiting += _imported(data, package=name if is_package else name.rpartition(".")[0])
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def _source(name: str) -> Path | None:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or name.partition(".")[0] == _OURS or is_library(file):
        return None
    return Path(file) if Path(file).is_file() else None


def _imported(source: bytes, *, package: str) -> Iterator[str]:
    """Iterate over the modules a text imports; of `from a import b` both a and a.b, since b may be a module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module or "") if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
