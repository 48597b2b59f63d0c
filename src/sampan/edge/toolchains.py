"""Compilers for other machines, all of them Zig's: one package from PyPI has the C compiler, linker and run-time parts for each.

Reference: ziglang.org/learn/overview, "Zig is also a C compiler".
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sampan.edge.hosted import call
from sampan.edge.source import Generated
from sampan.errors import MissingDependency
from sampan.plugins import require

# Contraction into fused multiply-adds would round differently from machine to machine.
FLAGS: Final = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off", "-fno-math-errno")
PARTS: Final = Path(__file__).parent / "foreign"
_LIBRARY_CALLS: Final = re.compile(r"\b(erf|pow|tanh)f?\(")
HEADERS: Final = PARTS / "headers"  # where a target has no C library


def zig_cc(target: str, sources: Sequence[Path], program: Path, *, flags: Sequence[str] = ()) -> Path:
    """Compile C for a target such as wasm32-freestanding; return the program.

    Raises
    ------
    MissingDependency : Zig is not installed.
    StepFailed : the code does not compile.
    """
    require("ziglang", extra="edge")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS, *flags, *map(str, sources), "-o", str(program)]
    call(command, what=f"the generated C does not compile for {target}")
    return program


def require_tool(name: str, package: str) -> str:
    """Return a program's path. Raises MissingDependency, with the package of Debian that has it."""
    path = shutil.which(name)
    if path is None:
        error = MissingDependency(name, extra="edge")
        error.hint = f"sudo apt-get install {package}"
        raise error
    return path


def needs_library(generated: Generated) -> bool:
    """Say whether generated code calls functions that Zig's run-time parts have not, so that it takes a C library to link it."""
    return bool(_LIBRARY_CALLS.search(generated.source))


def zig_version() -> str:
    """Say which Zig is installed. Raises MissingDependency."""
    require("ziglang", extra="edge")
    return call([sys.executable, "-m", "ziglang", "version"], what="Zig does not start").decode().strip()


def fill(part: str, name: str, path: Path, **words: str) -> Path:
    """Write a part of `foreign/` for a model's functions; return its path."""
    text = (PARTS / part).read_text(encoding="ascii")
    for word, value in {"name": name, "upper": name.upper(), **words}.items():
        text = text.replace(f"@{word}@", value)
    path.write_text(text, encoding="ascii")
    return path
