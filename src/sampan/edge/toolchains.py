"""Compilers for other machines, all of them Zig's: one package from PyPI has the C compiler, linker and run-time parts for each.

Reference: ziglang.org/learn/overview, "Zig is also a C compiler".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sampan.edge.hosted import call
from sampan.plugins import require

# Contraction into fused multiply-adds would round differently from machine to machine.
FLAGS: Final = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off", "-fno-math-errno")
PARTS: Final = Path(__file__).parent / "foreign"
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


def zig_version() -> str:
    """Say which Zig is installed. Raises MissingDependency."""
    require("ziglang", extra="edge")
    return call([sys.executable, "-m", "ziglang", "version"], what="Zig does not start").decode().strip()


def fill(part: str, name: str, path: Path) -> Path:
    """Write a part of `foreign/` for a model's functions; return its path."""
    text = (PARTS / part).read_text(encoding="ascii").replace("@name@", name).replace("@upper@", name.upper())
    path.write_text(text, encoding="ascii")
    return path
