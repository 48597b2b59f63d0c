"""Lives that end by kill -9, one after another in one project, and the count of what they had been told was done.

python tests/journeys/lives.py N [POSTGRESQL-ADDRESS]      as the tests do it, with as many lives as are asked for
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import churn  # noqa: E402  # the module beside this one
from sampan.workspace.workspace import Workspace  # noqa: E402

_LOOK_EVERY = 5  # lives


def start(folder: Path, *, database: str = "") -> Path:
    """Write a project that uses this database ("": SQLite) and add its data."""
    churn.write_project(folder, n_rows=800)
    if database:
        (folder / "sampan.toml").write_text(f'[store]\ndatabase = "{database}"\n')
    with Workspace.open(folder) as ws:
        ws.data.add(folder / "customers.csv", key=["customer"], time="asked")
    return folder


def live_and_die(project: Path, n_lives: int, *, seed: int = 7) -> dict[str, int]:
    """Let lives begin and kill each at a random moment; return how many facts of each kind had been acknowledged.

    Raises
    ------
    AssertionError : something that was acknowledged is not there, or the store is not whole.
    """
    rng = random.Random(seed)
    notes = project / "acknowledged.txt"
    command = [sys.executable, str(HERE / "short_lives.py"), str(project)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for life in range(n_lives):
            seen = notes.read_bytes().count(b"\n") if notes.exists() else 0
            nursery.stdin.write(f"{life}\n")
            nursery.stdin.flush()
            pid = int(nursery.stdout.readline())
            _wait_for_lines(notes, seen + 1)
            time.sleep(rng.random() ** 2 * 3)
            os.kill(pid, signal.SIGKILL)
            if life % _LOOK_EVERY == _LOOK_EVERY - 1:
                _check_whole(project)
        nursery.stdin.close()
    with Workspace.open(project) as ws:
        counts = _check_kept(ws, notes.read_text().splitlines())
        ws.store.folding.fold_all()
    _check_whole(project)
    return counts


def _wait_for_lines(file: Path, n_lines: int) -> None:
    until = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < n_lines:
        assert time.monotonic() < until, "the worker does nothing"
        time.sleep(0.005)


def _check_whole(project: Path) -> None:
    with Workspace.open(project) as ws:
        assert () == ws.home.fsck().faults
        assert 0 == ws.audit.verify().exit_code()


def _check_kept(ws: Workspace, lines: list[str]) -> dict[str, int]:
    """Hold the store against all that was acknowledged."""
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
        elif kind == "trial":
            assert rest[1] == ws.catalog.params(rest[0])["strength"]
        elif kind == "ended":
            assert "finished" == ws.catalog.node(rest[0]).state
    for run, last in points.items():
        history = ws.catalog.metric_history(run, "loss")
        assert list(range(last + 1)) == history.steps[: last + 1]
        assert len(history.steps) <= last + 2  # one more may have been written when the process died
    if aliases:
        champion = ws.catalog.node(ws.catalog.aliases("model", "churn")["champion"])
        assert _version(champion.ref) >= max(map(_version, aliases))
    return counts


def _version(ref: str) -> int:
    return int(ref.rpartition("@v")[2])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = start(Path(scratch), database=sys.argv[2] if len(sys.argv) > 2 else "")
        began = time.monotonic()
        found = live_and_die(made, int(sys.argv[1]))
        sys.stdout.write(f"{sys.argv[1]} lives, {time.monotonic() - began:.0f} s; acknowledged and there: {found}\n")
