"""Processes killed with -9 while they ingest, log, fold, tune, train, commit and promote in one project: what was acknowledged is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sampan.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

import lives

pytestmark = pytest.mark.slow
EVERYTHING = {"version", "point", "alias", "begin", "trial"}


def test_killed_processes_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    project = lives.start(tmp_path)
    counts = lives.live_and_die(project, 50)

    assert set(counts) >= EVERYTHING
    with Workspace.open(project) as ws:
        assert 800 == ws.data.add(project / "customers.csv", name="after").n_rows


def test_killed_processes_lose_nothing_in_postgresql_either(tmp_path: Path, postgres_uri: str) -> None:
    counts = lives.live_and_die(lives.start(tmp_path, database=postgres_uri), 25, seed=8)

    assert {"version", "point", "begin"} <= set(counts)
