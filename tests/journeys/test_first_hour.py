"""A newcomer's first hour, through the command line and nothing else: own data in, checked, understood, traced, shown, called from afar."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sampan as package

FLIGHTS = """\
flight,carrier,origin,scheduled,delay
1,UA,EWR,2013-01-01T05:15:00Z,11
2,UA,LGA,2013-01-01T05:29:00Z,20
3,AA,JFK,2013-01-01T05:40:00Z,33
4,B6,JFK,2013-01-01T05:45:00Z,
"""


class Person:
    """Someone at a terminal, in the folder of a project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "SAMPAN_ACTOR": "an"}

    def types(self, line: str, *, exits: int = 0) -> str:
        """Type a command; return what it says."""
        done = self._run(shlex.split(line))
        assert done.returncode == exits, done.stdout + done.stderr
        return done.stdout + done.stderr

    def asks(self, line: str) -> Any:
        """Type a command with --json; return the answer."""
        done = self._run([*shlex.split(line), "--json"])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        assert words[0] == "sampan"
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    (tmp_path / "flights.csv").write_text(FLIGHTS)
    return Person(tmp_path)


@pytest.mark.slow
def test_own_data_is_added_checked_traced_and_audited(person: Person) -> None:
    assert "next: sampan data add FILE" in person.types("sampan status")
    added = person.types("sampan data add flights.csv --key flight --time scheduled --owner ops")
    assert "flights@v1: 4 rows" in added

    again = person.asks("sampan data add flights.csv --key flight --time scheduled --owner ops")
    assert "flights@v1" in json.dumps(again)

    person.types("sampan data infer flights")
    person.types("sampan data check flights")
    assert person.asks("sampan status")["counts"]["dataset"] == 1
    assert "flights.csv" in person.types("sampan lineage flights")
    assert "version committed flights@v1" in person.types("sampan log --type version_committed")
    assert person.asks("sampan audit verify")["intact"] is True
    assert person.asks("sampan fsck")["clean"] is True


@pytest.mark.slow
def test_every_command_an_answer_names_can_be_typed(person: Person) -> None:
    """Follow `next:` from the first commands on, and stop at what starts a process or needs an argument only a person knows."""
    person.types("sampan data add flights.csv --key flight")
    seen: set[str] = set()
    waiting = ["sampan status", "sampan data list", "sampan log", "sampan audit log"]
    while waiting and len(seen) < 25:
        line = waiting.pop(0)
        if line in seen or re.search(r"\b[A-Z]{3,}\b", line) or line.split()[1] in ("demo", "ui", "server"):
            continue
        seen.add(line)
        words = [*shlex.split(line), "--json"]
        done = person._run(words)
        if done.returncode == 2:  # the command is right; something has to come first, and the hint names it
            error = json.loads(done.stderr)["error"]
            assert error["code"] == "usage", f"{line}: {error}"
            assert error["hint"], f"{line}: {error}"
            continue
        assert done.returncode in (0, 3), f"{line}: {done.stderr}"
        waiting += json.loads(done.stdout)["next"]

    assert len(seen) >= 6


@pytest.mark.slow
def test_a_mistake_is_answered_with_what_to_do(person: Person) -> None:
    assert "did you mean" in person.types("sampan dta list", exits=2)
    assert "hint: " in person.types("sampan data add nothing.csv", exits=2)
