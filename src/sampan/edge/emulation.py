"""Generated code compiled for a board and run there in emulation: what it answers, and what it takes.

Instructions are counted, not timed: the emulator gives each the same length (`-icount shift=0`), and the board's own clock is read around
the calls. So the same build and rows give the same count on any machine under any load. Flash and memory are what the linker's map says of
the generated file and of the library parts it brings in. Stack is painted before and looked at after all rows.

References
----------
QEMU documentation, "TCG Instruction Counting"; Arm, "Semihosting for AArch32 and AArch64".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.edge.hosted import call
from sampan.edge.profiles import BOARDS, Profile
from sampan.edge.text import table
from sampan.errors import IntegrityError, MissingDependency, StepFailed

FLAGS: Final = ("-std=c99", "-Os", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-fno-math-errno", "-Wall", "-Wextra")
HARNESS_FLAGS: Final = ("-std=gnu99", "-O1", "-ffreestanding", "-Wall", "-Wextra")
TIMEOUT_S: Final = 300.0
_TICKS: Final = {"arm": 1 << 24, "riscv": 1 << 32}  # how far a board's clock counts
_FLASH: Final = (".text", ".rodata", ".srodata", ".data", ".sdata", ".ARM.exidx", ".ARM.extab")
_STATIC: Final = (".data", ".sdata", ".bss", ".sbss", "COMMON")


class Sources(msgspec.Struct, frozen=True):
    """C files by name, and the function that answers a row: `void function(const float *x, float *y)`.

    `beside` are files of the harness: they are linked, and do not count as the model's.
    """

    files: dict[str, str]
    function: str
    n_inputs: int
    n_outputs: int
    beside: dict[str, str] = {}


class Measured(msgspec.Struct, frozen=True):
    """What a board told."""

    flash_bytes: int
    static_bytes: int
    stack_bytes: int
    instructions: float  # of a row, on average
    worst_instructions: int  # of the slowest row, exact to the board's clock

    @property
    def ram_bytes(self) -> int:
        """Return static memory and stack together."""
        return self.static_bytes + self.stack_bytes


def measure(
    sources: Sources, rows: NDArray[np.float32], profile: Profile, folder: Path, *, flags: Sequence[str] = FLAGS
) -> tuple[NDArray[np.float64], Measured]:
    """Compile, run all rows, and return the answers, shape (n, outputs), with what was measured.

    Parameters
    ----------
    folder : an empty folder to work in; the program stays there as model.elf

    Raises
    ------
    MissingDependency : a compiler or emulator is not installed.
    StepFailed : the code does not compile, does not fit the board, or runs into a fault.
    """
    if not len(rows):
        raise StepFailed("there are no rows to run", step="emulation", hint="pack the model again: its probe set is empty")
    run = len(rows)
    output = _run(_build(sources, rows, profile, folder, flags=flags, run=run), profile)
    words = _words(output)
    ticks = np.array(words["t"], np.int64)
    room = _TICKS[profile.board] // 2
    if int(ticks.max()) * len(rows) > room:
        run = max(1, room // int(ticks.max() + 1))  # a clock that wraps is read more often
        words = _words(_run(_build(sources, rows, profile, folder, flags=flags, run=run), profile))
    bits = struct.pack(f"<{len(words['a'])}I", *words["a"])
    answers = np.frombuffer(bits, "<f4").astype(np.float64).reshape(len(rows), sources.n_outputs)
    per_tick = profile.instructions_per_tick
    flash, static = _sizes(folder / "model.map")
    measured = Measured(
        flash_bytes=flash,
        static_bytes=static,
        stack_bytes=words["s"][0],
        instructions=(_whole_count(words["n"][0], ticks) - words["e"][0]) * per_tick / len(rows),
        worst_instructions=int(ticks.max()) * per_tick,
    )
    return answers, measured


def _build(sources: Sources, rows: NDArray[np.float32], profile: Profile, folder: Path, *, flags: Sequence[str], run: int) -> Path:
    """Compile model, harness and start-up code, and link them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (*sources.files.items(), *sources.beside.items()):
        (folder / name).write_text(text, encoding="ascii")
    (folder / "rows.h").write_text(_rows(rows, sources, run), encoding="ascii")
    compiler = [profile.compiler, *profile.flags]
    where = [f"-I{folder}", f"-DMODEL_SCORES={sources.function}"]
    objects = []
    for name in sources.files:
        if name.endswith(".c"):
            objects.append(folder / f"{Path(name).stem}.model.o")
            call([*compiler, *flags, *where, "-c", str(folder / name), "-o", str(objects[-1])], what="the generated C does not compile")
    for source in (BOARDS / "harness.c", BOARDS / f"{profile.board}.c", *(folder / name for name in sources.beside)):
        objects.append(folder / f"{source.stem}.o")
        call([*compiler, *HARNESS_FLAGS, *where, "-c", str(source), "-o", str(objects[-1])], what="the harness does not compile")
    program = folder / "model.elf"
    libraries = ["-lm", "-lc", "-lgcc"] if profile.board == "arm" else ["-lgcc"]
    link = ["-nostartfiles", "-nostdlib", f"-T{BOARDS / profile.board}.ld", "-Wl,--gc-sections", f"-Wl,-Map={folder / 'model.map'}"]
    call([*compiler, *link, *map(str, objects), *libraries, "-o", str(program)], what=f"the program does not link for {profile.name}")
    return program


