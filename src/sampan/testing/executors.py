"""What every executor keeps. Inherit the suite, give it an executor, and run it with pytest."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Iterator

import pytest

from sampan.engine.executors import Job
from sampan.errors import StepFailed
from sampan.ports import Executor


class ExecutorContract:
    """Tasks go in, each outcome comes out once, under its key; what a task raises is an outcome.

    class TestOurs(ExecutorContract):
        @pytest.fixture
        def executor(self):
            ours = Ours()
            yield ours
            ours.close()
    """

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        """Give the executor under test; close it afterwards."""
        raise NotImplementedError("inherit ExecutorContract and give it an `executor` fixture")

    def test_it_is_an_executor(self, executor: Executor) -> None:
        """It has the port's methods, and at least one slot."""
        assert isinstance(executor, Executor)
        assert executor.slots >= 1

    def test_every_outcome_comes_back_once_under_its_key(self, executor: Executor) -> None:
        """More tasks than slots are all done."""
        jobs = [Job(str(n), operator.mul, (n, n)) for n in range(20)]

        outcomes = list(executor.map(jobs))

        assert sorted(outcomes) == sorted((str(n), n * n) for n in range(20))

    def test_no_tasks_have_no_outcomes(self, executor: Executor) -> None:
        """An empty map ends; waiting for nothing does not wait."""
        assert list(executor.map([])) == []
        assert executor.wait() is None

    def test_what_a_task_raises_is_its_outcome(self, executor: Executor) -> None:
        """An error neither ends the executor nor the tasks beside it."""
        outcomes = dict(executor.map([Job("bad", operator.truediv, (1, 0)), Job("good", operator.truediv, (1, 2))]))

        assert isinstance(outcomes["bad"], ZeroDivisionError)
        assert outcomes["good"] == 0.5

    def test_our_own_errors_keep_their_fields(self, executor: Executor) -> None:
        """Step, trace and hint survive the way back."""
        ((_, error),) = executor.map([Job("a", raise_step_failed)])

        assert isinstance(error, StepFailed)
        assert (error.step, error.trace, error.hint) == ("clean", "line 3", "mend it")

    def test_a_submitted_task_is_waited_for(self, executor: Executor) -> None:
        """Submit and wait are what map is made of."""
        executor.submit(Job("a", operator.add, (1, 2)))

        assert executor.wait() == ("a", 3)

    def test_a_task_wider_than_the_executor_still_runs(self, executor: Executor) -> None:
        """It takes all slots there are."""
        jobs = [Job("wide", operator.add, (1, 1), cpu=executor.slots + 5), Job("narrow", operator.add, (1, 2))]

        assert dict(executor.map(jobs)) == {"wide": 2, "narrow": 3}

    def test_a_result_may_be_large(self, executor: Executor) -> None:
        """Larger than a pipe's buffer, in both directions."""
        data = os.urandom(3_000_000)

        ((_, outcome),) = executor.map([Job("a", bytes, (data,))])

        assert outcome == data

    def test_a_closed_executor_can_be_closed_again(self, executor: Executor) -> None:
        """Closing forgets what waits."""
        executor.submit(Job("a", time.sleep, (0,)))
        executor.close()
        executor.close()

        assert executor.wait() is None


def raise_step_failed() -> None:
    """Fail as a step does."""
    raise StepFailed("step clean raised", step="clean", trace="line 3", hint="mend it")
