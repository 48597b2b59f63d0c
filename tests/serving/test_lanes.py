"""Lanes: places, a queue, threads that hang, and company where it pays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from sampan.errors import Unavailable
from sampan.web.inference.lanes import PROVEN_CALLS, SLOW_CALLS, Lane, Pace, measure_pace
from sampan.web.inference.together import Together


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0)


def test_a_model_runs_on_the_event_loop_once_it_has_shown_to_be_quick() -> None:
    async def run() -> list[bool]:
        lane = Lane("m@v1", concurrency=2, queue=4)
        states = []
        for _ in range(PROVEN_CALLS):
            states.append(lane.inline)
            assert await lane.run(lambda: 7) == 7
        states.append(lane.inline)
        for _ in range(SLOW_CALLS):
            lane.noted_slow(0.2, now_s=1.0)
        return [*states, lane.inline]

    assert asyncio.run(run()) == [False] * PROVEN_CALLS + [True, False]


def test_a_model_that_runs_on_the_event_loop_keeps_no_thread_and_gets_one_again_where_it_became_slow() -> None:
    def threads() -> int:
        return sum(thread.name == "lane idle@v1" for thread in threading.enumerate())

    async def run() -> tuple[int, str]:
        lane = Lane("idle@v1", concurrency=2, queue=4)
        for _ in range(PROVEN_CALLS):
            await lane.run(lambda: 7)
        await until(lambda: not threads())
        for _ in range(SLOW_CALLS):
            lane.noted_slow(0.2, now_s=1.0)
        answer = await lane.run(lambda: "again")
        n_threads = threads()
        lane.close()
        return n_threads, answer

    assert (1, "again") == asyncio.run(run())


def test_a_call_that_hangs_keeps_its_place_and_the_queue_is_bounded() -> None:
    async def run() -> None:
        lane = Lane("m@v1", concurrency=1, queue=1)
        hangs = threading.Event()
        hanging = asyncio.create_task(lane.run(hangs.wait))
        await until(lambda: lane.running == 1)
        hanging.cancel()
        with suppress(asyncio.CancelledError):
            await hanging
        waiting = asyncio.create_task(lane.run(lambda: "later"))
        await until(lambda: lane.waiting == 1)
        with pytest.raises(Unavailable, match="1 requests of m@v1 are being answered and 1 wait"):
            await lane.run(lambda: "never")
        hangs.set()

        assert await waiting == "later"
        assert (lane.running, lane.waiting) == (0, 0)
        lane.close()

    asyncio.run(run())


def test_what_a_model_raises_reaches_its_caller_and_frees_its_place() -> None:
    async def run() -> None:
        lane = Lane("m@v1", concurrency=1, queue=0)

        def fail() -> None:
            raise ZeroDivisionError("in the model")

        for _ in range(3):
            with pytest.raises(ZeroDivisionError, match="in the model"):
                await lane.run(fail)
        assert await lane.run(lambda: 1) == 1

    asyncio.run(run())


def test_what_must_be_alone_waits_for_threads_and_keeps_them_out() -> None:
    async def run() -> list[str]:
        lane, told = Lane("m@v1", concurrency=2, queue=4), []
        may_end = threading.Event()

        async def feed() -> None:
            async with lane.alone():
                told.append("alone")
                later = asyncio.create_task(lane.run(lambda: told.append("scored")))
                await until(lambda: lane.waiting == 1)
                assert lane.running == 0
                told.append("fed")
            await later

        def score() -> None:
            may_end.wait()
            told.append("scored")

        first = asyncio.create_task(lane.run(score))
        await until(lambda: lane.running == 1)
        feeding = asyncio.create_task(feed())
        with pytest.raises(TimeoutError):  # it waits for the thread
            await asyncio.wait_for(asyncio.shield(feeding), 0.05)
        assert told == []
        may_end.set()
        await asyncio.gather(first, feeding)
        return told

    assert asyncio.run(run()) == ["scored", "alone", "fed", "scored"]


def test_company_is_sought_only_where_a_row_takes_long_and_is_cheaper_in_it() -> None:
    assert Pace(0.003, 0.0017).pays_together
    assert not Pace(0.003, 0.0025).pays_together, "hardly cheaper"
    assert not Pace(7e-6, 3e-6).pays_together, "bringing requests together costs more than 4 us"
    assert str(Pace(0.003, 0.0015)) == "3 ms a row alone, 1.5 ms among 32: scored together"


def test_a_model_that_takes_a_call_long_whatever_its_rows_is_timed_as_such() -> None:
    asked: list[int] = []

    pace = measure_pace(lambda rows: asked.append(len(rows)), [{"x": 1}], calls=2, clock=lambda: 0.002 * len(asked))

    assert pace == Pace(0.002, 0.002 / 32)
    assert pace.pays_together
    assert asked == [1, 1, 1, 32, 32]


def test_who_waits_for_the_same_model_goes_together_and_each_gets_its_own() -> None:
    async def run() -> tuple[list[object], list[int]]:
        sizes: list[int] = []

        def score(items: Sequence[int]) -> list[int | Exception]:
            sizes.append(len(items))
            return [ValueError("odd one") if item == 5 else item * item for item in items]

        together: Together[int, int] = Together(Lane("m@v1", concurrency=1, queue=8), score, most_rows=6, most_waiting=16)
        asked = [asyncio.create_task(together.run(item, 1)) for item in range(9)]
        return await asyncio.gather(*asked, return_exceptions=True), sizes

    answers, sizes = asyncio.run(run())

    assert [answer for answer in answers if not isinstance(answer, Exception)] == [0, 1, 4, 9, 16, 36, 49, 64]
    assert str(answers[5]) == "odd one"
    assert sizes == [6, 3]


def test_a_few_slow_answers_among_thousands_are_the_machines_and_not_the_models() -> None:
    async def run() -> bool:
        lane = Lane("m@v1", concurrency=1, queue=1)
        for _ in range(PROVEN_CALLS):
            await lane.run(lambda: None)
        for number in range(1, 3001):
            lane.calls_now += 1
            if number % 1000 == 0:
                lane.noted_slow(0.1, now_s=number / 1000)
        return lane.inline

    assert asyncio.run(run())
