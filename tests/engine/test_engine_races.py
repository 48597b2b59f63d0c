"""Several engines on one store at once: each step and deed happens once, whoever tries, and the dead and the slow lose their claims."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.engine.engine import Engine, StepOutcome
from sampan.engine.step import step
from sampan.ledger import Ledger
from sampan.store import Store

RACER = Path(__file__).with_name("racer.py")
LEASE_S = 60


def race(store: Store, marks: Path, how: str, n: int) -> list[str]:
    command = [sys.executable, str(RACER), str(store.root), str(marks), how]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"}) for _ in range(n)]
    return [racer.communicate()[0].strip() for racer in racers]


@pytest.mark.slow
def test_processes_that_want_the_same_step_run_and_commit_it_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()

    answers = race(store, tmp_path / "marks", "run", 4)

    assert answers == ["made"] * 4
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert len(store.catalog.events(type="step_committed")) == 1


@pytest.mark.slow
def test_a_deed_is_done_once_whoever_tries(store: Store, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()

    answers = race(store, tmp_path / "marks", "once", 3)

    assert sorted(answers) == ["('made', False)", "('made', True)", "('made', True)"]
    assert len(list((tmp_path / "marks").iterdir())) == 1


@pytest.mark.slow
def test_a_step_whose_process_was_killed_is_taken_over_at_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    command = [sys.executable, str(RACER), str(store.root), str(tmp_path / "marks"), "run"]
    first = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "src"})
    while not list((tmp_path / "marks").iterdir()):
        time.sleep(0.01)
    first.kill()
    first.wait()
    started = time.perf_counter()

    assert race(store, tmp_path / "marks", "run", 1) == ["made"]
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert time.perf_counter() - started < LEASE_S


# What happens while a step runs; empty when it is done.
RIVAL: list[Callable[[], object]] = []


def test_an_attempt_that_was_overtaken_discards_its_result_and_takes_the_winners(store: Store) -> None:
    first = Engine(store, Ledger(store, actor="slow"), clock=lambda: 1_000_000, lease_ms=60_000)
    second = Engine(store, Ledger(store, actor="fast"), clock=lambda: 1_120_000, lease_ms=60_000)  # after the first one's lease

    @step
    def contested(n: int) -> list[str]:
        if RIVAL:
            RIVAL.pop()()
            return ["slow"]
        return ["fast"]

    won: dict[str, StepOutcome] = {}
    RIVAL[:] = [lambda: won.update(second.run([contested], inputs={"n": 1}))]

    outcome = first.run([contested], inputs={"n": 1})["contested"]

    assert won["contested"].load() == ["fast"]
    assert outcome.load() == ["fast"]
    assert (outcome.cached, won["contested"].cached) == (True, False)
    assert len(store.catalog.events(type="step_committed")) == 1


def test_a_step_longer_than_its_lease_keeps_it_by_heartbeats(store: Store) -> None:
    now = [1_000_000]
    engine = Engine(store, Ledger(store, actor="ann"), clock=lambda: now[0], lease_ms=150)
    claims: list[int | None] = []

    def lease() -> tuple[str, int]:
        with store.database.read() as session:
            return session.one("select key, until from claim") or ("", 0)

    def outlast() -> None:
        key, until = lease()
        claims.append(store.steps.claim(key, step="long", owner="thief", now=now[0]))
        now[0] += 100
        while lease()[1] == until:  # by our clock the lease is not over yet; a heartbeat lengthens it
            time.sleep(0.01)

    @step
    def long(n: int) -> int:
        while RIVAL:
            RIVAL.pop()()
        return n

    RIVAL[:] = [outlast] * 3

    assert not engine.run([long], inputs={"n": 1})["long"].cached
    assert [None] * 3 == claims
    assert now[0] > 1_000_000 + 150
