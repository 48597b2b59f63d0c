"""Sixty processes killed with -9 while they ingest, log, fold, train, commit and promote in one project: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sampan.workspace.workspace import Workspace

HERE = Path(__file__).parent
N_LIVES = 60


@pytest.fixture
def project(tmp_path: Path) -> Path:
    sys.path.insert(0, str(HERE))
    try:
        import churn
    finally:
        sys.path.remove(str(HERE))
    churn.write_project(tmp_path, n_rows=800)
    with Workspace.open(tmp_path) as ws:
        ws.data.add(tmp_path / "customers.csv", key=["customer"], time="asked")
    return tmp_path


def wait_for_lines(file: Path, n_lines: int) -> None:
    until = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < n_lines:
        assert time.monotonic() < until, "the worker does nothing"
        time.sleep(0.005)


def check(ws: Workspace, lines: list[str]) -> dict[str, int]:
    """Hold the store against all that was acknowledged; return how many facts of each kind there were."""
    points: dict[str, int] = {}
    counts: dict[str, int] = {}
    aliases: list[str] = []
    for line in lines:
        kind, *rest = line.split()
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "version":
            node = ws.catalog.resolve(rest[1], kind=rest[0])
            assert rest[2] == node.digest
            if rest[0] == "dataset":
                assert 400 == ws.store.tables.read(node.digest).height
        elif kind == "point":
            points[rest[0]] = int(rest[1])
        elif kind == "alias":
            aliases.append(rest[0])
        elif kind == "ended":
            assert "finished" == ws.catalog.node(rest[0]).state
    for run, last in points.items():
        history = ws.catalog.metric_history(run, "loss")
        assert list(range(last + 1)) == history.steps[: last + 1]
        assert len(history.steps) <= last + 2  # one more may have been written when the process died
    if aliases:
        champion = ws.catalog.node(ws.catalog.aliases("model", "churn")["champion"])
        assert int(champion.ref.rpartition("@v")[2]) >= max(int(a.rpartition("@v")[2]) for a in aliases)
    return counts


@pytest.mark.slow
def test_sixty_killed_processes_lose_nothing_that_was_acknowledged(project: Path) -> None:
    rng = random.Random(7)
    notes = project / "acknowledged.txt"
    command = [sys.executable, str(HERE / "short_lives.py"), str(project)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for life in range(N_LIVES):
            seen = notes.read_bytes().count(b"\n") if notes.exists() else 0
            nursery.stdin.write(f"{life}\n")
            nursery.stdin.flush()
            pid = int(nursery.stdout.readline())
            wait_for_lines(notes, seen + 1)
            time.sleep(rng.random() ** 2 * 3)
            os.kill(pid, signal.SIGKILL)
            if life % 5 == 4:
                with Workspace.open(project) as ws:
                    assert () == ws.home.fsck().faults
                    assert 0 == ws.audit.verify().exit_code()
        nursery.stdin.close()

    with Workspace.open(project) as ws:
        counts = check(ws, notes.read_text().splitlines())
        ws.store.folding.fold_all()
        assert () == ws.home.fsck().faults
        assert 0 == ws.audit.verify().exit_code()
        after = ws.data.add(project / "customers.csv", name="after")
    assert {"version", "point", "alias", "begin"} <= set(counts)
    assert 800 == after.n_rows
