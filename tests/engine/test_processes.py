from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sampan.engine import processes


def test_a_process_that_runs_is_not_gone() -> None:
    assert not processes.is_gone(processes.identity())


def test_a_process_that_ended_is_gone_also_before_its_parent_looks() -> None:
    script = "import sys; sys.path.insert(0, 'src'); from sampan.engine import processes; print(processes.identity())"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    name = child.stdout.read().strip()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert processes.is_gone(name)
    child.communicate()
    assert processes.is_gone(name)


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    host, space, pid, started = processes.identity().split()

    assert processes.is_gone(f"{host} {space} {pid} {int(started) - 1}")


@pytest.mark.parametrize("part", [0, 1])
def test_nothing_is_known_of_processes_elsewhere(part: int) -> None:
    parts = processes.identity().split()
    parts[part], parts[3] = "elsewhere", "1"

    assert not processes.is_gone(" ".join(parts))


@pytest.mark.parametrize("name", ["", "ann", "host:12:ab", "a b c d"])
def test_nothing_is_known_of_other_names(name: str) -> None:
    assert not processes.is_gone(name)
