"""Eight people type commands in one project at the same moment, on SQLite and on PostgreSQL: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sampan as package

pytestmark = pytest.mark.slow

N = 8
ENV = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "POLARS_MAX_THREADS": "1"}
STEPS = """
import polars as pl
import sampan as sp

@sp.step
def total(shared: pl.DataFrame, *, times: int = 1) -> int:
    return int(shared["n"].sum()) * times
"""


def at_once(folder: Path, lines: list[str]) -> list[Any]:
    """Start all commands, then wait for them; return their answers."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "sampan", *line.split(), "--json"],
            cwd=folder,
            env={**ENV, "SAMPAN_ACTOR": f"person {i}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, line in enumerate(lines)
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [0] * len(lines) == [process.returncode for process in started], said
    return [json.loads(out) for out, _ in said]


def test_commands_at_once_in_one_sqlite_project(tmp_path: Path) -> None:
    check_commands_at_once(tmp_path)


def test_commands_at_once_in_one_postgres_project(tmp_path: Path, postgres_uri: str) -> None:
    (tmp_path / "sampan.toml").write_text(f'[store]\ndatabase = "{postgres_uri}"\n')
    check_commands_at_once(tmp_path)


def check_commands_at_once(folder: Path) -> None:
    (folder / "steps.py").write_text(STEPS)
    for i in range(N):
        (folder / f"part{i}.csv").write_text(f"n,who\n{i + 1},a\n")

    added = at_once(folder, [f"data add part{i}.csv --name shared" for i in range(N)])
    ran = at_once(folder, [f"run steps.py --data shared=shared@v1 --params times={1 + i % 2}" for i in range(N)])
    (checked, verified, listed) = at_once(folder, ["fsck", "audit verify", "data list"])

    assert {f"shared@v{i + 1}" for i in range(N)} == {answer["ref"] for answer in added}
    assert 2 == len({answer["steps"]["digests"]["total"] for answer in ran})
    assert 2 == sum(len(answer["steps"]["ran"]) for answer in ran)  # each of the two was computed once; the others waited for it
    assert checked["clean"]
    assert verified["intact"]
    assert N + 2 <= verified["n_rows"]
    assert f"shared@v{N}" == listed["datasets"][0]["newest"]
