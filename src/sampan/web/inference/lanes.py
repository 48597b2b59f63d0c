"""A lane for each loaded model: how many of its requests run at a time, how many may wait, and whether they run on the event loop.

A model that answers in a few milliseconds runs on the event loop: a hop to a thread would cost more than the model. A new model has to
show that first, in threads, where one that hangs costs its own callers their deadline and nobody else anything; and one that becomes slow
goes back there. A thread that hangs keeps its place until it ends: a hanging model can take all places of its own lane, no more.

Several waiting requests are scored together only where the model itself showed, at load, that a row is cheaper in company.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, NoReturn, TypeVar

from sampan.errors import Unavailable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Row = Mapping[str, Any]

PROVEN_CALLS = 16  # in threads, before a model may run on the event loop
INLINE_S = 0.005  # the median of its calls, at most
SLOW_S = 0.05  # a request on the event loop that takes longer is held against its model …
SLOW_CALLS, SLOW_WITHIN_S = 3, 10.0  # … and so many within a while send it back to threads …
SLOW_SHARE = 0.01  # … where they are such a share of its requests: a process that others keep from running is not a slow model
TOGETHER_ROWS = 32
TOGETHER_GAIN = 0.7  # t(32) / 32 over t(1): above it, waiting for others does not pay
# Below this a row costs less than the work of bringing requests together: measured, 200 trees (7 us a row) lost 9 % of their requests/s,
# a small transformer (2.9 ms alone, 1.7 ms in company) gained 1.7 times.
TOGETHER_LEAST_S = 0.0005
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured of a model: seconds a row alone, and a row among 32."""

    alone_s: float
    together_s: float

    @property
    def pays_together(self) -> bool:
        """Say whether waiting requests should be scored together."""
        return self.alone_s >= TOGETHER_LEAST_S and self.together_s < TOGETHER_GAIN * self.alone_s

    def __str__(self) -> str:
        verdict = "scored together" if self.pays_together else "scored one by one"
        return f"{self.alone_s * 1e3:.3g} ms a row alone, {self.together_s * 1e3:.3g} ms among {TOGETHER_ROWS}: {verdict}"


def measure_pace(
    predict: Callable[[Sequence[Row]], object], rows: Sequence[Row], *, calls: int = 5, clock: Callable[[], float] = time.perf_counter
) -> Pace:
    """Time a model on rows of its own, alone and in company. Runs the model: call it in a thread."""
    company = [rows[i % len(rows)] for i in range(TOGETHER_ROWS)]
    predict(rows[:1])

    def seconds(asked: Sequence[Row]) -> float:
        taken = []
        for _ in range(calls):
            begun = clock()
            predict(asked)
            taken.append(clock() - begun)
        return min(taken)

    return Pace(seconds(rows[:1]), seconds(company) / TOGETHER_ROWS)


