"""Generated code as a program for Arm Linux without a C library, run in emulation; rows of float32 in, answers out.

The program calls the system itself, so it starts on any Linux of its machine. QEMU carries it out instruction by instruction: what it
answers there it answers on the device, bit for bit. How long it takes there says nothing of the device.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.budgets import read_budget
from sampan.edge.described import find_file, read_described
from sampan.edge.hosted import run_hosted, write_sources
from sampan.edge.source import Generated
from sampan.edge.toolchains import HEADERS, fill, needs_library, require_tool, zig_cc
from sampan.errors import Unsupported

FOLDER: Final = Path(__file__).parent / "computers"
_FLAGS: Final = ("-O2", "-nostdlib", "-rtlib=compiler-rt", "-static", "-fno-stack-protector", "-fno-builtin-memset", "-s")
_LOADED, _WRITABLE = 1, 2  # of an ELF file's segments


class Computer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A computer with Arm Linux."""

    name: str
    about: str
    source: str  # where its figures are from
    target: str  # as Zig names it, without a C library
    with_library: str = ""  # the same with one, for a model of powers or error functions
    flags: tuple[str, ...] = ()
    emulator: tuple[str, ...]
    budget: dict[str, str | float] = {}

    def limits(self) -> dict[str, float]:
        """Return the computer's own budget in bytes."""
        return read_budget(",".join(f"{name}={value}" for name, value in self.budget.items()))


class Adapter(msgspec.Struct, frozen=True):
    """How a program reads rows: the function that answers one, how many 32-bit words it has, and what files that takes."""

    function: str
    words: str
    files: dict[str, str] = {}


def names() -> list[str]:
    """Name the computers that come with Sampan."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read_computer(named: str) -> Computer:
    """Read a computer by its name, or a file by its path.

    Raises
    ------
    NotFound : neither is there.
    ParameterError : the file does not describe a computer; the message names all its faults.
    """
    path = find_file(named, FOLDER, "computer")
    return read_described(path, Computer, "computer", example=FOLDER / "rpi4.yaml", check=_faults)


def _faults(read: dict[str, Any]) -> Iterable[str]:
    if "emulator" in read and not read["emulator"]:
        yield "emulator is empty, such as [qemu-aarch64-static]"
    yield from (f"{name} is empty" for name in ("name", "target", "source") if name in read and not read[name])


def compile_linux(generated: Generated, folder: Path, computer: Computer, *, adapter: Adapter | None = None) -> Path:
    """Write the generated C into a folder and compile it there; return the program's path.

    A model that calls no power or error function needs no C library; another one gets musl's, linked into the program.

    Parameters
    ----------
    adapter : answers rows of another form by the generated functions

    Raises
    ------
    MissingDependency : Zig is not installed.
    Unsupported : the model needs a C library, and the computer's profile names no target with a C library.
    StepFailed : the code does not compile.
    """
    sources = write_sources(generated, folder)
    shape = adapter or Adapter(f"{generated.name}_scores", f"{generated.name.upper()}_N_FEATURES")
    for name, text in shape.files.items():
        (folder / name).write_text(text, encoding="ascii")
        sources.append(folder / name)
    library = needs_library(generated)
    if library and not computer.with_library:
        raise Unsupported(f"the model needs a C library, and {computer.name} names no target with one", hint="with_library in its profile")
    part = "hosted.c" if library else "linux.c"
    main = fill(part, generated.name, folder / f"{generated.name}_main.c", function=shape.function, words=shape.words)
    include = [f"-I{folder}", *computer.flags]
    flags = ["-O2", "-static", "-s", *include] if library else [*_FLAGS, *include, f"-isystem{HEADERS}"]
    libraries = ["-lm"] if library else []
    program = folder / shape.function.removesuffix("_scores")
    return zig_cc(computer.with_library if library else computer.target, [*sources, main], program, flags=[*flags, *libraries])


def run_linux(program: Path, rows: NDArray[np.float32], n_outputs: int, computer: Computer) -> NDArray[np.float64]:
    """Answer rows in emulation, shape (n, outputs). Raises MissingDependency where the emulator is not installed."""
    require_tool(computer.emulator[0], "qemu-user-static")
    return run_hosted(program, rows, n_outputs, runner=computer.emulator)


def memory_of(program: Path) -> int:
    """Return the bytes of memory that a program's own variables take, from the segments of its ELF file that can be written."""
    data = program.read_bytes()
    wide = data[4] == 2
    start, size, n = (
        struct.unpack_from(pattern, data, at)[0]
        for pattern, at in ((("<Q", 32), ("<H", 54), ("<H", 56)) if wide else (("<I", 28), ("<H", 42), ("<H", 44)))
    )
    return sum(_memory(data, start + i * size, wide=wide) for i in range(n))


def _memory(data: bytes, at: int, *, wide: bool) -> int:
    if wide:
        kind, flags, *_, memory, _ = struct.unpack_from("<IIQQQQQQ", data, at)
    else:
        kind, _, _, _, _, memory, flags, _ = struct.unpack_from("<IIIIIIII", data, at)
    return int(memory) if kind == _LOADED and flags & _WRITABLE else 0
