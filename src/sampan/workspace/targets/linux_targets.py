"""Targets that are computers with Arm Linux: the model as C and as a program, run in emulation on the probe set.

Answers are proven here. Time is not: emulation says nothing of it, so a limit in `ms` is written into `check.sh`, which the device runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.core.settings import read_settings
from sampan.edge.linux import Adapter, Computer, compile_linux, memory_of, read_computer, run_linux
from sampan.edge.requests import pack_requests
from sampan.edge.source import Generated, generate
from sampan.edge.toolchains import zig_version
from sampan.edge.trying import EXACT, Point, Variant
from sampan.errors import SampanError
from sampan.ports import Built, Progress, TargetOptions
from sampan.workspace.targets.edge_packages import PARITY, CarriedPackage, open_carried
from sampan.workspace.targets.ladder import Ladder, LadderSettings, build_version

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


class ComputerSettings(LadderSettings, frozen=True, kw_only=True):
    """What a person may set of a computer."""

    profile: str = ""  # a file that describes another computer
    name: str = ""  # of the program and of the C functions; by default the model's


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """A site of the ladder: a program for Arm Linux, in emulation."""

    carried: CarriedPackage
    computer: Computer

    def attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        """Compile a variant, and run it on the probe's rows and its requests."""
        if variant.program is None:
            return None, Point(variant=variant.name, why_not=variant.why_not)
        try:
            generated, program = self.compiled(variant, folder)
            answers = run_linux(program, self.carried.asked_rows, variant.program.n_outputs, self.computer)
            limits = {"program": float(program.stat().st_size), "ram": float(memory_of(program))}
            point = self.carried.probe.point(variant.name, answers, limits)
            if self.carried.transform is not None:
                asked = self.carried.probe.point(variant.name, self._asked(generated, folder / "asked"), limits)
                point = max(point, asked, key=lambda each: each.max_difference)
        except SampanError as cause:
            if variant.name == EXACT:
                raise
            return None, Point(variant=variant.name, why_not=cause.message)
        return generated, point

    def answers(self, variant: Variant, rows: NDArray[np.float32], folder: Path) -> NDArray[np.float64]:
        """Answer other rows of features."""
        assert variant.program is not None
        return run_linux(self.compiled(variant, folder)[1], rows, variant.program.n_outputs, self.computer)

    def compiled(self, variant: Variant, folder: Path) -> tuple[Generated, Path]:
        """Write C and program."""
        assert variant.program is not None
        folder.mkdir(parents=True, exist_ok=True)
        generated = generate(variant.program, self.carried.schema, variant.options, transform=self.carried.transform)
        return generated, compile_linux(generated, folder, self.computer)

    def _asked(self, generated: Generated, folder: Path) -> NDArray[np.float64]:
        """Ask the requests of the probe set by the generated transform and model."""
        packed = pack_requests(self.carried.asked_tensors)
        adapter = Adapter(f"{generated.name}_asked", str(packed.words.shape[1]), packed.adapter(generated.name))
        folder.mkdir()
        program = compile_linux(generated, folder, self.computer, adapter=adapter)
        return run_linux(program, packed.words, self.carried.expected.shape[1], self.computer)


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
        GateRejected : the form that was taken may not take the model's place.
        Unsupported : no code is generated for the model, or it answers otherwise.
        MissingDependency : Zig or the emulator is not installed.
        """
        asked = read_settings(options.settings, ComputerSettings)
        options.refuse_base("a computer has no base", hint="--target oci builds an image on one")
        computer = read_computer(asked.profile or self.name)
        limits = {**computer.limits(), **options.budget}
        limit_ms = limits.pop("ms", None)
        carried = open_carried(package, asked.name)
        machine = Machine(carried, computer)
        taken = Ladder(machine, carried, asked, PARITY, options.forms).climb(limits, progress, f"Build for {computer.name}")
        if taken.form:
            return build_version(self, taken, out, options, progress)
        assert taken.generated is not None
        program = compile_linux(taken.generated, out, computer)
        answers = run_linux(program, carried.hard.rows, carried.expected.shape[1], computer)
        _write_check(out, program, carried, answers, limit_ms)
        facts = taken.point.facts() | {
            "transform": carried.transform is not None,
            "n_rows": len(carried.rows),
            "n_hard_rows": len(carried.hard.rows),
            "computer": computer.name,
            "computer_source": computer.source,
            "compiler": f"Zig {zig_version()}",
            "emulator": " ".join(computer.emulator),
            "ms": "to be measured on the device",
        }
        return Built.of(
            out,
            facts=facts,
            warnings=(*taken.warnings(asked=bool(asked.variant)), *_warnings(computer, carried, limit_ms)),
            next=("scp -r {out} DEVICE: && ssh DEVICE sh FOLDER/check.sh",),
        )


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
    """Write rows that nobody sent and their answers, and the script that compares and times on the device."""
    (out / ROWS).write_bytes(np.ascontiguousarray(carried.hard.rows, "<f4").tobytes())
    (out / ANSWERS).write_bytes(np.ascontiguousarray(answers, "<f4").tobytes())
    n_rows = len(carried.hard.rows)
    repeats = max(1, _REPEATS * 100 // n_rows)
    text = _CHECK.format(program=program.name, rows=ROWS, answers=ANSWERS, n_rows=n_rows, repeats=repeats, n=repeats * n_rows)
    if limit_ms is not None:
        text += _LIMIT.format(limit=round(limit_ms * 1e6))
    (out / CHECK).write_text(text, encoding="ascii")
    (out / CHECK).chmod(0o755)
