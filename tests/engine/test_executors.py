from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.engine.executors import THREAD_LIMITS, Inline, Job
from sampan.engine.pool import Pool
from sampan.errors import ExecutorLost, ParameterError
from sampan.plugins import find
from sampan.testing.executors import ExecutorContract


class TestInline(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Inline:
        return Inline()


class TestPool(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Iterator[Pool]:
        with Pool(workers=2) as pool:
            yield pool


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(workers=2) as opened:
        yield opened


def test_both_are_found_by_name() -> None:
    assert find("sampan.executors", "inline") is Inline
    assert find("sampan.executors", "pool") is Pool


def test_workers_stay_warm_between_calls(pool: Pool) -> None:
    first = {pid for _, pid in pool.map([Job(str(n), os.getpid) for n in range(4)])}
    second = {pid for _, pid in pool.map([Job(str(n), os.getpid) for n in range(4)])}

    assert os.getpid() not in first
    assert second <= first <= set(pool.pids())


def test_tasks_run_side_by_side(pool: Pool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # each end waits until the other one is opened

    pool.submit(Job("write", Path.write_text, (tmp_path / "pipe", "hi")))
    pool.submit(Job("read", Path.read_text, (tmp_path / "pipe",)))

    assert {pool.wait(30), pool.wait(30)} == {("write", 2), ("read", "hi")}


def test_the_machine_is_shared_out_among_the_workers(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_LIMITS:
        monkeypatch.delenv(name, raising=False)
    share = max(1, (os.cpu_count() or 1) // 2)

    narrow = dict(pool.map([Job(name, os.getenv, (name,)) for name in THREAD_LIMITS]))
    wide = dict(pool.map([Job(name, os.getenv, (name,), cpu=2) for name in THREAD_LIMITS]))

    assert narrow == dict.fromkeys(THREAD_LIMITS, str(share))
    assert wide == dict.fromkeys(THREAD_LIMITS, str(2 * share))
    assert len(pool.pids()) <= 2


def test_a_lower_limit_that_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with Pool(workers=1) as pool:
        assert dict(pool.map([Job("a", os.getenv, ("OMP_NUM_THREADS",))])) == {"a": "1"}


def test_a_killed_worker_loses_its_task_and_nothing_else(pool: Pool) -> None:
    jobs = [Job("dies", os.abort), *(Job(str(n), operator.neg, (n,)) for n in range(4))]

    outcomes = dict(pool.map(jobs))

    assert isinstance(outcomes["dies"], ExecutorLost)
    assert "was killed by SIGABRT" in outcomes["dies"].message
    assert [outcomes[str(n)] for n in range(4)] == [0, -1, -2, -3]


def test_an_idle_worker_that_died_is_replaced(pool: Pool) -> None:
    list(pool.map([Job("a", os.getpid)]))
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)

    ((_, fresh),) = pool.map([Job("b", os.getpid)])

    assert fresh != pid


def test_an_exception_from_a_worker_brings_its_traceback_as_a_note(pool: Pool) -> None:
    ((_, error),) = pool.map([Job("a", operator.truediv, (1, 0))])

    assert "ZeroDivisionError" in error.__notes__[0]


def test_what_cannot_be_sent_is_an_outcome_too(pool: Pool) -> None:
    ((_, error),) = pool.map([Job("a", open, (__file__,))])

    assert "cannot be sent back" in str(error)


def test_waiting_has_an_end(pool: Pool) -> None:
    pool.submit(Job("a", time.sleep, (0.3,)))

    assert pool.wait(0.01) is None
    assert pool.wait() == ("a", None)


def test_a_pool_without_workers_is_refused() -> None:
    with pytest.raises(ParameterError, match="a pool of 0 workers"):
        Pool(workers=0)


def test_workers_end_when_their_pools_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom sampan.engine.pool import Pool\nfrom sampan.engine.executors import Job\n"
        "pool = Pool(1)\npool.submit(Job('a', time.sleep, (60,)))\nprint(pool.pids()[0], flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"})
    status = Path(f"/proc/{int(ran.stdout)}/stat")

    deadline = time.monotonic() + 30
    while status.exists() and status.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the worker outlived its pool"
        time.sleep(0.02)
