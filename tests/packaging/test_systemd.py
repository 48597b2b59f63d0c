"""Units for systemd, read by systemd itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.errors import ParameterError
from sampan.packaging.systemd import Systemd
from sampan.ports import TargetOptions
from sampan.workspace.workspace import SilentProgress


@pytest.mark.slow
def test_systemd_takes_the_unit_and_finds_little_exposed(package: Path, tmp_path: Path) -> None:
    assert shutil.which("systemd-analyze"), "there is no systemd-analyze: run tools/containers.sh"
    program = str(Path(sys.executable).with_name("sampan"))
    settings = {"program": program, "folder": str(tmp_path / "package"), "port": "9090"}

    built = Systemd("systemd").build(package, tmp_path, TargetOptions(settings=settings), SilentProgress())

    unit = tmp_path / "orders-late.service"
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (0, "") == (verified.returncode, "".join(line for line in verified.stderr.splitlines() if "orders-late" in line))
    judged = subprocess.run(["systemd-analyze", "security", "--offline=yes", unit], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert level
    assert float(level[1]) < 2.0  # of 10; a unit that says nothing has 9.6
    assert (
        f"ExecStart={program} serve --package {tmp_path / 'package'} --host 127.0.0.1 --port 9090 --log %S/orders-late\n"
        in unit.read_text()
    )
    assert (package / "model.onnx").read_bytes() == (tmp_path / "package" / "model.onnx").read_bytes()
    assert built.facts.keys() == {"start_s", "rss_mb", "cpu_ms", "p50_ms", "p99_ms"}


def test_what_would_make_another_unit_of_it_is_refused(package: Path, tmp_path: Path) -> None:
    settings = {"program": "sampan", "folder": "/srv/x\nExecStart=/bin/sh", "host": "0.0.0.0", "port": "0"}

    with pytest.raises(ParameterError) as refused:
        Systemd("systemd").build(package, tmp_path, TargetOptions(settings=settings), SilentProgress())

    assert 4 == len(refused.value.message.split("; "))
    assert [] == list(tmp_path.iterdir())
