"""What `sampan pack MODEL --target rpi4` and its like make: programs for Arm Linux, run in emulation, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from page_training import train_for_a_page

from sampan.edge.linux import names, read_computer
from sampan.errors import BudgetExceeded, NotFound, ParameterError
from sampan.plugins import names as plugin_names
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace.open(tmp_path_factory.mktemp("linux")) as workspace:
        train_for_a_page(workspace)
        yield workspace


@pytest.mark.parametrize(("target", "machine"), [("rpi4", 183), ("rpi5", 183), ("jetson", 183), ("phone", 183), ("rpi-armhf", 40)])
def test_a_program_of_a_few_kilobytes_answers_in_emulation(ws: Workspace, target: str, machine: int, tmp_path: Path) -> None:
    out = tmp_path / "out"

    packed = ws.model.pack("orders-page", target=target, out=out)

    assert packed.build is not None
    facts = packed.build.facts
    program = (out / "orders_page").read_bytes()
    assert machine == int.from_bytes(program[18:20], "little")  # as ELF names processors
    assert (256, len(program), "to be measured on the device") == (facts["n_rows"], facts["program"], facts["ms"])
    assert facts["max_difference"] <= 1e-6
    assert len(program) < 30_000
    assert 24 <= facts["ram"] < 4096
    assert facts["transform"]
    assert "void orders_page_answer(const double *numbers, const char *const *texts, float *y);" in (out / "orders_page.h").read_text()
    assert {"orders_page", "orders_page.c", "orders_page.h", "orders_page_main.c", "probe.f32", "answers.f32", "check.sh"} == {
        path.name for path in out.iterdir()
    }


def test_the_device_checks_itself_and_holds_the_budget_that_emulation_cannot(ws: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed = ws.model.pack("orders-page", target="rpi4", out=out, budget="ms=50", setting={"name": "late"})

    emulated = f'#!/bin/sh\nexec qemu-aarch64-static "{out / "late.arm"}"\n'
    (out / "late").rename(out / "late.arm")
    (out / "late").write_text(emulated)  # this machine is no Raspberry Pi
    (out / "late").chmod(0o755)
    right = subprocess.run(["sh", out / "check.sh"], capture_output=True, text=True)
    answers = np.fromfile(out / "answers.f32", "<f4")
    answers[7] += 1e-6
    answers.tofile(out / "answers.f32")
    wrong = subprocess.run(["sh", out / "check.sh"], capture_output=True, text=True)

    assert packed.build is not None
    assert (
        "ms=50 is to be measured on the device: check.sh does, and fails above it; rpi4 in emulation has no time",
    ) == packed.build.warnings
    assert (0, "64 answers are right") == (right.returncode, right.stdout.splitlines()[0])
    assert "[ $nanoseconds -le 50000000 ]" in (out / "check.sh").read_text()
    assert 0 != wrong.returncode


def test_a_profile_of_ones_own_is_read_and_faults_of_it_are_named(ws: Workspace, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = "name: mine\nabout: x\nsource: my own\ntarget: aarch64-linux-none\nemulator: [qemu-aarch64-static]\nbudget: {program: 1k}\n"
    mine.write_text(text)

    with pytest.raises(BudgetExceeded, match=r"(?s)program [\d,]+, at most 1,024; the front is.*exact"):
        ws.model.pack("orders-page", target="rpi4", out=tmp_path / "out", setting={"profile": str(mine), "variant": "exact"})
    rounded = ws.model.pack("orders-page", target="rpi4", out=tmp_path / "i16", setting={"variant": "i16 leaves"}).build
    assert rounded is not None
    assert ("i16 leaves", True) == (rounded.facts["variant"], "was asked for" in rounded.warnings[0])
    mine.write_text(text + "colour: red\n")
    with pytest.raises(ParameterError, match="colour"):
        read_computer(str(mine))
    with pytest.raises(NotFound, match="no computer 'rpi9'"):
        read_computer("rpi9")
    assert set(names()) <= set(plugin_names("sampan.targets"))