def _rows(rows: NDArray[np.float32], sources: Sources, run: int) -> str:
    """Write the rows as bits, so that missing and infinite values arrive as they are."""
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
    cells = (f"0x{word:08x}u" for word in bits.ravel().tolist())
    head = f"#define N_ROWS {len(rows)}\n#define N_OUTPUTS {sources.n_outputs}\n#define N_INPUTS {sources.n_inputs}\n#define RUN {run}\n"
    cast = "#define rows ((const float (*)[N_INPUTS])row_bits)\n"
    aligned = "__attribute__((aligned(8))) "  # a row may hold doubles
    return f"{head}{aligned}{table('uint32_t', 'row_bits', cells)}{cast}"


def _run(program: Path, profile: Profile) -> str:
    quiet = ["-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0"]
    console = ["-chardev", "stdio,id=console", "-semihosting-config", "enable=on,target=native,chardev=console"]
    command = [*profile.emulator, *quiet, *console, "-kernel", str(program)]
    return call(command, what=f"the program failed on {profile.name} in emulation", timeout_s=TIMEOUT_S, given=b"").decode(
        "ascii", "replace"
    )


def _whole_count(told: int, ticks: NDArray[np.int64]) -> int:
    """Return the ticks of all rows, of which the board told the lowest 32 bits."""
    wraps = round((int(ticks.sum()) - told) / (1 << 32))
    return told + wraps * (1 << 32)


def _words(output: str) -> dict[str, list[int]]:
    """Read the harness's lines."""
    found: dict[str, list[int]] = {}
    for line in output.splitlines():
        if re.fullmatch(r"[atsne] [0-9a-f]{8}", line):
            found.setdefault(line[0], []).append(int(line[2:], 16))
    if set("atsne") - set(found):
        raise StepFailed(f"the board told no figures: {output.strip()[:200]!r}", step="emulation", hint="a fault of the generated code")
    return found


def _sizes(path: Path) -> tuple[int, int]:
    """Sum what the linker's map says of the model's objects and of library members; return flash and static memory in bytes."""
    text = path.read_text(encoding="utf-8", errors="replace")
    _, found, placed = text.partition("Linker script and memory map")
    if not found:
        raise IntegrityError(f"{path} is no linker map", hint="another linker than GNU ld was used")
    flash = static = 0
    # A long section name stands on a line of its own.
    for section, size, file in re.findall(r"^ (\.?[\w.$]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S.*)$", placed, re.MULTILINE):
        if not (file.endswith(".model.o") or ".a(" in file):
            continue
        taken = int(size, 16)
        flash += taken if section.startswith(_FLASH) else 0
        static += taken if section.startswith(_STATIC) else 0
    return flash, static


# Debian's packages of the tools that the profiles name.
_PACKAGES: Final = {
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
    "riscv64-unknown-elf-gcc": ("gcc-riscv64-unknown-elf",),
    "qemu-system-arm": ("qemu-system-arm",),
    "qemu-system-riscv32": ("qemu-system-misc",),
}


def require_tools(profile: Profile) -> None:
    """Look for a board's compiler and emulator.

    Raises
    ------
    MissingDependency : naming those that are not installed, and the packages that bring them.
    """
    missing = [tool for tool in (profile.compiler, profile.emulator[0]) if which(tool) is None]
    if missing:
        error = MissingDependency(" and ".join(missing), extra="edge")
        error.hint = f"sudo apt-get install {' '.join(name for tool in missing for name in _PACKAGES.get(tool, (tool,)))}"
        raise error
