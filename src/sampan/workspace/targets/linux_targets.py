"""Targets that are computers with Arm Linux: the model as C and as a program, run in emulation on the probe set.

Answers are proven here. Time is not: emulation says nothing of it, so a limit in `ms` is written into `check.sh`, which the device runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.budgets import hold_to
from sampan.core.settings import read_settings
from sampan.ports import Built, Progress, TargetOptions

if TYPE_CHECKING:
    from sampan.edge.linux import Computer
    from sampan.edge.source import Generated
    from sampan.workspace.targets.edge_packages import CarriedPackage

ROWS, ANSWERS, CHECK = "probe.f32", "answers.f32", "check.sh"
_REPEATS: Final = 2000
_CHECK: Final = """\
#!/bin/sh
# Run on the device: the answers must be these, bit for bit; then how long a row takes, on average over {n} rows.
set -eu
cd "$(dirname "$0")"
./{program} < {rows} | cmp - {answers}
echo "{n_rows} answers are right"
i=0; while [ $i -lt {repeats} ]; do cat {rows}; i=$((i+1)); done > many.f32
begun=$(date +%s%N); ./{program} < many.f32 > /dev/null; ended=$(date +%s%N)
rm many.f32
nanoseconds=$(( (ended - begun) / {n} ))
echo "a row takes $nanoseconds ns"
"""
_LIMIT: Final = """\
[ $nanoseconds -le {limit} ] || {{ echo "more than the {limit} ns of the budget" >&2; exit 1; }}
"""


class ComputerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of a computer."""

    profile: str = ""  # a file that describes another computer
    name: str = ""  # of the program and of the C functions; by default the model's


class ArmLinux:
    """Builds for the computer of the same name among the profiles."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write C, header, program, and what the device needs to check them.

        Raises
        ------
        ParameterError : a setting, limit or base that cannot be heeded.
        BudgetExceeded : the program has more bytes than it may (`program`), or its variables take more (`ram`).
        Unsupported : no code is generated for the model, or it answers otherwise.
        MissingDependency : Zig or the emulator is not installed.
        """
        from sampan.edge.linux import memory_of, read_computer
        from sampan.edge.toolchains import zig_version
        from sampan.workspace.targets.edge_packages import open_carried

        asked = read_settings(options.settings, ComputerSettings)
        options.refuse_base("a computer has no base", hint="--target oci builds an image on one")
        computer = read_computer(asked.profile or self.name)
        limits = {**computer.limits(), **options.budget}
        limit_ms = limits.pop("ms", None)
        with progress.stage(f"Build for {computer.name}", total=3, unit="steps") as stage:
            carried = open_carried(package, asked.name)
            stage.advance(note="package")
            program, generated, answers = _compiled(carried, out, computer)
            far = carried.check(answers, f"on {computer.name}, in emulation,")
            stage.advance(note="asked the rows of the probe set")
            if carried.transform is not None:
                far = max(far, carried.check(_asked(carried, generated, computer), f"on {computer.name}, from requests,"))
            stage.advance(note="asked its requests")
        measured = {"program": float(program.stat().st_size), "ram": float(memory_of(program))}
        hold_to(limits, measured)
        _write_check(out, program, carried, answers, limit_ms)
        facts: dict[str, str | int | float | bool | None] = {
            "program": int(measured["program"]),
            "ram": int(measured["ram"]),
            "max_difference": far,
            "transform": carried.transform is not None,
            "n_rows": len(carried.rows),
            "computer": computer.name,
            "computer_source": computer.source,
            "compiler": f"Zig {zig_version()}",
            "emulator": " ".join(computer.emulator),
            "ms": "to be measured on the device",
        }
        return Built.of(
            out,
            facts=facts,
            warnings=_warnings(computer, carried, limit_ms),
            next=("scp -r {out} DEVICE: && ssh DEVICE sh FOLDER/check.sh",),
        )


def _compiled(carried: CarriedPackage, out: Path, computer: Computer) -> tuple[Path, Generated, NDArray[np.float64]]:
    """Write C and program; in float64 where the model's graph computes in that and needs to."""
    from sampan.edge.linux import compile_linux, run_linux
    from sampan.edge.source import generate
    from sampan.workspace.targets.edge_packages import PARITY

    for program in carried.programs():
        generated = generate(program, carried.schema, transform=carried.transform)
        compiled = compile_linux(generated, out, computer)
        answers = run_linux(compiled, carried.rows, program.n_outputs, computer)
        if carried.difference(answers) <= PARITY:
            break
    return compiled, generated, answers


def _asked(carried: CarriedPackage, generated: Generated, computer: Computer) -> NDArray[np.float64]:
    """Ask the requests of the probe set by the generated transform and model."""
    from sampan.edge.linux import Adapter, compile_linux, run_linux
    from sampan.edge.requests import pack_requests

    packed = pack_requests(carried.predictor.tensors(carried.requests))
    adapter = Adapter(f"{generated.name}_asked", str(packed.words.shape[1]), packed.adapter(generated.name))
    with tempfile.TemporaryDirectory() as folder:
        program = compile_linux(generated, Path(folder), computer, adapter=adapter)
        return run_linux(program, packed.words, carried.expected.shape[1], computer)


def _warnings(computer: Computer, carried: CarriedPackage, limit_ms: float | None) -> tuple[str, ...]:
    found = []
    if carried.transform is None:
        found.append(f"the C takes features, not requests: {carried.why_without}")
    if limit_ms is not None:
        found.append(
            f"ms={limit_ms:g} is to be measured on the device: {CHECK} does, and fails above it; {computer.name} in emulation has no time"
        )
    return tuple(found)


def _write_check(out: Path, program: Path, carried: CarriedPackage, answers: NDArray[np.float64], limit_ms: float | None) -> None:
    """Write the probe's rows and answers, and the script that compares and times on the device."""
    (out / ROWS).write_bytes(np.ascontiguousarray(carried.rows, "<f4").tobytes())
    (out / ANSWERS).write_bytes(np.ascontiguousarray(answers, "<f4").tobytes())
    n_rows = len(carried.rows)
    repeats = max(1, _REPEATS * 100 // n_rows)
    text = _CHECK.format(program=program.name, rows=ROWS, answers=ANSWERS, n_rows=n_rows, repeats=repeats, n=repeats * n_rows)
    if limit_ms is not None:
        text += _LIMIT.format(limit=round(limit_ms * 1e6))
    (out / CHECK).write_text(text, encoding="ascii")
    (out / CHECK).chmod(0o755)
