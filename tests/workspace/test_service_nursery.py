"""Workers are forked from a process that imported everything; when that dies, another one takes its place, and callers notice nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from plain_package import ROWS, add_plain_package, asked

from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # processes for each


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[process.ServiceFiles, process.Liveness]]:
    with Workspace.open(tmp_path) as ws:
        add_plain_package(ws, tmp_path / "package")
        ws.service.deploy("parcels", start=False)
        files = process.ServiceFiles(ws.store_folder, "parcels")
        live = process.start(files, [*process.server_command(tmp_path, "parcels"), "--workers", "2"])
        try:
            yield files, live
        finally:
            if process.find(files) is not None:
                process.stop(files, live)


def children(pid: int) -> set[int]:
    return {int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()}


def workers(files: process.ServiceFiles, live: process.Liveness) -> set[int]:
    return {one.pid for one in process.processes(files, live) if one.worker is not None and Path(f"/proc/{one.pid}").exists()}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not come true in 30 s"
        time.sleep(0.05)


def test_a_worker_comes_also_where_the_process_that_forked_the_last_one_was_killed(
    served: tuple[process.ServiceFiles, process.Liveness],
) -> None:
    files, live = served
    before = workers(files, live)
    (nursery,) = children(live.pid) - before

    os.kill(nursery, signal.SIGKILL)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(workers(files, live) - {victim}) == 2)

    assert pytest.approx([2.0, 1.1, 0.5], abs=1e-6) == [asked(live, row) for row in ROWS]
    assert max(before) in workers(files, live)
    assert 3 == len(children(live.pid))


def test_nothing_is_left_of_a_server_that_was_killed(served: tuple[process.ServiceFiles, process.Liveness]) -> None:
    files, live = served
    everyone = children(live.pid)

    os.kill(live.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everyone))

    assert 3 == len(everyone)
    os.waitpid(live.pid, 0)
    assert process.find(files) is None