class Lane:
    """One model's lane. All methods belong to the event loop's thread, but for the work itself."""

    def __init__(
        self, name: str, *, concurrency: int, queue: int, changed: Callable[[], None] = lambda: None, suspect: bool = False
    ) -> None:
        self.name = name
        self.suspect = suspect  # a process hung on this model before: it has one thread, and never the event loop
        self.inline = False
        self.pace: Pace | None = None  # measured where a row takes long enough for company to matter
        self.running = 0
        self.waiting = 0
        self._concurrency = 1 if suspect else concurrency
        self._queue = queue
        self._changed = changed  # called when `inline` may have
        self._free = asyncio.Condition()
        self._alone = False
        self._closed = False
        self._threads: list[_Worker] = []
        self._taken: deque[float] = deque(maxlen=PROVEN_CALLS)
        self._slow: deque[tuple[float, int]] = deque(maxlen=SLOW_CALLS)  # when, and after how many calls
        self.calls_now = 0  # requests answered on the event loop

    @property
    def wants_pace(self) -> bool:
        """Say whether the model is known well enough, and slow enough, to be timed in company."""
        return self.pace is None and len(self._taken) == PROVEN_CALLS and median(self._taken) >= TOGETHER_LEAST_S

    @property
    def goes_together(self) -> bool:
        """Say whether waiting requests are scored together."""
        return self.pace is not None and self.pace.pays_together

    def noted_slow(self, seconds: float, *, now_s: float) -> None:
        """Take note of a slow request on the event loop."""
        self._slow.append((now_s, self.calls_now))
        since_s, calls = self._slow[0]
        is_share = SLOW_SHARE * (self.calls_now - calls) <= SLOW_CALLS
        if len(self._slow) == SLOW_CALLS and now_s - since_s < SLOW_WITHIN_S and is_share:
            logger.warning("%s takes %.0f ms a request; it runs in threads from now on", self.name, seconds * 1000)
            self._slow.clear()
            self._taken.clear()
            self.pace = None
            self._settle()

    def timed(self, pace: Pace) -> None:
        """Take what was measured of the model."""
        self.pace = pace
        logger.info("%s: %s", self.name, pace)
        self._settle()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run work in one of the lane's threads, as soon as one is free.

        Who stops waiting does not stop the work: its place is free when it ends.

        Raises
        ------
        Unavailable : too many wait already.
        """
        if self.waiting >= self._queue and self.running >= self._concurrency:
            self.refuse()
        async with self._free:
            self.waiting += 1
            try:
                await self._free.wait_for(lambda: self.running < self._concurrency and not self._alone)
            finally:
                self.waiting -= 1
            self.running += 1
        return await asyncio.shield(self._ended(self._worker().do(work)))

    def refuse(self) -> NoReturn:
        """Send a request away. Raises Unavailable."""
        said = f"{self.running} requests of {self.name} are being answered and {self.waiting} wait"
        raise Unavailable(said, hint="try again in a second")

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep the lane's threads out for a moment, for what must not overlap with scoring. A thread that hangs is not waited for."""
        async with self._free:
            self._alone = True
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._free.wait_for(lambda: not self.running)
            except TimeoutError:
                logger.warning("%s: %d requests hang; going on without them", self.name, self.running)
        try:
            yield
        finally:
            async with self._free:
                self._alone = False
                self._free.notify_all()

    def stuck(self, longer_than_s: float) -> int:
        """Count the calls that have been running for longer than they may."""
        before = time.monotonic() - longer_than_s
        return sum(worker.busy and worker.since < before for worker in self._threads)

    def close(self) -> None:
        """Let idle threads end; what hangs is left to the end of the process."""
        self._closed = True
        self._dismiss()

    async def _ended(self, coming: asyncio.Future[tuple[Any, float]]) -> Any:
        try:
            result, seconds = await coming
            self._prove(seconds)
            return result
        finally:
            async with self._free:
                self.running -= 1
                self._free.notify_all()
            if self._closed:
                self.close()

    def _prove(self, seconds: float) -> None:
        self._taken.append(seconds)
        self._settle()

    def _settle(self) -> None:
        """Decide where the model runs: on the event loop once it has shown that it is quick there and gains nothing from company."""
        proven = len(self._taken) == PROVEN_CALLS and median(self._taken) < INLINE_S
        self.inline = proven and not self.suspect and not self.wants_pace and not self.goes_together
        if self.inline:
            self._dismiss()  # a server of a thousand models would have a thousand threads asleep
        self._changed()

    def _dismiss(self) -> None:
        """Let idle threads end."""
        for worker in self._threads:
            worker.close()
        self._threads = [worker for worker in self._threads if worker.busy]

    def _worker(self) -> _Worker:
        for worker in self._threads:
            if not worker.busy:
                return worker
        self._threads.append(_Worker(self.name))
        return self._threads[-1]


class _Worker:
    """A thread that does one thing at a time. A daemon: a model that hangs must not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self.busy = False
        self.since = 0.0  # when the present call began
        self._wake = threading.Semaphore(0)
        self._job: tuple[Callable[[], Any], asyncio.Future[tuple[Any, float]], asyncio.AbstractEventLoop] | None = None
        threading.Thread(target=self._work, name=f"lane {name}", daemon=True).start()

    def do(self, work: Callable[[], Any]) -> asyncio.Future[tuple[Any, float]]:
        loop = asyncio.get_running_loop()
        coming: asyncio.Future[tuple[Any, float]] = loop.create_future()
        self.busy, self.since = True, time.monotonic()
        self._job = (work, coming, loop)
        self._wake.release()
        return coming

    def close(self) -> None:
        if not self.busy:
            self._job = None
            self._wake.release()

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            if self._job is None:
                return
            (work, coming, loop), self._job = self._job, None
            begun = time.perf_counter()
            try:
                result = work()
            except BaseException as cause:  # noqa: BLE001  # handed to who waits
                self._hand_over(loop, coming.set_exception, cause)
            else:
                self._hand_over(loop, coming.set_result, (result, time.perf_counter() - begun))

    def _hand_over(self, loop: asyncio.AbstractEventLoop, hand: Callable[[Any], None], what: object) -> None:
        def handing() -> None:
            self.busy = False
            hand(what)

        try:
            loop.call_soon_threadsafe(handing)
        except RuntimeError:  # the loop has ended; nobody waits any more
            logger.debug("a model answered after the end")
