"""Generated code as a program of an operating system: rows of float32 on standard input, answers on standard output.

For this machine and, with another compiler and a runner, for others: `aarch64-linux-gnu-gcc` and `qemu-aarch64`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.source import Generated
from sampan.errors import MissingDependency, StepFailed

# Contraction into fused multiply-adds would round differently from machine to machine.
FLAGS: Final = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
_MAIN: Final = """#include <stdio.h>

#include "{name}.h"

int main(void)
{{
    static float x[{upper}_N_FEATURES], y[{upper}_N_OUTPUTS];
    while (fread(x, sizeof x, 1, stdin) == 1) {{
        {name}_scores(x, y);
        if (fwrite(y, sizeof y, 1, stdout) != 1) return 1;
    }}
    return 0;
}}
"""


def write_sources(generated: Generated, folder: Path) -> list[Path]:
    """Write the generated files into a folder; return the C files among them."""
    for name, text in generated.files.items():
        (folder / name).write_text(text, encoding="ascii")
    return [folder / name for name in generated.files if name.endswith(".c")]


def compile_hosted(generated: Generated, folder: Path, *, compiler: Sequence[str] = ("cc",), flags: Sequence[str] = FLAGS) -> Path:
    """Compile the generated files and a main program; return the program's path."""
    sources = write_sources(generated, folder)
    main = folder / f"{generated.name}_main.c"
    main.write_text(_MAIN.format(name=generated.name, upper=generated.name.upper()), encoding="ascii")
    program = folder / f"{generated.name}_program"
    call([*compiler, *flags, *map(str, (*sources, main)), "-o", str(program), "-lm"], what="the generated C does not compile")
    return program


def run_hosted(program: Path, rows: NDArray[np.float32], n_outputs: int, *, runner: Sequence[str] = ()) -> NDArray[np.float64]:
    """Answer rows of shape (n, k) by a compiled program; return shape (n, outputs)."""
    given = np.ascontiguousarray(rows, np.float32)
    found = call([*runner, str(program)], what="the compiled program failed", given=given.tobytes())
    return np.frombuffer(found, np.float32).astype(np.float64).reshape(len(given), n_outputs)


def call(command: Sequence[str], *, what: str, given: bytes | None = None, timeout_s: float = 300) -> bytes:
    """Run a tool and return its output.

    Raises
    ------
    MissingDependency : the tool is not installed.
    StepFailed : it failed; the message holds the first lines it wrote on standard error.
    """
    try:
        done = subprocess.run(list(command), input=given, capture_output=True, timeout=timeout_s, check=False)
    except FileNotFoundError as cause:
        raise MissingDependency(command[0], extra="edge") from cause
    except subprocess.TimeoutExpired as cause:
        raise StepFailed(f"{what}: {command[0]} took longer than {timeout_s:.0f} s", step=command[0], hint="use a smaller model") from cause
    if done.returncode:
        told = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise StepFailed(
            f"{what}: {command[0]} ended with {done.returncode}: {' | '.join(told[:6])}", step=command[0], hint="see its words above"
        )
    return done.stdout
